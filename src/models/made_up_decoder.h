// For tests: the tiny decoders of tools/golden/decoders.py, whose weights are a function of their
// names, and the logits that Hugging Face transformers gives for them.
#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "formats/safetensors.h"
#include "models/architecture.h"

namespace tack {

// By name of the case: {"config": config.json, "ids": [...], "logits": {row: [...]}}.
inline Json golden_decoders() {
  std::ifstream file(std::string(TACK_SOURCE_DIR) + "/src/models/golden/decoders.json");
  return file ? Json::parse(file) : Json();
}

// The weights of tools/golden/decoders.py: [-1, 1) from splitmix64(fnv1a(name) + i), scaled.
inline std::vector<float> made_up_weight(std::string_view name, const Shape& shape, bool near_one) {
  std::uint64_t start = 0xCBF29CE484222325U;
  for (const char c : name) start = (start ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  double scale = 0.25;
  if (shape.size() == 2)
    scale = std::exp2(std::round(std::log2(1.7 / std::sqrt(static_cast<double>(shape[1])))));
  std::vector<float> values;
  for (std::int64_t i = 0; i < element_count(shape); ++i) {
    std::uint64_t z = start + static_cast<std::uint64_t>(i) + 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    z ^= z >> 31;
    const double value = static_cast<double>(z >> 40) / (1 << 23) - 1;
    values.push_back(static_cast<float>(value * scale + (near_one ? 1.0 : 0.0)));
  }
  return values;
}

// A checkpoint as save_pretrained() writes it.
inline Status write_made_up_checkpoint(const std::filesystem::path& path, const Json& config) {
  std::ofstream(path / "config.json") << config.dump();
  HuggingFaceDirectory directory;
  directory.config = config;
  TACK_TRY(const auto* architecture, find_hf_architecture(config["model_type"].get<std::string>()));
  TACK_TRY(const auto built, architecture->from_hf(directory));
  const bool gemma = architecture->name == "gemma3";
  std::vector<std::vector<float>> values;
  std::map<std::string, TensorView> tensors;
  for (const graph::Weight& weight : built.graph.weights()) {
    const std::string name = architecture->hf_names(weight.name).front();
    values.push_back(made_up_weight(name, weight.shape, weight.shape.size() == 1 && !gemma));
    TensorView view;
    view.shape = weight.shape;
    view.bytes = std::as_bytes(std::span(values.back()));
    tensors.emplace(name, view);
  }
  return write_safetensors(path / "model.safetensors", tensors);
}

// The largest difference to the expected rows, relative to the largest expected value.
inline double difference(const std::vector<float>& logits, const Json& expected) {
  double largest = 0, worst = 0;
  for (const auto& [row, values] : expected.items())
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double want = values[i].get<double>();
      largest = std::max(largest, std::abs(want));
      const auto at = static_cast<std::size_t>(std::stol(row)) * values.size() + i;
      worst = std::max(worst, std::abs(want - static_cast<double>(logits[at])));
    }
  return worst / largest;
}

}  // namespace tack
