#include "compress/layer_gptq.h"

#include <algorithm>
#include <set>

#include "compress/calibrate.h"
#include "compress/gptq.h"
#include "graph/weights.h"
#include "tensor/block_parts.h"

namespace tack {

LayerGptq::LayerGptq(std::shared_ptr<const Model> model, const CalibrationTokens& tokens,
                     std::size_t memory,
                     std::function<void(std::int64_t done, std::int64_t total)> progress,
                     ThreadPool& pool)
    : model_(std::move(model)),
      tokens_(tokens),
      memory_(memory),
      progress_(std::move(progress)),
      pool_(pool),
      inputs_(shared_inputs(model_->graph())) {
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    for (const std::string_view weight : inputs_[i].weights) reads_[std::string(weight)] = i;
}

bool LayerGptq::serves(std::string_view weight, DType dtype) const {
  return reads_.contains(weight) && has_parts(dtype);
}

Status LayerGptq::measure_from(std::string_view weight) {
  factors_.clear();
  const std::size_t first = reads_.find(weight)->second;
  std::set<std::string_view> wanted;
  std::size_t end = first, bytes = 0;
  for (; end < inputs_.size(); ++end) {
    const auto size = static_cast<std::size_t>(inputs_[end].cols);
    bytes += 2 * size * size * sizeof(float);  // the factor beside it
    if (end > first && bytes > memory_) break;
    wanted.insert(inputs_[end].weights.begin(), inputs_[end].weights.end());
  }
  CalibrationOptions options;
  options.threads = pool_.size();
  options.progress = progress_;
  TACK_TRY(
      auto moments,
      measure_second_moments(
          model_, tokens_, [&](std::string_view name) { return wanted.contains(name); }, options));
  for (InputMoments& moment : moments) {
    auto factor = HessianFactor::make(moment.sums, moment.size, GptqOptions().damping, pool_);
    if (!factor)
      return std::unexpected(
          std::move(factor).error().in("what '" + moment.weights.front() + "' reads"));
    factors_.emplace(reads_.find(moment.weights.front())->second, *std::move(factor));
    moment.sums = {};
  }
  return {};
}

Result<std::vector<std::byte>> LayerGptq::quantize(const graph::Weight& weight, DType dtype) {
  const std::size_t input = reads_.find(weight.name)->second;
  if (!factors_.contains(input)) TACK_RETURN_IF_ERROR(measure_from(weight.name));
  const graph::WeightSource source = [&](const graph::Weight& of) -> const TensorView& {
    return model_->tensor(of);
  };
  TACK_TRY(const std::vector<float> values, graph::load_vector(weight, source));
  return gptq_quantize(dtype, values, weight.shape.front(), factors_.find(input)->second, pool_);
}

}  // namespace tack
