// Layers and widths of whole models.

#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>
#include <unistd.h>

#include "compress/divergence.h"
#include "compress/made_up_model.h"
#include "compress/prune_layers.h"
#include "compress/prune_width.h"
#include "engine/decoder.h"
#include "engine/text_encoder.h"
#include "models/layers.h"
#include "models/narrow.h"
#include "models/width_cut.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

class PruneModel : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(directory_); }
  void TearDown() override { fs::remove_all(directory_); }

  std::shared_ptr<const Model> llama(const MadeUpSizes& sizes) {
    const fs::path path = directory_ / "llama.gguf";
    EXPECT_TRUE(write_llama(path, golden_byte_bpe(PreTokenizer::kLlama3, false), sizes));
    return *Model::open(path);
  }
  // The encoder that ships, in f32: its own numbers.
  std::shared_ptr<const Model> encoder(const std::string& type) {
    const fs::path path = directory_ / "encoder.gguf";
    EXPECT_TRUE(convert_model(std::string(TACK_SOURCE_DIR) + "/models/banking-intent.gguf", path,
                              {.type = type}));
    return *Model::open(path);
  }
  fs::path out() const { return directory_ / "pruned.gguf"; }
  fs::path directory_ =
      fs::temp_directory_path() / ("tack_prune_model_" + std::to_string(getpid()));
};

std::vector<float> logits(const std::shared_ptr<const Model>& model,
                          const std::vector<TokenId>& ids) {
  auto decoder =
      *Decoder::create(model, {.threads = 1, .context = 64, .kv = kernels::KvType::kF32});
  const DecoderPart part{0, ids, DecoderPart::Logits::kAll};
  const auto out = *decoder->run({&part, 1});
  return {out.begin(), out.end()};
}

double kl(std::span<const float> base, std::span<const float> other) {
  const auto log_sum = [](std::span<const float> row) {
    double sum = 0;
    for (const float x : row) sum += std::exp(static_cast<double>(x));
    return std::log(sum);
  };
  const double a = log_sum(base), b = log_sum(other);
  double sum = 0;
  for (std::size_t i = 0; i < base.size(); ++i) {
    const double p = static_cast<double>(base[i]) - a, q = static_cast<double>(other[i]) - b;
    sum += std::exp(p) * (p - q);
  }
  return sum;
}

// The layer that goes first is the one whose loss changes the predictions least, as another program
// (the engine, on files with each layer left out) measures it.
TEST_F(PruneModel, TheLayerOfLeastHarmGoes) {
  const auto model = llama({.layers = 4});
  const std::vector<std::string> texts = {"my card has not arrived yet, please help"};
  const auto tokens = *draw_tokens(*model, texts, {.most = 60, .piece = 60});
  ASSERT_EQ(tokens.chunks.size(), 1U);
  const std::vector<TokenId>& ids = tokens.chunks[0];
  const auto whole = logits(model, ids);
  const auto width = static_cast<std::size_t>(model->vocab_size());
  std::vector<double> harm;
  for (std::int64_t gone = 0; gone < 4; ++gone) {
    std::vector<std::int64_t> keep;
    for (std::int64_t i = 0; i < 4; ++i)
      if (i != gone) keep.push_back(i);
    const auto draft = with_layers(*model, keep);
    ASSERT_TRUE(draft) << draft.error().message;
    ASSERT_TRUE(draft->write(out()));
    const auto rest = logits(*Model::open(out()), ids);
    double sum = 0;
    for (std::size_t t = 0; t < ids.size(); ++t)
      sum +=
          kl(std::span(whole).subspan(t * width, width), std::span(rest).subspan(t * width, width));
    harm.push_back(sum / static_cast<double>(ids.size()));
  }
  auto probe = *GraphProbe::create(*model, 2);
  const auto divergence = *GraphDivergence::create(*model, *probe, tokens);
  for (std::size_t gone = 0; gone < 4; ++gone) {
    std::vector<bool> dropped(4);
    dropped[gone] = true;
    EXPECT_NEAR(*divergence.of(without_layers(model->graph(), dropped)), harm[gone],
                1e-3 * harm[gone] + 1e-5);
  }
  EXPECT_NEAR(*divergence.of(without_layers(model->graph(), std::vector<bool>(4))), 0, 1e-6);

  const auto pruning = prune_layers(*model, texts, {.keep = 3, .threads = 1}, out());
  ASSERT_TRUE(pruning) << pruning.error().message;
  EXPECT_EQ(pruning->bytes_after, fs::file_size(out()));
  const auto least = std::ranges::min_element(harm) - harm.begin();
  EXPECT_EQ(pruning->steps[0].layers, std::vector<std::int64_t>{least});
  EXPECT_EQ(layer_count(**Model::open(out())), 3);
}

// Every sixth layer of a Gemma sees everything: others can only go six at a time.
TEST_F(PruneModel, LayersWithWindowsGoTogether) {
  const Json golden = golden_decoders();
  Json config;
  for (const auto& [name, one] : golden.items())
    if (one["config"]["model_type"] == "gemma3_text") config = one["config"];
  ASSERT_FALSE(config.is_null());
  config["num_hidden_layers"] = 8;
  config.erase("layer_types");
  config["sliding_window_pattern"] = 6;
  ASSERT_TRUE(write_made_up_checkpoint(directory_, config));
  const fs::path path = directory_ / "gemma.gguf";
  ASSERT_TRUE(convert_model(directory_, path, {.type = "f32"}));
  const auto model = *Model::open(path, Model::Use::kWeights);
  EXPECT_EQ(layer_unit(*model), 6);
  const auto refused = with_layers(*model, {0, 1, 2, 4, 5, 6, 7});
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message.contains("6 neighbours"));
  for (const std::vector<std::int64_t>& keep :
       std::vector<std::vector<std::int64_t>>{{0, 1}, {6, 7}, {0, 7}, {0, 1, 2, 3, 4, 5}}) {
    const auto draft = with_layers(*model, keep);
    ASSERT_TRUE(draft) << draft.error().message;
    ASSERT_TRUE(draft->write(out()));
    std::vector<bool> dropped(8, true);
    for (const std::int64_t layer : keep) dropped[static_cast<std::size_t>(layer)] = false;
    // The file's graph is the graph that harm is measured on.
    const auto pruned = *Model::open(out(), Model::Use::kWeights);
    const graph::Graph expected = without_layers(model->graph(), dropped);
    ASSERT_EQ(pruned->graph().nodes().size(), expected.nodes().size());
    for (std::size_t i = 0; i < expected.nodes().size(); ++i) {
      const auto* a = std::get_if<graph::Attention>(&expected.nodes()[i].op);
      const auto* b = std::get_if<graph::Attention>(&pruned->graph().nodes()[i].op);
      ASSERT_EQ(a == nullptr, b == nullptr);
      if (a == nullptr) continue;
      EXPECT_EQ(a->window, b->window);
      EXPECT_EQ(a->scale, b->scale);
    }
  }
}

// A decoder whose feed-forward layers are cut gives, in the engine, what its weights with zeros for
// what went would give.
TEST_F(PruneModel, FeedForwardLayersOfADecoder) {
  const auto model = llama({.layers = 2, .ffn = 96});
  const std::vector<std::string> texts = golden_lines();
  const auto pruning = prune_width(*model, texts, {.ffn = 64, .threads = 2}, out());
  ASSERT_TRUE(pruning) << pruning.error().message;
  EXPECT_EQ(pruning->bytes_after, fs::file_size(out()));
  ASSERT_EQ(pruning->layers.size(), 2U);
  const auto pruned = *Model::open(out());
  EXPECT_EQ(layer_width(*pruned).ffn, 64);
  EXPECT_EQ(*pruned->gguf()->integer("llama.feed_forward_length"), 64);
  // Its own predictions are as far from the whole model's as was said.
  const auto tokens = *draw_tokens(*model, texts, {.most = 4096});
  auto probe = *GraphProbe::create(*model, 1);
  const auto whole = *GraphDivergence::create(*model, *probe, tokens);
  EXPECT_GT(pruning->harm, 0);
  EXPECT_NEAR(*whole.of(model->graph()), 0, 1e-6);
  const std::vector<TokenId> ids = model->tokenizer().encode(texts[2]).ids;
  const std::vector<TokenId> some(ids.begin(),
                                  ids.begin() + std::min<std::ptrdiff_t>(30, std::ssize(ids)));
  const auto a = logits(model, some), b = logits(pruned, some);
  const auto width = static_cast<std::size_t>(model->vocab_size());
  double sum = 0;
  for (std::size_t t = 0; t < some.size(); ++t)
    sum += kl(std::span(a).subspan(t * width, width), std::span(b).subspan(t * width, width));
  EXPECT_LT(sum / static_cast<double>(some.size()), 6 * pruning->harm + 0.01);
  // The same bits for any number of threads.
  const fs::path again = directory_ / "again.gguf";
  ASSERT_TRUE(prune_width(*model, texts, {.ffn = 64, .threads = 1}, again));
  const auto other = *Model::open(again);
  for (const GgufTensor& tensor : pruned->gguf()->tensors())
    EXPECT_TRUE(
        std::ranges::equal(tensor.view.bytes, other->gguf()->find_tensor(tensor.name)->view.bytes))
        << tensor.name;
}

TEST_F(PruneModel, HeadsAndChannelsOfAnEncoder) {
  // Narrower than the model that ships: less to compute.
  const auto whole = encoder("f32");
  const LayerWidth full = layer_width(*whole);
  Narrowing some;
  const auto first = [](std::int64_t n) {
    std::vector<std::int64_t> numbers(static_cast<std::size_t>(n));
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
  };
  some.dims = first(whole->embedding_dim());
  for (std::int64_t i = 0; i < layer_count(*whole); ++i) {
    some.heads.push_back(first(full.heads));
    some.channels.push_back(first(256));
  }
  const fs::path narrow = directory_ / "narrow.gguf";
  ASSERT_TRUE(write_narrow(*whole, some, narrow));
  const auto model = *Model::open(narrow);
  std::vector<std::string> texts = {
      "I was charged twice", "where is my card",           "how do I top up by bank transfer",
      "the app shows a fee", "can I change my PIN abroad", "my transfer was declined"};
  const LayerWidth width = layer_width(*model);
  const WidthChoice choice{.ffn = width.ffn - 64, .heads = width.heads - 2, .threads = 2};
  const auto pruning = prune_width(*model, texts, choice, out());
  ASSERT_TRUE(pruning) << pruning.error().message;
  EXPECT_EQ(pruning->bytes_after, fs::file_size(out()));
  const auto pruned = *Model::open(out());
  EXPECT_EQ(layer_width(*pruned).heads, width.heads - 2);
  EXPECT_EQ(layer_width(*pruned).head_dim, width.head_dim);
  EXPECT_EQ(layer_width(*pruned).ffn, width.ffn - 64);
  // The engine's vectors of the file are as far from the whole model's as was said.
  const auto embed = [&](const std::shared_ptr<const Model>& of) {
    auto made = *TextEncoder::create(of, {.threads = 1});
    return *made->embed(texts);
  };
  const auto a = embed(model), b = embed(pruned);
  const auto dims = static_cast<std::size_t>(model->embedding_dim());
  double harm = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    double ab = 0;
    for (std::size_t d = 0; d < dims; ++d)
      ab += static_cast<double>(a[i * dims + d]) * static_cast<double>(b[i * dims + d]);
    harm += 1 - ab;
  }
  EXPECT_NEAR(harm / static_cast<double>(texts.size()), pruning->harm, 1e-4);
  // A narrower encoder converts to int8, with a head, as any other.
  const fs::path small = directory_ / "small.gguf";
  ASSERT_TRUE(convert_model(out(), small, {.type = "int8"}));
  EXPECT_TRUE(Model::open(small));
}

TEST_F(PruneModel, Refusals) {
  const auto message = [](const auto& result) {
    EXPECT_FALSE(result);
    return result ? std::string() : result.error().message;
  };
  const std::vector<std::string> texts = {"one text"};
  const auto decoder = llama({.layers = 3, .ffn = 96});
  EXPECT_TRUE(message(prune_layers(*decoder, texts, {.keep = 3}, out())).contains("1 to 2"));
  EXPECT_TRUE(message(prune_layers(*decoder, {}, {.keep = 2}, out())).contains("no texts"));
  EXPECT_TRUE(message(prune_layers(*decoder, {}, {.drop = {7}}, out())).contains("no layer 7"));
  EXPECT_TRUE(message(prune_layers(*decoder, {}, {.drop = {0, 1, 2}}, out())).contains("list"));
  EXPECT_TRUE(message(prune_width(*decoder, texts, {.ffn = 50}, out())).contains("multiple of 32"));
  EXPECT_TRUE(message(prune_width(*decoder, texts, {.heads = 2}, out())).contains("BERT"));
  EXPECT_TRUE(message(prune_width(*decoder, {}, {.ffn = 64}, out())).contains("no texts"));
  const auto int8 = Model::open(std::string(TACK_SOURCE_DIR) + "/models/banking-intent.gguf");
  ASSERT_TRUE(int8);
  EXPECT_TRUE(message(prune_width(**int8, texts, {.ffn = 256}, out())).contains("--requantize"));
  const auto halves =
      prune_width(**int8, texts, {.heads = 10, .requantize = true}, directory_ / "halves.gguf");
  ASSERT_TRUE(halves) << halves.error().message;
  EXPECT_TRUE(halves->refit_as_f16);
  EXPECT_EQ((*Model::open(directory_ / "halves.gguf"))->labels(), (*int8)->labels());
  EXPECT_FALSE(fs::exists(out()));
  // Layers named need no texts, and rows in blocks stay as they are.
  EXPECT_TRUE(prune_layers(**int8, {}, {.drop = {1}}, out()));
  EXPECT_TRUE(Model::open(out()));
}

}  // namespace
}  // namespace tack
