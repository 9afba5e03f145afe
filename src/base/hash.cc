#include "base/hash.h"

#include <fmt/format.h>
#include <openssl/sha.h>

namespace tack {

Sha256 sha256(std::string_view bytes) {
  Sha256 digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return digest;
}

std::string sha256_hex(std::string_view bytes) {
  std::string hex;
  for (std::uint8_t byte : sha256(bytes)) hex += fmt::format("{:02x}", byte);
  return hex;
}

std::uint64_t content_hash(std::string_view bytes) {
  const Sha256 digest = sha256(bytes);
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | digest[static_cast<std::size_t>(i)];
  return value;
}

}  // namespace tack
