#include "engine/decoder.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "models/made_up_decoder.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

class DecoderEngine : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_engine_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
    golden_ = golden_decoders();
    ASSERT_EQ(golden_.size(), 6U);
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::shared_ptr<const Model> open(const std::string& name) {
    EXPECT_TRUE(write_made_up_checkpoint(directory_, golden_[name]["config"]));
    const auto model = Model::open(directory_, Model::Use::kWeights);
    EXPECT_TRUE(model) << model.error().message;
    return *model;
  }
  static std::unique_ptr<Decoder> decoder(std::shared_ptr<const Model> model,
                                          const DecoderOptions& options) {
    auto decoder = Decoder::create(std::move(model), options);
    EXPECT_TRUE(decoder) << decoder.error().message;
    return *std::move(decoder);
  }
  // Logits of all tokens, given `piece` at a time.
  static std::vector<float> feed(Decoder& decoder, std::int64_t sequence,
                                 std::span<const TokenId> ids, std::size_t piece) {
    std::vector<float> all;
    for (std::size_t i = 0; i < ids.size(); i += piece) {
      const DecoderPart part{sequence, ids.subspan(i, std::min(piece, ids.size() - i)), true};
      const auto logits = decoder.run({&part, 1});
      EXPECT_TRUE(logits) << logits.error().message;
      all.insert(all.end(), logits->begin(), logits->end());
    }
    return all;
  }

  fs::path directory_;
  Json golden_;
};

TEST_F(DecoderEngine, LogitsAreThoseOfTransformersHoweverTheTokensCome) {
  for (const auto& [name, expected] : golden_.items()) {
    SCOPED_TRACE(name);
    const auto model = open(name);
    const auto ids = expected["ids"].get<std::vector<TokenId>>();
    const auto whole = decoder(model, {.threads = 1});
    const std::vector<float> logits = feed(*whole, 0, ids, ids.size());
    EXPECT_LT(difference(logits, expected["logits"]), 1e-5);
    const auto in_pieces = [&](std::size_t piece, int threads) {
      // Small batches and contexts: windows move while the prompt comes.
      const auto other = decoder(model, {.threads = threads,
                                         .context = 96,
                                         .sequences = 2,
                                         .batch = static_cast<std::int64_t>(piece)});
      EXPECT_EQ(feed(*other, 1, ids, piece), logits) << piece << " " << threads;
    };
    in_pieces(1, 1);
    in_pieces(3, 1);
    in_pieces(10, 2);
  }
}

TEST_F(DecoderEngine, SequencesInOneCallDoNotMix) {
  const auto model = open("gemma 3");
  const auto ids = golden_["gemma 3"]["ids"].get<std::vector<TokenId>>();
  const std::span<const TokenId> all(ids);
  const auto alone = decoder(model, {.threads = 1});
  const auto together = decoder(model, {.threads = 2, .sequences = 3});
  const auto last = [&](std::span<const TokenId> tokens) {
    EXPECT_TRUE(alone->rewind(0, 0));
    const DecoderPart part{0, tokens};
    const auto logits = alone->run({&part, 1});
    return std::vector<float>(logits->begin(), logits->end());
  };
  const DecoderPart first[] = {{2, all.subspan(0, 12)}, {0, all.subspan(5, 3)}};
  ASSERT_TRUE(together->run(first));
  // A new prompt beside two that go on.
  const DecoderPart next[] = {
      {0, all.subspan(8, 1)}, {1, all.subspan(3, 9)}, {2, all.subspan(12, 1)}};
  const auto logits = together->run(next);
  ASSERT_TRUE(logits);
  std::vector<float> expected;
  for (const auto tokens : {all.subspan(5, 4), all.subspan(3, 9), all.subspan(0, 13)}) {
    const auto one = last(tokens);
    expected.insert(expected.end(), one.begin(), one.end());
  }
  EXPECT_EQ(std::vector<float>(logits->begin(), logits->end()), expected);
}

TEST_F(DecoderEngine, RewindsWhatItStillHas) {
  const auto ids = golden_["llama, tied"]["ids"].get<std::vector<TokenId>>();
  const std::span<const TokenId> all(ids);
  const auto llama = decoder(open("llama, tied"), {.threads = 1});
  const std::vector<float> once = feed(*llama, 0, all, ids.size());
  ASSERT_TRUE(llama->rewind(0, 4));
  EXPECT_EQ(llama->length(0), 4);
  const std::vector<float> again = feed(*llama, 0, all.subspan(4), 3);
  EXPECT_TRUE(std::equal(again.begin(), again.end(),
                         once.end() - static_cast<std::ptrdiff_t>(again.size())));

  // A window of 7: after 20 tokens one by one, what the 5th saw is gone.
  const auto window = decoder(open("mistral, window"), {.threads = 1, .batch = 1});
  const auto longer = golden_["mistral, window"]["ids"].get<std::vector<TokenId>>();
  feed(*window, 0, longer, 1);
  EXPECT_FALSE(window->rewind(0, 5));
  EXPECT_EQ(window->length(0), 0);
}

TEST_F(DecoderEngine, WhatDoesNotFitChangesNothing) {
  const auto model = open("llama, tied");
  EXPECT_FALSE(Decoder::create(model, {.context = 257}));
  EXPECT_FALSE(Decoder::create(model, {.sequences = 0}));
  const auto small = decoder(model, {.threads = 1, .context = 8, .batch = 6});
  const std::vector<TokenId> ids = {1, 2, 3, 4, 5, 6, 7};
  const std::span<const TokenId> all(ids);
  const auto refused = [&](std::vector<DecoderPart> parts) {
    const auto result = small->run(parts);
    EXPECT_FALSE(result);
    EXPECT_EQ(small->length(0), 0);
    return result ? std::string() : result.error().message;
  };
  EXPECT_TRUE(refused({{0, all}}).contains("batch of 6"));
  EXPECT_TRUE(refused({{0, {}}}).contains("0 tokens"));
  EXPECT_TRUE(refused({{1, all.subspan(0, 1)}}).contains("sequence 1"));
  EXPECT_TRUE(refused({{0, all.subspan(0, 1)}, {0, all.subspan(0, 1)}}).contains("sequence 0"));
  const std::vector<TokenId> wrong = {96};
  EXPECT_TRUE(refused({{0, wrong}}).contains("token id 96"));
  const DecoderPart part{0, all.subspan(0, 5)};
  ASSERT_TRUE(small->run({&part, 1}));
  const auto full = small->run({&part, 1});
  ASSERT_FALSE(full);
  EXPECT_TRUE(full.error().message.contains("context of 8")) << full.error().message;
}

}  // namespace
}  // namespace tack
