// Products with block-quantised weights, which stay as they lie in the file:
//
//   c[i][j] = bias[j] + sum over blocks of 32 of a[i] . b[j]
//
// Activations are quantised per 32 values: x = scale * code. A weight block is integer codes q with
// a scale, and for some types a minimum or scales s of each half (docs/decisions.md). Blocks are
// added in their order, starting from the bias, each by
//
//   c = fma(f32(sum q x), scale_b * scale_a, c)          q signed: Q4_0, Q5_0, Q8_0, IQ4_NL, IQ4_XS
//   ... then c = fma(least_b, sum_a, c)                  q from 0: Q4_1, Q5_1, Q4_K, Q5_K
//   c = fma(f32(sum_h s_h sum q x), scale_b * scale_a, c)             halves h: Q6_K, Q3_K, Q2_K
//   ... then c = fma(f32(sum_h m_h sum_h x), least_b * scale_a, c)    Q2_K
//
// where sum_a = scale_a * f32(sum x) and the inner sums are exact in s32. So a value depends on its
// row of a and its row of b alone, and has the same bits on every level, however a caller cuts m
// and n.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/gemm_int8.h"
#include "tensor/dtype.h"

namespace tack::kernels {

inline constexpr std::int64_t kBlockValues = 32;

// Of 32 activations, behind their codes.
struct ActivationBlock {
  float scale;             // largest / 127; 0 for values all below kSmallestRow; NaN
  float sum;               // scale * total
  std::int32_t total;      // of the codes
  std::int16_t halves[2];  // of 16 codes each
};

// A quantised row: k codes s8 in [-127, 127], then k / 32 ActivationBlocks. k is a multiple of 32.
constexpr std::size_t block_row_bytes(std::int64_t k) {
  return (static_cast<std::size_t>(k + k / kBlockValues *
                                           static_cast<std::int64_t>(sizeof(ActivationBlock))) +
          63) /
         64 * 64;
}

// Rows of x, `ldx` floats apart, to rows of `a`, block_row_bytes(k) apart and 64-byte aligned: code
// = round-half-to-even(x * (127 / largest)). A block with a value that is not finite gets scale
// NaN.
using QuantizeBlocksFn = void (*)(const float* x, std::int64_t ldx, std::int64_t rows,
                                  std::int64_t k, std::byte* a);

struct BlockProductArgs {
  std::int64_t m = 0, n = 0, k = 0;  // k: whole blocks of `type`
  const std::byte* a = nullptr;      // m quantised rows
  DType type = DType::kQ8_0;         // one that has_block_product() knows
  const std::byte* b = nullptr;      // n rows, without gaps, at any address
  const float* bias = nullptr;       // [n] or null
  float* c = nullptr;
  std::int64_t ldc = 0;
  std::byte* scratch = nullptr;  // kBlockScratchBytes, 64-byte aligned, private to the caller
};
using BlockProductFn = void (*)(const BlockProductArgs& args);

inline constexpr std::size_t kBlockScratchBytes = 64 * 1024;
// Callers that divide n among workers waste nothing at a multiple of this.
inline constexpr std::int64_t kBlockColumns = 32;

struct Blocks {
  QuantizeBlocksFn quantize;
  BlockProductFn multiply;
};

bool has_block_product(DType type);

}  // namespace tack::kernels
