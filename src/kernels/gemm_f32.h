// Dense f32 and bf16 matrix products (oneDNN behind them), called single-threaded from our workers.
#pragma once

#include <cstdint>

#include "base/aligned_buffer.h"
#include "kernels/activation.h"

namespace tack::kernels {

struct DenseGemmArgs {
  std::int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;  // [m, lda]
  std::int64_t lda = 0;
  const float* b = nullptr;     // [n, k] row-major
  const float* bias = nullptr;  // [n] or null
  Activation activation = Activation::kNone;
  const float* residual = nullptr;  // [m, ldc] or null; may be c
  float* c = nullptr;               // [m, ldc]
  std::int64_t ldc = 0;
};
// c = residual + f(a b^T + bias), on the calling thread alone: the same bits whoever calls.
void gemm_f32(const DenseGemmArgs& args);

// The same with bf16 weights `b` [n, k] and activations rounded to bf16, f32 accumulation. Fast
// where the processor has AVX-512 BF16; elsewhere correct (weights widened tile by tile).
struct Bf16GemmArgs : DenseGemmArgs {
  const std::uint16_t* b16 = nullptr;  // takes the place of b
};
void gemm_bf16(const Bf16GemmArgs& args);

}  // namespace tack::kernels
