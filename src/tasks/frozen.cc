#include "tasks/frozen.h"

#include <algorithm>

namespace tack {

Result<std::unique_ptr<FrozenModel>> FrozenModel::create(
    std::shared_ptr<const Model> model, std::span<const graph::ValueId> outputs,
    const TrainingTexts& texts, std::int64_t batch, std::int64_t max_tokens, ThreadPool& pool) {
  if (texts.longest() > model->context_length())
    return fail(ErrorCode::kUsage, "{}: a text has {} tokens, the model takes {}",
                model->path().string(), texts.longest(), model->context_length());
  const auto load = [&](const graph::Weight& weight) {
    return load_weight(*model, weight, texts.used());
  };
  TACK_TRY(auto parameters,
           ParameterSet::create(model->graph(), used_weights(model->graph(), outputs), load,
                                [](const graph::Weight&) { return TrainRule{.trains = false}; }));
  std::unique_ptr<FrozenModel> out(new FrozenModel(std::move(model), texts, std::move(parameters)));
  TACK_TRY(out->tape_,
           Tape::create(out->model_->graph(), outputs, out->parameters_.tape_parameters(),
                        {.max_tokens = std::max(max_tokens, texts.longest()),
                         .max_sequences = batch,
                         .max_length = texts.longest()},
                        pool));
  return out;
}

void FrozenModel::run(std::span<const std::size_t> examples) {
  packed_.clear();
  for (const std::size_t example : examples) packed_.add(texts_[example]);
  tape_->forward(packed_.view());
}

}  // namespace tack
