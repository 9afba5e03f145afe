#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "base/random.h"
#include "eval/calibration.h"
#include "eval/dataset.h"
#include "eval/gate.h"
#include "eval/metrics.h"
#include "eval/rows.h"

namespace tack {
namespace {

using Rows = std::vector<std::vector<std::string>>;

Result<Rows> read(std::string_view text, RowFormat format,
                  const std::vector<std::string>& columns = {"text", "label"}) {
  TACK_TRY(auto reader, RowReader::parse(text, "f", columns, format));
  Rows rows;
  std::vector<std::string> fields;
  for (;;) {
    TACK_TRY(const bool any, reader->next(fields));
    if (!any) return rows;
    rows.push_back(fields);
  }
}

std::string error_of(std::string_view text, RowFormat format) {
  const auto rows = read(text, format);
  return rows ? "" : rows.error().message;
}

TEST(Rows, CsvFollowsRfc4180) {
  const auto rows = read(
      "\xEF\xBB\xBFid,label,text\r\n"
      "1,a,plain\r\n"
      "2,\"b \"\"x\"\"\",\"two\nlines, with a comma\"\r\n"
      "\r\n"
      "3,c,\n"
      "4,d,last",
      RowFormat::kCsv);
  ASSERT_TRUE(rows) << rows.error().message;
  EXPECT_EQ(
      *rows,
      (Rows{{"plain", "a"}, {"two\nlines, with a comma", "b \"x\""}, {"", "c"}, {"last", "d"}}));
}

TEST(Rows, ErrorsNameTheLine) {
  EXPECT_TRUE(error_of("text,label\na,b\nc\n", RowFormat::kCsv).contains("line 3: 1 fields"));
  EXPECT_TRUE(
      error_of("text,label\n\"a\nb\",x\nc,d,e\n", RowFormat::kCsv).contains("line 4: 3 fields"));
  EXPECT_TRUE(error_of("text,label\n\"a,b\n", RowFormat::kCsv).contains("line 2: a quote"));
  EXPECT_TRUE(error_of("text,label\n\"a\"b,c\n", RowFormat::kCsv).contains("line 2"));
  EXPECT_TRUE(error_of("text,lable\na,b\n", RowFormat::kCsv).contains("no column 'label'"));
  EXPECT_TRUE(error_of("text,label,text\na,b,c\n", RowFormat::kCsv).contains("twice"));
  EXPECT_TRUE(error_of("", RowFormat::kCsv).contains("empty"));
  EXPECT_TRUE(error_of("text,label\na,\xE4\n", RowFormat::kCsv).contains("line 2: byte 0xE4"));
  EXPECT_TRUE(error_of("text\tlabel\n\"a\n", RowFormat::kTsv).contains("line 2"));
  EXPECT_TRUE(error_of("{\"text\":\"a\",\"label\":\"b\"}\n{\"text\"", RowFormat::kJsonl)
                  .contains("line 2"));
  EXPECT_TRUE(error_of("{\"text\":\"a\"}", RowFormat::kJsonl).contains("no key 'label'"));
  EXPECT_TRUE(error_of("{\"text\":[],\"label\":1}", RowFormat::kJsonl).contains("'text'"));
  EXPECT_TRUE(error_of("[1]", RowFormat::kJson).contains("row 1"));
  EXPECT_TRUE(error_of("{\"train\":[]}", RowFormat::kJson).contains("which lists"));
}

TEST(Rows, OtherFormats) {
  EXPECT_EQ(*read("text\tlabel\n\"a\tb\n", RowFormat::kTsv), (Rows{{"\"a", "b"}}));
  EXPECT_EQ(*read("{\"text\":\"a\",\"label\":3}\n\n", RowFormat::kJsonl), (Rows{{"a", "3"}}));
  EXPECT_EQ(*read(R"([["a","b"],{"text":"c","label":"d"}])", RowFormat::kJson),
            (Rows{{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(*read("a\r\n\nb", RowFormat::kText, {"text"}), (Rows{{"a"}, {""}, {"b"}}));
}

TEST(Rows, RefusesWhatIsNotUtf8) {
  for (const char* bad :
       {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80", "\xF8"})
    EXPECT_FALSE(read(std::string(bad) + "\n", RowFormat::kText, {"text"})) << bad;
  for (const char* good : {"\xC2\x80", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF", "\xE2\x82\xAC"})
    EXPECT_TRUE(read(std::string(good) + "\n", RowFormat::kText, {"text"})) << good;
}

Dataset numbered(int rows, int labels) {
  Dataset data{"d", {}, {}, {}, {}};
  for (int k = 0; k < labels; ++k) data.label_names.push_back("l" + std::to_string(k));
  for (int i = 0; i < rows; ++i) {
    data.texts.push_back("text " + std::to_string(i));
    data.labels.push_back(i % labels);
  }
  return data;
}

TEST(Split, IsStratifiedStableAndKeepsCopiesTogether) {
  Dataset data = numbered(1000, 5);
  data.texts[7] = "  TEXT \t 3 ";  // a copy of row 3 in other dress, under another label
  const Split split = split_by_content(data, 0.2, 1);
  EXPECT_EQ(split.first.size() + split.second.size(), data.size());
  std::vector<int> counts(5);
  for (std::size_t row : split.second) ++counts[static_cast<std::size_t>(data.labels[row])];
  for (int count : counts) EXPECT_NEAR(count, 40, 1);
  const auto held = [&](const Split& s, std::size_t row) {
    return std::ranges::binary_search(s.second, row);
  };
  EXPECT_EQ(held(split, 3), held(split, 7));
  // The order of rows does not matter.
  Dataset reversed = data;
  std::ranges::reverse(reversed.texts);
  std::ranges::reverse(reversed.labels);
  const Split again = split_by_content(reversed, 0.2, 1);
  for (std::size_t row = 0; row < data.size(); ++row)
    EXPECT_EQ(held(split, row), held(again, data.size() - 1 - row));
  EXPECT_NE(split_by_content(data, 0.2, 2).second, split.second);
  EXPECT_EQ(count_overlap(data.subset(split.first), data.subset(split.second)), 0U);
  const Dataset second = data.subset(split.second);
  const Dataset* const others[] = {&second};
  EXPECT_EQ(rows_apart_from(data, others), split.first);
}

TEST(Metrics, AgreeWithScikitLearn) {
  // sklearn.metrics on y = [0,0,0,1,1,2], p = [0,0,1,1,2,2]: accuracy 4/6, macro F1 0.6555...
  Answers a;
  a.classes = 3;
  a.truth = {0, 0, 0, 1, 1, 2};
  a.predicted = {0, 0, 1, 1, 2, 2};
  a.confidence = {0.9F, 0.8F, 0.6F, 0.7F, 0.6F, 0.5F};
  a.truth_probability = {0.9F, 0.8F, 0.3F, 0.7F, 0.2F, 0.5F};
  a.flagged.assign(6, false);
  const Metrics m = compute_metrics(a);
  EXPECT_NEAR(m.accuracy.value, 4.0 / 6, 1e-12);
  EXPECT_NEAR(m.macro_f1.value, (0.8 + 0.5 + 2.0 / 3) / 3, 1e-12);
  EXPECT_NEAR(
      m.log_loss,
      -(std::log(.9) + std::log(.8) + std::log(.3) + std::log(.7) + std::log(.2) + std::log(.5)) /
          6,
      1e-6);
  EXPECT_NEAR(m.per_class[0].recall, 2.0 / 3, 1e-12);
  EXPECT_NEAR(m.per_class[1].precision, 0.5, 1e-12);
  EXPECT_EQ(m.confusion[1], 1);  // truth 0 answered 1
  // Bins of 1/15: 0.9 and 0.8 and 0.7 and 0.5 right, two at 0.6 wrong.
  EXPECT_NEAR(m.ece.value, (0.1 + 0.2 + 1.2 + 0.3 + 0.5) / 6, 1e-6);
  EXPECT_LE(m.accuracy.low, m.accuracy.value);
  EXPECT_GE(m.accuracy.high, m.accuracy.value);
  EXPECT_FALSE(m.out_of_scope);
}

TEST(Metrics, AurocCountsPairs) {
  EXPECT_DOUBLE_EQ(auroc(std::vector<float>{3, 2}, std::vector<float>{1, 0}), 1);
  EXPECT_DOUBLE_EQ(auroc(std::vector<float>{1, 3}, std::vector<float>{2, 2}), 0.5);
  EXPECT_DOUBLE_EQ(auroc(std::vector<float>{2, 3}, std::vector<float>{2, 1}), 0.875);
  EXPECT_DOUBLE_EQ(auroc({}, std::vector<float>{1}), 0.5);
}

TEST(Metrics, IntervalsCoverTheTruth) {
  // 200 samples of 300 Bernoulli(0.8) rows: a 95 % interval must hold 0.8 in nearly 190 of them.
  Random random(9);
  int covered = 0;
  for (int i = 0; i < 200; ++i) {
    std::vector<int> rows(300);
    for (int& row : rows) row = random.uniform() < 0.8;
    const Estimate e = bootstrap(300, {.resamples = 400, .seed = static_cast<std::uint64_t>(i)},
                                 [&](std::span<const std::int64_t> picked) {
                                   double sum = 0;
                                   for (std::int64_t r : picked)
                                     sum += rows[static_cast<std::size_t>(r)];
                                   return sum / 300;
                                 });
    covered += e.low <= 0.8 && 0.8 <= e.high;
  }
  EXPECT_GE(covered, 180);
  EXPECT_LE(covered, 199);
}

TEST(Calibration, FindsTheTemperatureThatMadeTheLogits) {
  Random random(4);
  std::vector<float> logits;
  std::vector<std::int32_t> labels;
  for (int r = 0; r < 20000; ++r) {
    std::array<double, 4> z{};
    double total = 0;
    for (double& v : z) v = 1.5 * random.normal();
    for (double v : z) total += std::exp(v);
    double u = random.uniform() * total;
    std::int32_t label = 0;
    while (label < 3 && (u -= std::exp(z[static_cast<std::size_t>(label)])) > 0) ++label;
    labels.push_back(label);
    for (double v : z) logits.push_back(static_cast<float>(2.5 * v));  // overconfident
  }
  EXPECT_NEAR(fit_temperature(logits, labels, 4), 2.5, 0.1);
}

TEST(Calibration, TheInScopeScoreIsTheLargestLogitAboveTheirMean) {
  EXPECT_FLOAT_EQ(in_scope_score(std::vector<float>{1, 2, 6}), 3);
  EXPECT_FLOAT_EQ(in_scope_score(std::vector<float>{101, 102, 106}), 3);
}

TEST(Calibration, ThresholdKeepsFalseAlarmsBelowTheRate) {
  std::vector<float> scores;
  for (int i = 0; i < 1000; ++i) scores.push_back(static_cast<float>(i) / 1000);
  const float threshold = out_of_scope_threshold(scores, 0.05);
  const auto flagged = std::ranges::count_if(scores, [&](float s) { return s < threshold; });
  EXPECT_EQ(flagged, 50);
  EXPECT_EQ(out_of_scope_threshold(scores, 0), 0);
  EXPECT_EQ(out_of_scope_threshold({}, 0.1), 0);
}

std::vector<bool> answers(int rows, int wrong) {
  std::vector<bool> out(static_cast<std::size_t>(rows), true);
  for (int i = 0; i < wrong; ++i) out[static_cast<std::size_t>(i)] = false;
  return out;
}

TEST(Gate, AcceptsEqualsAndRefusesLosses) {
  const auto baseline = answers(2000, 100);
  EXPECT_TRUE(gate_against_baseline(baseline, baseline, {}).accepted);
  EXPECT_FALSE(gate_against_baseline(answers(2000, 140), baseline, {}).accepted);
  // The same accuracy, but other rows wrong: the fewer rows, the less is proven.
  auto shifted = baseline;
  std::reverse(shifted.begin(), shifted.end());
  EXPECT_FALSE(gate_against_baseline(std::vector<bool>(shifted.end() - 150, shifted.end()),
                                     std::vector<bool>(baseline.end() - 150, baseline.end()), {})
                   .accepted);
  EXPECT_TRUE(gate_against_floor(answers(2000, 100), {.floor = 0.93}).accepted);
  EXPECT_FALSE(gate_against_floor(answers(2000, 100), {.floor = 0.95}).accepted);
  EXPECT_FALSE(gate_against_floor({}, {.floor = 0.5}).accepted);
  // Of the same rows, a bound that need not be as sure is higher.
  const GateResult sure = gate_against_floor(answers(200, 10), {.floor = 0.93});
  const GateResult less = gate_against_floor(answers(200, 10), {.floor = 0.93, .confidence = 0.6});
  EXPECT_FALSE(sure.accepted);
  EXPECT_TRUE(less.accepted);
  EXPECT_GT(less.lower_bound, sure.lower_bound);
  // 95 % right, 93 % wanted: the bound is 1.645 sqrt(0.95 * 0.05 / rows) below, so 321 rows tell.
  EXPECT_NEAR(static_cast<double>(sure.rows_needed), 321, 40);
  EXPECT_EQ(less.rows_needed, 0);
  EXPECT_EQ(gate_against_floor(answers(200, 20), {.floor = 0.93}).rows_needed, 0);  // too bad
}

TEST(Gate, KnowsWhatItCanDetect) {
  EXPECT_NEAR(detectable_loss(812), 0.01, 1e-4);
  EXPECT_NEAR(detectable_loss(3250), 0.005, 1e-4);
}

}  // namespace
}  // namespace tack
