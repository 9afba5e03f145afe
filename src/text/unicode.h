// What tokenizers ask of Unicode.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tack {

struct CodePoint {
  std::int32_t value = -1;  // -1: not UTF-8
  std::size_t bytes = 0;    // 1 where it is not UTF-8
};
// The first of `text`, which is not empty.
CodePoint first_code_point(std::string_view text);

// \s of the regular expressions: White_Space.
bool is_white_space(std::int32_t c);

// Canonical composition (NFC); text that is not UTF-8 stays as it is.
std::string composed(std::string_view text);

}  // namespace tack
