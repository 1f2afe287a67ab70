// What every libcurl transfer of this room is set up with, and what a person is told when it fails.
#pragma once

#include <curl/curl.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/uri.h"
#include "fetch/fetch.h"

namespace signet {

/// A libcurl handle on loan. It comes with the open connections, TLS sessions and names that earlier transfers left in it, so the dozen requests of a
/// profile's lookup cost one connection, and goes back to the idle ones with this object.
class Transfer {
 public:
  Transfer(const Uri& uri, const FetchOptions& options);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  CURL* handle() const { return easy_; }
  /// One more header line, besides those of the options.
  void add_header(const std::string& line) { headers_ = curl_slist_append(headers_, line.c_str()); }
  /// Performs it; afterwards status() and the errors below are known.
  CURLcode perform();
  /// The last response's HTTP status; 0 for other protocols and when there was no response.
  long status() const;
  /// Content-Length of the last response, or the file's size.
  std::optional<std::uint64_t> length() const;
  /// Whether another attempt can help.
  bool is_passing() const;
  /// Why it failed.
  Error error() const;

 private:
  Error certificate_error(const std::string& why) const;

  const Uri& uri_;
  const FetchOptions& options_;
  std::string bundle_;
  CURL* easy_ = nullptr;
  curl_slist* headers_ = nullptr;
  CURLcode code_ = CURLE_OK;
  std::array<char, CURL_ERROR_SIZE> detail_ = {};
};

}  // namespace signet
