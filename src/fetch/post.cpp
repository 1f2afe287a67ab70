#include <format>
#include <string>

#include "fetch/fetch.h"
#include "fetch/transfer.h"

namespace signet {

Result<> post(const Uri& uri, std::string_view content_type, std::string_view body, std::chrono::seconds limit, const FetchOptions& options) {
  if (!uri.scheme.starts_with("http")) return fail(ErrorKind::unsupported, "{}: only http and https take reports", uri.display());
  Transfer transfer(uri, options);
  transfer.add_header("Content-Type: " + std::string(content_type));
  transfer.add_header("Expect:");  // a small body does not ask first (RFC 9110 §10.1.1)
  CURL* easy = transfer.handle();
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  const std::string copy(body);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, copy.c_str());
  curl_easy_setopt(easy, CURLOPT_TIMEOUT, static_cast<long>(limit.count()));
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, +[](char*, std::size_t, std::size_t size, void*) { return size; });
  if (transfer.perform() != CURLE_OK || transfer.status() >= 300) return std::unexpected(transfer.error());
  return {};
}

}  // namespace signet
