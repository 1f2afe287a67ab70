// Key pairs and signatures by mbedTLS.
#include "admin/keys.h"

#include <fcntl.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <format>

#include "base/fd.h"

namespace signet {
namespace {

class Key {
 public:
  Key() { mbedtls_pk_init(&context_); }
  Key(const Key&) = delete;
  ~Key() { mbedtls_pk_free(&context_); }
  mbedtls_pk_context* get() { return &context_; }

 private:
  mbedtls_pk_context context_;
};

// The kernel's random numbers, random(7); mbedTLS asks by this form.
int random_bytes(void*, unsigned char* out, std::size_t size) {
  while (size > 0) {
    const auto got = ::getrandom(out, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return MBEDTLS_ERR_PK_BAD_INPUT_DATA;
    out += got;
    size -= static_cast<std::size_t>(got);
  }
  return 0;
}

Result<> create(const std::string& path, std::string_view text, unsigned mode) {
  const Fd fd = TRY(open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  TRY_WITHIN(write_all(fd.get(), text), path);
  return ::fsync(fd.get()) == 0 ? Result<>() : fail_errno("sync {}", path);
}

}  // namespace

Result<> make_key(const std::string& path) {
  const auto public_path = path + ".pub";
  for (const auto& each : {path, public_path})
    if (::access(each.c_str(), F_OK) == 0)
      return std::unexpected(Error(ErrorKind::refused, each + " exists; a key is never overwritten").advise("name another file with --out"));
  Key key;
  std::array<unsigned char, 1024> secret{}, open{};
  const bool made = mbedtls_pk_setup(key.get(), mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0 &&
                    mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key.get()), random_bytes, nullptr) == 0 &&
                    mbedtls_pk_write_key_pem(key.get(), secret.data(), secret.size()) == 0 &&
                    mbedtls_pk_write_pubkey_pem(key.get(), open.data(), open.size()) == 0;
  Result<> written;
  if (made) written = create(path, reinterpret_cast<const char*>(secret.data()), 0600);
  if (made && written) written = create(public_path, reinterpret_cast<const char*>(open.data()), 0644);
  secret.fill(0);
  if (!made) return fail(ErrorKind::io, "make a key of the curve P-256: mbedTLS refused");
  return written;
}

namespace {

Result<> parse_private(Key& key, std::string_view pem, std::string_view source) {
  const std::string block(pem);
  // The length counts the closing zero byte.
  const int parsed =
      mbedtls_pk_parse_key(key.get(), reinterpret_cast<const unsigned char*>(block.c_str()), block.size() + 1, nullptr, 0, random_bytes, nullptr);
  if (parsed == MBEDTLS_ERR_PK_PASSWORD_REQUIRED || block.contains("ENCRYPTED"))
    return std::unexpected(Error(ErrorKind::unsupported, std::format("{}: it is protected by a passphrase", source))
                               .advise("decrypt it into memory: signet tree sign --key <(openssl ec -in KEY)"));
  if (parsed != 0 || !mbedtls_pk_can_do(key.get(), MBEDTLS_PK_ECDSA))
    return std::unexpected(Error(ErrorKind::invalid, std::format("{}: this is not the private key (PEM) of an elliptic curve", source))
                               .advise("make one with `signet key new --out FILE`"));
  return {};
}

}  // namespace

Result<std::string> public_key_of(std::string_view pem, std::string_view source) {
  Key key;
  TRY(parse_private(key, pem, source));
  std::array<unsigned char, 1024> open{};
  if (mbedtls_pk_write_pubkey_pem(key.get(), open.data(), open.size()) != 0) return fail(ErrorKind::invalid, "{}: it has no public key", source);
  return std::string(reinterpret_cast<const char*>(open.data()));
}

Result<std::string> sign_text(std::string_view text, std::string_view pem, std::string_view source) {
  Key key;
  TRY(parse_private(key, pem, source));
  std::array<unsigned char, 32> digest{};
  mbedtls_sha256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), 0);
  std::array<unsigned char, MBEDTLS_PK_SIGNATURE_MAX_SIZE> signature{};
  std::size_t length = 0;
  if (mbedtls_pk_sign(key.get(), MBEDTLS_MD_SHA256, digest.data(), digest.size(), signature.data(), signature.size(), &length, random_bytes,
                      nullptr) != 0)
    return fail(ErrorKind::io, "sign with {}: mbedTLS refused", source);
  return std::string(reinterpret_cast<const char*>(signature.data()), length);
}

}  // namespace signet
