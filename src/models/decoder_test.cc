// Tiny decoders of each family against Hugging Face transformers: tools/golden/decoders.py.

#include "models/decoder.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "graph/reference.h"
#include "models/made_up_decoder.h"
#include "models/model.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

class Decoders : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_decoder_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
    golden_ = golden_decoders();
  }
  void TearDown() override { fs::remove_all(directory_); }

  static std::vector<float> logits(const Model& model, std::span<const std::int32_t> ids) {
    const std::int64_t starts[] = {0, static_cast<std::int64_t>(ids.size())};
    const auto values = graph::run_reference(
        model.graph(),
        [&](const graph::Weight& weight) -> const TensorView& { return model.tensor(weight); },
        {.ids = ids, .starts = starts});
    EXPECT_TRUE(values) << values.error().message;
    return (*values)[static_cast<std::size_t>(model.graph().find_output("logits")->value.index)];
  }

  fs::path directory_;
  Json golden_;
};

TEST_F(Decoders, LogitsAreThoseOfTransformers) {
  ASSERT_EQ(golden_.size(), 6U);
  for (const auto& [name, expected] : golden_.items())
    for (const char* config : {"config", "saved_config"}) {
      SCOPED_TRACE(name + ", " + config);
      ASSERT_TRUE(write_made_up_checkpoint(directory_, expected[config]));
      const auto model = Model::open(directory_, Model::Use::kWeights);
      ASSERT_TRUE(model) << model.error().message;
      EXPECT_TRUE((*model)->generates());
      const auto ids = expected["ids"].get<std::vector<std::int32_t>>();
      EXPECT_LT(difference(logits(**model, ids), expected["logits"]), 2e-6);
    }
}

TEST_F(Decoders, ConvertedToGgufTheyAreTheSame) {
  for (const auto& [name, expected] : golden_.items()) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(write_made_up_checkpoint(directory_, expected["config"]));
    const fs::path out = directory_ / "model.gguf";
    const Status converted = convert_model(directory_, out, {.type = "f32"});
    ASSERT_TRUE(converted) << converted.error().message;
    const auto model = Model::open(out, Model::Use::kWeights);
    ASSERT_TRUE(model) << model.error().message;
    const auto ids = expected["ids"].get<std::vector<std::int32_t>>();
    EXPECT_LT(difference(logits(**model, ids), expected["logits"]), 4e-6);
  }
}

TEST_F(Decoders, ATextForOneIsRefused) {
  ASSERT_TRUE(write_made_up_checkpoint(directory_, golden_["llama 3"]["config"]));
  const auto model = Model::open(directory_);
  ASSERT_FALSE(model);
  EXPECT_TRUE(model.error().message.contains("a decoder (llama)")) << model.error().message;
  const Status converted = convert_model(directory_, directory_ / "x.gguf", {.type = "int8"});
  ASSERT_FALSE(converted);
  EXPECT_TRUE(converted.error().message.contains("int8")) << converted.error().message;
  // A checkpoint that lacks a tensor, or has one of another shape.
  Json config = golden_["llama 3"]["config"];
  config["num_hidden_layers"] = 3;
  std::ofstream(directory_ / "config.json") << config.dump();
  const auto missing = Model::open(directory_, Model::Use::kWeights);
  ASSERT_FALSE(missing);
  EXPECT_TRUE(missing.error().message.contains("layers.2")) << missing.error().message;
  config["num_hidden_layers"] = 2;
  config["intermediate_size"] = 64;
  std::ofstream(directory_ / "config.json") << config.dump();
  const auto other = Model::open(directory_, Model::Use::kWeights);
  ASSERT_FALSE(other);
  EXPECT_TRUE(other.error().message.contains("has shape")) << other.error().message;
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
