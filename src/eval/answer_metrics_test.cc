#include "eval/answer_metrics.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "base/json.h"

namespace tack {
namespace {

using Texts = std::vector<std::string_view>;

TEST(AnswerMetrics, NormalisesAsSquadDoes) {
  EXPECT_EQ(normalized_answer("The  Cat, (sat)\non a mat!"), "cat sat on mat");
  EXPECT_EQ(normalized_answer("the"), "");
  EXPECT_EQ(normalized_answer("The-atre"), "theatre");  // punctuation goes first
  EXPECT_EQ(normalized_answer("a\u2013b"), "\u2013b");  // an en dash is none, and ends a word
  EXPECT_EQ(normalized_answer("\u00c9t\u00e9\u00a0an"), "\u00e9t\u00e9");
  EXPECT_EQ(normalized_answer("$1,000.50"), "100050");
  EXPECT_EQ(normalized_answer("\u201cA\u201d team"), "\u201c \u201d team");
}

TEST(AnswerMetrics, TheBestOfTheAnswersCounts) {
  // Hand-computed: two of three words, against two.
  const AnswerScore one = score_answer("in New York", Texts{"New York"});
  EXPECT_EQ(one.exact, 0);
  EXPECT_DOUBLE_EQ(one.f1, 2 * (2.0 / 3) * 1 / (2.0 / 3 + 1));
  const AnswerScore best = score_answer("in New York", Texts{"York", "in new york."});
  EXPECT_EQ(best.exact, 1);
  EXPECT_EQ(best.f1, 1);
  // Words are counted as often as they occur in both.
  EXPECT_DOUBLE_EQ(score_answer("b b b", Texts{"b b"}).f1, 0.8);
  EXPECT_EQ(score_answer("x", Texts{"y"}).f1, 0);
  // No answer.
  EXPECT_EQ(score_answer("", Texts{}).exact, 1);
  EXPECT_EQ(score_answer("", Texts{}).f1, 1);
  EXPECT_EQ(score_answer("x", Texts{}).f1, 0);
  EXPECT_EQ(score_answer("", Texts{"x"}).f1, 0);
}

// Values of the official evaluate-v2.0.py (tools/golden/answer_metrics.py).
TEST(AnswerMetrics, AsTheOfficialScript) {
  std::ifstream golden(std::filesystem::path(TACK_SOURCE_DIR) / "tests/golden/answers.jsonl");
  int lines = 0;
  for (std::string line; std::getline(golden, line); ++lines) {
    const auto json = parse_json(line, "golden");
    ASSERT_TRUE(json) << json.error().message;
    const auto gold = (*json)["gold"].get<std::vector<std::string>>();
    const AnswerScore score =
        score_answer((*json)["said"].get<std::string>(), Texts(gold.begin(), gold.end()));
    EXPECT_EQ(score.exact, (*json)["exact"].get<double>()) << line;
    EXPECT_NEAR(score.f1, (*json)["f1"].get<double>(), 1e-12) << line;
  }
  EXPECT_GT(lines, 300);
}

TEST(AnswerMetrics, MeansAndParts) {
  const std::vector<AnswerScore> scores = {{1, 1}, {0, 0.5}, {1, 1}, {0, 0}};
  const AnswerMetrics all = compute_answer_metrics(scores, {true, true, true, true});
  EXPECT_DOUBLE_EQ(all.exact.value, 0.5);
  EXPECT_DOUBLE_EQ(all.f1.value, 0.625);
  EXPECT_LE(all.f1.low, 0.625);
  EXPECT_GE(all.f1.high, 0.625);
  EXPECT_FALSE(all.unanswerable);
  const AnswerMetrics parts = compute_answer_metrics(scores, {true, true, false, false});
  EXPECT_DOUBLE_EQ(parts.answerable_f1->value, 0.75);
  EXPECT_DOUBLE_EQ(parts.answerable_exact->value, 0.5);
  EXPECT_DOUBLE_EQ(parts.unanswerable->value, 0.5);
}

TEST(AnswerMetrics, ThresholdIsTheBestOfAll) {
  const std::vector<double> margins = {3, 1, -1, 2, -2, 1};
  const std::vector<double> answered = {1, 0, 0.4, 0.8, 0, 0.9}, refused = {0, 1, 0, 0, 1, 0};
  const double threshold = fit_answer_threshold(margins, answered, refused);
  const auto f1 = [&](double t) {
    double sum = 0;
    for (std::size_t i = 0; i < margins.size(); ++i)
      sum += margins[i] >= t ? answered[i] : refused[i];
    return sum;
  };
  for (double t : {-3.0, -1.5, 0.0, 1.0, 1.5, 2.5, 4.0}) EXPECT_LE(f1(t), f1(threshold)) << t;
  EXPECT_GT(
      fit_answer_threshold(std::vector<double>{5}, std::vector<double>{0}, std::vector<double>{1}),
      5);
}

}  // namespace
}  // namespace tack
