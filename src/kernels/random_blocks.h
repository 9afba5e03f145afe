// For tests and benchmarks: random blocks of any type, whose values are of the size of a weight.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "base/random.h"
#include "tensor/convert.h"
#include "tensor/dtype.h"

namespace tack::kernels {

// Where a block has f16 numbers, and the largest that the integers beside them get to.
struct HalvesOfBlock {
  std::vector<std::size_t> at;
  double largest;
};
inline HalvesOfBlock halves_of_block(DType type) {
  switch (type) {
    case DType::kQ4_0:
      return {{0}, 8};
    case DType::kQ4_1:
    case DType::kQ5_1:
      return {{0, 2}, 16};
    case DType::kQ5_0:
      return {{0}, 16};
    case DType::kQ2_K:
      return {{80, 82}, 3 * 15};
    case DType::kQ3_K:
      return {{108}, 4 * 32};
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {{0, 2}, 15 * 63};
    case DType::kQ6_K:
      return {{208}, 32 * 127};
    case DType::kIQ4_XS:
      return {{0}, 127 * 32};
    default:
      return {{0}, 127};
  }
}

// Fills whole blocks with random codes; their values reach about `size`.
inline void fill_random_blocks(Random& random, DType type, double size,
                               std::span<std::byte> blocks) {
  for (std::size_t i = 0; i < blocks.size(); i += 8) {
    const std::uint64_t bits = random.next();
    std::memcpy(blocks.data() + i, &bits, std::min<std::size_t>(8, blocks.size() - i));
  }
  const HalvesOfBlock halves = halves_of_block(type);
  for (std::size_t i = 0; i < blocks.size(); i += info(type).block_bytes)
    for (const std::size_t at : halves.at) {
      const double factor = random.uniform() + 0.5;
      const std::uint16_t bits = f32_to_f16(static_cast<float>(factor * size / halves.largest));
      std::memcpy(blocks.data() + i + at, &bits, sizeof bits);
    }
}

}  // namespace tack::kernels
