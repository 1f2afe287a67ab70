#include "base/sha256.h"

#include <algorithm>

#include "base/text.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace signet {
namespace {

// FIPS 180-4 §5.3.3.
constexpr std::array<std::uint32_t, 8> initial = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

#if defined(__x86_64__)

// FIPS 180-4 §4.2.2.
alignas(16) constexpr std::array<std::uint32_t, 64> round_constants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// Intel SDM volume 2, SHA256RNDS2 and its kin: two registers hold A B E F and C D G H, A and C in the highest lane. After two rounds the register
// that was ABEF is CDGH, so the two change roles with every pair.
__attribute__((target("sha,sse4.1,ssse3"))) void compress(std::array<std::uint32_t, 8>& state, const std::byte* data, std::size_t blocks) {
  const auto lanes = [](std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
    return _mm_set_epi32(static_cast<int>(a), static_cast<int>(b), static_cast<int>(c), static_cast<int>(d));
  };
  const __m128i big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
  __m128i abef = lanes(state[0], state[1], state[4], state[5]);
  __m128i cdgh = lanes(state[2], state[3], state[6], state[7]);
  for (; blocks > 0; --blocks, data += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i words[4];  // the last sixteen of the message schedule, a ring
#pragma unroll
    for (unsigned i = 0; i < 16; ++i) {
      __m128i& now = words[i % 4];
      if (i < 4) {
        now = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data) + i), big_endian);
      } else {
        const __m128i last = words[(i + 3) % 4];
        const __m128i seven_back = _mm_alignr_epi8(last, words[(i + 2) % 4], 4);
        now = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(now, words[(i + 1) % 4]), seven_back), last);
      }
      const __m128i keyed = _mm_add_epi32(now, _mm_load_si128(reinterpret_cast<const __m128i*>(round_constants.data()) + i));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(keyed, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  std::array<std::uint32_t, 4> high{}, low{};
  _mm_storeu_si128(reinterpret_cast<__m128i*>(high.data()), abef);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(low.data()), cdgh);
  state = {high[3], high[2], low[3], low[2], high[1], high[0], low[1], low[0]};
}

#else

void compress(std::array<std::uint32_t, 8>&, const std::byte*, std::size_t) {}

#endif

}  // namespace

bool has_sha_instructions() {
#if defined(__x86_64__)
  // Intel SDM volume 2, CPUID: leaf 1 ECX bits 9 (SSSE3) and 19 (SSE4.1), leaf 7 EBX bit 29 (SHA).
  static const bool has = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1U << 9)) || !(c & (1U << 19))) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1U << 29));
  }();
  return has;
#else
  return false;
#endif
}

Sha256::Sha256(Engine engine) : accelerated_(engine == Engine::fastest && has_sha_instructions()), state_(initial) {
  mbedtls_sha256_init(&portable_);
  mbedtls_sha256_starts(&portable_, 0);
}

void Sha256::update(std::span<const std::byte> data) {
  if (data.empty()) return;
  if (!accelerated_) {
    mbedtls_sha256_update(&portable_, reinterpret_cast<const unsigned char*>(data.data()), data.size());
    return;
  }
  const std::size_t held = length_ % block_size;
  length_ += data.size();
  if (held > 0) {
    const auto filling = std::min(block_size - held, data.size());
    std::ranges::copy(data.first(filling), partial_.begin() + static_cast<std::ptrdiff_t>(held));
    data = data.subspan(filling);
    if (held + filling < block_size) return;
    compress(state_, partial_.data(), 1);
  }
  const auto blocks = data.size() / block_size;
  compress(state_, data.data(), blocks);
  std::ranges::copy(data.subspan(blocks * block_size), partial_.begin());
}

std::string Sha256::finish() {
  std::array<unsigned char, 32> digest{};
  if (!accelerated_) {
    mbedtls_sha256_finish(&portable_, digest.data());
    return to_hex(digest);
  }
  // FIPS 180-4 §5.1.1: a one bit, zeros, and the length in bits, to the end of a block.
  const std::uint64_t bits = length_ * 8;
  const std::size_t held = length_ % block_size;
  std::array<std::byte, 2 * block_size> padding{};
  const std::size_t zeros_end = held < 56 ? 56 - held : 120 - held;
  padding[0] = std::byte{0x80};
  for (unsigned i = 0; i < 8; ++i) padding[zeros_end + i] = static_cast<std::byte>(bits >> (56 - 8 * i));
  update(std::span(padding).first(zeros_end + 8));
  for (std::size_t i = 0; i < digest.size(); ++i) digest[i] = static_cast<unsigned char>(state_[i / 4] >> (24 - 8 * (i % 4)));
  return to_hex(digest);
}

}  // namespace signet
