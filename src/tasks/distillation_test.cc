// What students are cut from and learn from: against the reference executor and by hand.

#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "engine/text_encoder.h"
#include "graph/reference.h"
#include "models/layers.h"
#include "models/narrow.h"
#include "tasks/augment.h"
#include "tasks/finetune.h"
#include "tasks/inner_teacher.h"
#include "tasks/student.h"
#include "tasks/teacher.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kTexts = {
    "will it rain today", "I want pizza",          "book a flight to Rome",  "is it sunny tomorrow",
    "cook some rice",     "the train is late",     "how cold is it outside", "a recipe for soup",
    "rent a car",         "bread with butter and", "find me a hotel",        "a storm comes"};

class Distillation : public testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        fs::temp_directory_path() / ("tack_distillation_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
    auto model = Model::open(fs::path(TACK_SOURCE_DIR) / "models/all-minilm-l6-v2.int8.gguf");
    ASSERT_TRUE(model) << model.error().message;
    teacher_ = *model;
  }
  void TearDown() override { fs::remove_all(directory_); }

  Student cut(const StudentShape& shape, const char* name = "student.gguf") const {
    auto student = make_student(teacher_, shape, kTexts, directory_ / name, 2);
    EXPECT_TRUE(student) << student.error().message;
    return student ? *student : Student{};
  }

  TrainingTexts packed(std::size_t count = kTexts.size()) const {
    std::vector<Tokens> tokens;
    for (std::size_t i = 0; i < count; ++i)
      tokens.push_back(teacher_->tokenizer().encode(kTexts[i]));
    return TrainingTexts(std::move(tokens), teacher_->tokenizer().vocab_size());
  }

  fs::path directory_;
  std::shared_ptr<const Model> teacher_;
};

std::vector<std::vector<float>> reference_values(const Model& model,
                                                 std::span<const std::string> texts,
                                                 std::vector<std::int64_t>& starts) {
  std::vector<std::int32_t> ids;
  starts = {0};
  for (const std::string& text : texts) {
    const Tokens tokens = model.tokenizer().encode(text);
    ids.insert(ids.end(), tokens.ids.begin(), tokens.ids.end());
    starts.push_back(static_cast<std::int64_t>(ids.size()));
  }
  auto values = graph::run_reference(
      model.graph(), [&](const graph::Weight& w) -> const TensorView& { return model.tensor(w); },
      {.ids = ids, .starts = starts});
  EXPECT_TRUE(values);
  return *std::move(values);
}

TEST_F(Distillation, LayersHaveTheirValues) {
  const auto layers = layer_values(teacher_->graph());
  ASSERT_EQ(layers.size(), 6U);
  const graph::Graph& g = teacher_->graph();
  for (std::size_t l = 0; l < 6; ++l) {
    const auto producer = [&](graph::ValueId value) -> const graph::Node& {
      return *std::ranges::find(g.nodes(), value, &graph::Node::output);
    };
    const auto weight_of = [&](graph::ValueId value) {
      const graph::Op& op = producer(value).op;
      if (const auto* linear = std::get_if<graph::Linear>(&op))
        return g.weight(linear->weight).name;
      if (const auto* norm = std::get_if<graph::LayerNorm>(&op)) return g.weight(norm->gamma).name;
      return std::string("?");
    };
    const std::string blk = "blk." + std::to_string(l);
    EXPECT_EQ(weight_of(layers[l].q), blk + ".attn_q.weight");
    EXPECT_EQ(weight_of(layers[l].k), blk + ".attn_k.weight");
    EXPECT_EQ(weight_of(layers[l].v), blk + ".attn_v.weight");
    EXPECT_EQ(weight_of(layers[l].hidden), blk + ".layer_output_norm.weight");
    EXPECT_EQ(layers[l].input, producer(layers[l].q).inputs[0]);
    if (l > 0) {
      EXPECT_EQ(layers[l].input, layers[l - 1].hidden);
    }
  }
}

TEST_F(Distillation, NarrowingThatKeepsAllIsTheSameModel) {
  std::vector<std::int64_t> all(384), heads(12), channels(1536);
  for (auto* list : {&all, &heads, &channels}) std::iota(list->begin(), list->end(), 0);
  const fs::path path = directory_ / "all.gguf";
  ASSERT_TRUE(
      write_narrow(*teacher_, {all, std::vector(6, heads), std::vector(6, channels)}, path));
  const auto copy = Model::open(path);
  ASSERT_TRUE(copy) << copy.error().message;
  EXPECT_EQ((*copy)->graph().to_text(), teacher_->graph().to_text());
  for (const graph::Weight& w : teacher_->graph().weights()) {
    const auto values = [&](const Model& model) {
      return *graph::load_vector(
          w, [&](const graph::Weight& x) -> const TensorView& { return model.tensor(x); });
    };
    EXPECT_EQ(values(**copy), values(*teacher_)) << w.name;
  }
}

TEST_F(Distillation, ANarrowStudentIsAPieceOfItsTeacherAndRunsEverywhere) {
  const Student student = cut({.layers = {1, 4}, .width = 192, .ffn = 512});
  ASSERT_EQ(student.dims.size(), 192U);
  EXPECT_EQ(student.layers, (std::vector<std::int64_t>{1, 4}));
  EXPECT_TRUE(std::ranges::is_sorted(student.dims));
  EXPECT_EQ(student.model->embedding_dim(), 192);
  const auto shape = encoder_shape(*student.model);
  ASSERT_TRUE(shape);
  EXPECT_EQ(shape->heads, 6);
  EXPECT_EQ(shape->ffn, 512);
  const auto tensor = [](const Model& model, const std::string& name) {
    for (const graph::Weight& w : model.graph().weights())
      if (w.name == name)
        return *graph::load_vector(
            w, [&](const graph::Weight& x) -> const TensorView& { return model.tensor(x); });
    return std::vector<float>();
  };
  const auto mine = tensor(*student.model, "token_embd.weight"),
             theirs = tensor(*teacher_, "token_embd.weight");
  for (std::size_t row : {0U, 101U, 30521U})
    for (std::size_t c = 0; c < 192; ++c)
      EXPECT_EQ(mine[row * 192 + c], theirs[row * 384 + static_cast<std::size_t>(student.dims[c])]);
  // Every head that stays is one of the teacher's, whole.
  const auto queries = tensor(*student.model, "blk.1.attn_q.bias"),
             all = tensor(*teacher_, "blk.4.attn_q.bias");
  std::set<std::size_t> heads;
  for (std::size_t h = 0; h < 6; ++h)
    for (std::size_t t = 0; t < 12; ++t)
      if (std::equal(queries.begin() + static_cast<std::ptrdiff_t>(32 * h),
                     queries.begin() + static_cast<std::ptrdiff_t>(32 * h + 32),
                     all.begin() + static_cast<std::ptrdiff_t>(32 * t)))
        heads.insert(t);
  EXPECT_EQ(heads.size(), 6U);
  // In int8, through the engine, as the reference says it is.
  const fs::path path = directory_ / "narrow.int8.gguf";
  ASSERT_TRUE(convert_model(directory_ / "student.gguf", path, {.type = "int8"}));
  for (const fs::path& file : {directory_ / "student.gguf", path}) {
    const auto model = Model::open(file);
    ASSERT_TRUE(model) << model.error().message;
    auto encoder = TextEncoder::create(*model, {.threads = 1, .outputs = {"embedding"}});
    ASSERT_TRUE(encoder) << encoder.error().message;
    const auto vectors = (*encoder)->embed(std::span(kTexts).first(3));
    ASSERT_TRUE(vectors) << vectors.error().message;
    ASSERT_EQ(vectors->size(), 3U * 192);
    std::vector<std::int64_t> starts;
    const auto values = reference_values(*student.model, std::span(kTexts).first(3), starts);
    const auto& expected = values[static_cast<std::size_t>(
        student.model->graph().find_output("embedding")->value.index)];
    double dot = 0;
    for (std::size_t i = 0; i < vectors->size(); ++i)
      dot += static_cast<double>((*vectors)[i]) * static_cast<double>(expected[i]) / 3;
    EXPECT_GT(dot, file == path ? 0.98 : 0.9999) << file;
  }
}

TEST_F(Distillation, ShapesThatCannotBeAreRefused) {
  const auto error = [&](const StudentShape& shape) {
    const auto student = make_student(teacher_, shape, kTexts, directory_ / "x.gguf", 1);
    return student ? "" : student.error().message;
  };
  EXPECT_TRUE(error({.layer_count = 7}).contains("layers is 7, but"));
  EXPECT_TRUE(error({.width = 200}).contains("multiple of 32"));
  EXPECT_TRUE(error({.width = 416}).contains("384 wide in heads of 32"));
  EXPECT_TRUE(error({.ffn = 1600}).contains("are 1536 wide"));
  EXPECT_TRUE(error({.ffn = 100}).contains("multiple of 32"));
}

// Losses from the values of the reference executor, in f64: layers, projection and normalisation.
TEST_F(Distillation, InnerLossesAreThoseOfTheReference) {
  constexpr std::size_t kCount = 2;
  const TrainingTexts texts = packed(kCount);
  const std::vector<std::size_t> examples = {0, 1};
  for (const std::int64_t width : {384, 192}) {
    const Student student = cut({.layers = {0, 3}, .width = width == 384 ? 0 : width});
    InnerLessons lessons;
    lessons.teacher = teacher_;
    lessons.settings.hidden = 0.5;
    lessons.settings.layers = {2, 5};
    lessons.settings.relations = 0.25;
    lessons.settings.relation_heads = 6;
    lessons.settings.relation_layer = 4;
    lessons.layers = student.layers;
    lessons.dims = student.dims;
    ThreadPool pool(2);
    const auto learner = make_learner(student.model, {}, texts, {}, &lessons, {.batch = 8}, pool);
    ASSERT_TRUE(learner) << learner.error().message;
    EXPECT_EQ(learner->inner->projection() != nullptr, width != 384);
    auto tape = Tape::create(learner->model->graph(), learner->outputs,
                             learner->model->parameters().tape_parameters(),
                             {.max_tokens = 200, .max_sequences = 8, .max_length = 50}, pool);
    ASSERT_TRUE(tape) << tape.error().message;
    PackedExamples batch;
    for (const std::size_t e : examples) batch.add(texts[e]);
    (*tape)->forward(batch.view());
    const double loss = learner->inner->loss(**tape, examples, 0.1);

    std::vector<std::int64_t> starts;
    const auto theirs = reference_values(*teacher_, std::span(kTexts).first(kCount), starts),
               mine = reference_values(*student.model, std::span(kTexts).first(kCount), starts);
    const auto of_teacher = layer_values(teacher_->graph()),
               of_student = layer_values(student.model->graph());
    const auto at = [](graph::ValueId value) { return static_cast<std::size_t>(value.index); };
    double hidden = 0, relations = 0;
    for (std::size_t l = 0; l < 2; ++l) {
      const auto& target = theirs[at(of_teacher[l == 0 ? 2 : 5].hidden)];
      // The projection starts as the kept dimensions where they were, and zeros.
      std::vector<float> full(target.size(), 0.0F);
      const auto& source = mine[at(of_student[l].hidden)];
      for (std::size_t i = 0; i < source.size(); ++i)
        full[i / student.dims.size() * 384 +
             static_cast<std::size_t>(student.dims[i % student.dims.size()])] = source[i];
      for (std::size_t s = 0; s < kCount; ++s)
        for (std::int64_t i = starts[s] * 384; i < starts[s + 1] * 384; ++i) {
          const double d = static_cast<double>(full[static_cast<std::size_t>(i)]) -
                           static_cast<double>(target[static_cast<std::size_t>(i)]);
          hidden += 0.1 * 0.5 / 2 * d * d / 384 / static_cast<double>(starts[s + 1] - starts[s]);
        }
    }
    const auto softmax = [&](const std::vector<float>& x, std::int64_t first, std::int64_t end,
                             std::size_t head, std::int64_t row) {
      const auto cols = x.size() / static_cast<std::size_t>(starts.back()), dim = cols / 6;
      std::vector<double> p;
      double sum = 0;
      for (std::int64_t j = first; j < end; ++j) {
        double dot = 0;
        for (std::size_t d = head * dim; d < (head + 1) * dim; ++d)
          dot += static_cast<double>(x[static_cast<std::size_t>(row) * cols + d]) *
                 static_cast<double>(x[static_cast<std::size_t>(j) * cols + d]);
        sum += p.emplace_back(std::exp(dot / std::sqrt(static_cast<double>(dim))));
      }
      for (double& v : p) v /= sum;
      return p;
    };
    for (const auto part : {&LayerValues::q, &LayerValues::k, &LayerValues::v})
      for (std::size_t s = 0; s < kCount; ++s)
        for (std::size_t head = 0; head < 6; ++head)
          for (std::int64_t i = starts[s]; i < starts[s + 1]; ++i) {
            const auto p = softmax(theirs[at(of_teacher[4].*part)], starts[s], starts[s + 1], head,
                                   i),
                       q = softmax(mine[at(of_student[1].*part)], starts[s], starts[s + 1], head,
                                   i);
            for (std::size_t j = 0; j < p.size(); ++j)
              relations += 0.1 * 0.25 * p[j] * std::log(p[j] / q[j]) / 6 /
                           static_cast<double>(starts[s + 1] - starts[s]);
          }
    // The tapes may compute in bf16.
    EXPECT_NEAR(loss, hidden + relations, 0.03 * (hidden + relations)) << width;
    EXPECT_GT(hidden, 0.0);
    EXPECT_GT(relations, 0.0);
  }
}

TEST_F(Distillation, LessonsThatDoNotFitAreRefused) {
  const Student student = cut({.layers = {0, 3}});
  const TrainingTexts texts = packed();
  ThreadPool pool(1);
  const auto error = [&](const InnerSettings& settings) {
    const InnerLessons lessons{teacher_, settings, student.layers, student.dims};
    const auto inner = InnerTeacher::create(lessons, *student.model, texts, {}, pool);
    return inner ? "" : inner.error().message;
  };
  EXPECT_TRUE(error({.hidden = 1, .layers = {1}}).contains("for a student of 2"));
  EXPECT_TRUE(error({.hidden = 1, .layers = {1, 6}}).contains("no layer 6"));
  EXPECT_TRUE(error({.relations = 1, .relation_heads = 7}).contains("do not divide 384"));
  EXPECT_TRUE(error({.relations = 1, .relation_layer = 6}).contains("no layer 6"));
  EXPECT_EQ(error({.hidden = 1, .relations = 1}), "");
}

// Labels, answers, hidden states, relations, a narrower student: the same bits for any threads.
TEST_F(Distillation, TrainsWithTheSameBitsForAnyThreads) {
  const Student student = cut({.layers = {0, 3}, .width = 192, .ffn = 512});
  Dataset rows;
  rows.label_names = {"food", "travel", "weather"};
  for (std::size_t i = 0; i < kTexts.size(); ++i) {
    rows.texts.push_back(kTexts[i]);
    rows.labels.push_back(i % 3 == 0 ? 2 : i % 3 == 1 ? 0 : 1);
  }
  Teaching teaching;
  teaching.texts = text_variants(rows.texts, 1, 1);
  for (std::size_t i = 0; i < rows.size() + teaching.texts.size(); ++i)
    for (std::int32_t c = 0; c < 3; ++c)
      teaching.logits.push_back(c == rows.labels[i % rows.size()] ? 4.0F : 0.0F);
  const InnerLessons lessons{teacher_, {.hidden = 1, .relations = 1}, student.layers, student.dims};
  TrainSettings settings;
  settings.method = TrainMethod::kFull;
  settings.loop.epochs = 3;
  settings.loop.batch = 8;
  settings.loop.rate = 3e-4;
  const auto run = [&](int threads, const InnerLessons* inner) {
    auto tuned = fine_tune(student.model, rows, rows, settings, directory_ / "tuned.gguf",
                           {.threads = threads, .teaching = &teaching, .inner = inner});
    EXPECT_TRUE(tuned) << tuned.error().message;
    return *std::move(tuned);
  };
  const FineTuned one = run(1, &lessons), three = run(3, &lessons), without = run(1, nullptr);
  EXPECT_EQ(one.training.losses, three.training.losses);
  EXPECT_EQ(one.validation_logits, three.validation_logits);
  EXPECT_EQ(one.head.weight, three.head.weight);
  EXPECT_NE(one.training.losses, without.training.losses);
  EXPECT_LT(one.training.losses.back(), 0.9 * one.training.losses.front());
  EXPECT_EQ(one.encoder->embedding_dim(), 192);
  // The projection trained with the rest and was left behind.
  EXPECT_EQ(one.trained_parameters, without.trained_parameters + 384 * 192);
  for (const GgufTensor& tensor : one.encoder->gguf()->tensors())
    EXPECT_FALSE(tensor.name.starts_with("distill.")) << tensor.name;
}

TEST(Teachers, SeveralCountAsTheMeanOfTheirProbabilities) {
  const std::vector<std::vector<float>> logits = {{1, 0, -2, 30, 0, 0}, {0, 3, 1, -30, 5, 2}};
  for (double temperature : {1.0, 2.0}) {
    const auto mean = mean_answer(logits, 3, temperature);
    ASSERT_EQ(mean.size(), 6U);
    const auto softmax = [&](std::span<const float> row) {
      std::vector<double> p;
      double sum = 0;
      for (float v : row) sum += p.emplace_back(std::exp(static_cast<double>(v) / temperature));
      for (double& v : p) v /= sum;
      return p;
    };
    for (std::size_t r : {0U, 3U}) {
      const auto a = softmax(std::span(logits[0]).subspan(r, 3)),
                 b = softmax(std::span(logits[1]).subspan(r, 3)),
                 got = softmax(std::span(mean).subspan(r, 3));
      for (std::size_t c = 0; c < 3; ++c) EXPECT_NEAR(got[c], (a[c] + b[c]) / 2, 1e-5);
    }
  }
  EXPECT_EQ(mean_answer(std::span(logits).first(1), 3, 2), logits[0]);
}

TEST(Variants, AreChangedTextsAndAFunctionOfTheSeed) {
  const auto variants = text_variants(kTexts, 3, 7);
  ASSERT_EQ(variants.size(), 3 * kTexts.size());
  EXPECT_EQ(variants, text_variants(kTexts, 3, 7));
  EXPECT_NE(variants, text_variants(kTexts, 3, 8));
  std::size_t changed = 0;
  for (std::size_t i = 0; i < variants.size(); ++i) {
    EXPECT_FALSE(variants[i].empty());
    changed += variants[i] != kTexts[i % kTexts.size()];
  }
  EXPECT_GE(changed, variants.size() - 3);  // a word may be replaced by itself
  EXPECT_EQ(text_variants(std::vector<std::string>{"", "  ", "one"}, 1, 1),
            std::vector<std::string>{"one"});
  EXPECT_TRUE(text_variants(kTexts, 0, 1).empty());
}

}  // namespace
}  // namespace tack
