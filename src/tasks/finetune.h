// Fine-tuning of a classifier: the encoder's weights and the head together.
//
// The head starts from a logistic regression on the frozen encoder's embeddings (linear probing,
// then fine-tuning: Kumar et al. 2022, arXiv:2202.10054). Out-of-scope rows are trained towards the
// uniform distribution. A part of the training rows is kept apart: it chooses the epoch and fits
// the temperature and the threshold.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "eval/dataset.h"
#include "models/model.h"
#include "tasks/task.h"
#include "tasks/trainable.h"

namespace tack {

struct FineTuned {
  LinearHead head;
  std::map<std::string, std::vector<float>> tensors;  // trained tensors of the base, f32
  TrainingResult training;
  std::size_t train_rows = 0, validation_rows = 0;
  std::int64_t truncated = 0;  // rows that lost tokens
  std::int64_t trained_parameters = 0;
};

struct FineTuneOptions {
  int threads = 1;
  std::filesystem::path checkpoint;
  std::string description;  // of everything the run depends on
  std::function<void(const std::string&)> message;
};

// `validation` are the rows that choose the epoch. Errors: those of training.
Result<FineTuned> fine_tune(const std::shared_ptr<const Model>& base, const LinearHead& start,
                            const Dataset& train, const Dataset& validation,
                            const TrainSettings& settings, const FineTuneOptions& options);

}  // namespace tack
