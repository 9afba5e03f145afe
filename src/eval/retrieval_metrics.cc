#include "eval/retrieval_metrics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tack {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

double share_up_to(std::span<const std::int64_t> ranks, std::span<const std::int64_t> rows,
                   std::int64_t most) {
  double sum = 0;
  for (std::int64_t row : rows) sum += ranks[at(row)] <= most ? 1 : 0;
  return rows.empty() ? 0 : sum / static_cast<double>(rows.size());
}

// Ranks from 0; equal values share the mean of theirs.
std::vector<double> mean_ranks(const std::vector<float>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return values[i]; });
  std::vector<double> ranks(values.size());
  for (std::size_t begin = 0; begin < order.size();) {
    std::size_t end = begin;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (std::size_t i = begin; i < end; ++i)
      ranks[order[i]] = static_cast<double>(begin + end - 1) / 2;
    begin = end;
  }
  return ranks;
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const double middle = (static_cast<double>(x.size()) - 1) / 2;  // the mean of all ranks
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - middle) * (x[i] - middle);
    yy += (y[i] - middle) * (y[i] - middle);
    xy += (x[i] - middle) * (y[i] - middle);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
}

}  // namespace

double mean_reciprocal_rank(std::span<const std::int64_t> ranks,
                            std::span<const std::int64_t> rows) {
  double sum = 0;
  for (std::int64_t row : rows) sum += 1 / static_cast<double>(ranks[at(row)]);
  return rows.empty() ? 0 : sum / static_cast<double>(rows.size());
}

RetrievalMetrics compute_retrieval_metrics(std::span<const std::int64_t> ranks,
                                           const MetricsOptions& options) {
  RetrievalMetrics m;
  m.queries = static_cast<std::int64_t>(ranks.size());
  const auto over = [&](auto statistic) { return bootstrap(m.queries, options, statistic); };
  m.recall_1 = over([&](auto rows) { return share_up_to(ranks, rows, 1); });
  m.recall_10 = over([&](auto rows) { return share_up_to(ranks, rows, 10); });
  m.mrr = over([&](auto rows) { return mean_reciprocal_rank(ranks, rows); });
  return m;
}

double spearman(std::span<const float> x, std::span<const float> y,
                std::span<const std::int64_t> rows) {
  std::vector<float> a, b;
  for (std::int64_t row : rows) {
    a.push_back(x[at(row)]);
    b.push_back(y[at(row)]);
  }
  return correlation(mean_ranks(a), mean_ranks(b));
}

double spearman(std::span<const float> x, std::span<const float> y) {
  std::vector<std::int64_t> rows(x.size());
  std::iota(rows.begin(), rows.end(), 0);
  return spearman(x, y, rows);
}

}  // namespace tack
