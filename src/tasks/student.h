// Where a student begins: a model with some of its layers, and of those perhaps the dimensions,
// heads and channels that matter most.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "models/model.h"
#include "tasks/task.h"

namespace tack {

struct Student {
  std::shared_ptr<const Model> model;
  // Of the base: the layer that each layer of the student was, and its hidden dimensions.
  std::vector<std::int64_t> layers, dims;
  std::string description;  // a line, empty when the student is the base
};

// Cuts `shape` out of `base` and writes it to `path`, or takes the base as it is. Hidden dimensions
// are kept by the variance they have over layers and `texts` (a sample of them), heads and
// feed-forward channels by what they add to the residual stream. Deterministic. Errors: kUsage for
// a shape that the base does not have.
Result<Student> make_student(const std::shared_ptr<const Model>& base, const StudentShape& shape,
                             std::span<const std::string> texts, const std::filesystem::path& path,
                             int threads);

}  // namespace tack
