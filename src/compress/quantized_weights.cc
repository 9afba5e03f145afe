#include "compress/quantized_weights.h"

#include <algorithm>
#include <cmath>

#include "tensor/block_parts.h"
#include "tensor/blocks.h"
#include "tensor/convert.h"

namespace tack {
namespace {

constexpr std::int64_t kChunk = 1 << 13;  // values that a worker takes at once
constexpr int kFits = 3;                  // rounds of codes and scales that fit each other

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// As a file stores it.
float stored(float x) {
  return f16_to_f32(f32_to_f16(std::clamp(x, -kBlockLimit, kBlockLimit)));
}

// To the nearest whole number, ties to even, of numbers below 2^22; without a call, so that a loop
// of it runs in vectors.
float rounded(float x) {
  constexpr float kWhole = 12582912.0F;  // 1.5 * 2^23: beyond it floats are whole
  return (x + kWhole) - kWhole;
}

// The codes of a type, and which is nearest.
struct Levels {
  std::span<const std::int8_t> all;
  bool even;              // whole numbers one after another
  float lowest, highest;  // of them
  float edge;             // half the way from the lowest to the next

  explicit Levels(DType dtype)
      : all(block_levels(dtype)),
        even(all.back() - all.front() == static_cast<int>(all.size()) - 1),
        lowest(all.front()),
        highest(all.back()),
        edge(0.5F * static_cast<float>(all[1] - all[0])) {}

  // The codes of values that are offset + code / inverse.
  void choose(const float* values, std::int64_t n, float offset, float inverse,
              std::int8_t* codes) const {
    if (even) {
      for (std::int64_t i = 0; i < n; ++i)
        codes[i] = static_cast<std::int8_t>(static_cast<std::int32_t>(
            rounded(std::clamp((values[i] - offset) * inverse, lowest, highest))));
      return;
    }
    for (std::int64_t i = 0; i < n; ++i) {
      const float x = (values[i] - offset) * inverse;
      std::size_t level = 0;
      while (level + 1 < all.size() && x > middle(level)) ++level;
      codes[i] = all[level];
    }
  }
  // Between a level and the next.
  float middle(std::size_t level) const {
    return 0.5F * (static_cast<float>(all[level]) + static_cast<float>(all[level + 1]));
  }
  // Beyond the outer levels by more than what is rounded away.
  bool clips(float x) const { return x < lowest - edge || x > highest + edge; }
  // The value closest to x whose nearest level is `code`.
  float within(std::int8_t code, float x) const {
    constexpr float kInside = 0.02F;  // of the way to the level
    const auto i = static_cast<std::size_t>(std::ranges::lower_bound(all, code) - all.begin());
    const auto level = static_cast<float>(code);
    const float below = i == 0 ? level - edge : middle(i - 1),
                above = i + 1 >= all.size() ? level + edge : middle(i);
    return std::clamp(x, below + kInside * (level - below), above - kInside * (above - level));
  }
};

// Zero for a scale of zero: its codes change nothing.
float inverse_of(float scale) {
  const float inverse = 1.0F / scale;
  return std::isfinite(inverse) ? inverse : 0.0F;
}

}  // namespace

Status QuantizedWeights::add(graph::Graph& graph, graph::WeightId weight, DType dtype,
                             std::span<const std::byte> blocks, std::vector<float> values,
                             bool fit_values) {
  const std::string name = graph.weight(weight).name;  // the graph grows below
  if (!has_parts(dtype))
    return fail(ErrorCode::kUsage, "tensor '{}': {} has no scales to learn", name,
                info(dtype).name);
  auto tensor = std::make_unique<Tensor>();
  Tensor& t = *tensor;
  const std::size_t block_bytes = info(dtype).block_bytes;
  t.name = name;
  t.weight = weight;
  t.dtype = dtype;
  t.blocks = static_cast<std::int64_t>(blocks.size() / block_bytes);
  for (std::int64_t b = 0; b < t.blocks; ++b) {
    const BlockParts parts = take_apart(dtype, blocks.data() + at(b) * block_bytes);
    if (!std::isfinite(parts.scale) || !std::isfinite(parts.offset))
      return fail("tensor '{}': block {} has a scale that is not finite", name, b);
    t.block = parts.values;
    t.group = parts.group;
    t.groups = t.block / t.group;
    t.codes.insert(t.codes.end(), parts.code, parts.code + t.block);
    t.scale_codes.insert(t.scale_codes.end(), parts.scale_code, parts.scale_code + t.groups);
    t.offset_codes.insert(t.offset_codes.end(), parts.offset_code, parts.offset_code + t.groups);
    // Moments of the scaled codes and of what an offset adds, over the block.
    double codes = 0, both = 0, offsets = 0;
    for (std::int64_t i = 0; i < t.block; ++i) {
      const double scaled = static_cast<double>(parts.scale_code[i / t.group]) * parts.code[i];
      const double offset = parts.offset_code[i / t.group];
      codes += scaled * scaled;
      both += scaled * offset;
      offsets += offset * offset;
    }
    const double lean = offsets > 0 ? both / offsets : 0;
    const double unit = offsets > 0 ? std::sqrt(std::max(codes - lean * both, 0.0) / offsets) : 0;
    t.offsets = t.offsets || offsets > 0;
    t.scale_0.push_back(parts.scale);
    t.offset_0.push_back(parts.offset);
    t.lean.push_back(static_cast<float>(lean));
    t.unit.push_back(static_cast<float>(unit) * std::fabs(parts.scale));
  }
  t.scale = t.scale_0;
  t.offset = t.offset_0;
  t.start_r.assign(at(t.blocks), 1.0F);
  t.start_o.assign(at(t.blocks), 0.0F);
  t.start = std::move(values);
  t.values = AlignedBuffer(at(t.blocks * t.block) * sizeof(float));
  if (!settings_.codes) t.gradients = AlignedBuffer(at(t.blocks * t.block) * sizeof(float));
  if (fit_values)
    for_blocks(t, [&](std::int64_t b) {
      const float* const x = t.start.data() + b * t.block;
      for (int i = 0; i < kFits; ++i) {
        choose_codes(t, b, x);
        fit(t, b, x, t.start_r[at(b)], t.start_o[at(b)]);
        set_scale(t, b, t.start_r[at(b)], t.start_o[at(b)]);
      }
    });
  t.r = graph.weight(name + "#scale", {t.blocks});
  if (t.offsets) t.o = graph.weight(name + "#offset", {t.blocks});
  tensors_.push_back(std::move(tensor));
  return {};
}

void QuantizedWeights::choose(std::vector<bool>& used) const {
  for (const auto& t : tensors_) {
    used.resize(std::max(used.size(), at(std::max(t->r.index, t->o.index)) + 1));
    used[at(t->weight.index)] = settings_.codes;
    used[at(t->r.index)] = true;
    if (t->o.index >= 0) used[at(t->o.index)] = true;
  }
}

const std::vector<float>* QuantizedWeights::start(std::string_view name) const {
  for (const auto& t : tensors_) {
    if (name == t->name) return &t->start;
    if (!name.starts_with(t->name)) continue;
    if (name.substr(t->name.size()) == "#scale") return &t->start_r;
    if (name.substr(t->name.size()) == "#offset") return &t->start_o;
  }
  return nullptr;
}

std::optional<TrainRule> QuantizedWeights::rule(std::string_view name) const {
  if (!name.ends_with("#scale") && !name.ends_with("#offset")) return std::nullopt;
  return TrainRule{.trains = true, .decays = false, .rate_factor = settings_.scale_rate};
}

void QuantizedWeights::attach(ParameterSet& parameters) {
  parameters_ = &parameters;
  for (const auto& t : tensors_) {
    t->of_latents = settings_.codes ? parameters.find(t->name) : nullptr;
    t->of_r = parameters.find(t->name + "#scale");
    t->of_o = t->offsets ? parameters.find(t->name + "#offset") : nullptr;
    for (auto* const numbers : {&t->start, &t->start_r, &t->start_o}) *numbers = {};
  }
}

std::vector<Parameter> QuantizedWeights::tape_parameters() {
  std::vector<Parameter> parameters = parameters_->tape_parameters();
  for (const auto& t : tensors_) {
    Parameter& p = parameters[at(t->weight.index)];
    p = {t->values.as<float>(), settings_.codes ? p.gradient : t->gradients.as<float>(),
         t->blocks * t->block};
  }
  return parameters;
}

template <class Body>
void QuantizedWeights::for_blocks(const Tensor& tensor, const Body& body) {
  const std::int64_t each = std::max<std::int64_t>(1, kChunk / tensor.block);
  pool_.parallel_for((tensor.blocks + each - 1) / each, [&](std::int64_t chunk) {
    for (std::int64_t b = chunk * each; b < std::min(tensor.blocks, (chunk + 1) * each); ++b)
      body(b);
  });
}

void QuantizedWeights::set_scale(Tensor& t, std::int64_t b, float r, float o) {
  const float scale_0 = t.scale_0[at(b)];
  t.scale[at(b)] = stored(scale_0 * r);
  if (t.offsets)
    t.offset[at(b)] =
        stored(t.offset_0[at(b)] + t.unit[at(b)] * o - scale_0 * (r - 1.0F) * t.lean[at(b)]);
}

void QuantizedWeights::choose_codes(Tensor& t, std::int64_t b, const float* latents) {
  const Levels levels(t.dtype);
  for (std::int64_t g = 0; g < t.groups; ++g) {
    const float inverse = inverse_of(t.scale[at(b)] * t.scale_codes[at(b * t.groups + g)]);
    const float offset = t.offset[at(b)] * t.offset_codes[at(b * t.groups + g)];
    levels.choose(latents + g * t.group, t.group, offset, inverse,
                  t.codes.data() + b * t.block + g * t.group);
  }
}

// In the order of operations of the reader (tensor/blocks.cc): products of f16 and codes are exact,
// or rounded once, so the values are those of the file in every bit.
void QuantizedWeights::decode(Tensor& t, std::int64_t b) {
  for (std::int64_t g = 0; g < t.groups; ++g) {
    const float scale = t.scale[at(b)] * t.scale_codes[at(b * t.groups + g)];
    const float offset = t.offset[at(b)] * t.offset_codes[at(b * t.groups + g)];
    const std::int8_t* const codes = t.codes.data() + b * t.block + g * t.group;
    float* const values = t.values.as<float>() + b * t.block + g * t.group;
    if (t.offsets)
      for (std::int64_t i = 0; i < t.group; ++i)
        values[i] = scale * static_cast<float>(codes[i]) + offset;
    else
      for (std::int64_t i = 0; i < t.group; ++i) values[i] = scale * static_cast<float>(codes[i]);
  }
}

void QuantizedWeights::fit(Tensor& t, std::int64_t b, const float* latents, float& r, float& o) {
  if (t.scale_0[at(b)] == 0) return;
  // Least squares of latents = scale * a + offset * c.
  double aa = 0, ac = 0, cc = 0, ax = 0, cx = 0;
  for (std::int64_t i = 0; i < t.block; ++i) {
    const std::int64_t group = b * t.groups + i / t.group;
    const double a = static_cast<double>(t.scale_codes[at(group)]) * t.codes[at(b * t.block + i)];
    const double c = t.offset_codes[at(group)];
    const double x = static_cast<double>(latents[i]);
    aa += a * a;
    ac += a * c;
    cc += c * c;
    ax += a * x;
    cx += c * x;
  }
  const double determinant = aa * cc - ac * ac;
  double scale = aa > 0 ? ax / aa : 0, offset = 0;
  if (cc > 0 && determinant > 1e-9 * aa * cc) {
    scale = (ax * cc - cx * ac) / determinant;
    offset = (cx * aa - ax * ac) / determinant;
  } else if (cc > 0) {
    return;
  }
  if (scale == 0) return;
  const auto scale_0 = static_cast<double>(t.scale_0[at(b)]);
  r = static_cast<float>(scale / scale_0);
  const auto unit = static_cast<double>(t.unit[at(b)]), lean = static_cast<double>(t.lean[at(b)]);
  if (unit > 0)
    o = static_cast<float>(
        (offset - static_cast<double>(t.offset_0[at(b)]) + (scale - scale_0) * lean) / unit);
}

void QuantizedWeights::materialise(std::int64_t step, std::int64_t steps) {
  const auto from =
      settings_.codes ? static_cast<std::int64_t>(settings_.after * static_cast<double>(steps)) : 0;
  quantized_ = step >= from;
  for (const auto& tensor : tensors_) {
    Tensor& t = *tensor;
    const float* const latents =
        t.of_latents == nullptr ? nullptr : parameters_->values(*t.of_latents).data();
    if (!quantized_) {
      std::copy_n(latents, t.blocks * t.block, t.values.as<float>());
      continue;
    }
    const auto numbers = [&](const ParameterSet::Weight* w) {
      return w == nullptr ? nullptr : parameters_->values().data() + w->offset;
    };
    float *const r = numbers(t.of_r), *const o = numbers(t.of_o);
    // Weights have moved since the scales were chosen.
    const bool fits = from > 0 && step == from && step < steps;
    for_blocks(t, [&](std::int64_t b) {
      float none = 0;
      float& offset = o == nullptr ? none : o[b];
      set_scale(t, b, r[b], offset);
      const float* const x = latents == nullptr ? nullptr : latents + b * t.block;
      for (int i = 0; fits && i < kFits; ++i) {
        choose_codes(t, b, x);
        fit(t, b, x, r[b], offset);
        set_scale(t, b, r[b], offset);
      }
      if (x != nullptr) choose_codes(t, b, x);
      decode(t, b);
    });
  }
}

void QuantizedWeights::pull_back() {
  if (!quantized_) return;
  for (const auto& tensor : tensors_)
    for_blocks(*tensor, [&](std::int64_t b) { pull_back(*tensor, b); });
}

void QuantizedWeights::pull_back(Tensor& t, std::int64_t b) {
  float* const gradients =
      (t.of_latents == nullptr ? t.gradients.as<float>()
                               : parameters_->gradients(*t.of_latents).data()) +
      b * t.block;
  constexpr int kLanes = 8;  // sums with a fixed order; groups are multiples of it
  double of_scale = 0, of_offset = 0;
  for (std::int64_t g = 0; g < t.groups; ++g) {
    const std::int8_t* const codes = t.codes.data() + b * t.block + g * t.group;
    const float* const slopes = gradients + g * t.group;
    float scaled[kLanes] = {}, plain[kLanes] = {};
    for (std::int64_t i = 0; i < t.group; i += kLanes)
      for (int l = 0; l < kLanes; ++l) {
        scaled[l] += slopes[i + l] * static_cast<float>(codes[i + l]);
        plain[l] += slopes[i + l];
      }
    double scale_sum = 0, offset_sum = 0;
    for (int l = 0; l < kLanes; ++l) {
      scale_sum += static_cast<double>(scaled[l]);
      offset_sum += static_cast<double>(plain[l]);
    }
    of_scale += t.scale_codes[at(b * t.groups + g)] * scale_sum;
    of_offset += t.offset_codes[at(b * t.groups + g)] * offset_sum;
  }
  parameters_->gradients(*t.of_r)[at(b)] =
      static_cast<float>(static_cast<double>(t.scale_0[at(b)]) *
                         (of_scale - static_cast<double>(t.lean[at(b)]) * of_offset));
  if (t.of_o != nullptr)
    parameters_->gradients(*t.of_o)[at(b)] =
        static_cast<float>(static_cast<double>(t.unit[at(b)]) * of_offset);
  if (t.of_latents == nullptr) {
    std::fill_n(gradients, t.block, 0.0F);
    return;
  }
  const Levels levels(t.dtype);
  const float* const latents = parameters_->values(*t.of_latents).data() + b * t.block;
  for (std::int64_t g = 0; g < t.groups; ++g) {
    const float inverse = inverse_of(t.scale[at(b)] * t.scale_codes[at(b * t.groups + g)]);
    const float offset = t.offset[at(b)] * t.offset_codes[at(b * t.groups + g)];
    for (std::int64_t i = g * t.group; i < (g + 1) * t.group; ++i)
      if (levels.clips((latents[i] - offset) * inverse)) gradients[i] = 0;
  }
}

const QuantizedWeights::Tensor* QuantizedWeights::find(std::string_view name) const {
  for (const auto& t : tensors_)
    if (t->name == name) return t.get();
  return nullptr;
}

std::vector<std::byte> QuantizedWeights::blocks(std::string_view name) const {
  const Tensor& t = *find(name);
  const std::size_t bytes = info(t.dtype).block_bytes;
  std::vector<std::byte> out(at(t.blocks) * bytes);
  BlockParts parts{.values = static_cast<int>(t.block), .group = static_cast<int>(t.group)};
  for (std::int64_t b = 0; b < t.blocks; ++b) {
    parts.scale = t.scale[at(b)];
    parts.offset = t.offset[at(b)];
    std::copy_n(t.scale_codes.data() + b * t.groups, t.groups, parts.scale_code);
    std::copy_n(t.offset_codes.data() + b * t.groups, t.groups, parts.offset_code);
    std::copy_n(t.codes.data() + b * t.block, t.block, parts.code);
    put_together(t.dtype, parts, out.data() + at(b) * bytes);
  }
  return out;
}

std::span<const float> QuantizedWeights::values(std::string_view name) const {
  const Tensor& t = *find(name);
  return {t.values.as<float>(), at(t.blocks * t.block)};
}

double QuantizedWeights::mean_step(std::string_view name) const {
  const Tensor& t = *find(name);
  double sum = 0;
  for (std::int64_t b = 0; b < t.blocks; ++b)
    for (std::int64_t g = 0; g < t.groups; ++g)
      sum += std::fabs(static_cast<double>(t.scale_0[at(b)]) * t.scale_codes[at(b * t.groups + g)]);
  return sum / static_cast<double>(t.blocks * t.groups);
}

std::int64_t QuantizedWeights::numbers() const {
  std::int64_t sum = 0;
  for (const auto& t : tensors_) sum += t->offsets ? 2 * t->blocks : t->blocks;
  return sum;
}

std::size_t QuantizedWeights::bytes() const {
  std::size_t sum = 0;
  for (const auto& t : tensors_)
    sum += t->values.size() + t->gradients.size() + t->codes.size() + 2 * t->scale_codes.size() +
           6 * sizeof(float) * at(t->blocks);
  return sum;
}

std::vector<float> within_codes(DType dtype, std::span<const std::byte> blocks,
                                std::span<const float> values) {
  const Levels levels(dtype);
  std::vector<float> out(values.begin(), values.end());
  const std::size_t bytes = info(dtype).block_bytes;
  for (std::size_t b = 0; b * bytes < blocks.size(); ++b) {
    const BlockParts parts = take_apart(dtype, blocks.data() + b * bytes);
    float* const x = out.data() + b * static_cast<std::size_t>(parts.values);
    for (int i = 0; i < parts.values; ++i) {
      const int g = i / parts.group;
      const float scale = parts.scale * parts.scale_code[g];
      const float offset = parts.offset * parts.offset_code[g];
      if (scale != 0) x[i] = offset + scale * levels.within(parts.code[i], (x[i] - offset) / scale);
    }
  }
  return out;
}

}  // namespace tack
