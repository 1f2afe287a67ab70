// URIs and references as profiles, leases and servers write them. Beyond not crashing: what is printed never shows user, password or query values,
// and what was parsed is read back from its text as the same.
#include <cstdlib>
#include <string>

#include "base/uri.h"

using namespace signet;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const Uri& uri) {
  const auto again = parse_uri(uri.secret_text());
  if (uri.scheme != "file") require(again && again->user_info == uri.user_info && again->authority == uri.authority && again->query == uri.query);
  auto plain = uri;
  plain.user_info.clear();
  require(plain.display() == uri.display());
  require(uri.scheme == "file" || uri.query.empty() || !uri.query.ends_with("S3cret") || !uri.display().ends_with("S3cret"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  static const auto base = parse_uri("http://user:S3cret@server:8080/hosts/node01.toml?token=S3cret").value();
  if (const auto uri = parse_uri(text)) check(*uri);
  if (const auto uri = resolve_uri(base, text)) check(*uri);
  (void)hide_secrets(text);
  // Nothing that stands before or behind a URI brings its secret out.
  if (text.find('@') == std::string::npos) require(hide_secrets("http://u:S3cretS3cret@h/ " + text).find("S3cretS3cret@") == std::string::npos);
  return 0;
}
