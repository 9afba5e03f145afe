// Tiny decoders of each family against Hugging Face transformers: tools/golden/decoders.py.

#include "models/decoder.h"

#include <cmath>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "formats/safetensors.h"
#include "graph/reference.h"
#include "models/model.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

// The weights of tools/golden/decoders.py: [-1, 1) from splitmix64(fnv1a(name) + i), scaled.
std::vector<float> made_up_weight(std::string_view name, const Shape& shape, bool near_one) {
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

class Decoders : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_decoder_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
    std::ifstream file(std::string(TACK_SOURCE_DIR) + "/src/models/golden/decoders.json");
    ASSERT_TRUE(file);
    golden_ = Json::parse(file);
  }
  void TearDown() override { fs::remove_all(directory_); }

  // A checkpoint as save_pretrained() writes it.
  void write_checkpoint(const Json& config) {
    std::ofstream(directory_ / "config.json") << config.dump();
    HuggingFaceDirectory directory;
    directory.config = config;
    const auto architecture = find_hf_architecture(config["model_type"].get<std::string>());
    ASSERT_TRUE(architecture) << architecture.error().message;
    const auto built = (*architecture)->from_hf(directory);
    ASSERT_TRUE(built) << built.error().message;
    const bool gemma = (*architecture)->name == "gemma3";
    std::vector<std::vector<float>> values;
    std::map<std::string, TensorView> tensors;
    for (const graph::Weight& weight : built->graph.weights()) {
      const std::string name = (*architecture)->hf_names(weight.name).front();
      values.push_back(made_up_weight(name, weight.shape, weight.shape.size() == 1 && !gemma));
      TensorView view;
      view.shape = weight.shape;
      view.bytes = std::as_bytes(std::span(values.back()));
      tensors.emplace(name, view);
    }
    const Status written = write_safetensors(directory_ / "model.safetensors", tensors);
    ASSERT_TRUE(written) << written.error().message;
  }

  static std::vector<float> logits(const Model& model, std::span<const std::int32_t> ids) {
    const std::int64_t starts[] = {0, static_cast<std::int64_t>(ids.size())};
    const auto values = graph::run_reference(
        model.graph(),
        [&](const graph::Weight& weight) -> const TensorView& { return model.tensor(weight); },
        {.ids = ids, .starts = starts});
    EXPECT_TRUE(values) << values.error().message;
    return (*values)[static_cast<std::size_t>(model.graph().find_output("logits")->value.index)];
  }

  // The largest difference to the expected rows, relative to the largest expected value.
  static double difference(const std::vector<float>& logits, const Json& expected) {
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

  fs::path directory_;
  Json golden_;
};

TEST_F(Decoders, LogitsAreThoseOfTransformers) {
  ASSERT_EQ(golden_.size(), 6U);
  for (const auto& [name, expected] : golden_.items())
    for (const char* config : {"config", "saved_config"}) {
      SCOPED_TRACE(name + ", " + config);
      write_checkpoint(expected[config]);
      const auto model = Model::open(directory_);
      ASSERT_TRUE(model) << model.error().message;
      EXPECT_TRUE((*model)->generates());
      const auto ids = expected["ids"].get<std::vector<std::int32_t>>();
      EXPECT_LT(difference(logits(**model, ids), expected["logits"]), 2e-6);
    }
}

TEST_F(Decoders, ConvertedToGgufTheyAreTheSame) {
  for (const auto& [name, expected] : golden_.items()) {
    SCOPED_TRACE(name);
    write_checkpoint(expected["config"]);
    const fs::path out = directory_ / "model.gguf";
    const Status converted = convert_model(directory_, out, {.type = "f32"});
    ASSERT_TRUE(converted) << converted.error().message;
    const auto model = Model::open(out);
    ASSERT_TRUE(model) << model.error().message;
    const auto ids = expected["ids"].get<std::vector<std::int32_t>>();
    EXPECT_LT(difference(logits(**model, ids), expected["logits"]), 4e-6);
  }
}

TEST_F(Decoders, WhatCannotRunIsRefused) {
  const auto refuse = [&](const char* name, const char* key, const Json& value,
                          std::string_view says) {
    Json config = golden_[name]["config"];
    config[key] = value;
    HuggingFaceDirectory directory;
    directory.config = config;
    const auto architecture = find_hf_architecture(config["model_type"].get<std::string>());
    ASSERT_TRUE(architecture);
    const auto built = (*architecture)->from_hf(directory);
    ASSERT_FALSE(built) << key;
    EXPECT_TRUE(built.error().message.contains(says)) << built.error().message;
  };
  refuse("llama 3", "num_local_experts", 8, "mixtures of experts");
  refuse("llama 3", "attention_bias", true, "attention_bias");
  refuse("llama 3", "num_attention_heads", 3, "no multiple");
  refuse("llama 3", "head_dim", 7, "odd");
  refuse("llama 3", "vocab_size", "many", "not an integer");
  refuse("llama 3", "num_hidden_layers", 100000, "expected 1 to");
  refuse("llama 3", "rope_parameters", Json{{"rope_type", "longrope"}}, "longrope");
  refuse("gemma 3", "final_logit_softcapping", 30.0, "final_logit_softcapping");
  refuse("gemma 3", "layer_types", Json::array({"full_attention"}), "layer_types");
  refuse("ministral 3", "rope_parameters", Json(), "rope_parameters");
}

}  // namespace
}  // namespace tack
