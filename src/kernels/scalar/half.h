// f16 in plain C++.
#pragma once

#include <cstdint>

namespace tack::kernels::scalar {

inline float half_to_float(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16, rest = bits & 0x7fffU;
  // Moved to f32's places the exponent is 112 short. A product makes up for that, and normalises
  // what f16 could not.
  const float magnitude = __builtin_bit_cast(float, rest << 13) * 0x1p112F;
  const std::uint32_t moved = rest >= 0x7c00U ? 0x7f800000U | (rest & 0x3ffU) << 13
                                              : __builtin_bit_cast(std::uint32_t, magnitude);
  return __builtin_bit_cast(float, sign | moved);
}

// Round to nearest even; too large is infinity.
inline std::uint16_t float_to_half(float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  const std::uint32_t sign = bits >> 16 & 0x8000U, size = bits & 0x7fffffffU;
  if (size > 0x7f800000U) return static_cast<std::uint16_t>(sign | 0x7e00U);
  if (size >= 0x477ff000U) return static_cast<std::uint16_t>(sign | 0x7c00U);
  if (size < 0x38800000U) {
    // Below the normal numbers of f16: adding 0.5 leaves the rounded bits at the end.
    const float sum = __builtin_bit_cast(float, size) + 0.5F;
    return static_cast<std::uint16_t>(
        sign | (__builtin_bit_cast(std::uint32_t, sum) - __builtin_bit_cast(std::uint32_t, 0.5F)));
  }
  const std::uint32_t rounded = size + 0xfffU + (size >> 13 & 1U) - (112U << 23);
  return static_cast<std::uint16_t>(sign | rounded >> 13);
}

}  // namespace tack::kernels::scalar
