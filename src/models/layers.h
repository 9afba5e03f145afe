// A model with some of its layers: where a student begins.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/result.h"
#include "models/model.h"

namespace tack {

// How many layers ("blk.N.") the model has.
std::int64_t layer_count(const Model& model);

// `count` of `layers`, evenly spread, the first among them.
std::vector<std::int64_t> spread_layers(std::int64_t layers, std::int64_t count);

// Writes the model with the layers `keep` (ascending, by number) only, without a classification
// head and what belongs to it. Atomic. Errors: kUsage for a layer that is not there, a model that
// is no GGUF.
Status write_layers(const Model& model, const std::vector<std::int64_t>& keep,
                    const std::filesystem::path& path);

}  // namespace tack
