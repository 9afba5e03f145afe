// The backward of the forward kernels, and the optimizer's step: what training adds. f32; every
// level gives the same bits. `accumulate`: the result is added to what the gradient holds, else
// written over it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/activation.h"
#include "kernels/attention.h"

namespace tack::kernels {

// Rows of x, dy and dx are `cols` apart. kLayer: y = (x - mean) / sqrt(variance + eps) * gamma +
// beta; kRms: y = x / sqrt(mean(x^2) + eps) * gamma.
enum class Norm : std::uint8_t { kLayer, kRms };

struct NormBackwardArgs {
  Norm norm = Norm::kLayer;
  std::int64_t rows = 0, cols = 0;
  const float* x = nullptr;
  const float* dy = nullptr;
  const float* gamma = nullptr;
  float eps = 0;
  float* dx = nullptr;  // null: only stats
  bool accumulate = false;
  float* stats = nullptr;  // [rows, 2] out: mean (0 for kRms) and 1 / deviation
};
using NormBackwardFn = void (*)(const NormBackwardArgs& args);

// Adds to dgamma and dbeta (null for kRms) the sums over rows, for columns [begin, end): workers
// take columns, so the order of a sum is the order of rows. `stats` is what NormBackwardFn wrote.
using NormParametersFn = void (*)(const NormBackwardArgs& args, std::int64_t begin,
                                  std::int64_t end, float* dgamma, float* dbeta);

// y = x / sqrt(mean(x^2) + eps) * gamma, over rows `cols` apart; y may be x.
using RmsNormFn = void (*)(const float* x, std::int64_t rows, std::int64_t cols, const float* gamma,
                           float eps, float* y);

// dx = dy f'(x); dx may be dy.
using ActivateBackwardFn = void (*)(Activation f, const float* x, const float* dy, float* dx,
                                    std::int64_t n);

// sum[j] += the sum over rows of x[r * ld + j], begin <= j < end.
using ColumnSumsFn = void (*)(const float* x, std::int64_t rows, std::int64_t ld,
                              std::int64_t begin, std::int64_t end, float* sum);

// The sum of squares, in f64: eight partial sums, the values beyond a multiple of 8 in the first.
using SquareSumFn = double (*)(const float* x, std::int64_t n);

// y += factor x
using AxpyFn = void (*)(std::int64_t n, float factor, const float* x, float* y);
// z = x * y, z may be either.
using MultiplyFn = void (*)(std::int64_t n, const float* x, const float* y, float* z);

// y[i] = x[i] * factor where a hash of (seed, i) is below keep * 2^24, else 0; plus add[i] when add
// is not null. y may be x or add.
using DropoutFn = void (*)(std::int64_t n, const float* x, const float* add, float* y,
                           std::uint32_t seed, float keep, float factor);

// The gradients of one sequence and one key/value head (and the query heads that share it).
// Pointers are at row 0 of the sequence and head 0; `scratch` holds
// attention_backward_scratch_bytes(length, head_dim), 64-byte aligned.
struct AttentionBackwardArgs {
  std::int64_t length = 0, heads = 0, kv_heads = 0, head_dim = 0, kv_head = 0;
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  const float* dout = nullptr;
  float* dq = nullptr;
  float* dk = nullptr;
  float* dv = nullptr;
  std::int64_t q_stride = 0, kv_stride = 0;  // also of dout and dq; of dk and dv
  float scale = 1;
  bool causal = false;
  std::int64_t window = 0;
  bool accumulate_q = false, accumulate_k = false, accumulate_v = false;
  std::byte* scratch = nullptr;
};
using AttentionBackwardFn = void (*)(const AttentionBackwardArgs& args);
std::size_t attention_backward_scratch_bytes(std::int64_t length, std::int64_t head_dim);

// y[r] = softmax(scale * x[r]) of `rows` rows of `cols`, `ld` apart in x and in y, which may be the
// same; ld is a multiple of 16, and columns [cols, ld) of y are 0 after it. stats [rows, 2]: the
// largest of scale * x[r], and the sum of e^(scale * x[r] - largest).
using SoftmaxFn = void (*)(const float* x, std::int64_t rows, std::int64_t cols, std::int64_t ld,
                           float scale, float* y, float* stats);

// One step of AdamW (Loshchilov and Hutter 2019) over n parameters:
//   g *= grad_scale; w -= rate * decay * w; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
//   w -= rate * (m / correction1) / (sqrt(v / correction2) + eps); g = 0
struct AdamWArgs {
  std::int64_t n = 0;
  float* w = nullptr;
  float* g = nullptr;
  float* m = nullptr;
  float* v = nullptr;
  float rate = 0, beta1 = 0.9F, beta2 = 0.999F, eps = 1e-8F, decay = 0;
  float correction1 = 1, correction2 = 1;  // 1 - beta^step
  float grad_scale = 1;
};
using AdamWFn = void (*)(const AdamWArgs& args);

struct Backward {
  NormBackwardFn norm;
  NormParametersFn norm_parameters;
  RmsNormFn rms_norm;
  ActivateBackwardFn activate;
  ColumnSumsFn column_sums;
  SquareSumFn square_sum;
  AxpyFn axpy;
  MultiplyFn multiply;
  DropoutFn dropout;
  AttentionBackwardFn attention;
  SoftmaxFn softmax;
  AdamWFn adamw;
};

}  // namespace tack::kernels
