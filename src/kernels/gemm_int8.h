// Int8 matrix product with dynamic per-token activations and per-channel weights:
//
//   c[i][j] = residual[i][j] + f( a_scale[i] * b_scale[j] * sum_k a[i][k] b[j][k] + bias[j] )
//
// a in [-127, 127] is made by quantize_rows; b in [-127, 127] comes from the model. The sum over k
// is exact in s32 (k <= 131072) and therefore the same on every ISA, extremes included. The ISA
// decides how both operands lie in memory; nobody outside kernels/ looks inside.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/activation.h"

namespace tack::kernels {

// Bytes from one quantised activation row to the next, for k columns. A multiple of 64.
using Int8RowBytesFn = std::size_t (*)(std::int64_t k);

// A row whose largest value is below this quantises to zeros with scale 0: 127 / most would
// overflow.
inline constexpr float kSmallestRow = 1e-30F;

// Quantises rows of y[i][k] = x[i][k] * column_scale[k] (null: 1): most = max_k |y[i][k]|,
// a_scale[i] = most / 127, a = round-half-to-even(y * (127 / most)). Non-finite y gives a_scale NaN
// and values 0: the NaN reaches the output instead of being hidden. ldx in elements. Values and
// scales are bit-equal on all ISAs.
using QuantizeRowsFn = void (*)(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t k,
                                const float* column_scale, std::byte* a, float* a_scale);

// Packed weights: bytes needed, and packing of b [n, k] (plain s8, row-major). Output columns are
// padded inside; `packed` is 64-byte aligned. pack is called for rows [row0, row0 + rows) of b with
// row0 a multiple of 64, so that a model can be packed piecewise and in parallel.
using Int8PackedBytesFn = std::size_t (*)(std::int64_t n, std::int64_t k);
using Int8PackFn = void (*)(const std::int8_t* b, std::int64_t row0, std::int64_t rows,
                            std::int64_t n, std::int64_t k, std::byte* packed);

struct Int8GemmArgs {
  std::int64_t m = 0, n = 0, k = 0;
  const std::byte* a = nullptr;    // m quantised rows
  const float* a_scale = nullptr;  // [m]
  const std::byte* b = nullptr;    // packed
  const float* b_scale = nullptr;  // [n]
  const float* bias = nullptr;     // [n] or null
  Activation activation = Activation::kNone;
  const float* residual = nullptr;  // [m, ldc] or null; may be c itself
  float* c = nullptr;               // [m, ldc]
  std::int64_t ldc = 0;
  std::int32_t* accumulators = nullptr;  // [m, n] or null: for tests, the raw sums instead of c
};
using Int8GemmFn = void (*)(const Int8GemmArgs& args);

}  // namespace tack::kernels
