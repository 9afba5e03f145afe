#include "eval/span_metrics.h"

#include <algorithm>

namespace tack {
namespace {

struct Counts {
  std::int64_t hits = 0, said = 0, there = 0;

  Counts& operator+=(const Counts& other) {
    hits += other.hits, said += other.said, there += other.there;
    return *this;
  }
  double precision() const { return said > 0 ? ratio(hits, said) : 0; }
  double recall() const { return there > 0 ? ratio(hits, there) : 0; }
  double f1() const { return said + there > 0 ? ratio(2 * hits, said + there) : 0; }

 private:
  static double ratio(std::int64_t a, std::int64_t b) {
    return static_cast<double>(a) / static_cast<double>(b);
  }
};

Counts count(const std::vector<Span>& truth, const std::vector<Span>& predicted) {
  Counts counts;
  counts.there = static_cast<std::int64_t>(truth.size());
  counts.said = static_cast<std::int64_t>(predicted.size());
  for (const Span& span : predicted)
    counts.hits += std::ranges::find(truth, span) != truth.end() ? 1 : 0;
  return counts;
}

}  // namespace

SpanMetrics compute_span_metrics(const SpanAnswers& answers, const MetricsOptions& options) {
  SpanMetrics m;
  m.rows = static_cast<std::int64_t>(answers.truth.size());
  std::vector<Counts> counts;
  std::map<std::string, Counts> by_name;
  for (std::size_t i = 0; i < answers.truth.size(); ++i) {
    counts.push_back(count(answers.truth[i], answers.predicted[i]));
    for (const Span& span : answers.truth[i]) ++by_name[span.name].there;
    for (const Span& span : answers.predicted[i]) {
      Counts& c = by_name[span.name];
      ++c.said;
      c.hits += std::ranges::find(answers.truth[i], span) != answers.truth[i].end() ? 1 : 0;
    }
  }
  const auto over = [&](auto statistic) {
    return bootstrap(m.rows, options, [&](std::span<const std::int64_t> rows) {
      Counts sum;
      for (std::int64_t row : rows) sum += counts[static_cast<std::size_t>(row)];
      return statistic(sum);
    });
  };
  m.precision = over([](const Counts& c) { return c.precision(); });
  m.recall = over([](const Counts& c) { return c.recall(); });
  m.f1 = over([](const Counts& c) { return c.f1(); });
  const bool labelled = !answers.label_truth.empty();
  const auto share = [&](auto right) {
    return bootstrap(m.rows, options, [&](std::span<const std::int64_t> rows) {
      std::int64_t sum = 0;
      for (std::int64_t row : rows) sum += right(static_cast<std::size_t>(row)) ? 1 : 0;
      return rows.empty() ? 0.0 : static_cast<double>(sum) / static_cast<double>(rows.size());
    });
  };
  const auto label_right = [&](std::size_t i) {
    return answers.label_truth[i] == answers.label_predicted[i];
  };
  if (labelled) m.accuracy = share(label_right);
  m.exact = share([&](std::size_t i) {
    return counts[i].hits == counts[i].said && counts[i].hits == counts[i].there &&
           (!labelled || label_right(i));
  });
  for (const auto& [name, c] : by_name)
    m.per_name[name] = {
        .precision = c.precision(), .recall = c.recall(), .f1 = c.f1(), .support = c.there};
  return m;
}

}  // namespace tack
