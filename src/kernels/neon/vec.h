// 4 floats of AArch64 NEON.
#pragma once

#include <cstdint>

#include <arm_neon.h>

namespace tack::kernels::neon {

struct Vec {
  using F = float32x4_t;
  using I = int32x4_t;
  static constexpr int kWidth = 4;
  static constexpr int kAttentionColumns = 2;

  static uint32x4_t mask(int n) {
    const int32x4_t lanes = {0, 1, 2, 3};
    return vcltq_s32(lanes, vdupq_n_s32(n));
  }
  static F load(const float* p) { return vld1q_f32(p); }
  static void store(float* p, F v) { vst1q_f32(p, v); }
  static F load_tail(const float* p, int n) {
    float lanes[4] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  static void store_tail(float* p, F v, int n) {
    float lanes[4];
    store(lanes, v);
    for (int i = 0; i < n; ++i) p[i] = lanes[i];
  }
  static F keep(F v, int n) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), mask(n)));
  }
  static F set1(float x) { return vdupq_n_f32(x); }
  static F zero() { return set1(0.0F); }
  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F sub(F a, F b) { return vsubq_f32(a, b); }
  static F mul(F a, F b) { return vmulq_f32(a, b); }
  static F div(F a, F b) { return vdivq_f32(a, b); }
  static F sqrt(F a) { return vsqrtq_f32(a); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  static F fnma(F a, F b, F c) { return vfmsq_f32(c, a, b); }
  // The second operand when one is NaN, as on x86.
  static F min(F a, F b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  static F max(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static F abs(F a) { return vabsq_f32(a); }
  static F floor(F a) { return vrndmq_f32(a); }
  static F round(F a) { return vrndnq_f32(a); }
  static I to_int(F a) { return vcvtq_s32_f32(a); }
  static F from_int(const std::int32_t* p) { return vcvtq_f32_s32(vld1q_s32(p)); }
  static F load_half(const void* p) {
    float16x4_t bits;
    __builtin_memcpy(&bits, p, 8);
    return vcvt_f32_f16(bits);
  }
  static F load_s8(const void* p) {
    const auto* const from = static_cast<const std::int8_t*>(p);
    const std::int32_t lanes[4] = {from[0], from[1], from[2], from[3]};
    return from_int(lanes);
  }
  static float from_half(const void* p) {
    __fp16 half;
    __builtin_memcpy(&half, p, 2);
    return half;
  }
  static std::uint16_t to_half(float x) {
    return __builtin_bit_cast(std::uint16_t, static_cast<__fp16>(x));
  }
  static int round_one(float x) { return static_cast<int>(__builtin_nearbyintf(x)); }
  static F lookup16(const float* table, I index) {
    const uint8x16x4_t bytes = {
        {vreinterpretq_u8_f32(load(table)), vreinterpretq_u8_f32(load(table + 4)),
         vreinterpretq_u8_f32(load(table + 8)), vreinterpretq_u8_f32(load(table + 12))}};
    const uint32x4_t at =
        vmlaq_n_u32(vdupq_n_u32(0x03020100U), vreinterpretq_u32_s32(index), 0x04040404U);
    return vreinterpretq_f32_u8(vqtbl4q_u8(bytes, vreinterpretq_u8_u32(at)));
  }
  static F scale2(F p, F n) {
    const I exponent = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    return vmulq_f32(p, vreinterpretq_f32_s32(exponent));
  }
  static float reduce_add(F a) {
    const float32x2_t halves = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(halves, 0) + vget_lane_f32(halves, 1);
  }
  static float reduce_max(F a) { return vmaxvq_f32(a); }

  static void transpose(const float* from, std::int64_t stride, std::int64_t n, std::int64_t dim,
                        float scale, float* to, std::int64_t ldt) {
    for (std::int64_t d = 0; d < dim; ++d)
      for (std::int64_t j = 0; j < ldt; ++j)
        to[d * ldt + j] = j < n ? from[j * stride + d] * scale : 0.0F;
  }
};

}  // namespace tack::kernels::neon
