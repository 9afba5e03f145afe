// `build` of kind = "generate": a decoder trained on plain text, from scratch or from another.
#pragma once

#include "tasks/build.h"

namespace tack {

// As build_task(). There is no gate: what the held-out texts give is reported and stands in the
// file.
Result<BuildResult> build_generator(const Task& task, const BuildOptions& options);

}  // namespace tack
