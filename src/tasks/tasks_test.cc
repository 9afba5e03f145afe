#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tasks/build.h"
#include "tasks/report.h"
#include "tasks/task.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

std::string error_of(std::string_view toml) {
  const auto task = parse_task(toml, "t.toml");
  return task ? "" : task.error().message;
}

TEST(TaskToml, ReadsEverything) {
  const auto task = parse_task(R"(
[task]
name = "n"
kind = "classify"
[data]
train = "a.csv"
test = "b.csv"
text = "t"
label = "l"
oos_label = "oos"
format = "tsv"
split_test = 0.3
split_seed = 4
[model]
base = "enc"
[head]
c = [1, 10.5]
folds = 3
[calibration]
false_alarms = 0.01
[gate]
baseline = "old.gguf"
margin = -0.02
)",
                               "t.toml");
  ASSERT_TRUE(task) << task.error().message;
  EXPECT_EQ(task->train.path, "a.csv");
  EXPECT_EQ(task->test, "b.csv");
  EXPECT_EQ(task->train.format, RowFormat::kTsv);
  EXPECT_EQ(task->split_seed, 4U);
  EXPECT_EQ(task->c, (std::vector<double>{1, 10.5}));
  EXPECT_EQ(task->folds, 3);
  EXPECT_EQ(task->false_alarms, 0.01);
  EXPECT_EQ(*task->gate.baseline, "old.gguf");
  EXPECT_EQ(task->gate.margin, -0.02);
  EXPECT_FALSE(task->gate.floor);
  EXPECT_EQ(task->to_json()["data"]["label"], "l");
}

TEST(TaskToml, HowItIsComputedDoesNotBelongToTheTask) {
  const auto plain = parse_task("[data]\ntrain='a'\n[train]\nmethod='full'", "t.toml");
  const auto less =
      parse_task("[data]\ntrain='a'\n[train]\nmethod='full'\nrecompute=true", "t.toml");
  const auto f32 = parse_task("[data]\ntrain='a'\n[train]\nmethod='full'\nbf16=false", "t.toml");
  ASSERT_TRUE(plain && less && f32);
  EXPECT_TRUE(less->training.loop.recompute);
  // The same bits: a checkpoint of one is a checkpoint of the other.
  EXPECT_EQ(plain->to_json(), less->to_json());
  EXPECT_FALSE(f32->training.loop.bf16);
  EXPECT_NE(plain->to_json(), f32->to_json());
}

TEST(TaskToml, HeadsTakeTheirRowsFromDataWhereTheySayNothing) {
  constexpr std::string_view kToml = R"(
[data]
train = "a.csv"
text = "t"
oos_label = "oos"
[heads.zeal]
label = "z"
[heads.intent]
train = "b.csv"
test = "c.csv"
weight = 0.5
floor = 0.9
[gate]
floor = 0.7
)";
  const auto task = parse_task(kToml, "t.toml", {"heads.intent.oos_label=none"});
  ASSERT_TRUE(task) << task.error().message;
  ASSERT_EQ(task->heads.size(), 2U);
  const HeadTask &zeal = task->heads[0], &intent = task->heads[1];  // as the file has them
  EXPECT_EQ(zeal.name, "zeal");
  EXPECT_EQ(zeal.train.path, "a.csv");
  EXPECT_EQ(zeal.train.label, "z");
  EXPECT_EQ(zeal.train.oos_label, "oos");
  EXPECT_EQ(intent.train.path, "b.csv");
  EXPECT_EQ(intent.train.text, "t");
  EXPECT_EQ(intent.train.oos_label, "none");
  EXPECT_EQ(intent.weight, 0.5);
  EXPECT_EQ(*task->of_head(zeal).gate.floor, 0.7);
  EXPECT_EQ(*task->of_head(intent).gate.floor, 0.9);
  EXPECT_EQ(task->of_head(intent).test_source().path, "c.csv");
  EXPECT_EQ(task->to_json()["heads"][1]["data"]["test"], "c.csv");

  const std::string two = "[heads.a]\ntrain='a'\n[heads.b]\ntrain='b'\n";
  EXPECT_EQ(error_of(two), "");
  EXPECT_TRUE(error_of("[heads.a]\ntrain='a'").contains("two or more"));
  EXPECT_TRUE(error_of("[heads.a]\n[heads.b]\ntrain='b'").contains("[heads.a] train is missing"));
  EXPECT_TRUE(error_of(two + "wait = 1").contains("line 5: unknown key 'wait' in [heads.b]"));
  EXPECT_TRUE(error_of(two + "weight = 0").contains("line 5: [heads.b] weight"));
  EXPECT_TRUE(error_of(two + "[heads.'c d']\ntrain='c'").contains("a head's name has letters"));
  EXPECT_TRUE(error_of("[heads]\na = 1").contains("one section a head"));
  EXPECT_TRUE(error_of("heads = 1").contains("must be a section"));
  EXPECT_TRUE(error_of("[task]\nkind='tag'\n[train]\nmethod='full'\n" + two)
                  .contains("need kind = \"classify\""));
}

TEST(TaskToml, ErrorsNameTheLine) {
  EXPECT_TRUE(error_of("").contains("[data] train is missing"));
  EXPECT_TRUE(error_of("[data]\ntrain = 3").contains("line 2: [data] train"));
  EXPECT_TRUE(error_of("[data]\ntrian = 'a'").contains("; did you mean 'train'?"));
  EXPECT_TRUE(error_of("[data]\ntrain = 'a'\ncolum = 'b'").contains("line 3: unknown key 'colum'"));
  EXPECT_TRUE(error_of("[dota]\n").contains("line 1: unknown section [dota]"));
  EXPECT_TRUE(error_of("data = 1").contains("line 1"));
  EXPECT_TRUE(error_of("[data\n").contains("line 1, column"));
  EXPECT_TRUE(error_of("[data]\ntrain='a'\n[gate]\nfloor = 90").contains("line 4"));
  EXPECT_TRUE(error_of("[data]\ntrain='a'\n[gate]\nfloor=0.9\nbaseline='b'").contains("line 5"));
  EXPECT_TRUE(error_of("[data]\ntrain='a'\n[head]\nc = [10, 1]").contains("ascending"));
  EXPECT_TRUE(error_of("[data]\ntrain='a'\n[head]\nfolds = 1").contains("from 2"));
  EXPECT_TRUE(error_of("[task]\nkind='guess'\n[data]\ntrain='a'").contains("classify"));
  EXPECT_TRUE(error_of("[task]\nkind='tag'\n[data]\ntrain='a'").contains("needs [train] method"));
}

TEST(TaskToml, KindsOfPairsAndLabelSets) {
  const auto task = [](const std::string& data) {
    return parse_task("[task]\nkind='embed'\n[data]\ntrain='a'\n" + data +
                          "[train]\nmethod='full'\ntemperature=0.1\n",
                      "t.toml");
  };
  const auto pairs = task("positive='answer'\nnegative='wrong'\n");
  ASSERT_TRUE(pairs) << pairs.error().message;
  EXPECT_EQ(pairs->train.pairs.kind, PairKind::kPositive);
  EXPECT_EQ(pairs->train.pairs.other, "answer");
  EXPECT_EQ(pairs->train.pairs.negative, "wrong");
  EXPECT_EQ(pairs->training.loop.batch, 64);
  EXPECT_EQ(pairs->training.temperature, 0.1);
  EXPECT_EQ(pairs->to_json()["train"]["temperature"], 0.1);
  const auto scored = task("score='similarity'\n");
  ASSERT_TRUE(scored) << scored.error().message;
  EXPECT_EQ(scored->train.pairs.kind, PairKind::kScored);
  EXPECT_EQ(scored->train.pairs.score, "similarity");
  EXPECT_EQ(scored->train.pairs.other, "other");
  const auto labelled = task("pairs='label'\nlabel='intent'\noos_label='oos'\n");
  ASSERT_TRUE(labelled) << labelled.error().message;
  EXPECT_EQ(labelled->train.pairs.kind, PairKind::kLabel);
  EXPECT_EQ(labelled->to_json()["data"]["label"], "intent");
  EXPECT_TRUE(task("pairs='label'\nscore='s'\n").error().message.contains("unknown key 'score'"));
  EXPECT_TRUE(task("pairs='rows'\n").error().message.contains("line 5"));
  EXPECT_TRUE(error_of("[task]\nkind='embed'\n[data]\ntrain='a'").contains("needs [train] method"));
  const auto sets = parse_task(
      "[task]\nkind='multilabel'\n[data]\ntrain='a'\nseparator=';'\n[train]\nepochs=2", "t.toml");
  ASSERT_TRUE(sets) << sets.error().message;
  EXPECT_TRUE(sets->train.label_sets);
  EXPECT_EQ(sets->train.label, "labels");
  EXPECT_EQ(sets->train.separator, ";");
  EXPECT_EQ(sets->to_json()["kind"], "multilabel");
  EXPECT_TRUE(error_of("[task]\nkind='multilabel'\n[data]\ntrain='a'\noos_label='o'")
                  .contains("unknown key 'oos_label'"));
  for (const std::string kind : {"multilabel", "embed"}) {
    const std::string whole =
        "[task]\nkind='" + kind + "'\n[data]\ntrain='a'\n[train]\nmethod='full'\n[teacher]\n";
    EXPECT_TRUE(parse_task(whole + "model='m'\n", "t.toml"));
    EXPECT_TRUE(error_of(whole + "models=['m', 'n']").contains("are for kind = \"classify\""));
    EXPECT_TRUE(error_of(whole + "model='m'\nhidden=1").contains("are for kind = \"tag\""));
    EXPECT_TRUE(error_of("[task]\nkind='" + kind +
                         "'\n[data]\ntrain='a'\n[train]\nmethod='full'\n"
                         "length=128")
                    .contains("only kind = \"span\""));
  }
}

TEST(TaskToml, ReadsStudentsAndTeachers) {
  const std::string data = "[data]\ntrain='a'\n[train]\nmethod='full'\n";
  const auto task = parse_task(data + R"(
[student]
layers = [0, 3]
width = 192
ffn = 768
[teacher]
models = ["a.gguf", "b.gguf"]
variants = 2
hidden = 1.5
hidden_loss = "cosine"
layers = [2, 5]
relations = 0.5
relation_heads = 6
relation_layer = 4
)",
                               "t.toml");
  ASSERT_TRUE(task) << task.error().message;
  EXPECT_EQ(task->student.layers, (std::vector<std::int64_t>{0, 3}));
  EXPECT_EQ(task->student.width, 192);
  EXPECT_EQ(task->student.ffn, 768);
  EXPECT_EQ(task->teacher.models, (std::vector<std::string>{"a.gguf", "b.gguf"}));
  EXPECT_EQ(task->teacher.variants, 2);
  EXPECT_EQ(task->teacher.inner.hidden, 1.5);
  EXPECT_TRUE(task->teacher.inner.cosine);
  EXPECT_EQ(task->teacher.inner.layers, (std::vector<std::int64_t>{2, 5}));
  EXPECT_EQ(task->teacher.inner.relations, 0.5);
  EXPECT_EQ(task->teacher.inner.relation_heads, 6);
  EXPECT_EQ(task->teacher.inner.relation_layer, 4);
  const Json json = task->to_json();
  EXPECT_EQ(json["student"]["width"], 192);
  EXPECT_EQ(json["teacher"]["inner"]["hidden_loss"], "cosine");
  EXPECT_EQ(json["teacher"]["models"].size(), 2U);
  const auto one = parse_task(data + "[teacher]\nmodel='m'\n", "t.toml");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->teacher.models, std::vector<std::string>{"m"});
  EXPECT_FALSE(one->teacher.inner.any());

  EXPECT_TRUE(error_of(data + "[teacher]\nmodel='m'\nmodels=['n']").contains("line 7"));
  EXPECT_TRUE(error_of(data + "[teacher]\nmodels=['n', 3]").contains("a list of texts"));
  EXPECT_TRUE(error_of(data + "[teacher]\nmodels=[]").contains("a list of texts"));
  EXPECT_TRUE(error_of(data + "[teacher]\nmodel='m'\ncount=2").contains("unknown key 'count'"));
  EXPECT_TRUE(error_of(data + "[teacher]\nlayers=[1]").contains("hidden is above 0"));
  EXPECT_TRUE(error_of(data + "[teacher]\nrelation_heads=3").contains("relations is above 0"));
  EXPECT_TRUE(error_of(data + "[student]\nwidth=8").contains("from 32"));
  EXPECT_TRUE(error_of("[task]\nkind='tag'\n" + data + "[teacher]\nvariants=1")
                  .contains("are for kind = \"classify\""));
}

class Build : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_tasks_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
    std::ofstream csv(directory_ / "d.csv");
    csv << "text,label\n";
    const std::vector<std::pair<std::string, std::vector<std::string>>> phrases = {
        {"weather",
         {"will it rain", "is it sunny", "how cold is it", "is there snow", "a storm comes"}},
        {"food",
         {"I want pizza", "cook some rice", "a recipe for soup", "bread with butter",
          "is dinner ready"}},
        {"travel",
         {"book a flight", "the train to Rome", "rent a car", "find me a hotel",
          "when does the bus leave"}}};
    const std::vector<std::string> when = {"",           " today",   " tomorrow",
                                           " on Monday", " tonight", " please"};
    for (const auto& [label, texts] : phrases)
      for (const std::string& text : texts)
        for (const std::string& w : when) csv << text << w << "," << label << "\n";
    task_.name = "small";
    task_.train.path = (directory_ / "d.csv").string();
    task_.base = fs::path(TACK_SOURCE_DIR) / "models/all-minilm-l6-v2.int8.gguf";
  }
  void TearDown() override { fs::remove_all(directory_); }

  fs::path directory_;
  Task task_;
};

TEST_F(Build, MakesAModelThatAnswersAsItsReportSays) {
  const fs::path out = directory_ / "m.gguf";
  const auto result = build_task(task_, {.out = out, .threads = 2});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(result->accepted());
  EXPECT_EQ(result->labels, (std::vector<std::string>{"food", "travel", "weather"}));
  EXPECT_GT(result->evaluation.metrics.accuracy.value, 0.9);

  auto predictor = TaskPredictor::open(out, {.threads = 1});
  ASSERT_TRUE(predictor) << predictor.error().message;
  const std::vector<std::string_view> texts = {"a plane ticket to Madrid", "is it foggy outside"};
  const auto predictions = (*predictor)->predict(texts);
  ASSERT_TRUE(predictions);
  EXPECT_EQ((*predictor)->labels()[(*predictions)[0].label], "travel");
  EXPECT_EQ((*predictor)->labels()[(*predictions)[1].label], "weather");
  for (const Prediction& p : *predictions) {
    double sum = 0;
    for (float v : p.probabilities) sum += static_cast<double>(v);
    EXPECT_NEAR(sum, 1, 1e-5);
    EXPECT_EQ(p.out_of_scope, p.score < (*predictor)->calibration().threshold);
  }
  const Json* metrics = (*predictor)->model().tack_metadata("metrics");
  ASSERT_NE(metrics, nullptr);
  EXPECT_EQ((*metrics)["accuracy"].get<double>(), result->evaluation.metrics.accuracy.value);
  const Json* lineage = (*predictor)->model().tack_metadata("lineage");
  ASSERT_NE(lineage, nullptr);
  EXPECT_EQ((*lineage)["base"]["sha256"].get<std::string>().size(), 64U);
}

TEST_F(Build, TheGateKeepsARefusedModelAway) {
  task_.gate.floor = 1.0;
  task_.split_test = 0.5;
  std::ofstream(directory_ / "d.csv", std::ios::app)
      << "I want pizza now,weather\nrent a car now,food\nis it sunny now,travel\n"
         "will it rain now,travel\ncook some rice now,travel\n";
  const fs::path out = directory_ / "m.gguf";
  const auto result = build_task(task_, {.out = out});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_FALSE(result->accepted());
  for (const auto& entry : fs::directory_iterator(directory_))
    EXPECT_EQ(entry.path().filename(), "d.csv");
}

TEST_F(Build, ReportsEscapeWhatTheyQuote) {
  const auto result = build_task(task_, {.out = directory_ / "m.gguf"});
  ASSERT_TRUE(result);
  std::vector<std::string> labels = result->labels;
  labels[0] = "<script>alert(1)</script>";
  const std::string html =
      evaluation_html("a & b", {{"fact", "\"<b>\""}}, result->evaluation, labels);
  EXPECT_FALSE(html.contains("<script>"));
  EXPECT_TRUE(html.contains("a &amp; b"));
  EXPECT_TRUE(html.contains("Reliability"));
  EXPECT_TRUE(evaluation_text(result->evaluation, labels).contains("accuracy"));
}

}  // namespace
}  // namespace tack
