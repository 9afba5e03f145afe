// The f32 matrix product over a vector type V (see f32.h). B is copied a panel of kColumns vectors
// at a time, A in blocks of kProductBlock rows when it is transposed.
#pragma once

#include "kernels/product.h"
#include "kernels/simd/f32.h"

namespace tack::kernels::simd {

inline constexpr int kProductRows = 6;
inline constexpr std::int64_t kProductBlock = 48;  // rows of a transposed A copied together

// R rows by C vectors of c, the last with `tail` columns. A[r][k] = a[r * row + k * step].
template <class V, int R, int C>
inline void product_block(const float* a, std::int64_t row, std::int64_t step, const float* panel,
                          std::int64_t ldp, const ProductArgs& args, float* c, const float* bias,
                          int tail) {
  typename V::F sum[R][C];
  for (int v = 0; v < C; ++v) {
    const int n = v == C - 1 ? tail : V::kWidth;
    for (int r = 0; r < R; ++r)
      sum[r][v] = args.accumulate   ? load_some<V>(c + r * args.ldc + v * V::kWidth, n)
                  : bias != nullptr ? load_some<V>(bias + v * V::kWidth, n)
                                    : V::zero();
  }
  for (std::int64_t k = 0; k < args.k; ++k, a += step, panel += ldp) {
    typename V::F b[C];
    for (int v = 0; v < C; ++v) b[v] = V::load(panel + v * V::kWidth);
    for (int r = 0; r < R; ++r) {
      const auto left = V::set1(a[r * row]);
      for (int v = 0; v < C; ++v) sum[r][v] = V::fma(left, b[v], sum[r][v]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < C; ++v)
      store_some<V>(c + r * args.ldc + v * V::kWidth, sum[r][v], v == C - 1 ? tail : V::kWidth);
}

template <class V, int C>
inline void product_rows(std::int64_t rows, const float* a, std::int64_t row, std::int64_t step,
                         const float* panel, std::int64_t ldp, const ProductArgs& args, float* c,
                         const float* bias, int tail) {
  for (; rows >= kProductRows; rows -= kProductRows) {
    product_block<V, kProductRows, C>(a, row, step, panel, ldp, args, c, bias, tail);
    a += kProductRows * row;
    c += kProductRows * args.ldc;
  }
  switch (rows) {
    case 5:
      return product_block<V, 5, C>(a, row, step, panel, ldp, args, c, bias, tail);
    case 4:
      return product_block<V, 4, C>(a, row, step, panel, ldp, args, c, bias, tail);
    case 3:
      return product_block<V, 3, C>(a, row, step, panel, ldp, args, c, bias, tail);
    case 2:
      return product_block<V, 2, C>(a, row, step, panel, ldp, args, c, bias, tail);
    case 1:
      return product_block<V, 1, C>(a, row, step, panel, ldp, args, c, bias, tail);
    default:
      return;
  }
}

// Rows [begin, end) of a transposed A, in blocks [k, kProductBlock].
template <class V>
void product_pack(const ProductArgs& args, std::int64_t begin, std::int64_t end,
                  std::byte* packed) {
  if (!args.a_transposed) return;
  for (std::int64_t i = begin; i < end;) {
    const std::int64_t inside = i % kProductBlock, left = kProductBlock - inside;
    const std::int64_t rows = end - i < left ? end - i : left;
    float* const to = reinterpret_cast<float*>(packed) + (i - inside) * args.k + inside;
    for (std::int64_t k = 0; k < args.k; ++k)
      for_vectors<V>(rows, [&](std::int64_t r, int n) {
        store_some<V>(to + k * kProductBlock + r, load_some<V>(args.a + k * args.lda + i + r, n),
                      n);
      });
    i += rows;
  }
}

// One panel of c: `vectors` vectors of columns, the last with `tail`.
template <class V>
inline void product_panel(int vectors, std::int64_t rows, const float* a, std::int64_t row,
                          std::int64_t step, const float* panel, const ProductArgs& args, float* c,
                          const float* bias, int tail) {
  constexpr int kColumns = V::kAttentionColumns;
  const std::int64_t ldp = std::int64_t{vectors} * V::kWidth;
  if (vectors == 1)
    product_rows<V, 1>(rows, a, row, step, panel, ldp, args, c, bias, tail);
  else if (kColumns > 2 && vectors == 2)
    product_rows < V, kColumns<2 ? 1 : 2>(rows, a, row, step, panel, ldp, args, c, bias, tail);
  else if (kColumns > 3 && vectors == 3)
    product_rows < V, kColumns<3 ? 1 : 3>(rows, a, row, step, panel, ldp, args, c, bias, tail);
  else
    product_rows<V, kColumns>(rows, a, row, step, panel, ldp, args, c, bias, tail);
}

template <class V>
void product(const ProductArgs& args) {
  constexpr std::int64_t kPanel = std::int64_t{V::kAttentionColumns} * V::kWidth;
  auto* const panel = reinterpret_cast<float*>(args.scratch);  // [k, kPanel]
  const auto* packed = reinterpret_cast<const float*>(args.packed);
  if (args.a_transposed && packed == nullptr) {
    packed = panel + args.k * kPanel;
    product_pack<V>(args, 0, args.m, args.scratch + args.k * kPanel * 4);
  }
  for (std::int64_t j = 0; j < args.n; j += kPanel) {
    const std::int64_t columns = args.n - j < kPanel ? args.n - j : kPanel;
    const auto vectors = static_cast<int>((columns + V::kWidth - 1) / V::kWidth);
    const std::int64_t ldp = std::int64_t{vectors} * V::kWidth;
    const int tail = static_cast<int>(columns - (vectors - 1) * std::int64_t{V::kWidth});
    if (args.b_transposed)
      V::transpose(args.b + j * args.ldb, args.ldb, columns, args.k, 1.0F, panel, ldp);
    else
      for (std::int64_t k = 0; k < args.k; ++k)
        for_vectors<V>(columns, [&](std::int64_t c, int n) {
          V::store(panel + k * ldp + c, load_some<V>(args.b + k * args.ldb + j + c, n));
        });
    const float* const bias = args.bias == nullptr ? nullptr : args.bias + j;
    if (!args.a_transposed) {
      product_panel<V>(vectors, args.m, args.a, args.lda, 1, panel, args, args.c + j, bias, tail);
      continue;
    }
    for (std::int64_t i = 0; i < args.m;) {
      const std::int64_t at = args.packed_row + i, inside = at % kProductBlock;
      const std::int64_t left = kProductBlock - inside;
      const std::int64_t rows = args.m - i < left ? args.m - i : left;
      product_panel<V>(vectors, rows, packed + (at - inside) * args.k + inside, 1, kProductBlock,
                       panel, args, args.c + i * args.ldc + j, bias, tail);
      i += rows;
    }
  }
}

}  // namespace tack::kernels::simd
