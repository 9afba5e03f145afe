// Parts of a range, for workers who share it.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tack {

struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

// The part of [0, n) of one of `parts` workers, cut at multiples of `unit`.
inline Range part_of(std::int64_t n, int part, int parts, std::int64_t unit = 1) {
  const std::int64_t units = (n + unit - 1) / unit;
  return {std::min(n, units * part / parts * unit), std::min(n, units * (part + 1) / parts * unit)};
}

}  // namespace tack
