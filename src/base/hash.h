// SHA-256, for content hashes in splits and lineage (libcrypto behind it).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace tack {

using Sha256 = std::array<std::uint8_t, 32>;

Sha256 sha256(std::string_view bytes);
std::string sha256_hex(std::string_view bytes);

// The first eight bytes, big-endian: a stable 64-bit content hash.
std::uint64_t content_hash(std::string_view bytes);

}  // namespace tack
