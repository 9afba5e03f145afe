#include "tasks/multitask.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "tasks/artifact.h"
#include "tasks/build.h"
#include "tasks/predictor.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

constexpr std::int32_t kNoLabel = HeadExamples::kNoLabel;

Dataset rows_of(std::vector<std::string> texts, std::vector<std::int32_t> labels,
                std::vector<std::string> names) {
  Dataset data;
  data.texts = std::move(texts);
  data.labels = std::move(labels);
  data.label_names = std::move(names);
  return data;
}

TEST(Multitask, EqualTextsAreOneExample) {
  const Dataset a = rows_of({"x", "y", "x"}, {0, 1, 1}, {"p", "q"});
  const Dataset b = rows_of({"z", "x", "x", "x"}, {0, kOutOfScope, 1, 0}, {"r", "s"});
  const Dataset* const heads[] = {&a, &b};
  const HeadExamples merged = merge_heads(heads);
  EXPECT_EQ(merged.texts, (std::vector<std::string>{"x", "y", "x", "z", "x"}));
  EXPECT_EQ(merged.labels, (std::vector<std::int32_t>{0, kOutOfScope, 1, kNoLabel, 1, 1, kNoLabel,
                                                      0, kNoLabel, 0}));
}

TEST(Multitask, HeadsAreJoinedAndTakenApart) {
  const std::vector<LinearHead> heads = {{2, 2, {1, 2, 3, 4}, {5, 6}}, {1, 2, {7, 8}, {9}}};
  const LinearHead joined = join_heads(heads);
  EXPECT_EQ(joined.classes, 3);
  EXPECT_EQ(joined.weight, (std::vector<float>{1, 2, 3, 4, 7, 8}));
  const LinearHead second = head_part(joined, 2, 1);
  EXPECT_EQ(second.weight, heads[1].weight);
  EXPECT_EQ(second.bias, heads[1].bias);
  EXPECT_EQ(second.classes, 1);
}

// What a text is about can be read off its first part, when from its end: two questions about the
// same texts.
class MultitaskBuild : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_multitask_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
    const std::vector<std::pair<std::string, std::vector<std::string>>> phrases = {
        {"weather",
         {"will it rain", "is it sunny", "how cold is it", "is there snow", "a storm comes"}},
        {"food", {"I want pizza", "cook some rice", "a recipe for soup", "bread with butter"}},
        {"travel", {"book a flight", "the train to Rome", "rent a car", "find me a hotel"}}};
    const std::vector<std::pair<std::string, std::string>> times = {
        {" today", "now"},      {" right now", "now"},   {" tonight", "now"},
        {" tomorrow", "later"}, {" next week", "later"}, {" in a year", "later"}};
    std::ofstream topic(directory_ / "topic.csv"), when(directory_ / "when.csv");
    topic << "text,label\n";
    when << "text,time\n";
    for (const auto& [label, texts] : phrases)
      for (const std::string& text : texts)
        for (const auto& [end, time] : times) {
          topic << text << end << "," << label << "\n";
          when << text << end << "," << time << "\n";
        }
    topic << "seven and two is nine,oos\n";
    task_.name = "small";
    task_.base = fs::path(TACK_SOURCE_DIR) / "models/all-minilm-l6-v2.int8.gguf";
    HeadTask head;
    head.name = "topic";
    head.train.path = (directory_ / "topic.csv").string();
    head.train.oos_label = "oos";
    task_.heads.push_back(head);
    head.name = "when";
    head.train.path = (directory_ / "when.csv").string();
    head.train.label = "time";
    head.train.oos_label = "";
    task_.heads.push_back(head);
  }
  void TearDown() override { fs::remove_all(directory_); }

  void train_two_layers() {
    task_.training.method = TrainMethod::kFull;
    task_.training.loop.epochs = 3;
    task_.training.loop.batch = 16;
    task_.training.loop.rate = 3e-4;
    task_.layers = {0, 3};
  }

  static std::vector<Prediction> answers(const fs::path& path, std::string_view head,
                                         std::span<const std::string_view> texts) {
    auto predictor = TaskPredictor::open(path, {.threads = 1}, head);
    EXPECT_TRUE(predictor) << predictor.error().message;
    auto predictions = (*predictor)->predict(texts);
    EXPECT_TRUE(predictions);
    return *predictions;
  }

  fs::path directory_;
  Task task_;
};

constexpr std::string_view kTexts[] = {"a plane to Madrid tomorrow", "is it foggy right now",
                                       "fish with rice next week"};

TEST_F(MultitaskBuild, FrozenHeadsAnswerAsModelsOfTheirOwn) {
  const fs::path out = directory_ / "m.gguf";
  const auto result = build_task(task_, {.out = out, .threads = 2});
  ASSERT_TRUE(result) << result.error().message;
  ASSERT_EQ(result->heads.size(), 2U);
  for (const HeadTask& head : task_.heads) {
    const fs::path alone = directory_ / (head.name + ".gguf");
    const auto one = build_task(task_.of_head(head), {.out = alone, .threads = 2});
    ASSERT_TRUE(one) << one.error().message;
    const auto together = answers(out, head.name, kTexts), apart = answers(alone, "", kTexts);
    for (std::size_t i = 0; i < std::size(kTexts); ++i) {
      EXPECT_EQ(together[i].probabilities, apart[i].probabilities);
      EXPECT_EQ(together[i].out_of_scope, apart[i].out_of_scope);
      EXPECT_EQ(together[i].score, apart[i].score);
    }
  }
  // All of them from one pass are those of each.
  auto all = TaskPredictor::open_heads(out, {.threads = 1});
  ASSERT_TRUE(all) << all.error().message;
  const auto both = (*all)->predict_heads(kTexts);
  ASSERT_TRUE(both);
  ASSERT_EQ(both->size(), 2 * std::size(kTexts));
  const auto when = answers(out, "when", kTexts);
  for (std::size_t i = 0; i < std::size(kTexts); ++i)
    EXPECT_EQ((*both)[2 * i + 1].probabilities, when[i].probabilities);
  EXPECT_EQ((*all)->heads()[0].labels[(*both)[0].label], "travel");
  EXPECT_EQ((*all)->heads()[1].labels[(*both)[1].label], "later");
  // A model of several heads is not taken for one of one.
  const auto none = TaskPredictor::open(out);
  ASSERT_FALSE(none);
  EXPECT_TRUE(none.error().message.contains("choose one: topic, when")) << none.error().message;
  const auto other = TaskPredictor::open(out, {}, "why");
  ASSERT_FALSE(other);
  EXPECT_TRUE(other.error().message.contains("no head 'why'")) << other.error().message;
}

TEST_F(MultitaskBuild, BothHeadsLearnAndThreadsDoNotMatter) {
  train_two_layers();
  std::vector<LinearHead> heads;
  std::vector<std::vector<float>> embeddings;
  for (const int threads : {1, 3}) {
    const fs::path out = directory_ / fmt::format("m{}.gguf", threads);
    const auto result = build_task(task_, {.out = out, .threads = threads});
    ASSERT_TRUE(result) << result.error().message;
    for (const BuildResult& head : result->heads)
      EXPECT_GT(head.evaluation.metrics.accuracy.value, 0.85) << head.task.name;
    const auto model = Model::open(out);
    ASSERT_TRUE(model);
    heads.push_back(*head_of(**model));
    const auto encoder = TextEncoder::create(*model, {.threads = 1});
    const std::string_view output[] = {"embedding"};
    embeddings.push_back((*encoder)->run(kTexts, output)->outputs[0]);
  }
  EXPECT_EQ(heads[0].weight, heads[1].weight);
  EXPECT_EQ(heads[0].bias, heads[1].bias);
  EXPECT_EQ(embeddings[0], embeddings[1]);
}

TEST_F(MultitaskBuild, EveryHeadMustPassItsGate) {
  task_.gate.floor = 0.1;
  task_.heads[1].gate.floor = 1.0;
  std::ofstream(directory_ / "wrong.csv") << "text,time\nrent a car today,later\n"
                                             "will it rain in a year,now\n";
  task_.heads[1].test = (directory_ / "wrong.csv").string();
  const fs::path out = directory_ / "m.gguf";
  const auto result = build_task(task_, {.out = out});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(result->heads[0].accepted());
  EXPECT_FALSE(result->heads[1].accepted());
  EXPECT_FALSE(result->accepted());
  EXPECT_FALSE(fs::exists(out));
}

TEST_F(MultitaskBuild, ATextThatTestsOneHeadTrainsNone) {
  train_two_layers();
  task_.training.loop.epochs = 1;
  std::string said;
  std::ofstream(directory_ / "test.csv") << "text,time\nrent a car today,now\nIs it  SUNNY "
                                            "tonight,now\n";
  task_.heads[1].test = (directory_ / "test.csv").string();
  const auto result = build_task(
      task_,
      {.out = directory_ / "m.gguf", .message = [&](const std::string& line) { said += line; }});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(said.contains("when: ") && said.contains("training rows left out")) << said;
  for (const BuildResult& head : result->heads) EXPECT_EQ(head.overlap, 0U) << head.task.name;
}

class TrainHeads : public MultitaskBuild {
 protected:
  void SetUp() override {
    MultitaskBuild::SetUp();
    base_ = *Model::open(task_.base);
    for (const HeadTask& head : task_.heads) rows_.push_back(*read_dataset(head.train));
    settings_.method = TrainMethod::kLora;
    settings_.rank = 2;
    settings_.loop.epochs = 1;
    settings_.loop.rate = 1e-3;
  }
  Result<TrainedHeads> train(const HeadExamples& examples) const {
    const HeadRows heads[] = {{&rows_[0], &rows_[0], 1}, {&rows_[1], &rows_[1], 1}};
    return train_heads(base_, heads, examples, settings_, directory_ / "e.gguf",
                       {.threads = 2, .type = "f32"});
  }

  std::shared_ptr<const Model> base_;
  std::vector<Dataset> rows_;
  TrainSettings settings_;
};

// Without any label for it, a head stays where it started, and encoder and the other head become
// what they do without it.
TEST_F(TrainHeads, AHeadLearnsFromItsOwnLabelsOnly) {
  const Dataset none = rows_of({}, {}, rows_[1].label_names);
  const Dataset* const only_topic[] = {&rows_[0], &none};
  const auto together = train(merge_heads(only_topic));
  ASSERT_TRUE(together) << together.error().message;
  const auto start = frozen_head(base_, rows_[1], settings_.start_c, 2);
  ASSERT_TRUE(start);
  EXPECT_EQ(together->heads[1].weight, start->weight);
  EXPECT_EQ(together->heads[1].bias, start->bias);

  const auto alone = fine_tune(base_, rows_[0], rows_[0], settings_, directory_ / "a.gguf",
                               {.threads = 2, .type = "f32"});
  ASSERT_TRUE(alone) << alone.error().message;
  double moved = 0;
  const auto before = frozen_head(base_, rows_[0], settings_.start_c, 2);
  for (std::size_t i = 0; i < alone->head.weight.size(); ++i) {
    EXPECT_NEAR(together->heads[0].weight[i], alone->head.weight[i], 1e-4);
    moved = std::max(moved, std::abs(static_cast<double>(alone->head.weight[i]) -
                                     static_cast<double>(before->weight[i])));
  }
  EXPECT_GT(moved, 1e-3);
}

TEST_F(TrainHeads, BothLearnFromTextsThatHaveBothLabels) {
  const Dataset* const both[] = {&rows_[0], &rows_[1]};
  const HeadExamples examples = merge_heads(both);
  EXPECT_EQ(examples.texts.size(), rows_[0].size());
  const auto trained = train(examples);
  ASSERT_TRUE(trained) << trained.error().message;
  for (std::size_t h = 0; h < 2; ++h) {
    const auto start = frozen_head(base_, rows_[h], settings_.start_c, 2);
    EXPECT_NE(trained->heads[h].weight, start->weight);
    EXPECT_EQ(trained->validation_labels[h].size(), rows_[h].in_scope());
  }
}

TEST_F(TrainHeads, ATeacherAnswersByName) {
  const fs::path out = directory_ / "m.gguf";
  ASSERT_TRUE(build_task(task_, {.out = out}));
  const auto teacher = Model::open(out);
  ASSERT_TRUE(teacher);
  const std::vector<std::string> texts(std::begin(kTexts), std::end(kTexts));
  const auto told = ask_teacher_heads(*teacher, {"when", "topic"},
                                      {{"now", "later"}, {"travel", "food", "weather"}}, texts, 1);
  ASSERT_TRUE(told) << told.error().message;
  const auto encoder = TextEncoder::create(*teacher, {.threads = 1});
  const std::string_view output[] = {"logits"};
  // The file: topic (food, travel, weather), then when (later, now).
  const auto logits = (*encoder)->run(kTexts, output)->outputs[0];
  for (std::size_t i = 0; i < texts.size(); ++i)
    for (const auto& [to, from] :
         {std::pair{0, 4}, std::pair{1, 3}, std::pair{2, 1}, std::pair{3, 0}, std::pair{4, 2}})
      EXPECT_EQ((*told)[i * 5 + static_cast<std::size_t>(to)],
                logits[i * 5 + static_cast<std::size_t>(from)]);
  const auto refusal = [&](std::vector<std::string> names,
                           std::vector<std::vector<std::string>> labels) {
    const auto asked = ask_teacher_heads(*teacher, names, labels, texts, 1);
    return asked ? "" : asked.error().message;
  };
  EXPECT_TRUE(refusal({"when"}, {{"now", "later"}}).contains("has 2 heads, the task 1"));
  EXPECT_TRUE(refusal({"when", "why"}, {{"now", "later"}, {"a"}}).contains("no head 'why'"));
  EXPECT_TRUE(refusal({"when", "topic"}, {{"now", "soon"}, {"a"}}).contains("'soon'"));
  EXPECT_TRUE(refusal({"when", "topic"}, {{"now"}, {"a"}}).contains("has 2 labels"));
}

TEST_F(TrainHeads, HeadsThatDoNotFitTheLabelsAreRefused) {
  LinearHead head{3, base_->embedding_dim(), {}, {0, 0, 0}};
  head.weight.resize(3 * static_cast<std::size_t>(head.dims));
  const auto refusal = [&](const Json& heads) {
    const fs::path path = directory_ / "bad.gguf";
    const auto written = write_task_model(*base_,
                                          {.head = &head,
                                           .labels = {"a", "b", "c"},
                                           .task = Json::object(),
                                           .calibration = Json::object(),
                                           .metrics = Json::object(),
                                           .lineage = Json::object(),
                                           .name = "bad",
                                           .licence = "",
                                           .heads = heads},
                                          path);
    EXPECT_TRUE(written);
    const auto opened = TaskPredictor::open_heads(path);
    return opened ? "" : opened.error().message;
  };
  const auto heads = [](Json list) { return Json{{"heads", std::move(list)}}; };
  const auto one = [](Json name, Json labels) {
    return Json{{"name", std::move(name)}, {"labels", std::move(labels)}};
  };
  EXPECT_EQ(refusal(heads(Json::array({one("x", 1U), one("y", 2U)}))), "");
  EXPECT_TRUE(refusal(heads(7)).contains("not a list"));
  EXPECT_TRUE(refusal(Json{{"other", 1}}).contains("not a list"));
  EXPECT_TRUE(refusal(heads(Json::array({7}))).contains("head 1 lacks"));
  EXPECT_TRUE(refusal(heads(Json::array({one("x", -1)}))).contains("head 1 lacks"));
  EXPECT_TRUE(refusal(heads(Json::array({one("x", 1U), one("y", 3U)}))).contains("are left 2"));
  EXPECT_TRUE(refusal(heads(Json::array({one("x", 0U)}))).contains("has 0 labels"));
  EXPECT_TRUE(refusal(heads(Json::array({one("x", 2U)}))).contains("1 of the model's 3 labels"));
  EXPECT_TRUE(refusal(heads(Json::array({one("x", 1U), one("x", 2U)}))).contains("twice"));
  Json cold = one("x", 3U);
  cold["temperature"] = 0;
  EXPECT_TRUE(refusal(heads(Json::array({cold}))).contains("temperature"));
}

}  // namespace
}  // namespace tack
