// `build` of a model with several heads: as build_task() for each of them, over one encoder.
#pragma once

#include "tasks/build.h"

namespace tack {

// The result's own numbers are those of the training and the file; result.heads has the rest, one
// for each head. Accepted when every head is. Errors: those of build_task().
Result<BuildResult> build_multitask(const Task& task, const BuildOptions& options);

}  // namespace tack
