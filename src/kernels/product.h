// Matrix products for training, where both sides are f32 and change every step: each operand may be
// transposed, and is brought into the kernel's order, in scratch, as it is read.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tack::kernels {

// c[i][j] = (accumulate ? c[i][j] : bias ? bias[j] : 0) + sum_k A[i][k] B[k][j], i < m, j < n, in
// ascending k: the result does not depend on how a caller cuts m and n among its workers.
// A[i][k] is a[i * lda + k], or a[k * lda + i] when a_transposed; B[k][j] is b[k * ldb + j], or
// b[j * ldb + k] when b_transposed (a linear layer's weight).
struct ProductArgs {
  std::int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  std::int64_t lda = 0;
  bool a_transposed = false;
  const float* b = nullptr;
  std::int64_t ldb = 0;
  bool b_transposed = false;
  const float* bias = nullptr;
  bool accumulate = false;
  float* c = nullptr;
  std::int64_t ldc = 0;
  std::byte* scratch = nullptr;  // product_scratch_bytes(m, k), 64-byte aligned, private
};

// f32: every level gives the same bits. bf16: operands rounded to bf16, sums in f32, in pairs of k.
using ProductFn = void (*)(const ProductArgs& args);

// Enough for any level and either precision.
std::size_t product_scratch_bytes(std::int64_t m, std::int64_t k);

// The bf16 product of this processor; null without AVX-512 BF16, or when a lower level is forced.
ProductFn bf16_product();

}  // namespace tack::kernels
