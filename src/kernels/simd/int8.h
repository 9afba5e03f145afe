// The int8 product's frame: which block of rows meets which panel of columns, and what happens to
// the sums. The micro-kernel M of an ISA does the sums:
//   M::kRows, M::kPanel                      rows at most, columns of a packed panel
//   M::row_bytes(k), M::panel_bytes(k)
//   M::sums_of<R>(a, a_stride, panel, k, out)  out s32 [R, kPanel], 1 <= R <= kRows
// and Q::store(row, column, F) writes kWidth quantised values.
#pragma once

#include "kernels/gemm_int8.h"
#include "kernels/simd/f32.h"

namespace tack::kernels::simd {

template <class V, class Q>
void quantize_rows(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t k,
                   const float* column_scale, std::byte* a, float* a_scale) {
  using F = typename V::F;
  const std::int64_t stride = static_cast<std::int64_t>(Q::row_bytes(k));
  for (std::int64_t r = 0; r < rows; ++r, x += ldx, a += stride) {
    F top = V::zero(), poison = V::zero();
    const auto value = [&](std::int64_t i, int n) {
      const F v = load_some<V>(x + i, n);
      return column_scale == nullptr ? v : V::mul(v, load_some<V>(column_scale + i, n));
    };
    for_vectors<V>(k, [&](std::int64_t i, int n) {
      const F v = value(i, n);
      top = V::max(top, V::abs(v));
      poison = V::fma(v, V::zero(), poison);  // NaN as soon as one value is not finite
    });
    const float most = V::reduce_max(top);
    const bool finite = V::reduce_add(poison) == 0.0F;
    const bool empty = !finite || most < kSmallestRow;
    a_scale[r] = !finite ? __builtin_nanf("") : empty ? 0.0F : most / 127.0F;
    const F inverse = V::set1(empty ? 0.0F : 127.0F / most);
    for_vectors<V>(k, [&](std::int64_t i, int n) {
      Q::store(a, i, empty ? V::zero() : V::mul(value(i, n), inverse));
    });
    Q::finish(a, (k + V::kWidth - 1) / V::kWidth * V::kWidth, stride);
  }
}

template <class V, Activation f>
inline void finish_row(const Int8GemmArgs& args, const std::int32_t* sums, std::int64_t row,
                       std::int64_t column, std::int64_t columns) {
  using F = typename V::F;
  const F a_scale = V::set1(args.a_scale[row]);
  float* const c = args.c + row * args.ldc + column;
  const float* const residual =
      args.residual == nullptr ? nullptr : args.residual + row * args.ldc + column;
  for_vectors<V>(columns, [&](std::int64_t j, int n) {
    const F scale = V::mul(a_scale, load_some<V>(args.b_scale + column + j, n));
    const F bias = args.bias == nullptr ? V::zero() : load_some<V>(args.bias + column + j, n);
    F y = activate_one<V, f>(V::fma(V::from_int(sums + j), scale, bias));
    if (residual != nullptr) y = V::add(load_some<V>(residual + j, n), y);
    store_some<V>(c + j, y, n);
  });
}

template <class M>
std::size_t packed_bytes(std::int64_t n, std::int64_t k) {
  return static_cast<std::size_t>((n + M::kPanel - 1) / M::kPanel) * M::panel_bytes(k);
}

// The micro-kernel for a number of rows known at run time.
template <class M, int R = M::kRows>
inline void sums(int rows, const std::byte* a, std::int64_t stride, const std::byte* panel,
                 std::int64_t k, std::int32_t* out) {
  if constexpr (R > 1)
    if (rows < R) return sums<M, R - 1>(rows, a, stride, panel, k, out);
  M::template sums_of<R>(a, stride, panel, k, out);
}

template <class V, class M>
void int8_gemm(const Int8GemmArgs& args) {
  alignas(64) std::int32_t block[M::kRows * M::kPanel];
  const auto stride = static_cast<std::int64_t>(M::row_bytes(args.k));
  // Blocks of even height: a last block of one row would read the panel for little work.
  const std::int64_t blocks = (args.m + M::kRows - 1) / M::kRows;
  for (std::int64_t column = 0; column < args.n; column += M::kPanel) {
    const std::byte* const panel =
        args.b + static_cast<std::int64_t>(M::panel_bytes(args.k)) * (column / M::kPanel);
    const std::int64_t left = args.n - column;
    const std::int64_t columns = left < M::kPanel ? left : M::kPanel;
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t row = args.m * b / blocks;
      const int rows = static_cast<int>(args.m * (b + 1) / blocks - row);
      sums<M>(rows, args.a + row * stride, stride, panel, args.k, block);
      if (args.accumulators != nullptr) {
        for (int r = 0; r < rows; ++r)
          for (std::int64_t j = 0; j < columns; ++j)
            args.accumulators[(row + r) * args.n + column + j] = block[r * M::kPanel + j];
        continue;
      }
      with_activation(args.activation, [&]<Activation f>() {
        for (int r = 0; r < rows; ++r)
          finish_row<V, f>(args, block + r * M::kPanel, row + r, column, columns);
      });
    }
  }
}

}  // namespace tack::kernels::simd
