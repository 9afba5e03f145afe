// Element-wise activations.
#pragma once

#include <cstdint>

namespace tack::kernels {

enum class Activation : std::uint8_t {
  kNone,
  kGeluErf,   // x/2 (1 + erf(x/sqrt 2)), the exact form: BERT
  kGeluTanh,  // the tanh approximation: Gemma, GPT-2
  kRelu,
  kSilu,
  kTanh,
};

// y[i] = f(x[i]), i < n; x and y may be the same. Error against f64: <= 2e-7 * max(1, |y|).
using ActivateFn = void (*)(Activation f, const float* x, float* y, std::int64_t n);

}  // namespace tack::kernels
