// Arithmetic on sizes that come from outside (files, requests): overflow is an answer, not a wrap.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

namespace tack {

template <std::integral T>
std::optional<T> checked_add(T a, T b) {
  T out;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

template <std::integral T>
std::optional<T> checked_mul(T a, T b) {
  T out;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

// The smallest multiple of `step` that is >= value. step > 0.
template <std::integral T>
constexpr T round_up(T value, T step) {
  return (value + step - 1) / step * step;
}

template <std::integral T>
constexpr T div_up(T value, T step) {
  return (value + step - 1) / step;
}

}  // namespace tack
