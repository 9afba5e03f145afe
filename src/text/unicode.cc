#include "text/unicode.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include <utf8proc.h>

namespace tack {

CodePoint first_code_point(std::string_view text) {
  std::int32_t c = -1;
  const auto bytes = utf8proc_iterate(reinterpret_cast<const std::uint8_t*>(text.data()),
                                      static_cast<utf8proc_ssize_t>(text.size()), &c);
  if (bytes <= 0) return {-1, 1};
  return {c, static_cast<std::size_t>(bytes)};
}

bool is_white_space(std::int32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

std::string composed(std::string_view text) {
  const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 128; };
  if (std::ranges::all_of(text, ascii)) return std::string(text);
  std::uint8_t* out = nullptr;
  const auto bytes =
      utf8proc_map(reinterpret_cast<const std::uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &out,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<std::uint8_t, decltype(&std::free)> owned(out, &std::free);
  if (bytes < 0) return std::string(text);
  return {reinterpret_cast<const char*>(out), static_cast<std::size_t>(bytes)};
}

}  // namespace tack
