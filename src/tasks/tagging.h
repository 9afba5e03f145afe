// Training of a tagger: encoder, a CRF over the tags of words, and perhaps a head for a label of
// the whole text, together (joint intents and slots: Chen et al. 2019, arXiv:1902.10909).
#pragma once

#include <memory>

#include "tasks/finetune.h"
#include "tasks/tagger.h"

namespace tack {

struct TrainedTagger {
  std::shared_ptr<const Model> encoder;  // the file that was written
  TagHead tags;
  std::optional<LinearHead> label;
  std::vector<float> validation_logits;  // of `label`, for rows in scope
  std::vector<std::int32_t> validation_labels;
  TrainingResult training;
  std::int64_t trained_parameters = 0;
  std::int64_t truncated = 0;  // texts that lost tokens
};

// Trains a copy of `base` and writes it to `path`. The loss of a text is the negative
// log-likelihood of its tags and of its label; with a teacher (a tagger with the same tags, labels
// and tokens) part of it is the divergence from the teacher's answers. Heads start from the
// teacher's where there is one. Errors: those of training; a teacher that does not fit.
Result<TrainedTagger> train_tagger(const std::shared_ptr<const Model>& base, const TagRules& rules,
                                   const Dataset& train, const Dataset& validation,
                                   const TrainSettings& settings,
                                   const std::shared_ptr<const Model>& teacher,
                                   const TeacherSettings& teaching,
                                   const std::filesystem::path& path,
                                   const FineTuneOptions& options);

}  // namespace tack
