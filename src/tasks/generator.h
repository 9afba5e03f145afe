// Training of a decoder on plain text: every token from those before it.
#pragma once

#include <filesystem>
#include <memory>

#include "eval/dataset.h"
#include "tasks/finetune.h"

namespace tack {

// The linear layer that makes the logits of a decoder. Errors: kUsage where none does.
struct VocabularyOutput {
  graph::ValueId hidden;
  graph::WeightId weight;
};
Result<VocabularyOutput> vocabulary_output(const Model& model);

struct TrainedDecoder {
  std::shared_ptr<const Model> model;  // the file that was written
  TrainingResult training;             // validations are -nats per token
  std::int64_t trained_parameters = 0;
  std::int64_t tokens = 0;  // predicted in an epoch
};

// Trains a copy of `start` and writes it to `path`; `validation` chooses the epoch. `batch_tokens`
// of a step, about: documents of the mean length that make so many. Of `options` threads, type,
// checkpoint, description and label count. Errors: those of training; a length beyond the context;
// a model that is no decoder in a GGUF file.
Result<TrainedDecoder> train_decoder(const std::shared_ptr<const Model>& start,
                                     const Dataset& train, const Dataset& validation,
                                     const TrainSettings& settings, std::int64_t batch_tokens,
                                     const std::filesystem::path& path,
                                     const FineTuneOptions& options);

}  // namespace tack
