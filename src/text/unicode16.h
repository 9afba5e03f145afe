// Characters that Unicode 15.1 and 16 added, which utf8proc may not know yet: letters, marks and
// numbers as the reference's expressions see them (Oniguruma of Hugging Face `tokenizers` 0.23,
// asked for every code point). Sorted, both ends included.
#pragma once

#include <array>
#include <cstdint>

namespace tack::unicode16 {

enum class Kind : std::uint8_t { kUpper, kLower, kOtherLetter, kMark, kNumber };

struct Range {
  std::int32_t first, last;
  Kind kind;
};

inline constexpr std::array<Range, 48> kAdded = {{
    {0x897, 0x897, Kind::kMark},
    {0x1C89, 0x1C89, Kind::kUpper},
    {0x1C8A, 0x1C8A, Kind::kLower},
    {0xA7CB, 0xA7CC, Kind::kUpper},
    {0xA7CD, 0xA7CD, Kind::kLower},
    {0xA7DA, 0xA7DA, Kind::kUpper},
    {0xA7DB, 0xA7DB, Kind::kLower},
    {0xA7DC, 0xA7DC, Kind::kUpper},
    {0x105C0, 0x105F3, Kind::kOtherLetter},
    {0x10D40, 0x10D49, Kind::kNumber},
    {0x10D4A, 0x10D4F, Kind::kOtherLetter},
    {0x10D50, 0x10D65, Kind::kUpper},
    {0x10D69, 0x10D6D, Kind::kMark},
    {0x10D6F, 0x10D6F, Kind::kOtherLetter},
    {0x10D70, 0x10D85, Kind::kLower},
    {0x10EC2, 0x10EC4, Kind::kOtherLetter},
    {0x10EFC, 0x10EFC, Kind::kMark},
    {0x11380, 0x11389, Kind::kOtherLetter},
    {0x1138B, 0x1138B, Kind::kOtherLetter},
    {0x1138E, 0x1138E, Kind::kOtherLetter},
    {0x11390, 0x113B5, Kind::kOtherLetter},
    {0x113B7, 0x113B7, Kind::kOtherLetter},
    {0x113B8, 0x113C0, Kind::kMark},
    {0x113C2, 0x113C2, Kind::kMark},
    {0x113C5, 0x113C5, Kind::kMark},
    {0x113C7, 0x113CA, Kind::kMark},
    {0x113CC, 0x113D0, Kind::kMark},
    {0x113D1, 0x113D1, Kind::kOtherLetter},
    {0x113D2, 0x113D2, Kind::kMark},
    {0x113D3, 0x113D3, Kind::kOtherLetter},
    {0x113E1, 0x113E2, Kind::kMark},
    {0x116D0, 0x116E3, Kind::kNumber},
    {0x11BC0, 0x11BE0, Kind::kOtherLetter},
    {0x11BF0, 0x11BF9, Kind::kNumber},
    {0x11F5A, 0x11F5A, Kind::kMark},
    {0x13460, 0x143FA, Kind::kOtherLetter},
    {0x16100, 0x1611D, Kind::kOtherLetter},
    {0x1611E, 0x1612F, Kind::kMark},
    {0x16130, 0x16139, Kind::kNumber},
    {0x16D40, 0x16D6C, Kind::kOtherLetter},
    {0x16D70, 0x16D79, Kind::kNumber},
    {0x18CFF, 0x18CFF, Kind::kOtherLetter},
    {0x1CCF0, 0x1CCF9, Kind::kNumber},
    {0x1E5D0, 0x1E5ED, Kind::kOtherLetter},
    {0x1E5EE, 0x1E5EF, Kind::kMark},
    {0x1E5F0, 0x1E5F0, Kind::kOtherLetter},
    {0x1E5F1, 0x1E5FA, Kind::kNumber},
    {0x2EBF0, 0x2EE5D, Kind::kOtherLetter},
}};

}  // namespace tack::unicode16
