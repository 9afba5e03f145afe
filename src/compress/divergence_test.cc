#include "compress/divergence.h"

#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "compress/made_up_model.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

TEST(Divergence, WhatIsComparedIsWhatAModelIsFor) {
  const auto names = [](const char* file) {
    const auto model = *Model::open(std::string(TACK_SOURCE_DIR) + "/models/" + file);
    const ComparedOutput answers = *compared_output(*model, Compared::kAnswers),
                         vectors = *compared_output(*model, Compared::kVectors);
    EXPECT_FALSE(vectors.logits);
    EXPECT_EQ(vectors.cols, model->embedding_dim());
    EXPECT_EQ(answers.logits, answers.name == "logits");
    if (answers.logits) {
      EXPECT_EQ(answers.cols, std::ssize(model->labels()));
    }
    return std::pair{answers.name, vectors.name};
  };
  using Names = std::pair<std::string_view, std::string_view>;
  EXPECT_EQ(names("all-minilm-l6-v2.int8.gguf"), Names("embedding", "embedding"));
  EXPECT_EQ(names("banking-intent.gguf"), Names("logits", "embedding"));
  EXPECT_EQ(names("snips-slots.gguf"), Names("logits", "hidden"));
}

// Against the definition, on logits of the engine; more chunks than one call takes.
TEST(Divergence, OfADecoderIsTheMeanOfItsProbabilities) {
  const fs::path path =
      fs::temp_directory_path() / ("tack_divergence_test_" + std::to_string(::getpid()) + ".gguf");
  ASSERT_TRUE(write_llama(path, golden_byte_bpe(PreTokenizer::kLlama3, false)));
  const auto model = *Model::open(path);
  fs::remove(path);
  CalibrationTokens tokens;
  tokens.chunk_size = 100;
  for (int c = 0; c < 7; ++c) {
    std::vector<TokenId>& chunk = tokens.chunks.emplace_back();
    for (int i = 0; i < 100; ++i)
      chunk.push_back(static_cast<TokenId>((c * 31 + i * i * 7 + 3) % model->vocab_size()));
  }
  const std::string changed = "blk.1.ffn_down.weight";
  const std::vector<float> zeros(64 * 32);
  const TensorView none{DType::kF32, {32, 64}, std::as_bytes(std::span(zeros))};
  const auto replace = [&](std::string_view name) { return name == changed ? &none : nullptr; };

  const DecoderOptions exact{.threads = 1, .kv = kernels::KvType::kF32, .exact = true};
  DecoderOptions other = exact;
  other.replace = replace;
  const auto before = *Decoder::create(model, exact), after = *Decoder::create(model, other);
  const auto width = static_cast<std::size_t>(model->vocab_size());
  double sum = 0;
  for (const auto& chunk : tokens.chunks) {
    const DecoderPart part{0, chunk, DecoderPart::Logits::kAll};
    before->rewind(0, 0);
    after->rewind(0, 0);
    const auto a = *before->run({&part, 1}), b = *after->run({&part, 1});
    for (std::size_t row = 0; row < a.size(); row += width) {
      double all_a = 0, all_b = 0;
      for (std::size_t i = row; i < row + width; ++i) {
        all_a += std::exp(static_cast<double>(a[i]));
        all_b += std::exp(static_cast<double>(b[i]));
      }
      for (std::size_t i = row; i < row + width; ++i) {
        const double p = std::exp(static_cast<double>(a[i])) / all_a,
                     q = std::exp(static_cast<double>(b[i])) / all_b;
        sum += p * std::log(p / q);
      }
    }
  }
  const double expected = sum / static_cast<double>(tokens.tokens());
  ThreadPool pool(2);
  const auto meter = *DivergenceMeter::create(model, tokens, pool);
  EXPECT_NEAR(*meter->measure([](std::string_view) -> const TensorView* { return nullptr; }), 0,
              1e-6);
  EXPECT_GT(expected, 1e-4);
  EXPECT_NEAR(*meter->measure(replace), expected, 1e-4 * expected);
  // The same by the graph for training, with the weight changed in place.
  auto probe = *GraphProbe::create(*model, 2);
  const auto divergence = *GraphDivergence::create(*model, *probe, tokens);
  for (std::size_t w = 0; w < model->graph().weights().size(); ++w)
    if (model->graph().weights()[w].name == changed)
      std::ranges::fill(probe->weight({static_cast<std::int32_t>(w)}), 0.0F);
  EXPECT_NEAR(*divergence.of(model->graph()), expected, 1e-3 * expected);
}

}  // namespace
}  // namespace tack
