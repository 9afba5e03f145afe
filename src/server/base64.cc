#include "server/base64.h"

#include <bit>

namespace tack::server {

std::string base64(std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = bytes.size() - i;
    const auto byte = [&](std::size_t j) {
      return j < left ? std::to_integer<std::uint32_t>(bytes[i + j]) : 0u;
    };
    const std::uint32_t three = byte(0) << 16 | byte(1) << 8 | byte(2);
    out.push_back(kDigits[three >> 18]);
    out.push_back(kDigits[three >> 12 & 63]);
    out.push_back(left > 1 ? kDigits[three >> 6 & 63] : '=');
    out.push_back(left > 2 ? kDigits[three & 63] : '=');
  }
  return out;
}

std::string base64_floats(std::span<const float> values) {
  static_assert(std::endian::native == std::endian::little);
  return base64(std::as_bytes(values));
}

}  // namespace tack::server
