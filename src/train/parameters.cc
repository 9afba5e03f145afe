#include "train/parameters.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernels.h"

namespace tack {
namespace {

constexpr std::int64_t kChunk = 1 << 14;

}  // namespace

Result<ParameterSet> ParameterSet::create(
    const graph::Graph& graph, const std::vector<bool>& used,
    const std::function<Result<std::vector<float>>(const graph::Weight&)>& load,
    const std::function<TrainRule(const graph::Weight&)>& rule) {
  ParameterSet set;
  set.graph_weights_ = graph.weights().size();
  std::vector<std::vector<float>> loaded;
  for (std::size_t i = 0; i < graph.weights().size(); ++i) {
    if (!used[i]) continue;
    const graph::Weight& weight = graph.weights()[i];
    TACK_TRY(auto values, load(weight));
    Weight w{.name = weight.name,
             .id = {static_cast<std::int32_t>(i)},
             .offset = 0,
             .size = static_cast<std::int64_t>(values.size()),
             .rule = rule(weight)};
    std::int64_t& total = w.rule.trains ? set.trained_ : set.frozen_;
    w.offset = total;
    total += (w.size + 15) / 16 * 16;
    set.weights_.push_back(std::move(w));
    loaded.push_back(std::move(values));
  }
  const auto bytes = [](std::int64_t n) { return size(n) * sizeof(float); };
  set.values_ = AlignedBuffer(bytes(set.trained_));
  set.gradients_ = AlignedBuffer(bytes(set.trained_));
  set.first_ = AlignedBuffer(bytes(set.trained_));
  set.second_ = AlignedBuffer(bytes(set.trained_));
  set.frozen_values_ = AlignedBuffer(bytes(set.frozen_));
  for (std::size_t i = 0; i < loaded.size(); ++i) {
    const Weight& w = set.weights_[i];
    auto* const to = (w.rule.trains ? set.values_ : set.frozen_values_).as<float>() + w.offset;
    std::memcpy(to, loaded[i].data(), bytes(w.size));
    loaded[i] = {};
    if (w.rule.trains)
      for (std::int64_t at = 0; at < w.size; at += kChunk)
        set.chunks_.push_back({w.offset + at, std::min(kChunk, w.size - at), i});
  }
  return set;
}

std::vector<Parameter> ParameterSet::tape_parameters() {
  std::vector<Parameter> parameters(graph_weights_);
  for (const Weight& w : weights_) {
    auto* const base = (w.rule.trains ? values_ : frozen_values_).as<float>();
    parameters[static_cast<std::size_t>(w.id.index)] = {
        base + w.offset, w.rule.trains ? gradients_.as<float>() + w.offset : nullptr, w.size};
  }
  return parameters;
}

const ParameterSet::Weight* ParameterSet::find(std::string_view name) const {
  const auto found = std::ranges::find(weights_, name, &Weight::name);
  return found == weights_.end() ? nullptr : &*found;
}

std::span<const float> ParameterSet::values(const Weight& w) const {
  return {(w.rule.trains ? values_ : frozen_values_).as<float>() + w.offset, size(w.size)};
}

std::size_t ParameterSet::bytes() const {
  return values_.size() + gradients_.size() + first_.size() + second_.size() +
         frozen_values_.size();
}

double ParameterSet::gradient_norm(ThreadPool& pool) const {
  std::vector<double> sums(chunks_.size());
  pool.parallel_for(static_cast<std::int64_t>(chunks_.size()), [&](std::int64_t i) {
    const Chunk& chunk = chunks_[static_cast<std::size_t>(i)];
    sums[static_cast<std::size_t>(i)] =
        kernels::kernels().backward.square_sum(gradients_.as<float>() + chunk.offset, chunk.size);
  });
  double total = 0;
  for (double s : sums) total += s;
  return std::sqrt(total);
}

double ParameterSet::adamw(const AdamWOptions& options, float rate, std::int64_t step,
                           ThreadPool& pool) {
  const double norm = gradient_norm(pool);
  if (!std::isfinite(norm)) {
    std::ranges::fill(gradients(), 0.0F);
    return norm;
  }
  const double clip = static_cast<double>(options.clip);
  const auto scale = static_cast<float>(clip > 0 && norm > clip ? clip / norm : 1.0);
  const auto correction = [&](float beta) {
    return static_cast<float>(1 - std::pow(static_cast<double>(beta), static_cast<double>(step)));
  };
  const float correction1 = correction(options.beta1), correction2 = correction(options.beta2);
  pool.parallel_for(static_cast<std::int64_t>(chunks_.size()), [&](std::int64_t i) {
    const Chunk& chunk = chunks_[static_cast<std::size_t>(i)];
    const TrainRule& rule = weights_[chunk.weight].rule;
    kernels::kernels().backward.adamw({.n = chunk.size,
                                       .w = values_.as<float>() + chunk.offset,
                                       .g = gradients_.as<float>() + chunk.offset,
                                       .m = first_.as<float>() + chunk.offset,
                                       .v = second_.as<float>() + chunk.offset,
                                       .rate = rate * rule.rate_factor,
                                       .beta1 = options.beta1,
                                       .beta2 = options.beta2,
                                       .eps = options.eps,
                                       .decay = rule.decays ? options.decay : 0.0F,
                                       .correction1 = correction1,
                                       .correction2 = correction2,
                                       .grad_scale = scale});
  });
  return norm;
}

std::vector<bool> used_weights(const graph::Graph& graph, std::span<const graph::ValueId> outputs) {
  std::vector<bool> needed(graph.value_count()), used(graph.weights().size());
  for (graph::ValueId v : outputs) needed[static_cast<std::size_t>(v.index)] = true;
  const auto use = [&](graph::WeightId id) {
    if (id.index >= 0) used[static_cast<std::size_t>(id.index)] = true;
  };
  for (std::size_t n = graph.nodes().size(); n-- > 0;) {
    const graph::Node& node = graph.nodes()[n];
    if (!needed[static_cast<std::size_t>(node.output.index)]) continue;
    for (graph::ValueId input : node.inputs) needed[static_cast<std::size_t>(input.index)] = true;
    if (const auto* e = std::get_if<graph::Embedding>(&node.op)) use(e->table);
    if (const auto* l = std::get_if<graph::LayerNorm>(&node.op)) {
      use(l->gamma);
      use(l->beta);
    }
    if (const auto* r = std::get_if<graph::RmsNorm>(&node.op)) use(r->gamma);
    if (const auto* l = std::get_if<graph::Linear>(&node.op)) {
      use(l->weight);
      use(l->bias);
    }
  }
  return used;
}

double scheduled_rate(Schedule schedule, double rate, std::int64_t step, std::int64_t warmup,
                      std::int64_t total) {
  if (step <= warmup) return rate * static_cast<double>(step) / static_cast<double>(warmup);
  const double done = static_cast<double>(step - warmup) /
                      static_cast<double>(std::max<std::int64_t>(1, total - warmup + 1));
  switch (schedule) {
    case Schedule::kConstant:
      return rate;
    case Schedule::kLinear:
      return rate * std::max(0.0, 1 - done);
    case Schedule::kCosine:
      return rate * 0.5 * (1 + std::cos(3.141592653589793 * std::min(1.0, done)));
  }
  return rate;
}

}  // namespace tack
