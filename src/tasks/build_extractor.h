// `build` for kind = "span": trains an extractor (with a teacher where the task wants one),
// measures the file it will ship, and asks the gate about questions that are answered exactly.
#pragma once

#include "tasks/build.h"

namespace tack {

// As build_task(); the result's `extracted` holds what was measured.
Result<BuildResult> build_extractor(const Task& task, const BuildOptions& options);

}  // namespace tack
