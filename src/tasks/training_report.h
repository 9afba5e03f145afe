// What a person reads about a training: curves, and the models beside each other.
#pragma once

#include <string>

#include "tasks/build.h"
#include "train/trainer.h"

namespace tack {

// Lines without the last line end: speed, memory, loss and validation as sparklines.
std::string training_text(const std::string& label, const TrainingResult& training,
                          std::int64_t trained_parameters);

// A table of the models on the same test rows, each line ended; empty when only one was made.
std::string comparison_text(const BuildResult& result);

// Sections of evaluation_html(): curves (inline SVG) and the table. Empty without a training.
std::string training_html(const BuildResult& result);

}  // namespace tack
