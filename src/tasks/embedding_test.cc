#include "tasks/embedding.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "base/random.h"
#include "tasks/contrast.h"
#include "tasks/multilabel.h"

namespace tack {
namespace {

PairSet questions() {
  PairSet pairs;
  pairs.texts = {"how to pay", "How  to pay", "where is it", "refund", "card"};
  pairs.others = {"by card", "by invoice", "on its way", "in a week", "card"};
  return pairs;
}

PairSet labelled(int texts, int labels) {
  PairSet pairs;
  pairs.kind = PairKind::kLabel;
  for (int k = 0; k < labels; ++k) pairs.label_names.push_back(std::to_string(k));
  for (int i = 0; i < texts; ++i) {
    pairs.texts.push_back("text " + std::to_string(i));
    pairs.labels.push_back(i % labels);
  }
  return pairs;
}

std::vector<float> random_vectors(std::size_t rows, std::int64_t dims) {
  Random random(7);
  std::vector<float> out(rows * static_cast<std::size_t>(dims));
  for (float& v : out) v = static_cast<float>(random.normal());
  return normalized_rows(std::move(out), dims);
}

double dot(const std::vector<float>& x, std::size_t a, std::size_t b, std::size_t dims) {
  double sum = 0;
  for (std::size_t c = 0; c < dims; ++c)
    sum += static_cast<double>(x[a * dims + c]) * static_cast<double>(x[b * dims + c]);
  return sum;
}

TEST(PairIndex, KeepsEveryTextOnce) {
  const PairSet pairs = questions();
  const PairIndex index(pairs);
  EXPECT_EQ(index.texts.size(), 9U);  // "card" stands on both sides
  EXPECT_EQ(index.text[4], index.other[4]);
  EXPECT_EQ(index.groups[index.text[0]], index.groups[index.text[1]]);
  EXPECT_NE(index.text[0], index.text[1]);
  EXPECT_TRUE(index.negative.empty());
}

TEST(Retrieval, RanksOfLabelsAreThoseOfEveryTextAgainstAllOthers) {
  const PairSet pairs = labelled(150, 7);
  const PairIndex index(pairs);
  const auto unit = random_vectors(150, 5);
  ThreadPool pool(2);
  const auto ranks = retrieval_ranks(pairs, index, unit, 5, pool);
  ASSERT_EQ(ranks.size(), 150U);
  for (std::size_t q = 0; q < 150; ++q) {
    std::vector<std::size_t> order;
    for (std::size_t c = 0; c < 150; ++c)
      if (c != q) order.push_back(c);
    std::ranges::sort(order, std::greater{}, [&](std::size_t c) { return dot(unit, q, c, 5); });
    const auto first = std::ranges::find_if(
        order, [&](std::size_t c) { return pairs.labels[c] == pairs.labels[q]; });
    EXPECT_EQ(ranks[q], first - order.begin() + 1) << q;
  }
  ThreadPool one(1);
  EXPECT_EQ(retrieval_ranks(pairs, index, unit, 5, one), ranks);
  // Vectors that are all equal find nothing.
  const std::vector<float> same(150 * 5, 0.4472136F);
  for (std::int64_t rank : retrieval_ranks(pairs, index, same, 5, pool)) EXPECT_GT(rank, 100);
}

TEST(Retrieval, EveryTextThatStandsBesideTheQueryIsRight) {
  const PairSet pairs = questions();
  const PairIndex index(pairs);
  // Vectors in a plane, by an angle in degrees.
  std::vector<float> unit(index.texts.size() * 2);
  const auto place = [&](std::size_t text, double degrees) {
    unit[text * 2] = static_cast<float>(std::cos(degrees * M_PI / 180));
    unit[text * 2 + 1] = static_cast<float>(std::sin(degrees * M_PI / 180));
  };
  place(index.text[0], 0);    // how to pay
  place(index.other[0], 50);  // by card
  place(index.text[1], 2);    // the same question: its answer is right for both
  place(index.other[1], 10);  // by invoice
  place(index.text[2], 20);   // where is it; two answers are nearer than its own
  place(index.other[2], 60);
  place(index.text[3], 100);  // refund
  place(index.other[3], 99);
  place(index.text[4], 200);  // card, whose right text is equal to it: none is found but all others
  ThreadPool pool(1);
  const auto ranks = retrieval_ranks(pairs, index, unit, 2, pool);
  ASSERT_EQ(ranks.size(), 5U);
  EXPECT_EQ(ranks[0], 1);
  EXPECT_EQ(ranks[1], 1);
  EXPECT_EQ(ranks[2], 3);
  EXPECT_EQ(ranks[3], 1);
  EXPECT_EQ(ranks[4], 5);
  const auto cosines = pair_cosines(index, unit, 2);
  EXPECT_NEAR(cosines[0], std::cos(50 * M_PI / 180), 1e-6);
}

TEST(Contrast, EveryTextOfALabelStandsOnceOnEachSide) {
  const PairSet pairs = labelled(41, 8);  // label 0 has six texts
  const PairIndex index(pairs);
  const auto epoch = label_pairs(index, 1, 0);
  EXPECT_EQ(epoch.size(), 41U);
  std::set<std::size_t> first, second;
  for (const auto& [a, b] : epoch) {
    EXPECT_NE(a, b);
    EXPECT_EQ(index.groups[a], index.groups[b]);
    first.insert(a);
    second.insert(b);
  }
  EXPECT_EQ(first.size(), 41U);
  EXPECT_EQ(second.size(), 41U);
  EXPECT_EQ(label_pairs(index, 1, 0), epoch);
  EXPECT_NE(label_pairs(index, 1, 1), epoch);
  EXPECT_NE(label_pairs(index, 2, 0), epoch);
  EXPECT_TRUE(label_pairs(PairIndex(labelled(8, 8)), 1, 0).empty());
}

TEST(Multilabel, LabelsCountFromTheThresholdOn) {
  const Calibration calibration{.temperature = 2, .threshold = 0.6F, .multilabel = true};
  const Prediction p = calibration.apply(std::vector<float>{1, -4, 3});
  EXPECT_NEAR(p.probabilities[0], 1 / (1 + std::exp(-0.5)), 1e-6);
  EXPECT_EQ(p.labels, (std::vector<std::size_t>{2, 0}));
  EXPECT_EQ(p.label, 2U);
  EXPECT_FALSE(p.out_of_scope);
  EXPECT_TRUE(calibration.apply(std::vector<float>{-1, -4, 0}).labels.empty());
}

TEST(Multilabel, CalibrationChoosesTheThresholdOnProbabilities) {
  Dataset data;
  data.label_names = {"a", "b"};
  data.label_sets = {{0}, {0, 1}, {}};
  EXPECT_EQ(dense_targets(data), (std::vector<float>{1, 0, 1, 1, 0, 0}));
  const std::vector<float> logits = {2, -1, 3, 1, -2, 0};
  const SigmoidCalibration c = calibrate_sigmoid(logits, dense_targets(data));
  EXPECT_EQ(c.micro_f1, 1);
  // All that are there have logits from 1 up, the others up to 0.
  EXPECT_GT(c.threshold, 0.5F);
  EXPECT_LT(c.threshold, 1 / (1 + std::exp(-1 / c.temperature)));
}

}  // namespace
}  // namespace tack
