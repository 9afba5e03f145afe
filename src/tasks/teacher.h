// A teacher's answers to the texts a student learns from.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "eval/dataset.h"
#include "tasks/finetune.h"

namespace tack {

// Runs the task model `path` once over the training rows and `texts`; its labels may be in another
// order. Errors: kUsage when its labels are not those of `labels`, naming one that differs, or one
// of the two is multilabel and the other is not.
Result<Teaching> ask_teacher(const std::filesystem::path& path,
                             const std::vector<std::string>& labels, const Dataset& train,
                             std::vector<std::string> texts, int threads);

// The texts of a file with one column (plain text: lines), without those that are empty.
Result<std::vector<std::string>> read_unlabelled(const std::string& path,
                                                 const std::string& column);

}  // namespace tack
