#include "engine/decoder.h"

#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "formats/gguf.h"
#include "kernels/random_blocks.h"
#include "models/made_up_decoder.h"

namespace tack {
namespace {

namespace fs = std::filesystem;
using kernels::KvType;

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
      const DecoderPart part{sequence, ids.subspan(i, std::min(piece, ids.size() - i)),
                             DecoderPart::Logits::kAll};
      const auto logits = decoder.run({&part, 1});
      EXPECT_TRUE(logits) << logits.error().message;
      all.insert(all.end(), logits->begin(), logits->end());
    }
    return all;
  }

  // A small Llama whose matrices are random blocks, of each type in turn.
  std::shared_ptr<const Model> open_blocks() {
    Json config = golden_["llama 3"]["config"];
    config["hidden_size"] = 256;
    config["intermediate_size"] = 512;
    config["head_dim"] = 64;
    EXPECT_TRUE(write_made_up_checkpoint(directory_, config));
    const fs::path plain = directory_ / "plain.gguf", path = directory_ / "blocks.gguf";
    EXPECT_TRUE(convert_model(directory_, plain, {.type = "f32"}));
    const auto gguf = GgufFile::open(plain);
    EXPECT_TRUE(gguf);
    GgufWriter writer;
    for (const auto& [key, value] : gguf->metadata()) writer.set(key, value);
    constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,
                                DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,
                                DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS};
    Random random(5);
    std::size_t next = 0;
    for (const GgufTensor& tensor : gguf->tensors()) {
      if (tensor.view.shape.size() < 2) {
        writer.add_tensor_view(tensor.name, tensor.view);
        continue;
      }
      const DType type = kTypes[next++ % std::size(kTypes)];
      std::vector<std::byte> blocks(
          *storage_bytes(type, static_cast<std::uint64_t>(element_count(tensor.view.shape))));
      kernels::fill_random_blocks(random, type, 0.15, blocks);
      writer.add_tensor(tensor.name, type, tensor.view.shape, std::move(blocks));
    }
    EXPECT_TRUE(writer.write(path));
    const auto model = Model::open(path, Model::Use::kWeights);
    EXPECT_TRUE(model) << model.error().message;
    return *model;
  }

  fs::path directory_;
  Json golden_;
};

TEST_F(DecoderEngine, LogitsAreThoseOfTransformersHoweverTheTokensCome) {
  for (const auto& [name, expected] : golden_.items()) {
    SCOPED_TRACE(name);
    const auto model = open(name);
    const auto ids = expected["ids"].get<std::vector<TokenId>>();
    const auto whole = decoder(model, {.threads = 1, .kv = KvType::kF32});
    const std::vector<float> logits = feed(*whole, 0, ids, ids.size());
    EXPECT_LT(difference(logits, expected["logits"]), 1e-5);
    const auto in_pieces = [&](std::size_t piece, int threads) {
      // Small batches and contexts: windows move while the prompt comes.
      const auto other = decoder(model, {.threads = threads,
                                         .context = 96,
                                         .sequences = 2,
                                         .batch = static_cast<std::int64_t>(piece),
                                         .kv = KvType::kF32});
      EXPECT_EQ(feed(*other, 1, ids, piece), logits) << piece << " " << threads;
    };
    in_pieces(1, 1);
    in_pieces(3, 1);
    in_pieces(10, 2);
  }
}

TEST_F(DecoderEngine, BlocksAndCachesGiveTheSameBitsHoweverTheTokensCome) {
  const auto model = open_blocks();
  auto ids = golden_["llama 3"]["ids"].get<std::vector<TokenId>>();
  ids.resize(70);  // more than a tile of the cache
  const auto exact = decoder(model, {.threads = 1, .kv = KvType::kF32, .exact = true});
  const std::vector<float> want = feed(*exact, 0, ids, ids.size());
  for (const KvType kv : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
    const auto whole = decoder(model, {.threads = 1, .kv = kv});
    const std::vector<float> logits = feed(*whole, 0, ids, ids.size());
    // Fifteen products one behind another, half a percent each, and a softmax that enlarges what it
    // is given; a wrong one is off by 1. The products alone: kernels/blocks_product_test.cc.
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      difference += std::pow(static_cast<double>(logits[i] - want[i]), 2);
      size += std::pow(static_cast<double>(want[i]), 2);
    }
    EXPECT_LT(std::sqrt(difference / size), 0.06) << static_cast<int>(kv);
    EXPECT_GT(difference, 0.0);
    for (const std::size_t piece : {1, 4, 30}) {
      const auto other = decoder(model, {.threads = piece == 4 ? 1 : 2, .sequences = 2, .kv = kv});
      EXPECT_EQ(feed(*other, 1, ids, piece), logits) << piece << " " << static_cast<int>(kv);
    }
  }
  EXPECT_FALSE(Decoder::create(open("mistral, window"), {.kv = KvType::kQ8_0}));
}

TEST_F(DecoderEngine, MemoryIsWhatTheCacheNeeds) {
  const auto model = open_blocks();
  const auto bytes = [&](KvType kv) {
    return decoder(model, {.threads = 1, .context = 128, .sequences = 2, .kv = kv})->memory().cache;
  };
  // 2 sequences x 2 layers x keys and values x 2 heads x 128 positions x 64.
  EXPECT_EQ(bytes(KvType::kF16), 2U * 2 * 2 * 2 * 128 * 64 * 2);
  EXPECT_EQ(bytes(KvType::kQ8_0), 2U * 2 * 2 * 2 * 128 * 68);
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

  // A window of 7: after 160 tokens one by one, what the 5th saw is gone, but not the 150th.
  const auto window = decoder(open("mistral, window"), {.threads = 1, .batch = 1});
  const auto some = golden_["mistral, window"]["ids"].get<std::vector<TokenId>>();
  std::vector<TokenId> longer;
  while (longer.size() < 160) longer.push_back(some[longer.size() % some.size()]);
  const std::vector<float> straight = feed(*window, 0, longer, 1);
  ASSERT_TRUE(window->rewind(0, 150));
  const std::vector<float> after = feed(*window, 0, std::span(longer).subspan(150), 1);
  EXPECT_TRUE(std::equal(after.begin(), after.end(),
                         straight.end() - static_cast<std::ptrdiff_t>(after.size())));
  EXPECT_FALSE(window->rewind(0, 5));
  EXPECT_EQ(window->length(0), 0);
}

TEST_F(DecoderEngine, ACopyOfASequenceGoesOnWithTheSameBits) {
  for (const char* name : {"llama, tied", "mistral, window", "gemma 3"}) {
    SCOPED_TRACE(name);
    const auto some = golden_[name]["ids"].get<std::vector<TokenId>>();
    std::vector<TokenId> longer;  // rings of tiles have turned
    while (longer.size() < 230) longer.push_back(some[longer.size() % some.size()]);
    const std::span<const TokenId> all(longer);
    const auto d = decoder(open(name), {.threads = 1, .context = 256, .sequences = 3, .batch = 16});
    const std::vector<float> straight = feed(*d, 0, all, 16);
    const auto ends_alike = [&](const std::vector<float>& rest) {
      return std::equal(rest.begin(), rest.end(),
                        straight.end() - static_cast<std::ptrdiff_t>(rest.size()));
    };
    ASSERT_TRUE(d->copy(0, 2, 220));
    EXPECT_EQ(d->length(2), 220);
    EXPECT_TRUE(ends_alike(feed(*d, 2, all.subspan(220), 3)));
    // What it got later is no part of what the first has.
    EXPECT_EQ(d->length(0), 230);
    ASSERT_TRUE(d->copy(2, 1, 230));
    ASSERT_TRUE(d->rewind(1, 225));
    EXPECT_TRUE(ends_alike(feed(*d, 1, all.subspan(225), 5)));
  }
  const auto window =
      decoder(open("mistral, window"), {.threads = 1, .context = 256, .sequences = 2, .batch = 1});
  const std::vector<TokenId> ones(200, 1);
  feed(*window, 0, ones, 1);
  EXPECT_FALSE(window->copy(0, 1, 5));
  EXPECT_EQ(window->length(1), 0);
  EXPECT_EQ(window->length(0), 200);
}

TEST_F(DecoderEngine, LogitsComeForWhatIsAskedAlone) {
  const auto ids = golden_["llama, tied"]["ids"].get<std::vector<TokenId>>();
  const std::span<const TokenId> all(ids);
  const auto d = decoder(open("llama, tied"), {.threads = 2, .sequences = 3});
  const auto vocab = static_cast<std::size_t>(d->vocab_size());
  const DecoderPart parts[] = {{0, all.subspan(0, 5), DecoderPart::Logits::kNone},
                               {1, all.subspan(0, 4), DecoderPart::Logits::kAll},
                               {2, all.subspan(0, 3), DecoderPart::Logits::kLast}};
  const auto logits = d->run(parts);
  ASSERT_TRUE(logits);
  ASSERT_EQ(logits->size(), 5 * vocab);
  EXPECT_TRUE(std::ranges::equal(logits->subspan(4 * vocab), logits->subspan(2 * vocab, vocab)));
  const auto none = d->run({parts, 1});
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
  EXPECT_EQ(d->length(0), 10);
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
