// The shipped encoder, and what models refuse.

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/json.h"
#include "models/model.h"
#include "models/smoothing.h"

namespace tack {
namespace {

const std::filesystem::path kEncoder =
    std::filesystem::path(TACK_SOURCE_DIR) / "models/all-minilm-l6-v2.int8.gguf";

// Ids that Hugging Face's tokenizers gave (tools/golden/wordpiece_parity.py).
TEST(ShippedEncoder, TokenizesLikeTheReference) {
  const auto model = Model::open(kEncoder);
  ASSERT_TRUE(model) << model.error().message;
  std::ifstream golden(std::filesystem::path(TACK_SOURCE_DIR) / "tests/golden/wordpiece.jsonl");
  std::string line;
  int lines = 0;
  for (; std::getline(golden, line); ++lines) {
    const auto json = parse_json(line, "golden");
    ASSERT_TRUE(json);
    EXPECT_EQ((*model)->tokenizer().encode((*json)["text"].get<std::string>()).ids,
              (*json)["ids"].get<std::vector<TokenId>>())
        << line;
  }
  EXPECT_EQ(lines, 400);
}

TEST(ShippedEncoder, IsWhatItsCardSays) {
  const auto model = Model::open(kEncoder);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ((*model)->architecture(), "bert");
  EXPECT_EQ((*model)->embedding_dim(), 384);
  EXPECT_EQ((*model)->context_length(), 256);
  EXPECT_EQ((*model)->tokenizer().vocab_size(), 30522);
  EXPECT_LE((*model)->file_bytes(), 25'000'000U);
  std::size_t smoothed = 0;
  for (const graph::Weight& weight : (*model)->graph().weights())
    smoothed += !(*model)->smoothing(weight).empty();
  EXPECT_EQ(smoothed, 36U);  // six matrices in each of six layers
}

TEST(Model, ConversionKeepsShapesNamesAndKeys) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("tack_models_test_" + std::to_string(::getpid()) + ".gguf");
  ASSERT_TRUE(convert_model(kEncoder, path, {.type = "f16"}));
  const auto before = Model::open(kEncoder), after = Model::open(path);
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ((*after)->graph().to_text(), (*before)->graph().to_text());
  EXPECT_EQ((*after)->parameter_count(), (*before)->parameter_count());
  EXPECT_EQ(*(*after)->gguf()->string("general.license"), "Apache-2.0");
  std::filesystem::remove(path);
}

TEST(Model, ResolvesNamesAndSaysWhereItLooked) {
  const auto missing = resolve_model("no-such-model");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(missing.error().message.contains("no-such-model"));
  EXPECT_TRUE(resolve_model(kEncoder.string()));
}

TEST(Smoothing, FactorsArePowersOfTheEighthRootOfTwo) {
  const auto factors = smoothing_factors({0, 8, -8, 4});
  ASSERT_TRUE(factors);
  EXPECT_FLOAT_EQ((*factors)[0], 1);
  EXPECT_FLOAT_EQ((*factors)[1], 2);
  EXPECT_FLOAT_EQ((*factors)[2], 0.5F);
  EXPECT_FLOAT_EQ((*factors)[3], std::sqrt(2.0F));
  EXPECT_FALSE(smoothing_factors({128}));
}

}  // namespace
}  // namespace tack
