// Healing of quantized decoders, and training of encoders whose weights are quantized.
#include "tasks/heal.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "graph/weights.h"
#include "tasks/finetune.h"
#include "tasks/generator.h"
#include "tasks/new_decoder.h"
#include "tasks/student.h"
#include "tensor/block_parts.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

class Heal : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = fs::temp_directory_path() / ("tack_heal_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
    Dataset& texts = texts_;
    for (const char* a : {"cat", "dog", "bird", "fish"})
      for (const char* b : {"sleeps", "eats", "sings"})
        for (const char* c : {"in the house", "under the tree", "by the river"})
          texts.texts.push_back(std::string("The ") + a + " " + b + " " + c +
                                ". Then it goes home and is happy.");
    texts.labels.assign(texts.size(), 0);
    texts.name = "animals";
    GenerateSettings sizes;
    sizes.layers = 2;
    sizes.d = 32;
    sizes.heads = 4;
    sizes.kv_heads = 2;
    sizes.ff = 64;
    sizes.vocab = 300;
    sizes.context = 64;
    ASSERT_TRUE(write_new_decoder(sizes, texts, 1, at("start.gguf")));
    const auto start = Model::open(at("start.gguf"));
    ASSERT_TRUE(start);
    TrainSettings training;
    training.method = TrainMethod::kFull;
    training.length = 64;
    training.loop.epochs = 10;
    training.loop.rate = 1e-2;
    training.loop.dropout = 0;
    const auto trained = train_decoder(*start, texts, texts, training, 200, at("f16.gguf"),
                                       {.threads = 2, .type = "f16"});
    ASSERT_TRUE(trained) << trained.error().message;
    original_ = trained->model;
  }
  static void TearDownTestSuite() {
    original_.reset();
    fs::remove_all(directory_);
  }

  static fs::path at(const std::string& name) { return directory_ / name; }
  static std::shared_ptr<const Model> quantized(const std::string& type) {
    const fs::path path = at(type + ".gguf");
    EXPECT_TRUE(convert_model(original_->path(), path, {.type = type}));
    const auto model = Model::open(path);
    EXPECT_TRUE(model) << model.error().message;
    return *model;
  }
  static HealSettings settings(bool codes) {
    HealSettings s;
    s.codes = codes;
    s.steps = 40;
    s.batch_tokens = 300;
    s.rate = 5e-3;
    s.validations = 4;
    return s;
  }
  static std::string bytes(const std::string& name) {
    const auto file = read_file(at(name));
    EXPECT_TRUE(file);
    return *file;
  }

  static inline fs::path directory_;
  static inline Dataset texts_;
  static inline std::shared_ptr<const Model> original_;
};

// Codes that differ, of all blocks of all tensors.
std::int64_t other_codes(const Model& a, const Model& b) {
  std::int64_t count = 0;
  for (const graph::Weight& weight : a.graph().weights()) {
    const TensorView &x = a.tensor(weight), &y = b.tensor(weight);
    EXPECT_EQ(x.dtype, y.dtype) << weight.name;
    if (!has_parts(x.dtype)) continue;
    const std::size_t bytes = info(x.dtype).block_bytes;
    for (std::size_t at = 0; at < x.bytes.size(); at += bytes) {
      const BlockParts p = take_apart(x.dtype, x.bytes.data() + at),
                       q = take_apart(y.dtype, y.bytes.data() + at);
      for (int i = 0; i < p.values; ++i) count += p.code[i] == q.code[i] ? 0 : 1;
    }
  }
  return count;
}

TEST_F(Heal, BringsAModelCloserWithTheCodesItHas) {
  for (const char* type : {"q4_0", "q4_1"}) {
    SCOPED_TRACE(type);
    const auto start = quantized(type);
    const auto healed =
        heal(start, original_, texts_, texts_, settings(false), at("healed.gguf"), {.threads = 2});
    ASSERT_TRUE(healed) << healed.error().message;
    EXPECT_LT(healed->after, 0.7 * healed->before);
    EXPECT_LT(healed->model->file_bytes(), start->file_bytes() + 2000) << "but for the lineage";
    EXPECT_EQ(other_codes(*start, *healed->model), 0);
    ASSERT_NE(healed->model->tack_metadata("lineage"), nullptr);
    // What was measured is the file: healing it for a step begins where this one ended.
    HealSettings again = settings(false);
    again.steps = 1;
    const auto once_more =
        heal(healed->model, original_, texts_, texts_, again, at("again.gguf"), {.threads = 2});
    ASSERT_TRUE(once_more);
    EXPECT_EQ(once_more->before, healed->after);
  }
}

TEST_F(Heal, LearnsCodesToo) {
  const auto start = quantized("q4_0");
  const auto healed =
      heal(start, original_, texts_, texts_, settings(true), at("codes.gguf"), {.threads = 2});
  ASSERT_TRUE(healed) << healed.error().message;
  EXPECT_LT(healed->after, 0.7 * healed->before);
  EXPECT_GT(other_codes(*start, *healed->model), 0);
  HealSettings again = settings(true);
  again.steps = 1;
  const auto once_more =
      heal(healed->model, original_, texts_, texts_, again, at("again.gguf"), {.threads = 2});
  ASSERT_TRUE(once_more);
  EXPECT_EQ(once_more->before, healed->after);
}

TEST_F(Heal, TheSameFileForAnyNumberOfThreads) {
  const auto start = quantized("q4_1");
  HealSettings few = settings(true);
  few.steps = 6;
  for (const int threads : {1, 3}) {
    const auto healed = heal(start, original_, texts_, texts_, few,
                             at(std::to_string(threads) + ".gguf"), {.threads = threads});
    ASSERT_TRUE(healed) << healed.error().message;
  }
  EXPECT_EQ(bytes("1.gguf"), bytes("3.gguf"));
}

TEST_F(Heal, KeepsTheStartWhenNothingIsBetter) {
  const auto start = quantized("q4_0");
  HealSettings wild = settings(false);
  wild.steps = 2;
  wild.rate = 0.9;
  const auto healed = heal(start, original_, texts_, texts_, wild, at("wild.gguf"), {.threads = 2});
  ASSERT_TRUE(healed) << healed.error().message;
  EXPECT_EQ(healed->training.best_epoch, 0);
  EXPECT_EQ(healed->after, healed->before);
  for (const graph::Weight& weight : start->graph().weights()) {
    const auto a = start->tensor(weight).bytes, b = healed->model->tensor(weight).bytes;
    EXPECT_TRUE(std::ranges::equal(a, b)) << weight.name;
  }
}

TEST_F(Heal, RefusesWhatDoesNotBelongTogether) {
  const auto why = [&](const std::shared_ptr<const Model>& a,
                       const std::shared_ptr<const Model>& b) {
    const auto healed = heal(a, b, texts_, texts_, settings(false), at("x.gguf"), {});
    return healed ? std::string("nothing") : healed.error().message;
  };
  const auto start = quantized("q4_0");
  EXPECT_TRUE(why(original_, original_).contains("no tensor of it is quantized"));
  GenerateSettings sizes;
  sizes.layers = 1;
  sizes.d = 64;
  sizes.heads = sizes.kv_heads = 2;
  sizes.ff = 32;
  sizes.vocab = 300;
  sizes.context = 64;
  ASSERT_TRUE(write_new_decoder(sizes, texts_, 1, at("wide.gguf")));
  EXPECT_TRUE(why(start, *Model::open(at("wide.gguf"))).contains("differ in '"));
  sizes.vocab = 280;
  ASSERT_TRUE(write_new_decoder(sizes, texts_, 1, at("other.gguf")));
  EXPECT_TRUE(why(start, *Model::open(at("other.gguf"))).contains("different tokens"));
  const auto encoder = Model::open(fs::path(TACK_SOURCE_DIR) / "models/all-minilm-l6-v2.int8.gguf");
  ASSERT_TRUE(encoder);
  EXPECT_TRUE(why(start, *encoder).contains("is no decoder"));
}

// Cross-entropy towards labels of single texts, for a few steps.
class Labels final : public Curriculum {
 public:
  Labels(const TrainingTexts& texts, graph::ValueId logits) : texts_(texts), logits_(logits) {}
  std::size_t size() const override { return texts_.size(); }
  ExampleTokens tokens(std::size_t i) const override { return texts_[i]; }
  bool has_validation() const override { return false; }
  std::int64_t longest_validation() const override { return texts_.longest(); }
  Result<double> validate(const Forward&) override { return 0.0; }
  double loss(Tape& tape, std::span<const std::size_t> examples, double scale) override {
    double sum = 0;
    for (std::size_t i = 0; i < examples.size(); ++i)
      sum += classification_loss(tape.value(logits_).subspan(2 * i, 2),
                                 examples[i] < texts_.size() / 2 ? 0 : 1, nullptr, {}, 0, scale,
                                 tape.gradient(logits_).subspan(2 * i, 2));
    return sum;
  }

 private:
  const TrainingTexts& texts_;
  graph::ValueId logits_;
};

TEST_F(Heal, AnEncoderTrainedInATypeIsSavedAsItWasTrained) {
  const auto whole = Model::open(fs::path(TACK_SOURCE_DIR) / "models/all-minilm-l6-v2.int8.gguf");
  ASSERT_TRUE(whole);
  std::vector<Tokens> tokens;
  for (const std::string& text : texts_.texts) tokens.push_back((*whole)->tokenizer().encode(text));
  const TrainingTexts texts(std::move(tokens), (*whole)->tokenizer().vocab_size());
  StudentShape shape;
  shape.layer_count = 1;
  const auto student = make_student(*whole, shape, texts_.texts, at("student.gguf"), 2);
  ASSERT_TRUE(student) << student.error().message;
  for (const char* type : {"q4_0", "q4_k"}) {  // rows of 384 are no whole blocks of Q4_K: Q5_0
    SCOPED_TRACE(type);
    ThreadPool pool(2);
    LinearHead head;
    head.classes = 2;
    head.dims = 384;
    head.weight.assign(768, 0.0F);
    head.bias.assign(2, 0.0F);
    auto made =
        TrainableModel::create(student->model, {.label = &head}, texts, {.quantize = type}, pool);
    ASSERT_TRUE(made) << made.error().message;
    TrainableModel& model = **made;
    Labels labels(texts, model.output());
    TrainerOptions loop;
    loop.epochs = 3;
    loop.batch = 12;
    loop.rate = 1e-3;
    loop.weights = model.weights();
    const auto trained =
        train(model.graph(), model.outputs(), model.parameters(), labels, loop, pool);
    ASSERT_TRUE(trained) << trained.error().message;
    EXPECT_LT(trained->epochs.back().loss, trained->epochs.front().loss);
    const auto saved = model.save_encoder(at("trained.gguf"), type, "trained");
    ASSERT_TRUE(saved) << saved.error().message;
    // Every weight that the tape computed with is what the file says.
    const auto parameters = model.weights()->tape_parameters();
    int blocks = 0;
    for (const graph::Weight& weight : (*saved)->graph().weights()) {
      const auto& weights = model.graph().weights();
      const auto found = std::ranges::find(weights, weight.name, &graph::Weight::name);
      ASSERT_NE(found, weights.end());
      const Parameter& p = parameters[static_cast<std::size_t>(found - weights.begin())];
      if (p.value == nullptr) continue;
      const auto stored = load_weight(**saved, weight, texts.used());
      ASSERT_TRUE(stored);
      ASSERT_EQ(static_cast<std::size_t>(p.size), stored->size()) << weight.name;
      const TensorView& view = (*saved)->tensor(weight);
      if (has_parts(view.dtype)) {
        ++blocks;
        EXPECT_EQ(std::vector<float>(p.value, p.value + p.size), *stored) << weight.name;
      }
    }
    EXPECT_EQ(blocks, 7);  // the table of tokens, q, k, v, what they add, up and down
  }
}

}  // namespace
}  // namespace tack
