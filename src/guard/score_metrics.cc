#include "guard/score_metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "tasks/page.h"

namespace tack::guard {
namespace {

using Rows = std::span<const std::int64_t>;

std::size_t at(std::int64_t row) {
  return static_cast<std::size_t>(row);
}

// Scores as ranks, so that a resample costs one pass instead of a sort.
class Ranks {
 public:
  Ranks(std::span<const float> scores, const std::vector<bool>& positive) : positive_(positive) {
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return scores[i]; });
    rank_.resize(scores.size());
    std::size_t rank = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (i > 0 && scores[order[i]] != scores[order[i - 1]]) ++rank;
      rank_[order[i]] = rank;
    }
    ranks_ = scores.empty() ? 0 : rank + 1;
  }

  struct Counts {
    std::vector<std::int64_t> positives, negatives;  // by rank
    double all_positives = 0, all_negatives = 0;
  };
  Counts count(Rows rows) const {
    Counts counts{std::vector<std::int64_t>(ranks_), std::vector<std::int64_t>(ranks_)};
    for (const std::int64_t row : rows) {
      const bool positive = positive_[at(row)];
      ++(positive ? counts.positives : counts.negatives)[rank_[at(row)]];
      ++(positive ? counts.all_positives : counts.all_negatives);
    }
    return counts;
  }

  double auroc(Rows rows) const {
    const Counts counts = count(rows);
    double area = 0, below = 0;
    for (std::size_t r = 0; r < ranks_; ++r) {
      area += static_cast<double>(counts.positives[r]) *
              (below + 0.5 * static_cast<double>(counts.negatives[r]));
      below += static_cast<double>(counts.negatives[r]);
    }
    const double pairs = counts.all_positives * counts.all_negatives;
    return pairs > 0 ? area / pairs : 0.5;
  }

  // Of the positives, those above every threshold that trips more than `rate` of the negatives.
  double recall_at(Rows rows, double rate) const {
    const Counts counts = count(rows);
    const double allowed = std::floor(rate * counts.all_negatives + 1e-9);
    double tripped = 0, found = 0;
    for (std::size_t r = ranks_; r-- > 0;) {
      tripped += static_cast<double>(counts.negatives[r]);
      if (tripped > allowed) break;
      found += static_cast<double>(counts.positives[r]);
    }
    return counts.all_positives > 0 ? found / counts.all_positives : 0;
  }

 private:
  const std::vector<bool>& positive_;
  std::vector<std::size_t> rank_;
  std::size_t ranks_ = 0;
};

// A statistic over some of the rows, with its interval.
template <class Statistic>
Estimate over(const std::vector<std::int64_t>& rows, const MetricsOptions& options,
              const Statistic& statistic) {
  std::vector<std::int64_t> picked(rows.size());
  return bootstrap(static_cast<std::int64_t>(rows.size()), options, [&](Rows positions) {
    for (std::size_t i = 0; i < positions.size(); ++i) picked[i] = rows[at(positions[i])];
    return statistic(Rows(picked));
  });
}

class Measuring {
 public:
  Measuring(const ScoredRows& rows, double threshold, const MetricsOptions& options)
      : rows_(rows), threshold_(threshold), options_(options), ranks_(rows.scores, rows.positive) {
    for (std::size_t i = 0; i < rows.rows(); ++i)
      (rows.positive[i] ? positives_ : negatives_).push_back(static_cast<std::int64_t>(i));
    all_.resize(rows.rows());
    std::iota(all_.begin(), all_.end(), 0);
  }

  ScoreReport run(std::span<const double> rates) {
    ScoreReport report;
    report.positives = static_cast<std::int64_t>(positives_.size());
    report.negatives = static_cast<std::int64_t>(negatives_.size());
    report.threshold = threshold_;
    report.auroc = over(all_, options_, [this](Rows rows) { return ranks_.auroc(rows); });
    std::vector<float> harmless;
    for (const std::int64_t row : negatives_) harmless.push_back(rows_.scores[at(row)]);
    for (const double rate : rates)
      report.rates.push_back(
          {rate, threshold_for(harmless, rate),
           over(all_, options_, [&](Rows rows) { return ranks_.recall_at(rows, rate); })});
    report.recall = share_tripped(positives_);
    report.false_positives = share_tripped(negatives_);
    if (!rows_.others.empty()) compare(report);
    if (!rows_.sources.empty()) by_source(report);
    if (!rows_.latency_us.empty()) {
      report.p50_us = percentile(0.5);
      report.p99_us = percentile(0.99);
    }
    return report;
  }

 private:
  Estimate share_tripped(const std::vector<std::int64_t>& rows) const {
    return over(rows, options_, [this](Rows picked) {
      double tripped = 0;
      for (const std::int64_t row : picked)
        tripped += static_cast<double>(rows_.scores[at(row)]) >= threshold_ ? 1 : 0;
      return picked.empty() ? 0 : tripped / static_cast<double>(picked.size());
    });
  }

  void compare(ScoreReport& report) const {
    const Ranks others(rows_.others, rows_.positive);
    report.other_auroc = over(all_, options_, [&](Rows rows) { return others.auroc(rows); });
    report.auroc_difference =
        over(all_, options_, [&](Rows rows) { return ranks_.auroc(rows) - others.auroc(rows); });
  }

  void by_source(ScoreReport& report) const {
    std::map<std::string, std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>> parts;
    for (std::size_t i = 0; i < rows_.rows(); ++i) {
      auto& [positives, negatives] = parts[rows_.sources[i]];
      (rows_.positive[i] ? positives : negatives).push_back(static_cast<std::int64_t>(i));
    }
    for (const auto& [name, part] : parts) {
      const auto& [positives, negatives] = part;
      SourceMetrics source{.name = name,
                           .positives = static_cast<std::int64_t>(positives.size()),
                           .negatives = static_cast<std::int64_t>(negatives.size())};
      if (!negatives.empty()) source.false_positives = share_tripped(negatives);
      if (!positives.empty()) {
        source.recall = share_tripped(positives);
        source.against_all = negatives.empty();
        std::vector<std::int64_t> both = positives;
        const auto& harmless = source.against_all ? negatives_ : negatives;
        both.insert(both.end(), harmless.begin(), harmless.end());
        source.auroc = over(both, options_, [this](Rows rows) { return ranks_.auroc(rows); });
        for (const AtRate& rate : report.rates)
          source.recall_at_rates.push_back(share_from(positives, rate.threshold));
      }
      report.sources.push_back(std::move(source));
    }
  }

  double share_from(const std::vector<std::int64_t>& rows, double threshold) const {
    const auto count = std::ranges::count_if(rows, [&](std::int64_t row) {
      return static_cast<double>(rows_.scores[at(row)]) >= threshold;
    });
    return static_cast<double>(count) / static_cast<double>(rows.size());
  }

  double percentile(double part) const {
    std::vector<float> sorted = rows_.latency_us;
    std::ranges::sort(sorted);
    return static_cast<double>(
        sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))]);
  }

  const ScoredRows& rows_;
  double threshold_;
  MetricsOptions options_;
  Ranks ranks_;
  std::vector<std::int64_t> all_, positives_, negatives_;
};

Json json_of(const Estimate& e) {
  return {{"value", e.value}, {"low", e.low}, {"high", e.high}};
}
Json json_of(const std::optional<Estimate>& e) {
  return e ? json_of(*e) : Json();
}

std::string number(const Estimate& e) {
  return fmt::format("{:.4f} [{:.4f}, {:.4f}]", e.value, e.low, e.high);
}
std::string percent(const Estimate& e) {
  return fmt::format("{:.2f} % [{:.2f}, {:.2f}]", 100 * e.value, 100 * e.low, 100 * e.high);
}

std::string source_text(const SourceMetrics& source, const std::vector<AtRate>& rates) {
  std::string out =
      fmt::format("  {:<28} {:>6} + {:>6} -", source.name, source.positives, source.negatives);
  if (source.auroc)
    out += fmt::format("  AUROC {}{}", number(*source.auroc),
                       source.against_all ? " (against all -)" : "");
  if (source.recall) out += fmt::format("  recall {}", percent(*source.recall));
  for (std::size_t i = 0; i < source.recall_at_rates.size(); ++i)
    out += fmt::format("  at {} %: {:.2f} %", 100 * rates[i].rate, 100 * source.recall_at_rates[i]);
  if (source.false_positives)
    out += fmt::format("  false positives {}", percent(*source.false_positives));
  return out + "\n";
}

// The points of the ROC curve, at most about 400.
std::string roc_points(const ScoredRows& rows) {
  std::vector<std::size_t> order(rows.rows());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, std::greater(), [&](std::size_t i) { return rows.scores[i]; });
  const auto positives = static_cast<double>(std::ranges::count(rows.positive, true));
  const double negatives = static_cast<double>(rows.rows()) - positives;
  std::string points = "60.0,350.0 ";
  double found = 0, tripped = 0, drawn_x = 0, drawn_y = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    ++(rows.positive[order[i]] ? found : tripped);
    const bool tied = i + 1 < order.size() && rows.scores[order[i]] == rows.scores[order[i + 1]];
    const double x = tripped / negatives, y = found / positives;
    if (tied || (i + 1 < order.size() && x - drawn_x + y - drawn_y < 0.005)) continue;
    points += fmt::format("{:.1f},{:.1f} ", 60 + 560 * x, 350 - 340 * y);
    drawn_x = x, drawn_y = y;
  }
  return points;
}

}  // namespace

double threshold_for(std::span<const float> negatives, double rate) {
  std::vector<float> sorted(negatives.begin(), negatives.end());
  std::ranges::sort(sorted, std::greater());
  const auto allowed = static_cast<std::size_t>(
      std::floor(std::clamp(rate, 0.0, 1.0) * static_cast<double>(sorted.size()) + 1e-9));
  if (allowed >= sorted.size()) return 0;
  return static_cast<double>(
      std::nextafter(sorted[allowed], std::numeric_limits<float>::infinity()));
}

Result<ScoreReport> measure_scores(const ScoredRows& rows, double threshold,
                                   std::span<const double> rates, const MetricsOptions& options) {
  const auto positives = static_cast<std::size_t>(std::ranges::count(rows.positive, true));
  if (positives == 0 || positives == rows.rows())
    return fail(ErrorCode::kUsage,
                "all {} rows are {}: both texts that must not pass and harmless ones are needed",
                rows.rows(), positives == 0 ? "harmless" : "such that must not pass");
  return Measuring(rows, threshold, options).run(rates);
}

Json ScoreReport::to_json() const {
  Json json = {{"positives", positives},    {"negatives", negatives},
               {"auroc", json_of(auroc)},   {"threshold", threshold},
               {"recall", json_of(recall)}, {"false_positives", json_of(false_positives)}};
  json["at_rates"] = Json::array();
  for (const AtRate& rate : rates)
    json["at_rates"].push_back({{"false_positives", rate.rate},
                                {"threshold", rate.threshold},
                                {"recall", json_of(rate.recall)}});
  if (auroc_difference) {
    json["other_auroc"] = json_of(other_auroc);
    json["auroc_difference"] = json_of(auroc_difference);
  }
  for (const SourceMetrics& source : sources)
    json["sources"].push_back({{"source", source.name},
                               {"positives", source.positives},
                               {"negatives", source.negatives},
                               {"auroc", json_of(source.auroc)},
                               {"against_all_negatives", source.against_all},
                               {"recall", json_of(source.recall)},
                               {"recall_at_rates", source.recall_at_rates},
                               {"false_positives", json_of(source.false_positives)}});
  if (p99_us > 0) json["latency_us"] = {{"p50", p50_us}, {"p99", p99_us}};
  return json;
}

std::string ScoreReport::to_text() const {
  std::string out = fmt::format("{} texts that must not pass, {} harmless ones\nAUROC {}\n",
                                positives, negatives, number(auroc));
  for (const AtRate& rate : rates)
    out += fmt::format("recall at {:g} % false positives: {} (threshold {:.4f})\n", 100 * rate.rate,
                       percent(rate.recall), rate.threshold);
  out += fmt::format("at the threshold in use, {:.4f}: recall {}, false positives {}\n", threshold,
                     percent(recall), percent(false_positives));
  if (auroc_difference)
    out += fmt::format("the other score: AUROC {}; ahead by {}\n", number(*other_auroc),
                       number(*auroc_difference));
  if (p99_us > 0)
    out += fmt::format("one text: p50 {:.2f} ms, p99 {:.2f} ms\n", p50_us / 1000, p99_us / 1000);
  if (!sources.empty()) out += "by source:\n";
  for (const SourceMetrics& source : sources) out += source_text(source, rates);
  return out;
}

std::string scores_html(const std::string& title,
                        const std::vector<std::pair<std::string, std::string>>& facts,
                        const ScoredRows& rows, const ScoreReport& report) {
  std::string out = page_begin(title) + "<table>";
  for (const auto& [name, value] : facts)
    out += fmt::format("<tr><td>{}</td><td>{}</td></tr>", html_escaped(name), html_escaped(value));
  out += fmt::format("</table><pre>{}</pre>", html_escaped(report.to_text()));
  out += fmt::format(
      "<h2>ROC</h2><svg viewBox=\"0 0 640 400\" width=\"640\" height=\"400\" role=\"img\" "
      "aria-label=\"Recall against false positives\"><path class=\"axis\" d=\"M60 10V350H620\" "
      "fill=\"none\"/><polyline fill=\"none\" stroke-width=\"2\" stroke=\"currentColor\" "
      "points=\"{}\"/><circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" class=\"wrong\"><title>the "
      "threshold in use</title></circle>",
      roc_points(rows), 60 + 560 * report.false_positives.value, 350 - 340 * report.recall.value);
  for (int i = 0; i <= 4; ++i)
    out += fmt::format(
        "<text x=\"54\" y=\"{:.0f}\" text-anchor=\"end\">{} %</text><text x=\"{:.0f}\" y=\"366\" "
        "text-anchor=\"middle\">{} %</text>",
        354 - 85.0 * i, 25 * i, 60 + 140.0 * i, 25 * i);
  out += "<text x=\"340\" y=\"388\" text-anchor=\"middle\">false positives</text></svg>";
  return out + std::string(kPageEnd);
}

}  // namespace tack::guard
