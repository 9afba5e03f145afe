// `build` for kind = "embed": trains an encoder on texts that belong together (with a teacher where
// the task wants one), measures the file it will ship beside the base, and asks the gate about the
// mean reciprocal rank of test queries, or Spearman's correlation with test scores.
#pragma once

#include "tasks/build.h"

namespace tack {

// As build_task(); the result's `pairs` holds what was measured. What is written is an encoder.
Result<BuildResult> build_embedding(const Task& task, const BuildOptions& options);

}  // namespace tack
