// The f32 kernels, written once over a vector type V that each ISA folder defines (its vec.h):
//   V::F, V::I       vectors of kWidth floats / s32
//   load store load_tail store_tail set1 zero add sub mul div fma(a,b,c)=ab+c fnma=c-ab min max abs
//   floor round to_int lookup16(table, I) scale2(p, n)=p*2^n reduce_add reduce_max
//   keep(v, n)               v in the first n lanes, 0 in the others
// Every level gives the same bits: an operation rounds the same way everywhere (compilers may not
// contract a mul and an add: -ffp-contract=off), and sums over lanes always run in kLanes partial
// sums, added by halves, whatever kWidth is. reduce_add adds lanes i and i + kWidth / 2, and so on.
// max and min return their second operand when one is NaN, as x86 does.
//
// Only V's functions and built-ins are used here: an inline std:: function compiled with this ISA's
// flags could be the copy the linker keeps for everyone.
#pragma once

#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/simd/table.h"

namespace tack::kernels::simd {

// e^x, |relative error| < 2e-7; 0 below -87.3, and x above 88.3 counts as 88.3.
template <class V>
inline typename V::F exp(typename V::F x) {
  using F = typename V::F;
  x = V::min(V::set1(88.3F), x);
  x = V::max(V::set1(-87.3F), x);
  const F n = V::round(V::mul(x, V::set1(1.44269504F)));
  F r = V::fnma(n, V::set1(0.693359375F), x);
  r = V::fnma(n, V::set1(-2.12194440e-4F), r);
  F p = V::set1(1.9875691500e-4F);
  p = V::fma(p, r, V::set1(1.3981999507e-3F));
  p = V::fma(p, r, V::set1(8.3334519073e-3F));
  p = V::fma(p, r, V::set1(4.1665795894e-2F));
  p = V::fma(p, r, V::set1(1.6666665459e-1F));
  p = V::fma(p, r, V::set1(5.0000001201e-1F));
  p = V::fma(V::mul(r, r), p, V::add(r, V::set1(1.0F)));
  return V::scale2(p, n);
}

template <class V>
inline typename V::F sigmoid(typename V::F x) {
  const auto one = V::set1(1.0F);
  return V::div(one, V::add(one, exp<V>(V::sub(V::zero(), x))));
}

// Q(t), the upper tail of the normal distribution, 0 <= t <= kTailLimit (table.h).
template <class V>
inline typename V::F upper_tail(typename V::F t) {
  using F = typename V::F;
  const F scaled = V::mul(t, V::set1(kTailSegments));
  const F segment = V::floor(scaled);
  const auto index = V::to_int(segment);
  const F u = V::sub(scaled, segment);
  F q = V::lookup16(kTail[4], index);
  for (int k = 3; k >= 0; --k) q = V::fma(q, u, V::lookup16(kTail[k], index));
  return q;
}

template <class V>
inline typename V::F gelu_erf(typename V::F x) {
  const auto t = V::min(V::abs(x), V::set1(kTailLimit));
  return V::fnma(t, upper_tail<V>(t), V::max(V::zero(), x));
}

template <class V, Activation f>
inline typename V::F activate_one(typename V::F x) {
  if constexpr (f == Activation::kGeluErf) return gelu_erf<V>(x);
  if constexpr (f == Activation::kGeluTanh) {
    // x/2 (1 + tanh(u)) = x sigmoid(2u)
    const auto x2 = V::mul(x, x);
    const auto u = V::mul(x, V::fma(x2, V::set1(0.0713548162726F), V::set1(1.5957691216057F)));
    return V::mul(x, sigmoid<V>(u));
  }
  if constexpr (f == Activation::kRelu) return V::max(V::zero(), x);
  if constexpr (f == Activation::kSilu) return V::mul(x, sigmoid<V>(x));
  if constexpr (f == Activation::kTanh)
    return V::fma(V::set1(2.0F), sigmoid<V>(V::add(x, x)), V::set1(-1.0F));
  return x;
}

// Calls body with the activation as a compile-time constant.
template <class Body>
inline void with_activation(Activation f, const Body& body) {
  switch (f) {
    case Activation::kNone:
      return body.template operator()<Activation::kNone>();
    case Activation::kGeluErf:
      return body.template operator()<Activation::kGeluErf>();
    case Activation::kGeluTanh:
      return body.template operator()<Activation::kGeluTanh>();
    case Activation::kRelu:
      return body.template operator()<Activation::kRelu>();
    case Activation::kSilu:
      return body.template operator()<Activation::kSilu>();
    case Activation::kTanh:
      return body.template operator()<Activation::kTanh>();
  }
}

template <class V>
void activate(Activation function, const float* x, float* y, std::int64_t n) {
  with_activation(function, [&]<Activation f>() {
    std::int64_t i = 0;
    for (; i + V::kWidth <= n; i += V::kWidth) V::store(y + i, activate_one<V, f>(V::load(x + i)));
    if (i < n) {
      const int tail = static_cast<int>(n - i);
      V::store_tail(y + i, activate_one<V, f>(V::load_tail(x + i, tail)), tail);
    }
  });
}

// Calls body(i, n) for whole vectors and then once for the rest (n < kWidth).
template <class V, class Body>
inline void for_vectors(std::int64_t count, const Body& body) {
  std::int64_t i = 0;
  for (; i + V::kWidth <= count; i += V::kWidth) body(i, V::kWidth);
  if (i < count) body(i, static_cast<int>(count - i));
}

template <class V>
inline typename V::F load_some(const float* x, int n) {
  return n == V::kWidth ? V::load(x) : V::load_tail(x, n);
}
template <class V>
inline void store_some(float* y, typename V::F v, int n) {
  if (n == V::kWidth)
    V::store(y, v);
  else
    V::store_tail(y, v, n);
}

// Partial sums that do not depend on kWidth: value i goes to sum i mod kLanes.
inline constexpr int kLanes = 32;

// Adds over i < count: term(sum, i, n) returns sum plus the values of lanes [i, i + n).
template <class V, class Term>
inline float sum_lanes(std::int64_t count, const Term& term) {
  constexpr int kParts = kLanes / V::kWidth;
  typename V::F part[kParts];
  for (int p = 0; p < kParts; ++p) part[p] = V::zero();
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int p = 0; p < kParts; ++p) part[p] = term(part[p], i + p * V::kWidth, V::kWidth);
  for (int p = 0; i < count; ++p, i += V::kWidth)
    part[p] = term(part[p], i, count - i < V::kWidth ? static_cast<int>(count - i) : V::kWidth);
  for (int half = kParts / 2; half > 0; half /= 2)
    for (int p = 0; p < half; ++p) part[p] = V::add(part[p], part[p + half]);
  return V::reduce_add(part[0]);
}

template <class V>
void layer_norm(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols,
                const float* gamma, const float* beta, float eps, float* y, std::int64_t ldy) {
  using F = typename V::F;
  const float share = 1.0F / static_cast<float>(cols);
  for (std::int64_t r = 0; r < rows; ++r, x += ldx, y += ldy) {
    const F mean =
        V::set1(sum_lanes<V>(cols, [&](F sum, std::int64_t i,
                                       int n) { return V::add(sum, load_some<V>(x + i, n)); }) *
                share);
    const float variance = sum_lanes<V>(cols,
                                        [&](F sum, std::int64_t i, int n) {
                                          F d = V::sub(load_some<V>(x + i, n), mean);
                                          if (n != V::kWidth) d = V::keep(d, n);
                                          return V::fma(d, d, sum);
                                        }) *
                           share;
    const F scale = V::set1(1.0F / __builtin_sqrtf(variance + eps));
    for_vectors<V>(cols, [&](std::int64_t i, int n) {
      const F d = V::mul(V::sub(load_some<V>(x + i, n), mean), scale);
      store_some<V>(y + i, V::fma(d, load_some<V>(gamma + i, n), load_some<V>(beta + i, n)), n);
    });
  }
}

template <class V>
void l2_normalize(const float* x, std::int64_t rows, std::int64_t cols, float eps, float* y) {
  using F = typename V::F;
  for (std::int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
    const float norm = __builtin_sqrtf(sum_lanes<V>(cols, [&](F sum, std::int64_t i, int n) {
      const F v = load_some<V>(x + i, n);
      return V::fma(v, v, sum);
    }));
    const F scale = V::set1(1.0F / (norm < eps ? eps : norm));
    for_vectors<V>(cols, [&](std::int64_t i, int n) {
      store_some<V>(y + i, V::mul(load_some<V>(x + i, n), scale), n);
    });
  }
}

}  // namespace tack::kernels::simd
