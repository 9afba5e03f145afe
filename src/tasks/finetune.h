// Fine-tuning of a classifier, of one label a text or any number: the encoder's weights and the
// head together.
//
// The head starts from a logistic regression on the frozen encoder's embeddings (linear probing,
// then fine-tuning: Kumar et al. 2022, arXiv:2202.10054). Out-of-scope rows are trained towards the
// uniform distribution. Labels of a set are learned apart (binary cross-entropy); the teacher's
// sigmoids take the place of its softmax. A part of the training rows is kept apart: it chooses the
// epoch and fits the temperature and the threshold.
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

struct InnerLessons;

// What a teacher said to the training rows, and then to further texts that have no label.
struct Teaching {
  std::vector<float> logits;  // [training rows + texts, classes]
  std::vector<std::string> texts;
  double temperature = 2;
  double labels = 0.3;  // weight of the labels where there are some
};

// Beside kOutOfScope: a text without a label, from which a teacher's answer is learned, or nothing.
inline constexpr std::int32_t kUnlabelled = -2;

// Of one text and one head: cross-entropy of its label, where out of scope is the uniform
// distribution; with a teacher, whose logits are `taught`, the distance to those has what the label
// leaves it. Adds its gradient and returns it, both times `scale`.
double classification_loss(std::span<const float> logits, std::int32_t label,
                           const Teaching* teaching, std::span<const float> taught,
                           double smoothing, double scale, std::span<float> gradient);

struct FineTuneOptions {
  int threads = 1;
  std::string type = "int8";  // of the encoder's matrices
  const Teaching* teaching = nullptr;
  const InnerLessons* inner = nullptr;  // what is learned besides the answers; of one label
  std::filesystem::path checkpoint;
  std::string description;         // of everything the run depends on
  std::string label = "training";  // of the progress bar
};

struct FineTuned {
  std::shared_ptr<const Model> encoder;  // the file that was written
  LinearHead head;
  std::vector<float> validation_logits;  // of encoder and head, for in-scope rows
  std::vector<std::int32_t> validation_labels;
  std::map<std::string, Adapter::Pair> adapters;  // of kLora: apart, before they were merged
  TrainingResult training;
  std::int64_t trained_parameters = 0;
  std::int64_t truncated = 0;  // texts that lost tokens
};

TrainableOptions trainable_options(const TrainSettings& settings);

// A logistic regression on the embeddings of the encoder as it is: where a head starts. With label
// sets, one for every label.
Result<LinearHead> frozen_head(const std::shared_ptr<const Model>& base, const Dataset& rows,
                               double c, int threads);

// Trains a copy of `base` and writes it to `path` in the type asked for. `validation` chooses the
// epoch. Errors: those of training.
Result<FineTuned> fine_tune(const std::shared_ptr<const Model>& base, const Dataset& train,
                            const Dataset& validation, const TrainSettings& settings,
                            const std::filesystem::path& path, const FineTuneOptions& options);

}  // namespace tack
