// A model with narrower layers: fewer channels of the feed-forward layers, fewer attention heads.
// What reads them is fitted again on the user's texts (prune_columns.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "models/model.h"

namespace tack {

struct WidthChoice {
  std::int64_t ffn = 0;    // feed-forward size; 0: as it is
  std::int64_t heads = 0;  // attention heads of every layer, of encoders; 0: as they are
  // Takes models whose matrices are in blocks, too: those that are fitted again are then f16.
  bool requantize = false;
  int threads = 0;                                       // the result is the same for any number
  std::string command;                                   // for the lineage
  std::function<void(const std::string& line)> message;  // may be empty
};

struct WidthPruning {
  // Of each layer: what its output projection and feed-forward layer lost of what they gave, as a
  // share of its mean square; negative: not changed.
  struct Layer {
    double heads = -1, ffn = -1;
  };
  std::vector<Layer> layers;
  double harm = 0;          // of the whole model (harm_name())
  std::int64_t tokens = 0;  // of the texts that it was fitted on
  std::uint64_t bytes_before = 0, bytes_after = 0;
  bool refit_as_f16 = false;  // matrices in blocks were fitted again
};

// Layer by layer from the first, each on what it reads once those before are pruned. Heads of tasks
// stay. An empty path writes nothing. Atomic. Errors: kUsage for sizes that the model cannot have
// (says which it can), for matrices in blocks unless `requantize`, without texts.
Result<WidthPruning> prune_width(const Model& model, std::span<const std::string> texts,
                                 const WidthChoice& choice, const std::filesystem::path& out);

}  // namespace tack
