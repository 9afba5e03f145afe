// Plain C++, for processors without a level of their own, and the level the others must equal bit
// by bit.

#include "kernels/scalar/vec.h"
#include "kernels/simd/level.h"

namespace tack::kernels::scalar {
namespace {

// Rows are plain s8; a panel is 16 rows of weights, one after another.
struct Micro {
  static constexpr int kRows = 1;
  static constexpr int kPanel = 16;

  static std::size_t row_bytes(std::int64_t k) {
    return (static_cast<std::size_t>(k) + 63) / 64 * 64;
  }
  static std::size_t panel_bytes(std::int64_t k) { return static_cast<std::size_t>(k) * kPanel; }

  template <int>
  static void sums_of(const std::byte* a, std::int64_t /*stride*/, const std::byte* panel,
                      std::int64_t k, std::int32_t* out) {
    for (int j = 0; j < kPanel; ++j) {
      const auto* x = reinterpret_cast<const std::int8_t*>(a);
      const auto* w = reinterpret_cast<const std::int8_t*>(panel + j * k);
      out[j] = 0;
      for (std::int64_t i = 0; i < k; ++i) out[j] += x[i] * w[i];
    }
  }
};

struct Quantized {
  static std::size_t row_bytes(std::int64_t k) { return Micro::row_bytes(k); }
  static void store(std::byte* row, std::int64_t column, Vec::F values) {
    for (int i = 0; i < Vec::kWidth; ++i)
      row[column + i] =
          static_cast<std::byte>(static_cast<std::int8_t>(__builtin_nearbyintf(values.lane[i])));
  }
  static void finish(std::byte* row, std::int64_t from, std::int64_t to) {
    if (to > from) __builtin_memset(row + from, 0, static_cast<std::size_t>(to - from));
  }
};

void pack(const std::int8_t* b, std::int64_t row0, std::int64_t rows, std::int64_t n,
          std::int64_t k, std::byte* packed) {
  __builtin_memcpy(packed + row0 * k, b, static_cast<std::size_t>(rows * k));
  // What fills the last panel belongs to no column.
  const std::int64_t padded = (n + Micro::kPanel - 1) / Micro::kPanel * Micro::kPanel;
  if (row0 + rows == n)
    __builtin_memset(packed + n * k, 0, static_cast<std::size_t>((padded - n) * k));
}

}  // namespace

extern const Blocks kBlocks;
extern const Kernels kKernels;
const Kernels kKernels = simd::make_level<Vec, Micro, Quantized>(Isa::kScalar, pack, &kBlocks);

}  // namespace tack::kernels::scalar
