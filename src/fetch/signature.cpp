#include "fetch/signature.h"

#include <mbedtls/base64.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>

#include <array>
#include <format>

#include "base/text.h"
#include "fetch/fetch.h"

namespace signet {

struct TrustedKeys::Key {
  Key() { mbedtls_pk_init(&context); }
  Key(const Key&) = delete;
  ~Key() { mbedtls_pk_free(&context); }
  mbedtls_pk_context context;
};

TrustedKeys::TrustedKeys() = default;
TrustedKeys::TrustedKeys(TrustedKeys&&) noexcept = default;
TrustedKeys& TrustedKeys::operator=(TrustedKeys&&) noexcept = default;
TrustedKeys::~TrustedKeys() = default;

namespace {

constexpr std::size_t longest_signature = 1024;  // bytes; ECDSA on the largest curve has 141

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

std::array<unsigned char, 32> digest_of(std::string_view text) {
  std::array<unsigned char, 32> digest{};
  mbedtls_sha256(bytes_of(text), text.size(), digest.data(), 0);
  return digest;
}

// DER begins with a SEQUENCE's tag, which no base64 text of one does.
std::string to_der(std::string_view signature) {
  if (signature.empty() || signature.front() == '\x30') return std::string(signature);
  std::string der(signature.size(), '\0');
  std::size_t length = 0;
  const auto text = trim(signature);
  if (mbedtls_base64_decode(reinterpret_cast<unsigned char*>(der.data()), der.size(), &length, bytes_of(text), text.size()) != 0) return {};
  der.resize(length);
  return der;
}

}  // namespace

Result<> TrustedKeys::add(std::string_view pem, std::string_view source) {
  constexpr std::string_view begin = "-----BEGIN PUBLIC KEY-----", end = "-----END PUBLIC KEY-----";
  std::size_t found = 0;
  for (auto at = pem.find(begin); at != std::string_view::npos; at = pem.find(begin, at + 1)) {
    const auto stop = pem.find(end, at);
    if (stop == std::string_view::npos) return fail(ErrorKind::invalid, "{}: a public key has no end", source);
    const std::string block(pem.substr(at, stop + end.size() - at));
    auto key = std::make_unique<Key>();
    // The length counts the closing zero byte.
    if (mbedtls_pk_parse_public_key(&key->context, bytes_of(block), block.size() + 1) != 0 || !mbedtls_pk_can_do(&key->context, MBEDTLS_PK_ECDSA))
      return std::unexpected(
          Error(ErrorKind::invalid, std::format("{}: public key {} is not one of an elliptic curve that is known here", source, found + 1))
              .advise("make a pair with `signet key new --out FILE`"));
    keys_.push_back(std::move(key));
    ++found;
  }
  if (found == 0) return fail(ErrorKind::invalid, "{}: there is no public key (PEM) in it", source);
  return {};
}

Result<> TrustedKeys::verify(std::string_view text, std::string_view signature, std::string_view name) const {
  const auto digest = digest_of(text);
  if (const auto der = signature.size() <= longest_signature ? to_der(signature) : std::string(); !der.empty())
    for (const auto& key : keys_)
      if (mbedtls_pk_verify(&key->context, MBEDTLS_MD_SHA256, digest.data(), digest.size(), bytes_of(der), der.size()) == 0) return {};
  return std::unexpected(Error(ErrorKind::verification, std::format("{}: its signature is not by a key that this initrd trusts", name))
                             .advise("sign the tree again after every change: `signet tree sign DIR --key KEY`"));
}

}  // namespace signet
