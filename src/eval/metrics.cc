#include "eval/metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/random.h"
#include "eval/dataset.h"

namespace tack {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// Unweighted mean of F1 over the labels that occur as truth or answer, as scikit-learn's
// f1_score(average="macro") does.
double macro_f1(const Answers& answers, std::span<const std::int64_t> rows) {
  std::vector<std::int64_t> right(at(answers.classes)), truth(right.size()), said(right.size());
  for (std::int64_t row : rows) {
    const std::int32_t y = answers.truth[at(row)], p = answers.predicted[at(row)];
    ++truth[at(y)];
    ++said[at(p)];
    right[at(y)] += y == p;
  }
  double sum = 0;
  int present = 0;
  for (std::size_t k = 0; k < right.size(); ++k) {
    if (truth[k] + said[k] == 0) continue;
    sum += 2.0 * static_cast<double>(right[k]) / static_cast<double>(truth[k] + said[k]);
    ++present;
  }
  return present > 0 ? sum / present : 0;
}

int bin_of(float confidence) {
  return std::clamp(static_cast<int>(confidence * kReliabilityBins), 0, kReliabilityBins - 1);
}

std::vector<ReliabilityBin> reliability(const Answers& answers,
                                        std::span<const std::int64_t> rows) {
  std::vector<ReliabilityBin> bins(kReliabilityBins);
  for (std::int64_t row : rows) {
    ReliabilityBin& bin = bins[at(bin_of(answers.confidence[at(row)]))];
    ++bin.count;
    bin.confidence += static_cast<double>(answers.confidence[at(row)]);
    bin.accuracy += answers.truth[at(row)] == answers.predicted[at(row)];
  }
  for (ReliabilityBin& bin : bins) {
    if (bin.count == 0) continue;
    bin.confidence /= static_cast<double>(bin.count);
    bin.accuracy /= static_cast<double>(bin.count);
  }
  return bins;
}

// Expected calibration error over equal-width bins (Guo et al. 2017, arXiv:1706.04599).
double expected_calibration_error(const Answers& answers, std::span<const std::int64_t> rows) {
  std::array<double, kReliabilityBins> gap{};
  for (std::int64_t row : rows)
    gap[at(bin_of(answers.confidence[at(row)]))] +=
        static_cast<double>(answers.confidence[at(row)]) -
        (answers.truth[at(row)] == answers.predicted[at(row)] ? 1 : 0);
  double sum = 0;
  for (double g : gap) sum += std::fabs(g);
  return rows.empty() ? 0 : sum / static_cast<double>(rows.size());
}

// The share of rows for which value(row) holds.
double mean_over(std::span<const std::int64_t> rows, const auto& value) {
  double sum = 0;
  for (std::int64_t row : rows) sum += value(row) ? 1 : 0;
  return rows.empty() ? 0 : sum / static_cast<double>(rows.size());
}

// The bootstrap of a statistic over these rows alone.
Estimate over(const std::vector<std::int64_t>& rows, const MetricsOptions& options,
              const std::function<double(std::span<const std::int64_t>)>& statistic) {
  std::vector<std::int64_t> picked(rows.size());
  return bootstrap(static_cast<std::int64_t>(rows.size()), options,
                   [&](std::span<const std::int64_t> positions) {
                     for (std::size_t i = 0; i < positions.size(); ++i)
                       picked[i] = rows[at(positions[i])];
                     return statistic(picked);
                   });
}

// Counts of scores that are equal, so that a resample costs one pass instead of a sort.
class RankedScores {
 public:
  RankedScores(std::span<const float> scores, std::span<const std::int32_t> truth) {
    order_.resize(scores.size());
    std::iota(order_.begin(), order_.end(), 0);
    std::ranges::stable_sort(order_, {}, [&](std::int64_t i) { return scores[at(i)]; });
    rank_.resize(scores.size());
    std::int64_t rank = -1;
    for (std::size_t i = 0; i < order_.size(); ++i) {
      if (i == 0 || scores[at(order_[i])] != scores[at(order_[i - 1])]) ++rank;
      rank_[at(order_[i])] = rank;
    }
    ranks_ = rank + 1;
    for (std::int32_t y : truth) positive_.push_back(y == kOutOfScope);
  }

  // Area for rows of positives against negatives, by rank counts.
  double auroc(std::span<const std::int64_t> rows) const {
    std::vector<std::int64_t> positives(at(ranks_)), negatives(at(ranks_));
    for (std::int64_t row : rows)
      ++(positive_[at(row)] ? positives : negatives)[at(rank_[at(row)])];
    double area = 0, below = 0, total = 0;
    for (std::size_t r = 0; r < positives.size(); ++r) {
      area += static_cast<double>(positives[r]) * (below + 0.5 * static_cast<double>(negatives[r]));
      below += static_cast<double>(negatives[r]);
      total += static_cast<double>(positives[r]);
    }
    return total > 0 && below > 0 ? area / (total * below) : 0.5;
  }

 private:
  std::vector<std::int64_t> order_, rank_;
  std::vector<bool> positive_;
  std::int64_t ranks_ = 0;
};

OutOfScopeMetrics out_of_scope_metrics(const Answers& answers,
                                       const std::vector<std::int64_t>& in_scope,
                                       const std::vector<std::int64_t>& out,
                                       const MetricsOptions& options) {
  OutOfScopeMetrics m;
  m.rows = static_cast<std::int64_t>(out.size());
  std::vector<float> score;
  for (float s : answers.score) score.push_back(-s);
  const RankedScores ranked(score, answers.truth);
  std::vector<std::int64_t> all(answers.size());
  std::iota(all.begin(), all.end(), 0);
  m.auroc = over(all, options, [&](auto rows) { return ranked.auroc(rows); });
  m.recall = over(out, options, [&](auto rows) {
    return mean_over(rows, [&](std::int64_t r) { return answers.flagged[at(r)]; });
  });
  m.in_scope_recall = over(in_scope, options, [&](auto rows) {
    return mean_over(rows, [&](std::int64_t r) {
      return !answers.flagged[at(r)] && answers.truth[at(r)] == answers.predicted[at(r)];
    });
  });
  m.accuracy = over(all, options, [&](auto rows) {
    return mean_over(rows, [&](std::int64_t r) {
      return answers.truth[at(r)] < 0
                 ? answers.flagged[at(r)]
                 : !answers.flagged[at(r)] && answers.truth[at(r)] == answers.predicted[at(r)];
    });
  });
  m.false_alarms = mean_over(in_scope, [&](std::int64_t r) { return answers.flagged[at(r)]; });
  return m;
}

}  // namespace

Metrics compute_metrics(const Answers& answers, const MetricsOptions& options) {
  Metrics m;
  std::vector<std::int64_t> in_scope, out;
  for (std::size_t i = 0; i < answers.size(); ++i)
    (answers.truth[i] == kOutOfScope ? out : in_scope).push_back(static_cast<std::int64_t>(i));
  m.rows = static_cast<std::int64_t>(in_scope.size());
  const auto right = [&](std::int64_t row) {
    return answers.truth[at(row)] == answers.predicted[at(row)];
  };
  m.accuracy = over(in_scope, options, [&](auto rows) { return mean_over(rows, right); });
  m.macro_f1 = over(in_scope, options, [&](auto rows) { return macro_f1(answers, rows); });
  m.ece =
      over(in_scope, options, [&](auto rows) { return expected_calibration_error(answers, rows); });
  m.reliability = reliability(answers, in_scope);
  m.confusion.assign(at(answers.classes) * at(answers.classes), 0);
  std::vector<std::int64_t> said(at(answers.classes));
  m.per_class.resize(at(answers.classes));
  for (std::int64_t row : in_scope) {
    const std::size_t y = at(answers.truth[at(row)]), p = at(answers.predicted[at(row)]);
    ++m.confusion[y * at(answers.classes) + p];
    ++said[p];
    ++m.per_class[y].support;
    // Not below the smallest probability that f32 softmax gives: one wrong row must not be
    // infinite.
    m.log_loss -=
        std::log(std::max(1e-12, static_cast<double>(answers.truth_probability[at(row)])));
  }
  if (m.rows > 0) m.log_loss /= static_cast<double>(m.rows);
  for (std::size_t k = 0; k < m.per_class.size(); ++k) {
    ClassMetrics& c = m.per_class[k];
    const auto hits = static_cast<double>(m.confusion[k * at(answers.classes) + k]);
    c.precision = said[k] > 0 ? hits / static_cast<double>(said[k]) : 0;
    c.recall = c.support > 0 ? hits / static_cast<double>(c.support) : 0;
    c.f1 = c.support + said[k] > 0 ? 2 * hits / static_cast<double>(c.support + said[k]) : 0;
  }
  if (!out.empty()) m.out_of_scope = out_of_scope_metrics(answers, in_scope, out, options);
  return m;
}

double auroc(std::span<const float> positives, std::span<const float> negatives) {
  std::vector<float> scores(positives.begin(), positives.end());
  scores.insert(scores.end(), negatives.begin(), negatives.end());
  std::vector<std::int32_t> truth(positives.size(), kOutOfScope);
  truth.resize(scores.size(), 0);
  std::vector<std::int64_t> rows(scores.size());
  std::iota(rows.begin(), rows.end(), 0);
  return RankedScores(scores, truth).auroc(rows);
}

Estimate bootstrap(std::int64_t rows, const MetricsOptions& options,
                   const std::function<double(std::span<const std::int64_t>)>& statistic) {
  std::vector<std::int64_t> picked(at(rows));
  std::iota(picked.begin(), picked.end(), 0);
  Estimate estimate;
  estimate.value = estimate.low = estimate.high = statistic(picked);
  if (rows == 0 || options.resamples < 2) return estimate;
  Random random(options.seed);
  std::vector<double> values;
  for (int i = 0; i < options.resamples; ++i) {
    for (std::int64_t& row : picked)
      row = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(rows)));
    values.push_back(statistic(picked));
  }
  std::ranges::sort(values);
  const auto percentile = [&](double p) {
    return values[static_cast<std::size_t>(p * static_cast<double>(values.size() - 1) + 0.5)];
  };
  estimate.low = percentile(0.025);
  estimate.high = percentile(0.975);
  return estimate;
}

}  // namespace tack
