// Element-wise activations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tack::kernels {

enum class Activation : std::uint8_t {
  kNone,
  kGeluErf,   // x/2 (1 + erf(x/sqrt 2)), the exact form: BERT
  kGeluTanh,  // the tanh approximation: Gemma, GPT-2
  kRelu,
  kSilu,
  kTanh,
};

constexpr std::string_view activation_name(Activation activation) {
  constexpr std::string_view kNames[] = {"none", "gelu_erf", "gelu_tanh", "relu", "silu", "tanh"};
  return kNames[static_cast<std::size_t>(activation)];
}

// y[i] = f(x[i]), i < n; x and y may be the same. Error against f64: <= 2e-7 * max(1, |y|).
using ActivateFn = void (*)(Activation f, const float* x, float* y, std::int64_t n);

}  // namespace tack::kernels
