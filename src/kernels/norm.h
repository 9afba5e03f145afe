// Row normalisations, f32. Sums in f32 with a fixed reduction tree per ISA.
#pragma once

#include <cstdint>

namespace tack::kernels {

// y[i] = (x[i] - mean) / sqrt(variance + eps) * gamma + beta, over each row of `cols`; strides in
// elements; y may be x. The variance is computed from centred values (two passes).
using LayerNormFn = void (*)(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols,
                             const float* gamma, const float* beta, float eps, float* y,
                             std::int64_t ldy);

// y = x / max(|x|_2, eps) for each row; y may be x.
using L2NormalizeFn = void (*)(const float* x, std::int64_t rows, std::int64_t cols, float eps,
                               float* y);

}  // namespace tack::kernels
