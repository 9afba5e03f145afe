// Base64 (RFC 4648, with padding).
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace tack::server {

std::string base64(std::span<const std::byte> bytes);

// The floats' little-endian bytes, as the OpenAI API sends embeddings.
std::string base64_floats(std::span<const float> values);

}  // namespace tack::server
