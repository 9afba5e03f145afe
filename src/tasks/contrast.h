// Training of an encoder on texts that belong together: contrastive with the other texts of a batch
// as negatives, or on scores of pairs (CoSENT).
#pragma once

#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "eval/pairs.h"
#include "tasks/embedding.h"
#include "tasks/finetune.h"

namespace tack {

struct TrainedEncoder {
  std::shared_ptr<const Model> encoder;  // the file that was written
  TrainingResult training;
  std::int64_t trained_parameters = 0;
  std::int64_t truncated = 0;  // texts that lost tokens
};

// Trains a copy of `base` and writes it to `path`. `validation` chooses the epoch by mean
// reciprocal rank or Spearman's correlation. With a teacher (an encoder of the same width) part of
// the loss is the distance to its vectors. Texts that are known to belong together are no negatives
// of each other: those of one label; those whose rows share a text. `options.teaching` is not used.
// Errors: those of training; a teacher that does not fit.
Result<TrainedEncoder> train_embedding(const std::shared_ptr<const Model>& base,
                                       const PairSet& train, const PairSet& validation,
                                       const TrainSettings& settings,
                                       const std::shared_ptr<const Model>& teacher,
                                       const TeacherSettings& teaching,
                                       const std::filesystem::path& path,
                                       const FineTuneOptions& options);

// The texts that stand together in an epoch, of pairs of kLabel: each text with another of its
// label, every text once first and once second, a function of seed and epoch. Indices into the
// index's texts; texts alone in their label are left out.
std::vector<std::pair<std::size_t, std::size_t>> label_pairs(const PairIndex& index,
                                                             std::uint64_t seed,
                                                             std::int64_t epoch);

}  // namespace tack
