#include "text/charsmap.h"

#include <cstring>

namespace tack {
namespace {

// A unit of the trie: the label of the edge into it, where its children are, whether a text ends.
constexpr std::uint32_t label(std::uint32_t unit) {
  return unit & (1U << 31U | 0xFFU);
}
constexpr std::uint32_t offset(std::uint32_t unit) {
  return (unit >> 10U) << ((unit & 1U << 9U) >> 6U);
}
constexpr bool ends(std::uint32_t unit) {
  return (unit >> 8U & 1U) != 0;
}
constexpr std::uint32_t value(std::uint32_t unit) {
  return unit & ((1U << 31U) - 1);
}

}  // namespace

Result<Charsmap> Charsmap::parse(std::string_view bytes) {
  Charsmap map;
  if (bytes.empty()) return map;
  std::uint32_t size = 0;
  if (bytes.size() < sizeof size) return fail("the normalisation map ends before its trie");
  std::memcpy(&size, bytes.data(), sizeof size);
  bytes.remove_prefix(sizeof size);
  if (size == 0 || size % 4 != 0 || size > bytes.size())
    return fail("the normalisation map has {} bytes, its trie {}", bytes.size(), size);
  map.units_.resize(size / 4);
  std::memcpy(map.units_.data(), bytes.data(), size);
  map.texts_ = bytes.substr(size);
  if (map.texts_.empty() || map.texts_.back() != '\0')
    return fail("the texts of the normalisation map do not end");
  return map;
}

Charsmap::Match Charsmap::longest(std::string_view text) const {
  Match match;
  if (units_.empty()) return match;
  std::size_t node = offset(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= units_.size() || label(units_[node]) != byte) break;
    const std::uint32_t unit = units_[node];
    node ^= offset(unit);
    if (!ends(unit)) continue;
    if (node >= units_.size()) break;
    // A text that begins outside the texts maps nothing: the file is broken there.
    const std::uint32_t begin = value(units_[node]);
    if (begin < texts_.size()) match = {i + 1, std::string_view(texts_.data() + begin)};
  }
  return match;
}

}  // namespace tack
