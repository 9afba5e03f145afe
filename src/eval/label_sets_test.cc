#include "eval/label_sets.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "base/random.h"
#include "eval/label_set_metrics.h"

namespace tack {
namespace {

DataSource source(RowFormat format) {
  DataSource out;
  out.path = "f";
  out.label = "labels";
  out.label_sets = true;
  out.format = format;
  return out;
}

using Sets = std::vector<std::vector<std::int32_t>>;

TEST(LabelSets, ListsOfJsonAndFieldsOfCsvAreTheSame) {
  const auto json = parse_label_sets(R"({"text":"one","labels":["b","a","b"]}
{"text":"two","labels":[]}
{"text":"three","labels":"c | a"})",
                                     source(RowFormat::kJsonl), {});
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ(json->label_names, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(json->label_sets, (Sets{{0, 1}, {}, {0, 2}}));
  EXPECT_EQ(json->in_scope(), 3U);
  const auto csv =
      parse_label_sets("text,labels\none,b|a|\ntwo,\nthree,\"[\"\"c\"\",\"\"a\"\"]\"\n",
                       source(RowFormat::kCsv), {});
  ASSERT_TRUE(csv) << csv.error().message;
  EXPECT_EQ(csv->label_sets, json->label_sets);
  DataSource commas = source(RowFormat::kCsv);
  commas.separator = ", ";
  const auto other = parse_label_sets("text,labels\none,\"b, a\"\ntwo,a|b\n", commas, {});
  ASSERT_TRUE(other) << other.error().message;
  EXPECT_EQ(other->label_names, (std::vector<std::string>{"a", "a|b", "b"}));
}

TEST(LabelSets, KnownLabelsKeepTheirOrder) {
  const auto data = parse_label_sets("text,labels\none,b|a\n", source(RowFormat::kCsv), {"b", "a"});
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->label_names, (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(data->label_sets, (Sets{{0, 1}}));
}

std::string error_of(std::string_view text, RowFormat format,
                     const std::vector<std::string>& known = {}) {
  const auto data = parse_label_sets(text, source(format), known);
  return data ? "" : data.error().message;
}

TEST(LabelSets, ErrorsNameTheLine) {
  const RowFormat csv = RowFormat::kCsv, jsonl = RowFormat::kJsonl;
  EXPECT_TRUE(error_of("text,labels\na,x\nb,z\n", csv, {"x"}).contains("line 3: label 'z' is not"));
  EXPECT_TRUE(error_of("text,labels\n ,x\n", csv).contains("line 2: column 'text' is empty"));
  EXPECT_TRUE(error_of("text,labels\na,\n", csv).contains("no row has a label"));
  EXPECT_TRUE(error_of("text,labels\n", csv).contains("no rows"));
  EXPECT_TRUE(error_of("text,labels\na,['x']\n", csv).contains("f: line 2"));
  EXPECT_TRUE(error_of(R"({"text":"a","labels":[1]})", jsonl).contains("no list of labels"));
  EXPECT_TRUE(error_of(R"({"text":"a","labels":{}})", jsonl).contains("'labels'"));
}

TEST(LabelSets, RowsAreDividedByTheirRarestLabel) {
  Dataset data;
  data.label_names = {"often", "rare"};
  for (int i = 0; i < 100; ++i) {
    data.texts.push_back("text " + std::to_string(i));
    data.labels.push_back(0);
    data.label_sets.push_back(i < 10   ? std::vector<std::int32_t>{0, 1}
                              : i < 90 ? std::vector<std::int32_t>{0}
                                       : std::vector<std::int32_t>{});
  }
  EXPECT_EQ(rows_of_labels(data), (std::vector<std::size_t>{90, 10}));
  const Split split = split_by_content(data, 0.2, 1);
  const Dataset held = data.subset(split.second);
  EXPECT_EQ(rows_of_labels(held), (std::vector<std::size_t>{18, 2}));
  EXPECT_EQ(held.size(), 20U);
  EXPECT_TRUE(check_trainable(data));
  data.label_sets[1] = data.label_sets[2] = {};
  for (std::size_t i = 3; i < 10; ++i) data.label_sets[i] = {0};
  const auto once = check_trainable(data);
  ASSERT_FALSE(once);
  EXPECT_TRUE(once.error().message.contains("'rare' is there only once (row 1)"));
}

TEST(LabelSetMetrics, AgreeWithScikitLearn) {
  // f1_score (micro, macro), accuracy_score, label_ranking_average_precision_score (of rows that
  // have labels) of scikit-learn 1.9.1.
  LabelSetAnswers a;
  a.labels = 3;
  a.truth = {{0, 2}, {1}, {}, {0, 1}, {2}};
  a.probabilities = {.9F, .6F, .2F, .1F, .8F, .8F, .3F, .2F, .1F, .7F, .4F, .5F, .6F, .1F, .55F};
  a.predicted = {{0, 1}, {1, 2}, {}, {0, 2}, {0, 2}};
  const LabelSetMetrics m = compute_label_set_metrics(a);
  EXPECT_NEAR(m.micro_f1.value, 0.5714285714285714, 1e-12);
  EXPECT_NEAR(m.macro_f1.value, 0.5666666666666668, 1e-12);
  EXPECT_NEAR(m.exact.value, 0.2, 1e-12);
  EXPECT_NEAR(m.ranking.value, 0.6666666666666666, 1e-12);
  EXPECT_NEAR(m.precision.value, 4.0 / 8, 1e-12);
  EXPECT_NEAR(m.recall.value, 4.0 / 6, 1e-12);
  EXPECT_EQ(m.per_label[1].support, 2);
  EXPECT_EQ(a.exact(), (std::vector<bool>{false, false, true, false, false}));
  EXPECT_LE(m.micro_f1.low, m.micro_f1.value);
  EXPECT_GE(m.micro_f1.high, m.micro_f1.value);
  // One row, three bins of 1/15: 0.9 right, 0.6 and 0.2 of which the latter is there.
  a.truth = {{0, 2}};
  a.predicted = {{0, 1}};
  a.probabilities.resize(3);
  EXPECT_NEAR(compute_label_set_metrics(a).ece.value, (0.1 + 0.6 + 0.8) / 3, 1e-6);
}

TEST(LabelSetMetrics, TheThresholdIsTheBestOfAll) {
  Random random(3);
  std::vector<float> p, targets;
  for (int i = 0; i < 300; ++i) {
    p.push_back(static_cast<float>(random.below(40)) / 40);
    targets.push_back(random.uniform() < static_cast<double>(p.back()) * 0.6 ? 1.0F : 0.0F);
  }
  double best = 0;
  for (int t = 0; t <= 80; ++t)
    best = std::max(best, micro_f1(p, targets, static_cast<float>(t) / 80));
  EXPECT_NEAR(micro_f1(p, targets, best_threshold(p, targets)), best, 1e-12);
  EXPECT_EQ(best_threshold(p, std::vector<float>(300, 0.0F)), 0.5F);
  // Of equally good ones, the nearest to a half.
  EXPECT_FLOAT_EQ(best_threshold(std::vector<float>{.9F, .7F, .2F}, std::vector<float>{1, 1, 0}),
                  .45F);
}

TEST(LabelSetMetrics, FindsTheTemperatureThatMadeTheLogits) {
  Random random(4);
  std::vector<float> logits, targets;
  for (int i = 0; i < 40000; ++i) {
    const double z = 1.5 * random.normal();
    targets.push_back(random.uniform() < 1 / (1 + std::exp(-z)) ? 1.0F : 0.0F);
    logits.push_back(static_cast<float>(2.5 * z));
  }
  EXPECT_NEAR(fit_sigmoid_temperature(logits, targets), 2.5, 0.1);
}

}  // namespace
}  // namespace tack
