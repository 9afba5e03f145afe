// A teacher's answers to the texts a student learns from.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "eval/dataset.h"
#include "tasks/finetune.h"

namespace tack {

// Runs the task models `paths` once over the training rows and `texts`; their labels may be in
// another order. Of several, the mean of the probabilities at `temperature` counts: the logits are
// those that give it; multilabel models come alone. Errors: kUsage when a teacher's labels are not
// those of `labels`, naming one that differs, or one of the two is multilabel and the other is not.
Result<Teaching> ask_teachers(const std::vector<std::filesystem::path>& paths,
                              const std::vector<std::string>& labels, const Dataset& train,
                              std::vector<std::string> texts, double temperature, int threads);

// The logits whose softmax at `temperature` is the mean of that of each of `logits`
// ([rows, classes]); one teacher's are taken as they are.
std::vector<float> mean_answer(std::span<const std::vector<float>> logits, std::size_t classes,
                               double temperature);

// The texts of a file with one column (plain text: lines), without those that are empty.
Result<std::vector<std::string>> read_unlabelled(const std::string& path,
                                                 const std::string& column);

}  // namespace tack
