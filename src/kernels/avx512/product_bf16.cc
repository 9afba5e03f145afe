// The bf16 product for training. Both operands are rounded to bf16 as they are brought into pairs
// of k, the unit of vdpbf16ps: A as [row][pair] or, transposed, [pair][row]; B as panels
// [pair][64 columns].

#include <immintrin.h>

#include "kernels/avx512/vec.h"
#include "kernels/product.h"

namespace tack::kernels::avx512 {
namespace {

constexpr int kRows = 6;
constexpr std::int64_t kPanel = 64;
constexpr std::int64_t kBlock = 96;  // rows of A converted together

__mmask16 mask(std::int64_t n) {
  return n >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1U << n) - 1U);
}

// Pairs (low[j], high[j]) as bf16, low in the lower half, j < 16.
__m512i interleave(__m512 low, __m512 high) {
  // One instruction rounds both: the lower 16 lanes are `low`. A permutation then pairs them.
  const __m512i both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, both);
}

// to[pair][column] of `columns` <= `width` columns from rows k of `from`; the rest is zero. Pairs
// are `step` apart.
void pack_rows(const float* from, std::int64_t ld, std::int64_t k, std::int64_t columns,
               std::int64_t width, std::uint32_t* to, std::int64_t step) {
  const std::int64_t whole = columns / 16 * 16;
  const __mmask16 some = mask(columns - whole);
  for (std::int64_t p = 0; p < k; p += 2, to += step) {
    const float* const even = from + p * ld;
    const bool pair = p + 1 < k;
    const float* const odd = pair ? even + ld : even;
    const auto second = static_cast<__mmask16>(pair ? 0xffff : 0);
    std::int64_t j = 0;
    for (; j < whole; j += 16)
      _mm512_storeu_si512(
          to + j, interleave(_mm512_loadu_ps(even + j), _mm512_maskz_loadu_ps(second, odd + j)));
    for (; j < width; j += 16) {
      const __mmask16 here = j == whole ? some : static_cast<__mmask16>(0);
      _mm512_storeu_si512(to + j, interleave(_mm512_maskz_loadu_ps(here, even + j),
                                             _mm512_maskz_loadu_ps(
                                                 static_cast<__mmask16>(here & second), odd + j)));
    }
  }
}

// 32 values of one row as 16 pairs.
__m512i pairs_of(const float* from) {
  return reinterpret_cast<__m512i>(
      _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + 16), _mm512_loadu_ps(from)));
}

// The same of a row that ends: values at `n` and beyond are zero.
__m512i row_pairs(const float* from, std::int64_t n) {
  const __m512 low = _mm512_maskz_loadu_ps(mask(n), from);
  const __m512 high = n > 16 ? _mm512_maskz_loadu_ps(mask(n - 16), from + 16) : _mm512_setzero_ps();
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

// One row of A as pairs.
void convert_row(const float* from, std::int64_t k, std::uint32_t* to) {
  std::int64_t p = 0;
  for (; p + 32 <= k; p += 32) _mm512_storeu_si512(to + p / 2, pairs_of(from + p));
  if (p < k)
    _mm512_mask_storeu_epi32(to + p / 2, mask((k - p + 1) / 2), row_pairs(from + p, k - p));
}

// to[pair][column] where column j of B is row j of `from`.
void pack_transposed(const float* from, std::int64_t ld, std::int64_t k, std::int64_t columns,
                     std::int64_t width, std::uint32_t* to) {
  for (std::int64_t j = 0; j < width; j += 16)
    for (std::int64_t p = 0; p < k; p += 32) {
      __m512 r[16];
      const bool whole = j + 16 <= columns && p + 32 <= k;
      for (std::int64_t i = 0; i < 16; ++i)
        r[i] = _mm512_castsi512_ps(whole             ? pairs_of(from + (j + i) * ld + p)
                                   : j + i < columns ? row_pairs(from + (j + i) * ld + p, k - p)
                                                     : _mm512_setzero_si512());
      Vec::transpose16(r);
      const std::int64_t pairs = (k - p + 1) / 2 < 16 ? (k - p + 1) / 2 : 16;
      for (std::int64_t i = 0; i < pairs; ++i) _mm512_storeu_ps(to + (p / 2 + i) * width + j, r[i]);
    }
}

template <int R, int C>
void block(const std::uint32_t* a, std::int64_t row, std::int64_t step, const std::uint32_t* panel,
           const ProductArgs& args, float* c, const float* bias, __mmask16 tail) {
  __m512 sum[R][C];
  for (int v = 0; v < C; ++v) {
    const __mmask16 some = v == C - 1 ? tail : static_cast<__mmask16>(0xffff);
    for (int r = 0; r < R; ++r)
      sum[r][v] = args.accumulate   ? _mm512_maskz_loadu_ps(some, c + r * args.ldc + v * 16)
                  : bias != nullptr ? _mm512_maskz_loadu_ps(some, bias + v * 16)
                                    : _mm512_setzero_ps();
  }
  for (std::int64_t p = 0; p < args.k; p += 2, a += step, panel += C * 16) {
    __m512bh b[C];
    for (int v = 0; v < C; ++v)
      b[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel + v * 16));
    for (int r = 0; r < R; ++r) {
      const auto left = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a[r * row])));
      for (int v = 0; v < C; ++v) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], left, b[v]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < C; ++v)
      _mm512_mask_storeu_ps(c + r * args.ldc + v * 16,
                            v == C - 1 ? tail : static_cast<__mmask16>(0xffff), sum[r][v]);
}

template <int C>
void rows_of(std::int64_t rows, const std::uint32_t* a, std::int64_t row, std::int64_t step,
             const std::uint32_t* panel, const ProductArgs& args, float* c, const float* bias,
             __mmask16 tail) {
  for (; rows >= kRows; rows -= kRows) {
    block<kRows, C>(a, row, step, panel, args, c, bias, tail);
    a += kRows * row;
    c += kRows * args.ldc;
  }
  switch (rows) {
    case 5:
      return block<5, C>(a, row, step, panel, args, c, bias, tail);
    case 4:
      return block<4, C>(a, row, step, panel, args, c, bias, tail);
    case 3:
      return block<3, C>(a, row, step, panel, args, c, bias, tail);
    case 2:
      return block<2, C>(a, row, step, panel, args, c, bias, tail);
    case 1:
      return block<1, C>(a, row, step, panel, args, c, bias, tail);
    default:
      return;
  }
}

// Rows [begin, end) of A, in blocks of kBlock rows: [row][pair], or [pair][row] when transposed.
void pack(const ProductArgs& args, std::int64_t begin, std::int64_t end, std::byte* packed) {
  const std::int64_t pairs = (args.k + 1) / 2;
  auto* const to = reinterpret_cast<std::uint32_t*>(packed);
  if (!args.a_transposed) {
    for (std::int64_t i = begin; i < end; ++i)
      convert_row(args.a + i * args.lda, args.k, to + i * pairs);
    return;
  }
  for (std::int64_t i = begin; i < end;) {
    const std::int64_t inside = i % kBlock;
    const std::int64_t rows = end - i < kBlock - inside ? end - i : kBlock - inside;
    pack_rows(args.a + i, args.lda, args.k, rows, (rows + 15) / 16 * 16,
              to + (i - inside) * pairs + inside, kBlock);
    i += rows;
  }
}

// c's columns of one panel.
void multiply_panel(std::int64_t vectors, const std::uint32_t* left, const std::uint32_t* panel,
                    const ProductArgs& args, float* c, const float* bias, __mmask16 tail) {
  const std::int64_t pairs = (args.k + 1) / 2;
  const std::int64_t row = args.a_transposed ? 1 : pairs;
  const std::int64_t step = args.a_transposed ? kBlock : 1;
  for (std::int64_t i = 0; i < args.m;) {
    const std::int64_t at = args.packed_row + i, inside = at % kBlock;
    const std::int64_t rows = args.m - i < kBlock - inside ? args.m - i : kBlock - inside;
    const std::uint32_t* const a = left + (at - inside) * pairs + inside * row;
    float* const to = c + i * args.ldc;
    if (vectors == 1)
      rows_of<1>(rows, a, row, step, panel, args, to, bias, tail);
    else if (vectors == 2)
      rows_of<2>(rows, a, row, step, panel, args, to, bias, tail);
    else if (vectors == 3)
      rows_of<3>(rows, a, row, step, panel, args, to, bias, tail);
    else
      rows_of<4>(rows, a, row, step, panel, args, to, bias, tail);
    i += rows;
  }
}

// One panel of B at a time: it stays in the second-level cache while A streams by.
void multiply(const ProductArgs& args) {
  const std::int64_t pairs = (args.k + 1) / 2;
  auto* const panel = reinterpret_cast<std::uint32_t*>(args.scratch);  // [pairs, kPanel]
  const auto* left = reinterpret_cast<const std::uint32_t*>(args.packed);
  if (left == nullptr) {
    left = panel + pairs * kPanel;
    pack(args, 0, args.m, args.scratch + pairs * kPanel * 4);
  }
  for (std::int64_t j = 0; j < args.n; j += kPanel) {
    const std::int64_t columns = args.n - j < kPanel ? args.n - j : kPanel;
    const std::int64_t vectors = (columns + 15) / 16, width = vectors * 16;
    if (args.b_transposed)
      pack_transposed(args.b + j * args.ldb, args.ldb, args.k, columns, width, panel);
    else
      pack_rows(args.b + j, args.ldb, args.k, columns, width, panel, width);
    multiply_panel(vectors, left, panel, args, args.c + j,
                   args.bias == nullptr ? nullptr : args.bias + j,
                   mask(columns - (vectors - 1) * 16));
  }
}

}  // namespace

extern const Product kProductBf16;
const Product kProductBf16 = {multiply, pack, 2, true};

}  // namespace tack::kernels::avx512
