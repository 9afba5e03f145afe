// Training of an extractor: encoder and a head that says of every token how well an answer begins
// and ends there (Devlin et al. 2018, section 4.2).
#pragma once

#include <memory>

#include "tasks/finetune.h"
#include "tasks/windows.h"

namespace tack {

struct TrainedExtractor {
  std::shared_ptr<const Model> encoder;  // the file that was written
  LinearHead head;
  TrainingResult training;
  std::int64_t trained_parameters = 0;
  std::int64_t windows = 0;   // that were trained on
  std::int64_t left_out = 0;  // questions whose answer no window holds
};

// Trains a copy of `base` and writes it to `path`. The loss of a window is the mean of two
// cross-entropies over its candidates (tasks/windows.h): of start and of end, where any answer that
// lies in the window is right; with a teacher (an extractor with the same tokens) part of it is the
// divergence from the teacher's two distributions. The head starts from the teacher's where there
// is one. Validation: the mean F1 of answers. Errors: those of training; a teacher that does not
// fit; [train] length beyond what the model takes.
Result<TrainedExtractor> train_extractor(const std::shared_ptr<const Model>& base,
                                         const QuestionSet& train, const QuestionSet& validation,
                                         const TrainSettings& settings,
                                         const std::shared_ptr<const Model>& teacher,
                                         const TeacherSettings& teaching,
                                         const std::filesystem::path& path,
                                         const FineTuneOptions& options);

// [train] length and overlap as they apply to a model. Errors: as above.
Result<WindowRule> window_rule(const TrainSettings& settings, const Model& model);

}  // namespace tack
