// 16 floats in plain C++: what the other levels do in registers, one lane after another, with the
// same bits. Slow where the processor has no fused multiply-add, and meant to be right, not fast.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/scalar/half.h"

namespace tack::kernels::scalar {

struct Vec {
  static constexpr int kWidth = 16;
  static constexpr int kAttentionColumns = 1;
  struct F {
    float lane[kWidth];
  };
  struct I {
    std::int32_t lane[kWidth];
  };

  template <class Function>
  static F each(const Function& function) {
    F out;
    for (int i = 0; i < kWidth; ++i) out.lane[i] = function(i);
    return out;
  }
  static F load(const float* p) { return load_tail(p, kWidth); }
  static void store(float* p, F v) { store_tail(p, v, kWidth); }
  static F load_tail(const float* p, int n) {
    return each([&](int i) { return i < n ? p[i] : 0.0F; });
  }
  static void store_tail(float* p, F v, int n) {
    for (int i = 0; i < n; ++i) p[i] = v.lane[i];
  }
  static F keep(F v, int n) {
    return each([&](int i) { return i < n ? v.lane[i] : 0.0F; });
  }
  static F set1(float x) {
    return each([&](int) { return x; });
  }
  static F zero() { return set1(0.0F); }
  static F add(F a, F b) {
    return each([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static F sub(F a, F b) {
    return each([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static F mul(F a, F b) {
    return each([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  static F div(F a, F b) {
    return each([&](int i) { return a.lane[i] / b.lane[i]; });
  }
  static F sqrt(F a) {
    return each([&](int i) { return __builtin_sqrtf(a.lane[i]); });
  }
  static F fma(F a, F b, F c) {
    return each([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
  }
  static F fnma(F a, F b, F c) {
    return each([&](int i) { return __builtin_fmaf(-a.lane[i], b.lane[i], c.lane[i]); });
  }
  static F min(F a, F b) {
    return each([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static F max(F a, F b) {
    return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static F abs(F a) {
    return each([&](int i) { return __builtin_fabsf(a.lane[i]); });
  }
  static F floor(F a) {
    return each([&](int i) { return __builtin_floorf(a.lane[i]); });
  }
  static F round(F a) {
    return each([&](int i) { return __builtin_nearbyintf(a.lane[i]); });
  }
  // A value that is not finite gives 0, where x86 gives INT_MIN: both index the same table entry.
  static I to_int(F a) {
    I out;
    for (int i = 0; i < kWidth; ++i)
      out.lane[i] =
          a.lane[i] > -1e9F && a.lane[i] < 1e9F ? static_cast<std::int32_t>(a.lane[i]) : 0;
    return out;
  }
  static F from_int(const std::int32_t* p) {
    return each([&](int i) { return static_cast<float>(p[i]); });
  }
  static F load_half(const void* p) {
    return each([&](int i) { return from_half(static_cast<const std::byte*>(p) + 2 * i); });
  }
  static F load_s8(const void* p) {
    return each([&](int i) { return static_cast<float>(static_cast<const std::int8_t*>(p)[i]); });
  }
  static float from_half(const void* p) {
    std::uint16_t bits;
    std::memcpy(&bits, p, sizeof bits);
    return half_to_float(bits);
  }
  static std::uint16_t to_half(float x) { return float_to_half(x); }
  static int round_one(float x) { return static_cast<int>(__builtin_nearbyintf(x)); }
  static F lookup16(const float* table, I index) {
    return each([&](int i) { return table[index.lane[i] & 15]; });
  }
  static F scale2(F p, F n) {
    return each([&](int i) {
      // NaN: p is NaN already.
      const std::int32_t power =
          n.lane[i] > -127.0F && n.lane[i] < 128.0F ? static_cast<std::int32_t>(n.lane[i]) : 0;
      const std::uint32_t bits = static_cast<std::uint32_t>(power + 127) << 23;
      float factor = 0;
      std::memcpy(&factor, &bits, sizeof(factor));
      return p.lane[i] * factor;
    });
  }
  static float reduce_add(F a) {
    for (int half = kWidth / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) a.lane[i] += a.lane[i + half];
    return a.lane[0];
  }
  static float reduce_max(F a) {
    for (int half = kWidth / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i)
        a.lane[i] = a.lane[i] > a.lane[i + half] ? a.lane[i] : a.lane[i + half];
    return a.lane[0];
  }
  static void transpose(const float* from, std::int64_t stride, std::int64_t n, std::int64_t dim,
                        float scale, float* to, std::int64_t ldt) {
    for (std::int64_t d = 0; d < dim; ++d)
      for (std::int64_t j = 0; j < ldt; ++j)
        to[d * ldt + j] = j < n ? from[j * stride + d] * scale : 0.0F;
  }
};

}  // namespace tack::kernels::scalar
