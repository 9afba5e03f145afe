#include "eval/pairs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "base/random.h"
#include "eval/gate.h"
#include "eval/retrieval_metrics.h"

namespace tack {
namespace {

DataSource source(PairKind kind) {
  DataSource out;
  out.path = "f";
  out.format = RowFormat::kCsv;
  out.pairs.kind = kind;
  if (kind == PairKind::kScored) {
    out.pairs.other = "other";
    out.pairs.score = "score";
  }
  return out;
}

TEST(Pairs, ReadsPositivesNegativesAndScores) {
  DataSource with_negatives = source(PairKind::kPositive);
  with_negatives.pairs.negative = "not";
  const auto pairs = parse_pairs("not,positive,text\nc,b,a\nf,e,d\n", with_negatives);
  ASSERT_TRUE(pairs) << pairs.error().message;
  EXPECT_EQ(pairs->texts, (std::vector<std::string>{"a", "d"}));
  EXPECT_EQ(pairs->others, (std::vector<std::string>{"b", "e"}));
  EXPECT_EQ(pairs->negatives, (std::vector<std::string>{"c", "f"}));
  const auto scored =
      parse_pairs("text,other,score\na,b, 3.5 \nc,d,0\n", source(PairKind::kScored));
  ASSERT_TRUE(scored) << scored.error().message;
  EXPECT_EQ(scored->scores, (std::vector<float>{3.5F, 0}));
  EXPECT_NE(scored->sha256, pairs->sha256);
  const PairSet one = scored->subset({1});
  EXPECT_EQ(one.texts, std::vector<std::string>{"c"});
  EXPECT_EQ(one.scores, std::vector<float>{0});
}

std::string error_of(std::string_view text, PairKind kind) {
  const auto pairs = parse_pairs(text, source(kind));
  return pairs ? "" : pairs.error().message;
}

TEST(Pairs, ErrorsNameTheLine) {
  EXPECT_TRUE(error_of("text,positive\na,b\nc,\n", PairKind::kPositive)
                  .contains("line 3: column 'positive' is empty"));
  EXPECT_TRUE(error_of("text,other\na,b\n", PairKind::kPositive).contains("no column 'positive'"));
  for (const char* score : {"x", "1e999", "nan", "1.0.0", ""})
    EXPECT_TRUE(error_of(std::string("text,other,score\na,b,") + score + "\n", PairKind::kScored)
                    .contains("line 2: column 'score'"))
        << score;
  EXPECT_TRUE(error_of("text,positive\n", PairKind::kPositive).contains("no rows"));
}

TEST(Pairs, TrainingNeedsSomethingToTellApart) {
  PairSet pairs;
  pairs.texts = {"a", "b"};
  pairs.others = {"c", "d"};
  EXPECT_TRUE(check_trainable(pairs));
  pairs.kind = PairKind::kScored;
  pairs.scores = {1, 1};
  EXPECT_FALSE(check_trainable(pairs));
  pairs.kind = PairKind::kLabel;
  pairs.label_names = {"x", "y"};
  pairs.labels = {0, 1};
  EXPECT_TRUE(check_trainable(pairs).error().message.contains("no label has two texts"));
  pairs.labels = {1, 1};
  EXPECT_TRUE(check_trainable(pairs).error().message.contains("all rows have the label 'y'"));
}

TEST(Pairs, CopiesOfAFirstTextStayOnOneSide) {
  PairSet pairs;
  for (int i = 0; i < 200; ++i) {
    pairs.texts.push_back((i % 2 ? "Query  " : "query ") + std::to_string(i / 2));
    pairs.others.push_back("answer " + std::to_string(i));
  }
  const Split split = split_pairs(pairs, 0.25, 1);
  EXPECT_NEAR(static_cast<double>(split.second.size()), 50, 2);
  EXPECT_EQ(count_overlap(pairs.subset(split.first), pairs.subset(split.second)), 0U);
  EXPECT_EQ(count_overlap(pairs, pairs.subset({1, 2})), 2U);
}

TEST(Retrieval, MetricsAreMeansOverQueries) {
  const std::vector<std::int64_t> ranks = {1, 4, 20, 1, 10};
  const RetrievalMetrics m = compute_retrieval_metrics(ranks);
  EXPECT_DOUBLE_EQ(m.recall_1.value, 0.4);
  EXPECT_DOUBLE_EQ(m.recall_10.value, 0.8);
  EXPECT_NEAR(m.mrr.value, (1 + 0.25 + 0.05 + 1 + 0.1) / 5, 1e-12);
}

TEST(Retrieval, SpearmanIsThatOfScipy) {
  // scipy.stats.spearmanr 1.17.1
  EXPECT_NEAR(
      spearman(std::vector<float>{1, 2, 2, 5, 3, 0.5F}, std::vector<float>{2, 1, 4, 4, 3, 0}), 0.75,
      1e-12);
  EXPECT_DOUBLE_EQ(spearman(std::vector<float>{1, 2, 9}, std::vector<float>{-3, 0, 0.5F}), 1);
  EXPECT_DOUBLE_EQ(spearman(std::vector<float>{1, 1}, std::vector<float>{1, 2}), 0);
  EXPECT_DOUBLE_EQ(spearman(std::vector<float>{1, 2, 9, 4}, std::vector<float>{4, 3, 0, 9},
                            std::vector<std::int64_t>{0, 1, 2}),
                   -1);
}

TEST(Gate, OfAStatisticIsThatOfRowsWhenItIsAMean) {
  Random random(5);
  std::vector<bool> mine, theirs;
  for (int i = 0; i < 500; ++i) {
    mine.push_back(random.uniform() < 0.9);
    theirs.push_back(random.uniform() < 0.85);
  }
  const auto mean_of = [](const std::vector<bool>& right) {
    return [&right](std::span<const std::int64_t> rows) {
      double sum = 0;
      for (std::int64_t row : rows) sum += right[static_cast<std::size_t>(row)] ? 1 : 0;
      return sum / static_cast<double>(rows.size());
    };
  };
  const GateResult a = gate_against_baseline(mine, theirs, {}),
                   b = gate_statistic("accuracy", 500, mean_of(mine), mean_of(theirs), {});
  EXPECT_NEAR(a.lower_bound, b.lower_bound, 1e-12);
  EXPECT_EQ(a.accepted, b.accepted);
  EXPECT_DOUBLE_EQ(a.candidate, b.candidate);
  const GateResult c = gate_against_floor(mine, {.floor = 0.8}),
                   d = gate_statistic("accuracy", 500, mean_of(mine), nullptr, {.floor = 0.8});
  EXPECT_NEAR(c.lower_bound, d.lower_bound, 1e-12);
  EXPECT_EQ(c.text, d.text);
  EXPECT_FALSE(gate_statistic("MRR", 0, [](auto) { return 0.0; }, nullptr, {}).accepted);
}

}  // namespace
}  // namespace tack
