#include "models/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/convert.h"

namespace tack {
namespace {

// YaRN's temperature of attention for contexts `factor` times as long.
double yarn_magnitude(double factor, double by) {
  return factor <= 1 ? 1.0 : 0.1 * by * std::log(factor) + 1.0;
}

// Where on the ramp the pair of columns lies that turns so many times within the context.
double yarn_dimension(double turns, const RopeConfig& c, std::int64_t dim) {
  return static_cast<double>(dim) *
         std::log(static_cast<double>(c.original_context) / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(c.base));
}

void scale_yarn(const RopeConfig& c, std::int64_t dim, std::vector<float>& inverse) {
  const double low = std::max(std::floor(yarn_dimension(c.beta_fast, c, dim)), 0.0);
  double high =
      std::min(std::ceil(yarn_dimension(c.beta_slow, c, dim)), static_cast<double>(dim - 1));
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < inverse.size(); ++i) {
    const float at =
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float plain = 1.0F - std::clamp(at, 0.0F, 1.0F);
    // inverse[i] comes in as base^(2i / dim).
    const float divided = 1.0F / (static_cast<float>(c.factor) * inverse[i]);
    inverse[i] = divided * (1.0F - plain) + 1.0F / inverse[i] * plain;
  }
}

float scale_llama3(const RopeConfig& c, float frequency) {
  const auto context = static_cast<float>(c.original_context);
  const auto low = static_cast<float>(c.low_frequency), high = static_cast<float>(c.high_frequency);
  const auto factor = static_cast<float>(c.factor);
  const float wavelength = 2 * std::numbers::pi_v<float> / frequency;
  if (wavelength < context / high) return frequency;
  if (wavelength > context / low) return frequency / factor;
  const float smooth = (context / wavelength - low) / (high - low);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

Result<double> number(const Json& json, const char* key, double otherwise) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return otherwise;
  if (!it->is_number()) return fail("config.json: '{}' of the rope is not a number", key);
  return it->get<double>();
}

Status check(const RopeConfig& c, std::string_view where) {
  if (!(c.base > 1) || !(c.factor > 0) || !std::isfinite(c.base) || !std::isfinite(c.factor))
    return fail("{}: rope base {} and factor {} are not positive", where, c.base, c.factor);
  const bool extends = c.scaling == RopeScaling::kLlama3 || c.scaling == RopeScaling::kYarn;
  if (extends && (c.original_context < 1 || c.original_context > (std::int64_t{1} << 32)))
    return fail("{}: the original context of its rope scaling is {}", where, c.original_context);
  if (c.scaling == RopeScaling::kLlama3 && !(c.high_frequency > c.low_frequency))
    return fail("{}: rope high_freq_factor {} is not above low_freq_factor {}", where,
                c.high_frequency, c.low_frequency);
  return {};
}

}  // namespace

std::vector<float> rope_frequencies(const RopeConfig& c, std::int64_t dim) {
  std::vector<float> inverse;
  for (std::int64_t i = 0; i < dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
    inverse.push_back(static_cast<float>(std::pow(c.base, static_cast<double>(exponent))));
  }
  if (c.scaling == RopeScaling::kYarn) {
    scale_yarn(c, dim, inverse);
    return inverse;
  }
  for (std::size_t i = 0; i < inverse.size(); ++i) {
    inverse[i] = 1.0F / inverse[i];
    if (c.scaling == RopeScaling::kLinear) inverse[i] /= static_cast<float>(c.factor);
    if (c.scaling == RopeScaling::kLlama3) inverse[i] = scale_llama3(c, inverse[i]);
    if (!c.divisors.empty()) inverse[i] /= c.divisors[i];
  }
  return inverse;
}

Result<RopeConfig> rope_from_gguf(const GgufFile& file, const std::string& architecture,
                                  std::int64_t dim) {
  RopeConfig c;
  const std::string prefix = architecture + ".rope.";
  TACK_TRY(c.base, file.number_or(prefix + "freq_base", 10000));
  TACK_TRY(const std::string type, file.string_or(prefix + "scaling.type", "none"));
  if (type == "linear")
    c.scaling = RopeScaling::kLinear;
  else if (type == "yarn")
    c.scaling = RopeScaling::kYarn;
  else if (type != "none")
    return fail("{}: rope scaling '{}' is not supported (none, linear, yarn)", file.name(), type);
  TACK_TRY(c.factor, file.number_or(prefix + "scaling.factor", 1));
  TACK_TRY(c.original_context, file.integer_or(prefix + "scaling.original_context_length", 0));
  TACK_TRY(c.beta_fast, file.number_or(prefix + "scaling.yarn_beta_fast", 32));
  TACK_TRY(c.beta_slow, file.number_or(prefix + "scaling.yarn_beta_slow", 1));
  if (c.scaling == RopeScaling::kYarn) {
    // The ratio of the two magnitudes: 1 where the multiplier is 1, as in Ministral 3.
    TACK_TRY(const double all, file.number_or(prefix + "scaling.yarn_log_multiplier", 0));
    TACK_TRY(const double stored, file.number_or(prefix + "scaling.yarn_attn_factor", 0));
    TACK_TRY(const double times, file.number_or(prefix + "scaling.attn_factor", 1));
    c.attention_factor =
        times * (stored > 0 ? stored
                            : yarn_magnitude(c.factor, 1) /
                                  (all == 0 ? 1.0 : yarn_magnitude(c.factor, all)));
  }
  if (const GgufTensor* tensor = file.find_tensor("rope_freqs.weight")) {
    if (tensor->view.shape != Shape{dim / 2} || tensor->view.dtype != DType::kF32)
      return fail("{}: rope_freqs.weight is {} {}, expected f32 [{}]", file.name(),
                  info(tensor->view.dtype).name, to_string(tensor->view.shape), dim / 2);
    c.divisors.resize(static_cast<std::size_t>(dim / 2));
    TACK_RETURN_IF_ERROR(to_f32(DType::kF32, tensor->view.bytes, c.divisors));
    if (!std::ranges::all_of(c.divisors, [](float v) { return v > 0 && std::isfinite(v); }))
      return fail("{}: rope_freqs.weight has values that are not positive", file.name());
  }
  TACK_RETURN_IF_ERROR(check(c, file.name()));
  return c;
}

Result<RopeConfig> rope_from_json(const Json& json, double base, std::int64_t positions) {
  RopeConfig c;
  c.base = base;
  if (json.is_null()) return c;
  if (!json.is_object()) return fail("config.json: the rope's parameters are not an object");
  TACK_TRY(c.base, number(json, "rope_theta", base));
  std::string type = "default";
  for (const char* key : {"type", "rope_type"})
    if (const auto it = json.find(key); it != json.end() && it->is_string())
      type = it->get<std::string>();
  if (type == "linear")
    c.scaling = RopeScaling::kLinear;
  else if (type == "llama3")
    c.scaling = RopeScaling::kLlama3;
  else if (type == "yarn")
    c.scaling = RopeScaling::kYarn;
  else if (type != "default")
    return fail("config.json: rope type '{}' is not supported (default, linear, llama3, yarn)",
                type);
  if (c.scaling == RopeScaling::kNone) return c;
  TACK_TRY(c.factor, number(json, "factor", 1));
  TACK_TRY(const double context,
           number(json, "original_max_position_embeddings", static_cast<double>(positions)));
  c.original_context = context >= 1 && context < 1e10 ? static_cast<std::int64_t>(context) : 0;
  TACK_TRY(c.low_frequency, number(json, "low_freq_factor", 1));
  TACK_TRY(c.high_frequency, number(json, "high_freq_factor", 4));
  TACK_TRY(c.beta_fast, number(json, "beta_fast", 32));
  TACK_TRY(c.beta_slow, number(json, "beta_slow", 1));
  if (c.scaling == RopeScaling::kYarn) {
    if (const auto it = json.find("truncate"); it != json.end() && *it == false)
      return fail("config.json: a YaRN ramp with truncate = false is not supported");
    TACK_TRY(const double stored, number(json, "attention_factor", 0));
    TACK_TRY(const double by, number(json, "mscale", 0));
    TACK_TRY(const double all, number(json, "mscale_all_dim", 0));
    c.attention_factor = stored > 0 ? stored
                         : by != 0 && all != 0
                             ? yarn_magnitude(c.factor, by) / yarn_magnitude(c.factor, all)
                             : yarn_magnitude(c.factor, 1);
  }
  TACK_RETURN_IF_ERROR(check(c, "config.json"));
  return c;
}

std::vector<std::pair<std::string, GgufValue>> rope_gguf_keys(const RopeConfig& c,
                                                              const std::string& architecture) {
  const auto f32 = [](double v) { return GgufValue::f32(static_cast<float>(v)); };
  const std::string prefix = architecture + ".rope.";
  std::vector<std::pair<std::string, GgufValue>> keys = {{prefix + "freq_base", f32(c.base)}};
  if (c.scaling == RopeScaling::kLinear || c.scaling == RopeScaling::kYarn) {
    keys.emplace_back(prefix + "scaling.type",
                      GgufValue::string(c.scaling == RopeScaling::kYarn ? "yarn" : "linear"));
    keys.emplace_back(prefix + "scaling.factor", f32(c.factor));
  }
  if (c.scaling == RopeScaling::kYarn) {
    keys.emplace_back(prefix + "scaling.original_context_length",
                      GgufValue::u32(static_cast<std::uint32_t>(c.original_context)));
    keys.emplace_back(prefix + "scaling.yarn_beta_fast", f32(c.beta_fast));
    keys.emplace_back(prefix + "scaling.yarn_beta_slow", f32(c.beta_slow));
    // llama.cpp knows the ratio of magnitudes by its multiplier; ours is 1 or stored as it is.
    if (c.attention_factor == 1)
      keys.emplace_back(prefix + "scaling.yarn_log_multiplier", f32(1));
    else
      keys.emplace_back(prefix + "scaling.yarn_attn_factor", f32(c.attention_factor));
  }
  return keys;
}

std::vector<float> rope_divisors(const RopeConfig& c, std::int64_t dim) {
  if (c.scaling != RopeScaling::kLlama3) return c.divisors;
  RopeConfig plain = c;
  plain.scaling = RopeScaling::kNone;
  const auto scaled = rope_frequencies(c, dim);
  std::vector<float> divisors = rope_frequencies(plain, dim);
  for (std::size_t i = 0; i < divisors.size(); ++i) divisors[i] /= scaled[i];
  return divisors;
}

}  // namespace tack
