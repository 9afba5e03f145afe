#include "tasks/extractor.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/random.h"
#include "tasks/artifact.h"
#include "tasks/heads.h"
#include "tasks/task.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

const fs::path kEncoder = fs::path(TACK_SOURCE_DIR) / "models/all-minilm-l6-v2.int8.gguf";

TEST(Extractor, PositionsInJsonCountCharacters) {
  const std::string context = "né à Zürich";
  Extraction said;
  said.answered = true;
  said.stretch = {7, 14};
  said.probability = 0.5F;
  const Json json = extraction_json(context, said);
  EXPECT_EQ(json["answer"], "Zürich");
  EXPECT_EQ(json["start"], 5);
  EXPECT_EQ(json["end"], 11);
  EXPECT_EQ(json["probability"], 0.5);
  said.answered = false;
  EXPECT_TRUE(extraction_json(context, said)["answer"].is_null());
  EXPECT_EQ(said.text(context), "");
}

TEST(Extractor, TaskFilesHaveTheirOwnKeys) {
  const auto task = parse_task(
      "[task]\nkind = 'span'\n[data]\ntrain = 'a.json'\nlimit = 50\n"
      "[train]\nmethod = 'full'\nlength = 128\noverlap = 32\n",
      "t.toml");
  ASSERT_TRUE(task) << task.error().message;
  EXPECT_EQ(task->kind, TaskKind::kSpan);
  EXPECT_EQ(task->limit, 50);
  EXPECT_EQ(task->training.length, 128);
  EXPECT_EQ(task->training.overlap, 32);
  EXPECT_EQ(task->to_json()["data"]["limit"], 50);
  const auto error = [](const std::string& toml) {
    const auto parsed = parse_task(toml, "t.toml");
    return parsed ? "" : parsed.error().message;
  };
  EXPECT_TRUE(error("[task]\nkind='span'\n[data]\ntrain='a'").contains("needs [train] method"));
  EXPECT_TRUE(error("[data]\ntrain='a'\nlimit=3").contains("unknown key 'limit'"));
  EXPECT_TRUE(error("[data]\ntrain='a'\n[train]\nmethod='full'\nlength=100").contains("windows"));
}

// The shipped encoder with random weights in an extractor's head.
class ExtractorModel : public testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::temp_directory_path() / ("tack_extractor_" + std::to_string(::getpid()) + ".gguf");
    const auto base = Model::open(kEncoder);
    ASSERT_TRUE(base) << base.error().message;
    head_ = zero_span_head((*base)->embedding_dim());
    Random random(7);
    for (float& w : head_.weight) w = static_cast<float>(random.normal());
    const TaskArtifact artifact{.span_head = &head_,
                                .task = Json::object(),
                                .calibration = {{"window", 64}, {"overlap", 16}},
                                .metrics = Json::object(),
                                .lineage = Json::object(),
                                .name = "x",
                                .licence = ""};
    ASSERT_TRUE(write_task_model(**base, artifact, path_));
  }
  void TearDown() override { fs::remove(path_); }

  fs::path path_;
  LinearHead head_;
};

TEST_F(ExtractorModel, AnswersDoNotDependOnBatches) {
  const auto model = Model::open(path_);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_TRUE(is_extractor(**model));
  const auto head = span_head_of(**model);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->weight, head_.weight);
  auto extractor = Extractor::open(path_, {.threads = 2});
  ASSERT_TRUE(extractor) << extractor.error().message;
  EXPECT_EQ((*extractor)->rule().length, 64);
  EXPECT_FALSE((*extractor)->refuses());
  std::string page;
  for (int i = 0; i < 60; ++i) page += "Sentence " + std::to_string(i) + " of Zürich's page. ";
  const std::vector<QuestionText> asked = {
      {"Which one?", page}, {"Who is it?", page}, {"Why", "Because."}, {"What", ""}, {"", "x"}};
  const auto together = (*extractor)->predict(asked);
  ASSERT_TRUE(together) << together.error().message;
  EXPECT_GT((*together)[0].windows, 5);
  EXPECT_EQ((*together)[2].windows, 1);
  EXPECT_FALSE((*together)[3].answered);  // nothing to answer with
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const auto alone = (*extractor)->predict({&asked[i], 1});
    ASSERT_TRUE(alone);
    EXPECT_EQ((*alone)[0].stretch, (*together)[i].stretch);
    // The head is f32: sums may be ordered by the batch.
    EXPECT_NEAR((*alone)[0].probability, (*together)[i].probability, 1e-5);
    EXPECT_NEAR((*alone)[0].margin, (*together)[i].margin, 1e-3);
  }
  // The threshold decides by the margin.
  for (const double by : {-0.1, 0.1}) {
    auto strict = Extractor::open(path_, {.threads = 1}, {.threshold = (*together)[0].margin + by});
    ASSERT_TRUE(strict);
    EXPECT_TRUE((*strict)->refuses());
    const auto said = (*strict)->predict({asked.data(), 1});
    ASSERT_TRUE(said);
    EXPECT_EQ((*said)[0].answered, by < 0);
  }
  // An answer is not longer than asked for: one word of at most one token, or one word.
  auto brief = Extractor::open(path_, {.threads = 1}, {.longest = 1});
  ASSERT_TRUE(brief);
  const auto said = (*brief)->predict({asked.data(), 3});
  ASSERT_TRUE(said);
  for (const Extraction& e : *said) EXPECT_LE(e.stretch.end - e.stretch.begin, 8);
  EXPECT_FALSE(Extractor::open(kEncoder));
}

TEST_F(ExtractorModel, EvaluationIsThatOfItsAnswers) {
  auto extractor = Extractor::open(path_, {.threads = 1});
  ASSERT_TRUE(extractor);
  QuestionSet data;
  data.contexts = {"one two three", "four five"};
  data.titles = {"", ""};
  data.questions = {{"", "q", 0, {}}, {"", "r", 1, {}}};
  const std::vector<QuestionText> asked = {{"q", data.contexts[0]}, {"r", data.contexts[1]}};
  const auto said = (*extractor)->predict(asked);
  ASSERT_TRUE(said);
  data.questions[0].answers = {(*said)[0].stretch};  // so it is right
  const auto evaluation = evaluate(**extractor, data, {.timed = 1});
  ASSERT_TRUE(evaluation);
  EXPECT_EQ(evaluation->right(), (std::vector<bool>{true, false}));
  EXPECT_DOUBLE_EQ(evaluation->metrics.exact.value, 0.5);
  EXPECT_DOUBLE_EQ(evaluation->metrics.answerable_exact->value, 1);
  EXPECT_DOUBLE_EQ(evaluation->metrics.unanswerable->value, 0);
  EXPECT_EQ(evaluation->latency_us.size(), 1U);
}

}  // namespace
}  // namespace tack
