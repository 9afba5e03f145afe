// What a person reads about a training: curves, and the models beside each other.
#pragma once

#include <string>

#include "tasks/build.h"
#include "train/trainer.h"

namespace tack {

// Lines without the last line end: speed, memory, loss and validation as sparklines.
std::string training_text(const std::string& label, const TrainingResult& training,
                          std::int64_t trained_parameters);
// The same where validations are -nats per token: perplexities.
std::string text_training_text(const std::string& label, const TrainingResult& training,
                               std::int64_t trained_parameters);

// The models that a build made, on the same test rows; stands in a model's tack.metrics as
// "compared": a list of {"name", "bytes", "accuracy", "f1", "exact", "micro_f1", "mrr" or
// "spearman", "p50_us", "texts_per_second"}. Empty when only one was made.
Json comparison_json(const BuildResult& result);

// The same as a table, each line ended. What is no such list gives "": it comes from a file.
std::string comparison_text(const Json& compared);

// Sections of evaluation_html(): curves (inline SVG) and the table. Empty without a training.
std::string training_html(const BuildResult& result);

}  // namespace tack
