// A model that is only looked into: chosen values of its graph for texts of a training, forward
// only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "models/model.h"
#include "tasks/trainable.h"
#include "train/tape.h"

namespace tack {

class FrozenModel {
 public:
  // `outputs` of the model's graph can be read after run(). `texts`, in ids of the model's own
  // tokenizer, and the pool must outlive this. Batches have at most `batch` texts and `max_tokens`
  // tokens (but one text of any length). Errors: kUsage for texts that are too long for the model.
  static Result<std::unique_ptr<FrozenModel>> create(std::shared_ptr<const Model> model,
                                                     std::span<const graph::ValueId> outputs,
                                                     const TrainingTexts& texts, std::int64_t batch,
                                                     std::int64_t max_tokens, ThreadPool& pool);

  const Model& model() const { return *model_; }
  void run(std::span<const std::size_t> examples);
  // Of the last run(): [rows, cols], and where each text's tokens begin.
  std::span<const float> value(graph::ValueId output) const { return tape_->value(output); }
  std::span<const std::int64_t> starts() const { return packed_.starts; }

 private:
  FrozenModel(std::shared_ptr<const Model> model, const TrainingTexts& texts,
              ParameterSet parameters)
      : model_(std::move(model)), texts_(texts), parameters_(std::move(parameters)) {}

  std::shared_ptr<const Model> model_;
  const TrainingTexts& texts_;
  ParameterSet parameters_;
  PackedExamples packed_;
  std::unique_ptr<Tape> tape_;
};

}  // namespace tack
