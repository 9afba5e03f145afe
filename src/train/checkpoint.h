// The state of a training run as a file: a GGUF with flat f32 tensors, written atomically.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace tack {

struct Checkpoint {
  std::string description;  // of the run; must be equal when it goes on
  Json state;               // step, history
  struct Array {
    std::string name;
    std::span<float> values;  // read into, or written from
  };
  std::vector<Array> arrays;
};

// Errors name the file and the reason; the old checkpoint stays when writing fails.
Status write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

// Fills `checkpoint.state` and the arrays (which have their sizes). Errors: kUsage when the
// description differs, naming the first line that does; a damaged file.
Status read_checkpoint(const std::filesystem::path& path, Checkpoint& checkpoint);

}  // namespace tack
