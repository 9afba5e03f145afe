// `build` for kind = "tag": trains a tagger (with a teacher where the task wants one), measures the
// file it will ship, and asks the gate about texts that are right as a whole.
#pragma once

#include "tasks/build.h"

namespace tack {

// As build_task(); the result's `tagged` holds what was measured.
Result<BuildResult> build_tagger(const Task& task, const BuildOptions& options);

}  // namespace tack
