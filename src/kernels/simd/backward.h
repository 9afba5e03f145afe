// The backward kernels over a vector type V (see f32.h).
#pragma once

#include "kernels/backward.h"
#include "kernels/simd/attention.h"
#include "kernels/simd/product.h"

namespace tack::kernels::simd {

// -1, 0 or 1 (and in between for |x| < 1e-30).
template <class V>
inline typename V::F sign(typename V::F x) {
  return V::max(V::set1(-1.0F), V::min(V::set1(1.0F), V::mul(x, V::set1(1e30F))));
}

template <class V, Activation f>
inline typename V::F derivative(typename V::F x) {
  using F = typename V::F;
  const F one = V::set1(1.0F);
  if constexpr (f == Activation::kGeluErf) {
    // Phi(x) + x phi(x), Phi from its upper tail as in gelu_erf.
    const F q = upper_tail<V>(V::min(V::abs(x), V::set1(kTailLimit)));
    const F half = V::set1(0.5F);
    const F cumulative = V::fma(V::sub(half, q), sign<V>(x), half);
    const F density = V::mul(V::set1(0.3989422804F), exp<V>(V::mul(V::mul(x, x), V::set1(-0.5F))));
    return V::fma(x, density, cumulative);
  }
  if constexpr (f == Activation::kGeluTanh) {
    const F x2 = V::mul(x, x);
    const F s =
        sigmoid<V>(V::mul(x, V::fma(x2, V::set1(0.0713548162726F), V::set1(1.5957691216057F))));
    const F slope = V::fma(x2, V::set1(0.2140644488178F), V::set1(1.5957691216057F));
    return V::fma(V::mul(V::mul(x, s), V::sub(one, s)), slope, s);
  }
  if constexpr (f == Activation::kRelu) return V::max(V::zero(), sign<V>(x));
  if constexpr (f == Activation::kSilu) {
    const F s = sigmoid<V>(x);
    return V::fma(V::mul(x, s), V::sub(one, s), s);
  }
  if constexpr (f == Activation::kTanh) {
    const F y = activate_one<V, Activation::kTanh>(x);
    return V::fnma(y, y, one);
  }
  return one;
}

template <class V>
void activate_backward(Activation function, const float* x, const float* dy, float* dx,
                       std::int64_t n) {
  with_activation(function, [&]<Activation f>() {
    for_vectors<V>(n, [&](std::int64_t i, int m) {
      store_some<V>(dx + i,
                    V::mul(load_some<V>(dy + i, m), derivative<V, f>(load_some<V>(x + i, m))), m);
    });
  });
}

template <class V>
void rms_norm(const float* x, std::int64_t rows, std::int64_t cols, const float* gamma, float eps,
              float* y) {
  using F = typename V::F;
  for (std::int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
    const float square = sum_lanes<V>(cols, [&](F sum, std::int64_t i, int n) {
      const F v = load_some<V>(x + i, n);
      return V::fma(v, v, sum);
    });
    const F scale = V::set1(1.0F / __builtin_sqrtf(square / static_cast<float>(cols) + eps));
    for_vectors<V>(cols, [&](std::int64_t i, int n) {
      store_some<V>(y + i,
                    V::mul(V::mul(load_some<V>(x + i, n), scale), load_some<V>(gamma + i, n)), n);
    });
  }
}

template <class V>
void norm_backward(const NormBackwardArgs& args) {
  using F = typename V::F;
  const std::int64_t cols = args.cols;
  const float share = 1.0F / static_cast<float>(cols);
  const bool centred = args.norm == Norm::kLayer;
  for (std::int64_t r = 0; r < args.rows; ++r) {
    const float* const x = args.x + r * cols;
    const float* const dy = args.dy + r * cols;
    float mean = 0;
    if (centred)
      mean = sum_lanes<V>(cols, [&](F sum, std::int64_t i,
                                    int n) { return V::add(sum, load_some<V>(x + i, n)); }) *
             share;
    const F centre = V::set1(mean);
    const float variance = sum_lanes<V>(cols,
                                        [&](F sum, std::int64_t i, int n) {
                                          F d = V::sub(load_some<V>(x + i, n), centre);
                                          if (n != V::kWidth) d = V::keep(d, n);
                                          return V::fma(d, d, sum);
                                        }) *
                           share;
    const float inverse = 1.0F / __builtin_sqrtf(variance + args.eps);
    args.stats[2 * r] = mean;
    args.stats[2 * r + 1] = inverse;
    if (args.dx == nullptr) continue;
    const F scale = V::set1(inverse);
    // With h = (x - mean) / deviation and g = dy gamma: dx = (g - mean(g) - h mean(g h)) /
    // deviation.
    float along = 0, offset = 0;
    along = sum_lanes<V>(cols,
                         [&](F sum, std::int64_t i, int n) {
                           const F g =
                               V::mul(load_some<V>(dy + i, n), load_some<V>(args.gamma + i, n));
                           const F h = V::mul(V::sub(load_some<V>(x + i, n), centre), scale);
                           return V::fma(g, h, sum);
                         }) *
            share;
    if (centred)
      offset = sum_lanes<V>(cols,
                            [&](F sum, std::int64_t i, int n) {
                              return V::fma(load_some<V>(dy + i, n),
                                            load_some<V>(args.gamma + i, n), sum);
                            }) *
               share;
    const F shift = V::set1(offset), slope = V::set1(along);
    float* const dx = args.dx + r * cols;
    for_vectors<V>(cols, [&](std::int64_t i, int n) {
      const F g = V::mul(load_some<V>(dy + i, n), load_some<V>(args.gamma + i, n));
      const F h = V::mul(V::sub(load_some<V>(x + i, n), centre), scale);
      F d = V::mul(V::fnma(h, slope, V::sub(g, shift)), scale);
      if (args.accumulate) d = V::add(load_some<V>(dx + i, n), d);
      store_some<V>(dx + i, d, n);
    });
  }
}

// Sums over rows read a strip of columns at a time: whole cache lines, and as many sums as hide the
// latency of an addition. A column's sum is in the order of rows either way.
inline constexpr int kStripVectors = 4;

// Calls strip.operator()<vectors>(first column, columns of each vector).
template <class V, class Strip>
inline void for_strips(std::int64_t begin, std::int64_t end, const Strip& strip) {
  constexpr std::int64_t kStrip = std::int64_t{kStripVectors} * V::kWidth;
  std::int64_t c = begin;
  for (; c + kStrip <= end; c += kStrip) strip.template operator()<kStripVectors>(c, V::kWidth);
  for (; c + V::kWidth <= end; c += V::kWidth) strip.template operator()<1>(c, V::kWidth);
  if (c < end) strip.template operator()<1>(c, static_cast<int>(end - c));
}

template <class V>
void norm_parameters(const NormBackwardArgs& args, std::int64_t begin, std::int64_t end,
                     float* dgamma, float* dbeta) {
  using F = typename V::F;
  for_strips<V>(begin, end, [&]<int kVectors>(std::int64_t c, int n) {
    F gamma[kVectors], beta[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      gamma[v] = load_some<V>(dgamma + c + v * V::kWidth, n);
      beta[v] = dbeta == nullptr ? V::zero() : load_some<V>(dbeta + c + v * V::kWidth, n);
    }
    for (std::int64_t r = 0; r < args.rows; ++r) {
      const float* const x = args.x + r * args.cols + c;
      const float* const dy = args.dy + r * args.cols + c;
      const F mean = V::set1(args.stats[2 * r]), scale = V::set1(args.stats[2 * r + 1]);
      for (int v = 0; v < kVectors; ++v) {
        const F d = load_some<V>(dy + v * V::kWidth, n);
        const F h = V::mul(V::sub(load_some<V>(x + v * V::kWidth, n), mean), scale);
        gamma[v] = V::fma(d, h, gamma[v]);
        beta[v] = V::add(beta[v], d);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      store_some<V>(dgamma + c + v * V::kWidth, gamma[v], n);
      if (dbeta != nullptr) store_some<V>(dbeta + c + v * V::kWidth, beta[v], n);
    }
  });
}

template <class V>
void column_sums(const float* x, std::int64_t rows, std::int64_t ld, std::int64_t begin,
                 std::int64_t end, float* sum) {
  for_strips<V>(begin, end, [&]<int kVectors>(std::int64_t c, int n) {
    typename V::F total[kVectors];
    for (int v = 0; v < kVectors; ++v) total[v] = load_some<V>(sum + c + v * V::kWidth, n);
    for (std::int64_t r = 0; r < rows; ++r)
      for (int v = 0; v < kVectors; ++v)
        total[v] = V::add(total[v], load_some<V>(x + r * ld + c + v * V::kWidth, n));
    for (int v = 0; v < kVectors; ++v) store_some<V>(sum + c + v * V::kWidth, total[v], n);
  });
}

// Written for the compiler's vectoriser: doubles, which V does not have.
template <class V>
double square_sum(const float* x, std::int64_t n) {
  double part[8] = {};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int j = 0; j < 8; ++j)
      part[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
  for (; i < n; ++i) part[0] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double sum = 0;
  for (double p : part) sum += p;
  return sum;
}

template <class V>
void axpy(std::int64_t count, float factor, const float* x, float* y) {
  const auto f = V::set1(factor);
  for_vectors<V>(count, [&](std::int64_t i, int n) {
    store_some<V>(y + i, V::fma(f, load_some<V>(x + i, n), load_some<V>(y + i, n)), n);
  });
}

template <class V>
void multiply_elements(std::int64_t count, const float* x, const float* y, float* z) {
  for_vectors<V>(count, [&](std::int64_t i, int n) {
    store_some<V>(z + i, V::mul(load_some<V>(x + i, n), load_some<V>(y + i, n)), n);
  });
}

// Written for the compiler's vectoriser: integers, which V does not have. The hash is lowbias32 of
// Chris Wellons' "Hash prospector".
template <class V>
void dropout(std::int64_t n, const float* x, const float* add, float* y, std::uint32_t seed,
             float keep, float factor) {
  const auto limit = static_cast<std::uint32_t>(keep * 16777216.0F);
  const auto kept = [&](std::int64_t i) {
    std::uint32_t h = static_cast<std::uint32_t>(i) * 0x9e3779b9U + seed;
    h ^= h >> 16;
    h *= 0x7feb352dU;
    h ^= h >> 15;
    h *= 0x846ca68bU;
    h ^= h >> 16;
    return (h >> 8) < limit ? factor : 0.0F;
  };
  if (add == nullptr)
    for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] * kept(i);
  else
    for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] * kept(i) + add[i];
}

template <class V>
void attention_backward(const AttentionBackwardArgs& args) {
  using F = typename V::F;
  const std::int64_t n = args.length, dim = args.head_dim, group = args.heads / args.kv_heads;
  const std::int64_t padded = (n + 15) / 16 * 16;
  auto* const p = reinterpret_cast<float*>(args.scratch);  // [n, padded] probabilities
  float* const ds = p + n * padded;                        // [n, padded] their gradient
  auto* const scratch = reinterpret_cast<std::byte*>(ds + n * padded);
  const float* const k = args.k + args.kv_head * dim;
  const float* const v = args.v + args.kv_head * dim;
  for (std::int64_t g = 0; g < group; ++g) {
    const std::int64_t at = (args.kv_head * group + g) * dim;
    ProductArgs product_args;
    product_args.scratch = scratch;
    const auto multiply = [&](std::int64_t rows, std::int64_t columns, std::int64_t depth,
                              const float* a, std::int64_t lda, bool a_transposed, const float* b,
                              std::int64_t ldb, bool b_transposed, float* c, std::int64_t ldc,
                              bool accumulate) {
      product_args.m = rows;
      product_args.n = columns;
      product_args.k = depth;
      product_args.a = a;
      product_args.lda = lda;
      product_args.a_transposed = a_transposed;
      product_args.b = b;
      product_args.ldb = ldb;
      product_args.b_transposed = b_transposed;
      product_args.c = c;
      product_args.ldc = ldc;
      product_args.accumulate = accumulate;
      product<V>(product_args);
    };
    const float* const q = args.q + at;
    const float* const dout = args.dout + at;
    multiply(n, n, dim, q, args.q_stride, false, k, args.kv_stride, true, p, padded, false);
    multiply(n, n, dim, dout, args.q_stride, false, v, args.kv_stride, true, ds, padded, false);
    const F scale = V::set1(args.scale);
    for (std::int64_t i = 0; i < n; ++i) {
      float* const row = p + i * padded;
      float* const grad = ds + i * padded;
      const std::int64_t begin =
          args.window > 0 && i - args.window + 1 > 0 ? i - args.window + 1 : 0;
      std::int64_t end = args.causal ? i + 1 : n;
      if (!args.causal && args.window > 0 && i + args.window < end) end = i + args.window;
      for_vectors<V>(n, [&](std::int64_t j, int m) {
        store_some<V>(row + j, V::mul(load_some<V>(row + j, m), scale), m);
      });
      for (std::int64_t j = n; j < padded; ++j) grad[j] = 0.0F;
      const F inverse = V::set1(softmax_row<V>(row, begin, end, padded));
      const F mean = V::set1(sum_lanes<V>(padded, [&](F sum, std::int64_t j, int) {
        const F probability = V::mul(V::load(row + j), inverse);
        V::store(row + j, probability);
        return V::fma(probability, V::load(grad + j), sum);
      }));
      for (std::int64_t j = 0; j < padded; j += V::kWidth)
        V::store(grad + j,
                 V::mul(V::mul(V::load(row + j), V::sub(V::load(grad + j), mean)), scale));
    }
    multiply(n, dim, n, ds, padded, false, k, args.kv_stride, false, args.dq + at, args.q_stride,
             args.accumulate_q);
    multiply(n, dim, n, ds, padded, true, q, args.q_stride, false, args.dk + args.kv_head * dim,
             args.kv_stride, g > 0 || args.accumulate_k);
    multiply(n, dim, n, p, padded, true, dout, args.q_stride, false, args.dv + args.kv_head * dim,
             args.kv_stride, g > 0 || args.accumulate_v);
  }
}

template <class V>
void softmax(const float* x, std::int64_t rows, std::int64_t cols, std::int64_t ld, float scale,
             float* y, float* stats) {
  using F = typename V::F;
  const F factor = V::set1(scale);
  for (std::int64_t r = 0; r < rows; ++r, x += ld, y += ld, stats += 2) {
    for_vectors<V>(cols, [&](std::int64_t j, int n) {
      store_some<V>(y + j, V::mul(load_some<V>(x + j, n), factor), n);
    });
    for (std::int64_t j = cols; j < ld; ++j) y[j] = -1e30F;
    F top = V::set1(-1e30F);
    for (std::int64_t j = 0; j < ld; j += V::kWidth) top = V::max(top, V::load(y + j));
    stats[0] = V::reduce_max(top);
    const F most = V::set1(stats[0]);
    stats[1] = sum_lanes<V>(ld, [&](F so_far, std::int64_t j, int) {
      const F p = exp<V>(V::sub(V::load(y + j), most));
      V::store(y + j, p);
      return V::add(so_far, p);
    });
    const F inverse = V::set1(1.0F / stats[1]);
    for (std::int64_t j = 0; j < ld; j += V::kWidth)
      V::store(y + j, V::mul(V::load(y + j), inverse));
    // A masked score left e^-87.
    for (std::int64_t j = cols; j < ld; ++j) y[j] = 0.0F;
  }
}

template <class V>
void adamw(const AdamWArgs& args) {
  using F = typename V::F;
  const F keep = V::set1(1.0F - args.rate * args.decay), beta1 = V::set1(args.beta1),
          rest1 = V::set1(1.0F - args.beta1), beta2 = V::set1(args.beta2),
          rest2 = V::set1(1.0F - args.beta2), eps = V::set1(args.eps),
          factor = V::set1(args.grad_scale), step = V::set1(args.rate / args.correction1),
          spread = V::set1(1.0F / args.correction2);
  for_vectors<V>(args.n, [&](std::int64_t i, int n) {
    const F g = V::mul(load_some<V>(args.g + i, n), factor);
    const F m = V::fma(beta1, load_some<V>(args.m + i, n), V::mul(rest1, g));
    const F v = V::fma(beta2, load_some<V>(args.v + i, n), V::mul(V::mul(rest2, g), g));
    const F w = V::mul(load_some<V>(args.w + i, n), keep);
    const F change = V::div(V::mul(step, m), V::add(V::sqrt(V::mul(v, spread)), eps));
    store_some<V>(args.m + i, m, n);
    store_some<V>(args.v + i, v, n);
    store_some<V>(args.w + i, V::sub(w, change), n);
    store_some<V>(args.g + i, V::zero(), n);
  });
}

template <class V>
constexpr Backward make_backward() {
  return {
      .norm = norm_backward<V>,
      .norm_parameters = norm_parameters<V>,
      .rms_norm = rms_norm<V>,
      .activate = activate_backward<V>,
      .column_sums = column_sums<V>,
      .square_sum = square_sum<V>,
      .axpy = axpy<V>,
      .multiply = multiply_elements<V>,
      .dropout = dropout<V>,
      .attention = attention_backward<V>,
      .softmax = softmax<V>,
      .adamw = adamw<V>,
  };
}

}  // namespace tack::kernels::simd
