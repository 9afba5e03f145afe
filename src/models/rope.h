// Rotary positions as configurations describe them, and the frequencies that follow.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "formats/gguf.h"

namespace tack {

enum class RopeScaling : std::uint8_t {
  kNone,
  kLinear,  // positions divided by `factor`
  kLlama3,  // slow frequencies divided, a smooth passage between
  kYarn,    // Peng et al. 2023: a ramp between divided and plain frequencies
};

struct RopeConfig {
  double base = 10000;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;
  std::int64_t original_context = 0;             // kLlama3, kYarn: tokens before it was extended
  double low_frequency = 1, high_frequency = 4;  // kLlama3: in turns per original context
  double beta_fast = 32, beta_slow = 1;          // kYarn: the ends of the ramp, likewise
  double attention_factor = 1;                   // kYarn: of what is turned
  // Of GGUF's rope_freqs.weight [dim / 2]: frequencies are divided by them. Empty: none.
  std::vector<float> divisors;
};

// Radians per position, [dim / 2], computed in f32 in the order of the models' own code: late
// positions multiply every rounding.
std::vector<float> rope_frequencies(const RopeConfig& config, std::int64_t dim);

// llama.cpp's keys "ARCH.rope.*", and the tensor rope_freqs.weight.
Result<RopeConfig> rope_from_gguf(const GgufFile& file, const std::string& architecture,
                                  std::int64_t dim);
// "rope_parameters", or "rope_theta" with "rope_scaling"; `json` holds one such set:
// {"rope_type": "yarn", "rope_theta": 1e6, "factor": 16, ...}. `positions`: of the model.
Result<RopeConfig> rope_from_json(const Json& json, double base, std::int64_t positions);

// The keys that rope_from_gguf reads, but for the base.
std::vector<std::pair<std::string, GgufValue>> rope_gguf_keys(const RopeConfig& config,
                                                              const std::string& architecture);
// What rope_freqs.weight holds for kLlama3, as llama.cpp stores that scaling; else empty.
std::vector<float> rope_divisors(const RopeConfig& config, std::int64_t dim);

}  // namespace tack
