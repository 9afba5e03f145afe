// Training of several classification heads on one encoder (multi-task learning: Caruana 1997;
// MT-DNN: Liu et al. 2019, arXiv:1901.11504).
//
// The heads are one linear layer, whose rows are divided among them: one head after another. A
// text trains the rows of the heads that have a label for it, and with a teacher, which answers
// every question about every text, all of them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "eval/dataset.h"
#include "models/model.h"
#include "tasks/finetune.h"
#include "tasks/trainable.h"

namespace tack {

// The rows of one head.
struct HeadRows {
  const Dataset* train = nullptr;
  const Dataset* validation = nullptr;  // of the same labels
  double weight = 1;                    // of its loss and of its accuracy in validation
};

// Texts, each with a label of every head, or none.
struct HeadExamples {
  static constexpr std::int32_t kNoLabel = kUnlabelled;
  std::vector<std::string> texts;
  std::vector<std::int32_t> labels;  // [texts, heads]
};

// The rows of all heads. Equal texts of several heads are one example; a text that one head has
// twice is two, and the second goes with the second of the others. The order is that of the heads
// and of their rows.
HeadExamples merge_heads(std::span<const Dataset* const> heads);

// Linear heads over the same vectors, one after another, and a part of such a head again.
LinearHead join_heads(std::span<const LinearHead> heads);
LinearHead head_part(const LinearHead& joined, std::int64_t first, std::int64_t rows);

// What a teacher with the same heads, in any order, says to texts: [texts, labels of all heads] in
// the order of `names` and `labels`. Errors: kUsage when its heads or labels are others, naming
// one.
Result<std::vector<float>> ask_teacher_heads(const std::shared_ptr<const Model>& teacher,
                                             const std::vector<std::string>& names,
                                             const std::vector<std::vector<std::string>>& labels,
                                             std::span<const std::string> texts, int threads);

struct TrainedHeads {
  std::shared_ptr<const Model> encoder;  // the file that was written
  std::vector<LinearHead> heads;
  std::vector<std::vector<float>> validation_logits;  // of each head, for rows in scope
  std::vector<std::vector<std::int32_t>> validation_labels;
  std::map<std::string, Adapter::Pair> adapters;  // of kLora: apart, before they were merged
  TrainingResult training;
  std::int64_t trained_parameters = 0;
  std::int64_t truncated = 0;  // texts that lost tokens
};

// Trains a copy of `base` and writes it to `path`. `examples` are merge_heads() of the training
// rows; with options.teaching its logits are of these texts and then of its own, for all heads. The
// loss of a text is the weighted sum over its heads; the weighted mean of the heads' accuracies on
// their validation rows chooses the epoch. Errors: those of training.
Result<TrainedHeads> train_heads(const std::shared_ptr<const Model>& base,
                                 std::span<const HeadRows> heads, const HeadExamples& examples,
                                 const TrainSettings& settings, const std::filesystem::path& path,
                                 const FineTuneOptions& options);

}  // namespace tack
