// Attention over a vector type V (see f32.h). For each head: K is transposed once into scratch,
// then blocks of query rows make scores (queries x keys), the softmax, and the weighted sum of V's
// rows, all in registers and L1.
#pragma once

#include "kernels/simd/f32.h"

namespace tack::kernels::simd {

inline constexpr int kQueryBlock = 6;  // 6 rows x 4 vectors fill the registers of AVX-512

// out[r][0..C vectors) = sum_d a[r][d] * b[d][..]: a rows `lda` apart, b rows `ldb` apart.
template <class V, int R, int C>
inline void multiply_block(const float* a, std::int64_t lda, std::int64_t depth, const float* b,
                           std::int64_t ldb, float* out, std::int64_t ldo) {
  typename V::F sum[R][C];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) sum[r][c] = V::zero();
  for (std::int64_t d = 0; d < depth; ++d) {
    typename V::F column[C];
    for (int c = 0; c < C; ++c) column[c] = V::load(b + d * ldb + c * V::kWidth);
    for (int r = 0; r < R; ++r) {
      const auto left = V::set1(a[r * lda + d]);
      for (int c = 0; c < C; ++c) sum[r][c] = V::fma(left, column[c], sum[r][c]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) V::store(out + r * ldo + c * V::kWidth, sum[r][c]);
}

// The product of R rows of a with b [depth, vectors * kWidth].
template <class V, int R>
inline void multiply_rows(const float* a, std::int64_t lda, std::int64_t depth, const float* b,
                          std::int64_t ldb, std::int64_t vectors, float* out, std::int64_t ldo) {
  constexpr int kColumns = V::kAttentionColumns;
  std::int64_t c = 0;
  for (; c + kColumns <= vectors; c += kColumns)
    multiply_block<V, R, kColumns>(a, lda, depth, b + c * V::kWidth, ldb, out + c * V::kWidth, ldo);
  if constexpr (kColumns > 2)
    for (; c + 2 <= vectors; c += 2)
      multiply_block<V, R, 2>(a, lda, depth, b + c * V::kWidth, ldb, out + c * V::kWidth, ldo);
  for (; c < vectors; ++c)
    multiply_block<V, R, 1>(a, lda, depth, b + c * V::kWidth, ldb, out + c * V::kWidth, ldo);
}

template <class V>
inline void multiply(int rows, const float* a, std::int64_t lda, std::int64_t depth, const float* b,
                     std::int64_t ldb, std::int64_t vectors, float* out, std::int64_t ldo) {
  switch (rows) {
    case 6:
      return multiply_rows<V, 6>(a, lda, depth, b, ldb, vectors, out, ldo);
    case 5:
      return multiply_rows<V, 5>(a, lda, depth, b, ldb, vectors, out, ldo);
    case 4:
      return multiply_rows<V, 4>(a, lda, depth, b, ldb, vectors, out, ldo);
    case 3:
      return multiply_rows<V, 3>(a, lda, depth, b, ldb, vectors, out, ldo);
    case 2:
      return multiply_rows<V, 2>(a, lda, depth, b, ldb, vectors, out, ldo);
    default:
      return multiply_rows<V, 1>(a, lda, depth, b, ldb, vectors, out, ldo);
  }
}

// scores[0, padded) of one query row: softmax over [begin, end), zero elsewhere; returns 1 / sum.
template <class V>
inline float softmax_row(float* scores, std::int64_t begin, std::int64_t end, std::int64_t padded) {
  for (std::int64_t j = 0; j < begin; ++j) scores[j] = -1e30F;
  for (std::int64_t j = end; j < padded; ++j) scores[j] = -1e30F;
  auto top = V::set1(-1e30F);
  for (std::int64_t j = 0; j < padded; j += V::kWidth) top = V::max(top, V::load(scores + j));
  const auto most = V::set1(V::reduce_max(top));
  const float sum = sum_lanes<V>(padded, [&](typename V::F so_far, std::int64_t j, int) {
    const auto p = exp<V>(V::sub(V::load(scores + j), most));
    V::store(scores + j, p);
    return V::add(so_far, p);
  });
  // exp of a masked score is e^-87, not 0: small beside the e^0 of the largest, but not to be
  // mixed.
  for (std::int64_t j = 0; j < begin; ++j) scores[j] = 0.0F;
  for (std::int64_t j = end; j < padded; ++j) scores[j] = 0.0F;
  return 1.0F / sum;
}

template <class V>
void attention(const AttentionArgs& args) {
  constexpr std::int64_t kW = V::kWidth;
  const std::int64_t n = args.length, dim = args.head_dim;
  // Padded to the same length on every level: masked scores add their e^-87 to the sum.
  const std::int64_t padded = (n + 15) / 16 * 16, keys = padded / kW;
  const std::int64_t dims = (dim + kW - 1) / kW, wide = dims * kW;
  float* const transposed = args.scratch;              // [dim, padded]
  float* const values = transposed + dim * padded;     // [n, wide], when the rows need padding
  float* const scores = values + n * wide;             // [kQueryBlock, padded]
  float* const mixed = scores + kQueryBlock * padded;  // [kQueryBlock, wide]
  const std::int64_t group = args.heads / args.kv_heads;

  for (std::int64_t kv = 0; kv < args.kv_heads; ++kv) {
    const float* const k = args.k + kv * dim;
    V::transpose(k, args.k_stride, n, dim, args.scale, transposed, padded);
    const float* v = args.v + kv * dim;
    std::int64_t v_stride = args.v_stride;
    if (wide != dim) {
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t d = 0; d < wide; ++d)
          values[j * wide + d] = d < dim ? v[j * v_stride + d] : 0.0F;
      v = values;
      v_stride = wide;
    }
    for (std::int64_t head = kv * group; head < (kv + 1) * group; ++head) {
      const std::int64_t count = args.q_end - args.q_begin;
      const std::int64_t blocks = (count + kQueryBlock - 1) / kQueryBlock;
      for (std::int64_t b = 0; b < blocks; ++b) {
        const std::int64_t i0 = args.q_begin + count * b / blocks;
        const int rows = static_cast<int>(args.q_begin + count * (b + 1) / blocks - i0);
        multiply<V>(rows, args.q + i0 * args.q_stride + head * dim, args.q_stride, dim, transposed,
                    padded, keys, scores, padded);
        float inverse[kQueryBlock];
        for (int r = 0; r < rows; ++r) {
          const std::int64_t i = i0 + r;
          const std::int64_t begin =
              args.window > 0 && i - args.window + 1 > 0 ? i - args.window + 1 : 0;
          std::int64_t end = args.causal ? i + 1 : n;
          if (!args.causal && args.window > 0 && i + args.window < end) end = i + args.window;
          inverse[r] = softmax_row<V>(scores + r * padded, begin, end, padded);
        }
        multiply<V>(rows, scores, padded, n, v, v_stride, dims, mixed, wide);
        for (int r = 0; r < rows; ++r) {
          float* const out = args.out + (i0 + r) * args.out_stride + head * dim;
          const auto scale = V::set1(inverse[r]);
          for_vectors<V>(dim, [&](std::int64_t d, int m) {
            store_some<V>(out + d, V::mul(V::load(mixed + r * wide + d), scale), m);
          });
        }
      }
    }
  }
}

}  // namespace tack::kernels::simd
