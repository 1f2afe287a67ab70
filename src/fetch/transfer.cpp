#include "fetch/transfer.h"

#include <stdlib.h>

#include <algorithm>
#include <ctime>
#include <format>
#include <mutex>
#include <vector>

#include "base/text.h"

namespace signet {
namespace {

constexpr long most_redirects = 8;
constexpr std::size_t most_idle = 4;

// Never destroyed: a thread may still hold a handle when the process ends.
struct IdleHandles {
  std::mutex mutex;
  std::vector<CURL*> handles;
};

IdleHandles& idle() {
  static IdleHandles& pool = *new IdleHandles;
  return pool;
}

CURL* borrow() {
  static const CURLcode once = curl_global_init(CURL_GLOBAL_DEFAULT);
  (void)once;
  auto& pool = idle();
  const std::scoped_lock lock(pool.mutex);
  if (pool.handles.empty()) return curl_easy_init();
  CURL* easy = pool.handles.back();
  pool.handles.pop_back();
  return easy;
}

void give_back(CURL* easy) {
  if (!easy) return;
  curl_easy_reset(easy);
  auto& pool = idle();
  const std::scoped_lock lock(pool.mutex);
  if (pool.handles.size() < most_idle)
    pool.handles.push_back(easy);
  else
    curl_easy_cleanup(easy);
}

std::string ca_bundle(const FetchOptions& options) {
  if (!options.ca_bundle.empty()) return options.ca_bundle;
  if (const char* file = ::getenv("SSL_CERT_FILE")) return file;
  return "/etc/ssl/certs/ca-certificates.crt";
}

std::string clock_text() {
  const time_t now = std::time(nullptr);
  tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  ::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts);
  return text;
}

}  // namespace

Transfer::Transfer(const Uri& uri, const FetchOptions& options) : uri_(uri), options_(options), bundle_(ca_bundle(options)), easy_(borrow()) {
  curl_easy_setopt(easy_, CURLOPT_URL, uri.secret_text().c_str());
  curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https,tftp,file");
  // A redirect may leave http for https, never the other way, and never reaches the node's own files.
  curl_easy_setopt(easy_, CURLOPT_REDIR_PROTOCOLS_STR, uri.scheme == "https" ? "https" : "http,https");
  curl_easy_setopt(easy_, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(easy_, CURLOPT_MAXREDIRS, most_redirects);
  curl_easy_setopt(easy_, CURLOPT_USERAGENT, "signet/" SIGNET_VERSION);
  curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT, static_cast<long>(options.connect_timeout.count()));
  curl_easy_setopt(easy_, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy_, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_timeout.count()));
  curl_easy_setopt(easy_, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy_, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(easy_, CURLOPT_CAINFO, bundle_.c_str());
  curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, 256L * 1024);
  // RFC 2348: what fits into an Ethernet frame, instead of 512 bytes a round trip.
  curl_easy_setopt(easy_, CURLOPT_TFTP_BLKSIZE, 1428L);
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, detail_.data());
  for (const auto& line : options.headers) add_header(line);
}

Transfer::~Transfer() {
  give_back(easy_);
  curl_slist_free_all(headers_);
}

CURLcode Transfer::perform() {
  if (headers_) curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
  code_ = easy_ ? curl_easy_perform(easy_) : CURLE_OUT_OF_MEMORY;
  return code_;
}

long Transfer::status() const {
  long status = 0;
  if (uri_.scheme.starts_with("http")) curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

std::optional<std::uint64_t> Transfer::length() const {
  curl_off_t length = -1;
  curl_easy_getinfo(easy_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  return length >= 0 ? std::optional(static_cast<std::uint64_t>(length)) : std::nullopt;
}

bool Transfer::is_passing() const {
  const long http = status();
  if (http == 408 || http == 429 || http >= 500) return true;
  switch (code_) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE: return true;
    default: return false;
  }
}

Error Transfer::certificate_error(const std::string& why) const {
  // mbedTLS lists everything that is wrong, a line each; libcurl names some of it itself (x509_crt_error_string, mbed_connect_step2).
  const auto said = to_lower(why);
  std::vector<std::string> reasons;
  if (said.contains("expired")) reasons.push_back("it has expired");
  if (said.contains("future")) reasons.push_back("it is not valid yet");
  if (said.contains("common name") || said.contains("cn_mismatch")) reasons.push_back("it is for another name");
  if (said.contains("not correctly signed") || said.contains("not_trusted")) reasons.push_back("it comes from an issuer that is not trusted here");
  if (said.contains("revoked")) reasons.push_back("it was revoked");
  if (reasons.empty()) reasons.push_back(why);
  return Error(ErrorKind::verification, std::format("{}: its certificate is not accepted: {}; this machine's clock says {}", uri_.display(),
                                                    join(reasons, ", and "), clock_text()))
      .advise(std::format("the certificate must be for {}, valid now, and from an issuer in {} (initrd/pack --ca-bundle puts one there)", uri_.host(),
                          bundle_));
}

Error Transfer::error() const {
  const auto name = uri_.display();
  if (const long http = status(); http == 404 || http == 410)
    return Error(ErrorKind::not_found, std::format("{}: the server does not have it (HTTP {})", name, http))
        .advise("check the path, and that the file is there and readable for the server");
  else if (http >= 400)
    return Error(ErrorKind::network, std::format("{}: the server answered HTTP {}", name, http)).advise("look into the server's log");

  const std::string why = detail_[0] ? printable(hide_secrets(trim(detail_.data()))) : curl_easy_strerror(code_);
  switch (code_) {
    case CURLE_FILE_COULDNT_READ_FILE: return {ErrorKind::not_found, std::format("{}: no such file, or not readable", name)};
    case CURLE_TFTP_NOTFOUND: return {ErrorKind::not_found, std::format("{}: the TFTP server does not have it", name)};
    case CURLE_PEER_FAILED_VERIFICATION: return certificate_error(why);
    case CURLE_SSL_CACERT_BADFILE:
      return Error(ErrorKind::verification, std::format("{}: there is no usable CA bundle at {}", name, bundle_))
          .advise("pack one into the initrd with initrd/pack --ca-bundle FILE, or use http and image.sha256");
    case CURLE_SSL_CONNECT_ERROR:
      return Error(ErrorKind::network, std::format("{}: TLS failed: {}", name, why)).advise("the server must speak TLS 1.2 or 1.3");
    case CURLE_TOO_MANY_REDIRECTS: return {ErrorKind::invalid, std::format("{}: more than {} redirects", name, most_redirects)};
    case CURLE_UNSUPPORTED_PROTOCOL:
      return {ErrorKind::invalid, std::format("{}: it redirects to a protocol that is not allowed (https may not become http)", name)};
    case CURLE_OPERATION_TIMEDOUT:
      if (why.starts_with("Operation too slow"))
        return Error(ErrorKind::network, std::format("{}: the server sent nothing for {} s", name, options_.stall_timeout.count()))
            .advise("check the server's load and the network between");
      [[fallthrough]];
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
      return Error(ErrorKind::network, std::format("{}: {}", name, why))
          .advise("check that the server runs, its address and port, and the network between");
    default: return {ErrorKind::network, std::format("{}: {}", name, why)};
  }
}

}  // namespace signet
