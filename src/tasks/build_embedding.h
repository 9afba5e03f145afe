// `build` for kind = "embed": trains an encoder on texts that belong together (with a teacher where
// the task wants one), measures the file it will ship beside the base, and asks the gate about the
// mean reciprocal rank of test queries, or Spearman's correlation with test scores.
#pragma once

#include <string>

#include "eval/pairs.h"
#include "tasks/build.h"

namespace tack {

struct PairData {
  PairSet train, validation, test;
};
// Reads and divides the pairs that the task names, and counts them in `result`. Errors: those of
// reading; parts that cannot be trained or measured.
Result<PairData> read_pair_data(const Task& task, BuildResult& result);
// What was read, in a line.
std::string describe_pairs(const Task& task, const PairData& data, const BuildResult& result);

// As build_task(); the result's `pairs` holds what was measured. What is written is an encoder.
Result<BuildResult> build_embedding(const Task& task, const BuildOptions& options);

}  // namespace tack
