// Matrix products for training, where both sides are f32 and change every step: each operand may be
// transposed, and is brought into the kernel's order as it is read.
//
// Workers that share a product share the work of bringing A into order: each packs some rows, they
// meet, and each multiplies its part of c. Alone, multiply() does both.
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
  // What pack() made of A, with rows before and after those of this product; then `a` is not read.
  // Row 0 here is row `packed_row` there.
  const std::byte* packed = nullptr;
  std::int64_t packed_row = 0;
  const float* b = nullptr;
  std::int64_t ldb = 0;
  bool b_transposed = false;
  const float* bias = nullptr;
  bool accumulate = false;
  float* c = nullptr;
  std::int64_t ldc = 0;
  // product_scratch_bytes(m, k), with `packed` product_panel_bytes(k); 64-byte aligned, private
  std::byte* scratch = nullptr;
};

// f32: every level gives the same bits. bf16: operands rounded to bf16, sums in f32, in pairs of k.
using ProductFn = void (*)(const ProductArgs& args);

// Brings rows [begin, end) of A [m, k] to their place in `packed`, which has product_packed_bytes
// and is 64-byte aligned. `begin`, and `end` unless it is m, are multiples of kProductPackUnit.
using ProductPackFn = void (*)(const ProductArgs& args, std::int64_t begin, std::int64_t end,
                               std::byte* packed);
inline constexpr std::int64_t kProductPackUnit = 16;

struct Product {
  ProductFn multiply;
  ProductPackFn pack;
  std::int64_t value_bytes;  // of a packed value
  bool packs_straight;       // whether an A that is not transposed needs packing
};

// Enough for any level and either precision.
std::size_t product_scratch_bytes(std::int64_t m, std::int64_t k);
std::size_t product_panel_bytes(std::int64_t k);
std::size_t product_packed_bytes(const Product& product, std::int64_t m, std::int64_t k);

// The bf16 product of this processor; null without AVX-512 BF16, or when a lower level is forced.
const Product* bf16_product();

}  // namespace tack::kernels
