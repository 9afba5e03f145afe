// The specification: what every other level is tested against. Plain loops, one rounding at a time.

#include "kernels/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace tack::kernels::scalar {
namespace {

float activate_one(Activation f, float x) {
  switch (f) {
    case Activation::kNone:
      return x;
    case Activation::kGeluErf:
      return x == -std::numeric_limits<float>::infinity()
                 ? 0.0F
                 : 0.5F * x * (1.0F + std::erf(x * 0.70710678118F));
    case Activation::kGeluTanh:
      return x == -std::numeric_limits<float>::infinity()
                 ? 0.0F
                 : 0.5F * x * (1.0F + std::tanh(0.7978845608F * (x + 0.044715F * x * x * x)));
    case Activation::kRelu:
      return x < 0.0F ? 0.0F : x;
    case Activation::kSilu:
      return x == -std::numeric_limits<float>::infinity() ? 0.0F : x / (1.0F + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
  }
  return x;
}

void activate(Activation f, const float* x, float* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = activate_one(f, x[i]);
}

// Rows are plain s8.
std::size_t row_bytes(std::int64_t k) {
  return (static_cast<std::size_t>(k) + 63) / 64 * 64;
}

void quantize_rows(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t k,
                   const float* column_scale, std::byte* a, float* a_scale) {
  for (std::int64_t r = 0; r < rows; ++r, x += ldx, a += row_bytes(k)) {
    const auto value = [&](std::int64_t i) {
      return column_scale == nullptr ? x[i] : x[i] * column_scale[i];
    };
    float most = 0.0F;
    bool finite = true;
    for (std::int64_t i = 0; i < k; ++i) {
      most = std::max(most, std::fabs(value(i)));
      finite = finite && std::isfinite(value(i));
    }
    std::memset(a, 0, row_bytes(k));
    a_scale[r] = !finite ? std::numeric_limits<float>::quiet_NaN() : 0.0F;
    if (!finite || most < kSmallestRow) continue;
    a_scale[r] = most / 127.0F;
    const float inverse = 127.0F / most;
    for (std::int64_t i = 0; i < k; ++i)
      a[i] = static_cast<std::byte>(static_cast<std::int8_t>(std::nearbyintf(value(i) * inverse)));
  }
}

// Weights stay row-major.
std::size_t packed_bytes(std::int64_t n, std::int64_t k) {
  return static_cast<std::size_t>(n) * static_cast<std::size_t>(k);
}
void pack(const std::int8_t* b, std::int64_t row0, std::int64_t rows, std::int64_t /*n*/,
          std::int64_t k, std::byte* packed) {
  std::memcpy(packed + row0 * k, b, static_cast<std::size_t>(rows * k));
}

void int8_gemm(const Int8GemmArgs& args) {
  for (std::int64_t i = 0; i < args.m; ++i) {
    const auto* a = reinterpret_cast<const std::int8_t*>(
        args.a + static_cast<std::int64_t>(row_bytes(args.k)) * i);
    for (std::int64_t j = 0; j < args.n; ++j) {
      const auto* b = reinterpret_cast<const std::int8_t*>(args.b) + j * args.k;
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < args.k; ++k) sum += a[k] * b[k];
      if (args.accumulators != nullptr) {
        args.accumulators[i * args.n + j] = sum;
        continue;
      }
      const float y = static_cast<float>(sum) * (args.a_scale[i] * args.b_scale[j]) +
                      (args.bias == nullptr ? 0.0F : args.bias[j]);
      const float base = args.residual == nullptr ? 0.0F : args.residual[i * args.ldc + j];
      args.c[i * args.ldc + j] = base + activate_one(args.activation, y);
    }
  }
}

void attention(const AttentionArgs& args) {
  const std::int64_t group = args.heads / args.kv_heads;
  float* const p = args.scratch;
  for (std::int64_t h = 0; h < args.heads; ++h) {
    const float* const k = args.k + h / group * args.head_dim;
    const float* const v = args.v + h / group * args.head_dim;
    for (std::int64_t i = args.q_begin; i < args.q_end; ++i) {
      const std::int64_t begin =
          args.window > 0 ? std::max<std::int64_t>(0, i - args.window + 1) : 0;
      std::int64_t end = args.causal ? i + 1 : args.length;
      if (!args.causal && args.window > 0) end = std::min(end, i + args.window);
      const float* const q = args.q + i * args.q_stride + h * args.head_dim;
      float most = -std::numeric_limits<float>::infinity();
      for (std::int64_t j = begin; j < end; ++j) {
        float dot = 0.0F;
        for (std::int64_t d = 0; d < args.head_dim; ++d) dot += q[d] * k[j * args.kv_stride + d];
        p[j] = dot * args.scale;
        most = std::max(most, p[j]);
      }
      float sum = 0.0F;
      for (std::int64_t j = begin; j < end; ++j) sum += p[j] = std::exp(p[j] - most);
      float* const out = args.out + i * args.out_stride + h * args.head_dim;
      for (std::int64_t d = 0; d < args.head_dim; ++d) {
        float mixed = 0.0F;
        for (std::int64_t j = begin; j < end; ++j) mixed += p[j] * v[j * args.kv_stride + d];
        out[d] = mixed / sum;
      }
    }
  }
}

void layer_norm(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols,
                const float* gamma, const float* beta, float eps, float* y, std::int64_t ldy) {
  for (std::int64_t r = 0; r < rows; ++r, x += ldx, y += ldy) {
    float mean = 0.0F, variance = 0.0F;
    for (std::int64_t i = 0; i < cols; ++i) mean += x[i];
    mean /= static_cast<float>(cols);
    for (std::int64_t i = 0; i < cols; ++i) variance += (x[i] - mean) * (x[i] - mean);
    variance /= static_cast<float>(cols);
    const float scale = 1.0F / std::sqrt(variance + eps);
    for (std::int64_t i = 0; i < cols; ++i) y[i] = (x[i] - mean) * scale * gamma[i] + beta[i];
  }
}

void l2_normalize(const float* x, std::int64_t rows, std::int64_t cols, float eps, float* y) {
  for (std::int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
    float sum = 0.0F;
    for (std::int64_t i = 0; i < cols; ++i) sum += x[i] * x[i];
    const float scale = 1.0F / std::max(std::sqrt(sum), eps);
    for (std::int64_t i = 0; i < cols; ++i) y[i] = x[i] * scale;
  }
}

}  // namespace

extern const Kernels kKernels;
const Kernels kKernels = {
    .isa = Isa::kScalar,
    .int8_row_tile = 1,
    .int8_row_bytes = row_bytes,
    .quantize_rows = quantize_rows,
    .int8_packed_bytes = packed_bytes,
    .int8_pack = pack,
    .int8_gemm = int8_gemm,
    .attention = attention,
    .layer_norm = layer_norm,
    .l2_normalize = l2_normalize,
    .activate = activate,
};

}  // namespace tack::kernels::scalar
