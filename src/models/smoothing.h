// Smoothing of int8 linear layers (SmoothQuant, Xiao et al. 2022, arXiv:2211.10438): input column k
// is divided by s_k before activations are quantised, and column k of the weights is multiplied by
// s_k before they are. The product stays the same; outlier columns no longer take the whole int8
// range of a token.
//
// A GGUF keeps the true weights as ordinary Q8_0, which any reader understands, and the factors
// beside them as "tack.smooth.<tensor>": one i8 per input column, s = 2^(value / 8).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "models/model.h"

namespace tack {

inline constexpr std::string_view kSmoothKey = "tack.smooth.";

using SmoothingExponents = std::map<std::string, std::vector<std::int64_t>>;  // by tensor name

// Runs the model in f32 on a few built-in sentences and chooses s_k = sqrt(|x_k| / |w_k|), with
// norms of the column over tokens and output rows, for the input of every linear layer. Layers
// that share an input share its factors.
Result<SmoothingExponents> measure_smoothing(const Model& model);

// exponents -> factors. Errors: a value outside [-127, 127].
Result<std::vector<float>> smoothing_factors(const std::vector<std::int64_t>& exponents);

}  // namespace tack
