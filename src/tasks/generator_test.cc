#include "tasks/generator.h"

#include <cmath>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "tasks/build.h"
#include "tasks/new_decoder.h"
#include "tasks/text_evaluation.h"
#include "tasks/text_pieces.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

class Generator : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_generator_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
    for (const char* a : {"cat", "dog", "bird", "fish"})
      for (const char* b : {"sleeps", "eats", "sings"})
        for (const char* c : {"in the house", "under the tree", "by the river"})
          documents_.texts.push_back(std::string("The ") + a + " " + b + " " + c +
                                     ". Then it goes home and is happy.");
    documents_.labels.assign(documents_.size(), 0);
    documents_.name = "animals";
  }
  void TearDown() override { fs::remove_all(directory_); }

  fs::path at(const std::string& name) const { return directory_ / name; }

  static GenerateSettings sizes() {
    GenerateSettings s;
    s.layers = 2;
    s.d = 32;
    s.heads = 4;
    s.kv_heads = 2;
    s.ff = 48;
    s.vocab = 300;
    s.context = 64;
    return s;
  }

  std::shared_ptr<const Model> fresh(const GenerateSettings& settings, std::uint64_t seed = 1) {
    const auto made = write_new_decoder(settings, documents_, seed, at("start.gguf"));
    EXPECT_TRUE(made) << made.error().message;
    const auto model = Model::open(at("start.gguf"));
    EXPECT_TRUE(model) << model.error().message;
    return *model;
  }

  static TrainSettings settings() {
    TrainSettings s;
    s.method = TrainMethod::kFull;
    s.length = 24;  // shorter than a document: pieces
    s.loop.epochs = 30;
    s.loop.rate = 1e-2;
    s.loop.dropout = 0;
    s.loop.micro_tokens = 200;
    return s;
  }

  fs::path directory_;
  Dataset documents_;
};

TEST_F(Generator, PiecesPredictEveryTokenOfADocumentOnce) {
  const auto model = fresh(sizes());
  EXPECT_EQ(end_of_text(*model), TokenId{0});
  for (const std::int64_t length : {1, 5, 24, 1000}) {
    const TextPieces pieces(*model, documents_, length);
    std::size_t p = 0;
    for (std::size_t d = 0; d < documents_.size(); ++d) {
      std::vector<TokenId> expected = model->tokenizer().encode(documents_.texts[d]).ids, got;
      EXPECT_EQ(expected.front(), 0);  // <|endoftext|> begins it
      expected.push_back(0);
      for (got.push_back(0); p < pieces.size() && pieces.document(p) == d; ++p) {
        ASSERT_LE(pieces.inputs(p).size(), static_cast<std::size_t>(length));
        EXPECT_EQ(pieces.inputs(p).front(), got.back());
        got.insert(got.end(), pieces.targets(p).begin(), pieces.targets(p).end());
      }
      ASSERT_EQ(got, expected);
    }
    EXPECT_EQ(p, pieces.size());
  }
}

TEST_F(Generator, ANewDecoderIsAsPublished) {
  GenerateSettings s = sizes();
  s.d = 64;
  s.ff = 128;
  const auto model = fresh(s, 7);
  EXPECT_EQ(model->vocab_size(), 300);
  EXPECT_EQ(model->context_length(), 64);
  for (const graph::Weight& weight : model->graph().weights()) {
    const TensorView& view = model->tensor(weight);
    const auto* values = reinterpret_cast<const float*>(view.bytes.data());
    const std::int64_t n = element_count(view.shape);
    double sum = 0, squares = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      sum += static_cast<double>(values[i]);
      squares += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
    const auto count = static_cast<double>(n);
    if (view.shape.size() == 1) {
      EXPECT_EQ(sum, count) << weight.name;
      EXPECT_EQ(squares, count) << weight.name;
      continue;
    }
    const bool adds = weight.name.contains("attn_output") || weight.name.contains("ffn_down");
    const double deviation = adds ? 0.01 : 0.02;  // sqrt(2 * 2 layers) = 2
    EXPECT_NEAR(std::sqrt(squares / count), deviation, 4 * deviation / std::sqrt(2 * count))
        << weight.name;
    EXPECT_NEAR(sum / count, 0, 4 * deviation / std::sqrt(count)) << weight.name;
  }
  // An untrained model knows nothing: each token costs the logarithm of their number.
  const auto evaluation = evaluate_texts(model, documents_, {.threads = 1});
  ASSERT_TRUE(evaluation) << evaluation.error().message;
  EXPECT_NEAR(std::log(evaluation->perplexity.value), std::log(300.0), 0.02);
}

TEST_F(Generator, LearnsATextByHeartAndSaysWhatItCosts) {
  for (const bool tied : {true, false}) {
    SCOPED_TRACE(tied);
    GenerateSettings s = sizes();
    s.tied = tied;
    const auto trained = train_decoder(fresh(s), documents_, documents_, settings(), 200,
                                       at("trained.gguf"), {.threads = 2, .type = "f32"});
    ASSERT_TRUE(trained) << trained.error().message;
    // What cannot be known is which of 4, 3 and 3 words comes: ln 36 nats a document. A gradient
    // that is wrong anywhere stays far above.
    const double least = std::log(36.0) * static_cast<double>(documents_.size()) /
                         static_cast<double>(trained->tokens);
    EXPECT_GT(trained->training.epochs.back().loss, 0.9 * least);
    EXPECT_LT(trained->training.epochs.back().loss, 1.5 * least);
    // The same texts by the engine, token by token against the tape's.
    const auto evaluation =
        evaluate_texts(trained->model, documents_, {.threads = 1, .length = 24});
    ASSERT_TRUE(evaluation) << evaluation.error().message;
    EXPECT_EQ(evaluation->all_tokens(), trained->tokens);
    const double nats = std::log(evaluation->perplexity.value);
    // Sums in other orders; what is learned, and so how far they are apart, depends on the level.
    EXPECT_NEAR(nats, -trained->training.best_validation, 1e-4 * nats);
    double bytes = 0;
    for (const std::string& text : documents_.texts) bytes += static_cast<double>(text.size());
    EXPECT_NEAR(evaluation->bits_per_byte.value,
                nats * static_cast<double>(trained->tokens) / bytes / std::log(2.0), 1e-9);
  }
}

TEST_F(Generator, GoesOnFromADecoderWithAnyNumberOfThreads) {
  const auto start = fresh(sizes());
  TrainSettings s = settings();
  s.loop.epochs = 3;
  s.loop.dropout = 0.1;
  const auto train = [&](const std::shared_ptr<const Model>& from, int threads, const char* to) {
    fs::create_directories(at(to).parent_path());  // the file's name stands in the file
    return train_decoder(from, documents_, documents_, s, 200, at(to),
                         {.threads = threads, .type = "f32"});
  };
  const auto one = train(start, 1, "one/m.gguf"), three = train(start, 3, "three/m.gguf");
  ASSERT_TRUE(one && three);
  EXPECT_EQ(one->training.losses, three->training.losses);
  EXPECT_TRUE(*read_file(at("one/m.gguf")) == *read_file(at("three/m.gguf")));
  // Trained further, it is better at once than the first run was at its end.
  const auto more = train(one->model, 1, "more/m.gguf");
  ASSERT_TRUE(more) << more.error().message;
  EXPECT_LT(more->training.epochs.back().loss, one->training.epochs.back().loss);
}

TEST_F(Generator, StepsEndInTheMiddleOfAnEpoch) {
  TrainSettings s = settings();
  const auto start = fresh(sizes());
  s.loop.epochs = 1;
  const auto epoch =
      train_decoder(start, documents_, documents_, s, 200, at("a.gguf"), {.type = "f32"});
  ASSERT_TRUE(epoch) << epoch.error().message;
  const std::int64_t steps = epoch->training.steps + 2;
  s.loop.steps = steps;
  const auto trained =
      train_decoder(start, documents_, documents_, s, 200, at("b.gguf"), {.type = "f32"});
  ASSERT_TRUE(trained) << trained.error().message;
  EXPECT_EQ(trained->training.steps, steps);
  ASSERT_EQ(trained->training.epochs.size(), 2U);
  EXPECT_EQ(trained->training.epochs.back().step, steps);
  const auto& losses = trained->training.losses;
  EXPECT_DOUBLE_EQ(trained->training.epochs.back().loss,
                   (losses[losses.size() - 2] + losses.back()) / 2);
}

TEST_F(Generator, ATaskIsBuiltFromTextOfAnyBytes) {
  std::string text;
  for (const std::string& document : documents_.texts) text += document + "\n\n";
  text += std::string("\xff\0\xc3 not UTF-8\n\n", 15);
  ASSERT_TRUE(write_file(at("text.txt"), text));
  auto task = parse_task(
      "[task]\nkind = 'generate'\nname = 'animals'\n[data]\ntrain = '" + at("text.txt").string() +
          "'\n[model]\nlayers = 1\nd = 32\nheads = 2\nff = 32\nvocab = 270\ncontext = 64\n"
          "[train]\nepochs = 2\nbatch_tokens = 300\nrate = 1e-2\n",
      "animals.toml");
  ASSERT_TRUE(task) << task.error().message;
  const auto built = build_task(*task, {.out = at("animals.gguf"), .threads = 1});
  ASSERT_TRUE(built) << built.error().message;
  EXPECT_EQ(built->train_rows + built->validation_rows + built->test_rows, 37U);
  const auto model = Model::open(at("animals.gguf"));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_TRUE((*model)->generates());
  EXPECT_EQ(default_length(**model), 64);
  const Json* lineage = (*model)->tack_metadata("lineage");
  ASSERT_NE(lineage, nullptr);
  EXPECT_EQ((*lineage)["base"], "scratch");
  EXPECT_EQ((*lineage)["train"]["sha256"].get<std::string>().size(), 64U);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& file : fs::directory_iterator(directory_)) ++files;
  EXPECT_EQ(files, 2U);  // nothing else is left

  // Its own tokenizer, and itself as a base.
  task->generate.tokenizer = at("animals.gguf").string();
  task->generate.layers = 2;
  const auto again = build_task(*task, {.out = at("again.gguf"), .threads = 1});
  ASSERT_TRUE(again) << again.error().message;
  task->base = at("animals.gguf").string();
  task->training.loop.rate = 1e-3;
  const auto more = build_task(*task, {.out = at("more.gguf"), .threads = 1});
  ASSERT_TRUE(more) << more.error().message;
  ASSERT_TRUE(more->baseline_texts);
  EXPECT_LT(more->texts->perplexity.value, more->baseline_texts->perplexity.value);
}

TEST_F(Generator, SaysWhatIsWrongInOneLine) {
  const auto why = [](const std::string& rest) {
    const auto task = parse_task("[task]\nkind = 'generate'\n" + rest, "t.toml");
    return task ? std::string("nothing") : task.error().message;
  };
  const std::string data = "[data]\ntrain = 'x.txt'\n",
                    model = "[model]\nlayers = 1\nd = 32\nheads = 2\nff = 32\n";
  EXPECT_EQ(why(data + model), "nothing");
  EXPECT_EQ(why("[data]\ntrain = ['x', 'y']\n" + model), "nothing");
  EXPECT_EQ(why(data + "[model]\nbase = 'x.gguf'\n"), "nothing");
  EXPECT_TRUE(why(model).contains("[data] train is missing"));
  EXPECT_TRUE(why(data).contains("[model] layers is missing"));
  EXPECT_TRUE(why(data + model + "vocab = 256\n").contains("from 257"));
  EXPECT_TRUE(why(data + model + "heads = 3\n").contains("heads")) << "twice";
  EXPECT_TRUE(why(data + model + "kv_heads = 4\n").contains("no multiple of kv_heads = 4"));
  EXPECT_TRUE(why(data + model + "context = 32\n[train]\nlength = 64\n")
                  .contains("length = 64 is more than [model] context = 32"));
  EXPECT_TRUE(why(data + model + "[train]\nsteps = 3\nepochs = 2\n").contains("left out"));
  EXPECT_TRUE(why(data + model + "[gate]\nfloor = 0.5\n").contains("has no [gate]"));
  EXPECT_TRUE(why(data + model + "[train]\nsmoothing = 0.1\n").contains("unknown key"));

  const auto base = fresh(sizes());
  TrainSettings s = settings();
  s.length = 65;
  const auto longer = train_decoder(base, documents_, documents_, s, 200, at("x.gguf"), {});
  ASSERT_FALSE(longer);
  EXPECT_TRUE(longer.error().message.contains("length = 65 is more than the context"));
  EXPECT_FALSE(evaluate_texts(base, documents_, {.length = 65}));
  const std::vector<std::size_t> none;
  EXPECT_FALSE(evaluate_texts(base, documents_.subset(none), {}));
}

}  // namespace
}  // namespace tack
