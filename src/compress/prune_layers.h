// A model with fewer layers: those go whose absence changes the least of what the model says.
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

struct LayerChoice {
  std::int64_t keep = 0;           // how many layers stay, those that go chosen by harm; or
  std::vector<std::int64_t> drop;  // the layers that go, by number
  int threads = 0;                 // the result is the same for any number
  std::string command;             // for the lineage
  std::function<void(const std::string& line)> message;  // may be empty
};

struct LayerPruning {
  // One after another: the layers that went (several where they can only go together), and what is
  // lost without them and those before, on the texts.
  struct Step {
    std::vector<std::int64_t> layers;
    double harm = 0;
  };
  std::vector<Step> steps;         // empty without texts
  std::vector<std::int64_t> kept;  // ascending
  std::int64_t tokens = 0;         // that harm was measured on
  std::uint64_t bytes_before = 0, bytes_after = 0;
};

// What harm is: "KL divergence per token" of a decoder's next-token distributions, "1 - cosine" of
// an encoder's vectors.
const char* harm_name(const Model& model);

// Chooses and writes; an empty path writes nothing. Of the layers that are left, each is tried, and
// the one goes without which the model differs least from the whole one. Heads of tasks stay, and
// what the file says they measured is of the model before. Atomic. Errors: kUsage for a number of
// layers that the model cannot have, without texts where layers are chosen.
Result<LayerPruning> prune_layers(const Model& model, std::span<const std::string> texts,
                                  const LayerChoice& choice, const std::filesystem::path& out);

}  // namespace tack
