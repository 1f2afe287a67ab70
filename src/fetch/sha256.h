// SHA-256 (FIPS 180-4) by mbedTLS.
#pragma once

#include <mbedtls/sha256.h>

#include <cstddef>
#include <span>
#include <string>

#include "base/text.h"

namespace signet {

class Sha256 {
 public:
  Sha256() {
    mbedtls_sha256_init(&context_);
    mbedtls_sha256_starts(&context_, 0);
  }
  Sha256(const Sha256&) = delete;
  ~Sha256() { mbedtls_sha256_free(&context_); }

  void update(std::span<const std::byte> data) { mbedtls_sha256_update(&context_, reinterpret_cast<const unsigned char*>(data.data()), data.size()); }
  /// Lower-case hex; the object is done with.
  std::string finish() {
    unsigned char digest[32];
    mbedtls_sha256_finish(&context_, digest);
    return to_hex(digest);
  }

 private:
  mbedtls_sha256_context context_;
};

}  // namespace signet
