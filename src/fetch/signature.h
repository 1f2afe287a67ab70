// Signatures: ECDSA over SHA-256 (FIPS 186-5), DER or base64 of it, as `openssl dgst -sha256 -sign` and `cosign sign-blob` make them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace signet {

class TrustedKeys {
 public:
  TrustedKeys();
  TrustedKeys(TrustedKeys&&) noexcept;
  TrustedKeys& operator=(TrustedKeys&&) noexcept;
  ~TrustedKeys();

  /// Adds every "BEGIN PUBLIC KEY" (RFC 7468) of a PEM text; a text without one, or with one that is not an elliptic curve's, is an error that names
  /// `source`.
  Result<> add(std::string_view pem, std::string_view source);
  bool empty() const { return keys_.empty(); }

  /// Fails with verification unless `signature` was made of `text` by one of the keys. `name` is for the message.
  Result<> verify(std::string_view text, std::string_view signature, std::string_view name) const;

 private:
  struct Key;
  std::vector<std::unique_ptr<Key>> keys_;
};

}  // namespace signet
