// Named stretches of a text: what a tagger finds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tack {

struct Span {
  std::int64_t begin = 0, end = 0;  // bytes of a text, or positions of a sequence
  std::string name;
  bool operator==(const Span&) const = default;
};

// Where each character of UTF-8 text begins in bytes, and the number of bytes at the end: files and
// answers count characters (Unicode code points), as Python does.
inline std::vector<std::int64_t> character_offsets(std::string_view text) {
  std::vector<std::int64_t> offsets;
  for (std::size_t i = 0; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80)
      offsets.push_back(static_cast<std::int64_t>(i));
  offsets.push_back(static_cast<std::int64_t>(text.size()));
  return offsets;
}

}  // namespace tack
