// Decoders converted to every type: what the file says, that it still is the model, and what is
// refused.

#include "tensor/convert.h"

#include <cmath>
#include <filesystem>
#include <map>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "formats/safetensors.h"
#include "graph/reference.h"
#include "models/made_up_decoder.h"
#include "models/model.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

class Conversion : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_convert_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_ / "hf");
    // Rows of 256 and of 288 values: whole blocks of every type, and of the smaller ones only.
    config_ = golden_decoders()["llama 3"]["config"];
    config_["hidden_size"] = 256;
    config_["intermediate_size"] = 288;
    config_["head_dim"] = 64;
    ASSERT_TRUE(write_made_up_checkpoint(directory_ / "hf", config_));
  }
  void TearDown() override { fs::remove_all(directory_); }

  fs::path convert(const fs::path& from, const std::string& type, ConvertOptions options = {}) {
    const fs::path to = directory_ / (type + ".gguf");
    options.type = type;
    const Status status = convert_model(from, to, options);
    EXPECT_TRUE(status) << status.error().message;
    return to;
  }

  static std::vector<float> logits(const fs::path& path) {
    const auto model = Model::open(path, Model::Use::kWeights);
    EXPECT_TRUE(model) << model.error().message;
    const std::vector<std::int32_t> ids = {1, 17, 40, 3, 90, 22, 8, 51};
    const std::int64_t starts[] = {0, static_cast<std::int64_t>(ids.size())};
    const auto values = graph::run_reference(
        (*model)->graph(),
        [&](const graph::Weight& weight) -> const TensorView& { return (*model)->tensor(weight); },
        {.ids = ids, .starts = starts});
    EXPECT_TRUE(values) << values.error().message;
    return (
        *values)[static_cast<std::size_t>((*model)->graph().find_output("logits")->value.index)];
  }

  // Of the difference, relative to the logits themselves.
  static double relative_error(const std::vector<float>& got, const std::vector<float>& want) {
    double off = 0, all = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      off += std::pow(static_cast<double>(got[i]) - static_cast<double>(want[i]), 2);
      all += std::pow(static_cast<double>(want[i]), 2);
    }
    return std::sqrt(off / all);
  }

  static DType type_of(const GgufFile& file, std::string_view name) {
    const GgufTensor* tensor = file.find_tensor(name);
    EXPECT_NE(tensor, nullptr) << name;
    return tensor->view.dtype;
  }

  fs::path directory_;
  Json config_;
};

TEST_F(Conversion, EveryTypeIsStillTheModel) {
  struct Case {
    const char* type;
    std::int64_t file_type;  // llama.h's LLAMA_FTYPE_MOSTLY_*
    const char *matrix, *table, *down;
    double error;  // of logits at most; blocks read in another order give 1 and more
  };
  const Case cases[] = {
      {"f32", 0, "f32", "f32", "f32", 0},
      {"f16", 1, "f16", "f16", "f16", 1e-3},
      {"bf16", 32, "bf16", "bf16", "bf16", 8e-3},
      {"q8_0", 7, "q8_0", "q8_0", "q8_0", 0.02},
      {"q4_0", 2, "q4_0", "q4_0", "q4_0", 0.5},
      {"q4_1", 3, "q4_1", "q4_1", "q4_1", 0.4},
      {"q5_0", 8, "q5_0", "q5_0", "q5_0", 0.25},
      {"q5_1", 9, "q5_1", "q5_1", "q5_1", 0.2},
      {"q4_k", 14, "q4_k", "q6_k", "q5_0", 0.4},
      {"q5_k", 16, "q5_k", "q6_k", "q5_1", 0.2},
      {"q6_k", 18, "q6_k", "q6_k", "q8_0", 0.1},
      {"q2_k", 10, "q2_k", "q6_k", "iq4_nl", 1.0},
      {"q3_k", 11, "q3_k", "q6_k", "iq4_nl", 0.7},
      {"iq4_nl", 25, "iq4_nl", "q6_k", "iq4_nl", 0.4},
      {"iq4_xs", 30, "iq4_xs", "q6_k", "iq4_nl", 0.4},
  };
  const auto exact = logits(directory_ / "hf");
  for (const Case& expected : cases) {
    SCOPED_TRACE(expected.type);
    const fs::path path = convert(directory_ / "hf", expected.type);
    const auto file = GgufFile::open(path);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(*file->integer("general.file_type"), expected.file_type);
    EXPECT_EQ(info(type_of(*file, "blk.0.attn_q.weight")).name, expected.matrix);
    EXPECT_EQ(info(type_of(*file, "token_embd.weight")).name, expected.table);
    EXPECT_EQ(info(type_of(*file, "output.weight")).name, expected.table);
    EXPECT_EQ(info(type_of(*file, "blk.1.ffn_down.weight")).name, expected.down);
    EXPECT_EQ(type_of(*file, "blk.0.attn_norm.weight"), DType::kF32);
    EXPECT_EQ(type_of(*file, "rope_freqs.weight"), DType::kF32);
    EXPECT_LE(relative_error(logits(path), exact), expected.error);
  }
}

TEST_F(Conversion, RowsThatDoNotFitAreReported) {
  std::map<std::string, ConvertedTensor> tensors;
  ConvertOptions options;
  options.tensor = [&](const ConvertedTensor& tensor) {
    tensors.emplace(std::string(tensor.name), tensor);
  };
  convert(directory_ / "hf", "q4_k", options);
  ASSERT_TRUE(tensors.contains("blk.0.ffn_down.weight"));
  const ConvertedTensor& down = tensors.at("blk.0.ffn_down.weight");
  EXPECT_EQ(down.from, DType::kF32);
  EXPECT_EQ(down.wanted, DType::kQ4_K);
  EXPECT_EQ(down.to, DType::kQ5_0);
  for (const auto& [name, tensor] : tensors)
    EXPECT_EQ(tensor.wanted != tensor.to, name.contains("ffn_down")) << name;
}

// From a GGUF: everything the file says stays, and the tensors are those of the direct way.
TEST_F(Conversion, GgufToGgufKeepsAllItSays) {
  const fs::path direct = convert(directory_ / "hf", "q4_k");
  fs::rename(direct, directory_ / "direct.gguf");
  const auto plain = GgufFile::open(convert(directory_ / "hf", "f32"));
  ASSERT_TRUE(plain);
  GgufWriter writer;
  for (const auto& [key, value] : plain->metadata()) writer.set(key, value);
  writer.set("general.alignment", GgufValue::u32(32));
  writer.set("tokenizer.chat_template", GgufValue::string("{{ messages }}\n{% if x %}"));
  writer.set("tokenizer.ggml.add_bos_token", GgufValue::boolean(true));
  writer.set("tokenizer.ggml.other", GgufValue::strings({"a", "", "\xe2\x96\x81the"}));
  writer.set("tokenizer.ggml.scores_of_other", GgufValue::f32s({0.5, -1e9}));
  writer.set("somebody.number", GgufValue::u64(std::uint64_t{1} << 40));
  for (const GgufTensor& tensor : plain->tensors())
    writer.add_tensor_view(tensor.name, tensor.view);
  const fs::path source = directory_ / "source.gguf";
  ASSERT_TRUE(writer.write(source));

  const auto ours = GgufFile::open(convert(source, "q4_k"));
  const auto wanted = GgufFile::open(directory_ / "direct.gguf");
  ASSERT_TRUE(ours && wanted);
  EXPECT_EQ(ours->find("general.alignment"), nullptr);
  const auto before = GgufFile::open(source);
  for (const auto& [key, value] : before->metadata()) {
    if (key == "general.alignment" || key == "general.file_type") continue;
    ASSERT_NE(ours->find(key), nullptr) << key;
    EXPECT_EQ(ours->find(key)->type, value.type) << key;
    EXPECT_EQ(ours->find(key)->value, value.value) << key;
  }
  ASSERT_EQ(ours->tensors().size(), wanted->tensors().size());
  for (const GgufTensor& tensor : wanted->tensors()) {
    const GgufTensor* got = ours->find_tensor(tensor.name);
    ASSERT_NE(got, nullptr) << tensor.name;
    EXPECT_EQ(got->view.dtype, tensor.view.dtype) << tensor.name;
    EXPECT_TRUE(std::ranges::equal(got->view.bytes, tensor.view.bytes)) << tensor.name;
  }
}

TEST_F(Conversion, AgainToTheSameTypeNothingChanges) {
  const fs::path once = convert(directory_ / "hf", "q5_k");
  fs::rename(once, directory_ / "once.gguf");
  const fs::path twice = convert(directory_ / "once.gguf", "q5_k");
  const auto first = GgufFile::open(directory_ / "once.gguf"), second = GgufFile::open(twice);
  ASSERT_TRUE(first && second);
  for (const GgufTensor& tensor : first->tensors())
    EXPECT_TRUE(std::ranges::equal(second->find_tensor(tensor.name)->view.bytes, tensor.view.bytes))
        << tensor.name;
}

TEST_F(Conversion, AnyNumberOfThreadsWritesTheSameFile) {
  ConvertOptions options;
  options.threads = 1;
  const auto one = read_file(convert(directory_ / "hf", "q4_k", options));
  options.threads = 3;
  const auto three = read_file(convert(directory_ / "hf", "q4_k", options));
  ASSERT_TRUE(one && three);
  EXPECT_TRUE(*one == *three);
}

TEST_F(Conversion, WhatCannotBeConvertedIsNamed) {
  const auto refuse = [&](float value, const std::string& type, std::string_view says) {
    SCOPED_TRACE(type + " " + std::to_string(value));
    const auto whole = SafetensorsFile::open(directory_ / "hf" / "model.safetensors");
    ASSERT_TRUE(whole);
    fs::create_directories(directory_ / "bad");
    std::ofstream(directory_ / "bad" / "config.json") << config_.dump();
    const std::string name = "model.layers.1.mlp.up_proj.weight";
    std::map<std::string, TensorView> tensors;
    for (const auto& [key, view] : whole->tensors()) tensors.emplace(key, view);
    const auto& from = tensors.at(name).bytes;
    std::vector<std::byte> bytes(from.begin(), from.end());
    std::memcpy(bytes.data() + (7 * 256 + 30) * sizeof(float), &value, sizeof value);
    tensors.at(name).bytes = bytes;
    ASSERT_TRUE(write_safetensors(directory_ / "bad" / "model.safetensors", tensors));
    const fs::path to = directory_ / "x.gguf";
    const Status status = convert_model(directory_ / "bad", to, {.type = type, .threads = 2});
    ASSERT_FALSE(status);
    EXPECT_TRUE(status.error().message.contains(says)) << status.error().message;
    EXPECT_TRUE(status.error().message.contains("'blk.1.ffn_up.weight': row 7: value 30 is"))
        << status.error().message;
    for (const auto& entry : fs::directory_iterator(directory_))
      EXPECT_FALSE(entry.path().filename().string().starts_with("x.gguf")) << entry.path();
  };
  for (const char* type : {"bf16", "f16", "q8_0", "q4_k"}) {
    refuse(NAN, type, "nan: the weights are broken");
    refuse(-INFINITY, type, "-inf: the weights are broken");
  }
  for (const char* type : {"f16", "q8_0", "q4_0", "q6_k"}) refuse(1e30F, type, "use bf16 or f32");

  const Status unknown =
      convert_model(directory_ / "hf", directory_ / "x.gguf", {.type = "q4_k_m"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kUsage);
  EXPECT_TRUE(unknown.error().message.contains("q4_1, q5_0")) << unknown.error().message;
}

}  // namespace
}  // namespace tack
