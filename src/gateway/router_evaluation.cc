#include "gateway/router_evaluation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/random.h"
#include "gateway/router_policy.h"

namespace tack::gateway {
namespace {

using Samples = std::vector<std::vector<int>>;  // how often each row counts, by resample

// Row numbers, highest score first.
std::vector<std::int64_t> ranked(std::span<const float> score) {
  std::vector<std::int64_t> order(score.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater{},
                           [&](std::int64_t row) { return score[static_cast<std::size_t>(row)]; });
  return order;
}

// Calls step(rows, gain) for each group of rows with one score, from the highest on.
template <class Step>
void walk(const RankedRows& rows, std::span<const std::int64_t> order, const Step& step) {
  for (std::size_t i = 0; i < order.size();) {
    const float score = rows.score[static_cast<std::size_t>(order[i])];
    double count = 0, gain = 0;
    for (; i < order.size(); ++i) {
      const auto row = static_cast<std::size_t>(order[i]);
      if (rows.score[row] != score) break;
      const double times = rows.times.empty() ? 1 : rows.times[row];
      count += times;
      gain += times * static_cast<double>(rows.strong[row] - rows.weak[row]);
    }
    step(count, gain);
  }
}

Recovery recovery_of(const RankedRows& rows, std::span<const std::int64_t> order) {
  double all = 0, total = 0;
  walk(rows, order, [&](double count, double gain) {
    all += count;
    total += gain;
  });
  Recovery out{0, 1, 1};
  if (!(all > 0) || total == 0) return out;
  double area = 0, seen = 0, gained = 0;
  bool half = false, most = false;
  walk(rows, order, [&](double count, double gain) {
    area += count * (gained + gain / 2);
    // Within a group of one score the curve is straight.
    const auto reach = [&](double part, bool& reached, double& share) {
      if (reached || gained + gain < part * total) return;
      reached = true;
      share = (seen + (gain > 0 ? count * std::max(0.0, part * total - gained) / gain : 0)) / all;
    };
    reach(0.5, half, out.cpt50);
    reach(0.8, most, out.cpt80);
    seen += count;
    gained += gain;
  });
  out.apgr = area / (all * total);
  return out;
}

Samples resample(std::size_t rows, const MetricsOptions& options) {
  Random random(options.seed);
  Samples samples(static_cast<std::size_t>(options.resamples), std::vector<int>(rows));
  for (std::vector<int>& times : samples)
    for (std::size_t i = 0; i < rows; ++i) ++times[random.below(rows)];
  return samples;
}

// The value with the 2.5th and 97.5th percentile of what the samples give.
Estimate estimate(double value, std::vector<double> of_samples) {
  if (of_samples.empty()) return {value, value, value};
  std::ranges::sort(of_samples);
  const auto at = [&](double part) {
    return of_samples[static_cast<std::size_t>(part * static_cast<double>(of_samples.size() - 1))];
  };
  return {value, at(0.025), at(0.975)};
}

std::vector<float> column(std::span<const float> matrix, std::size_t columns, std::size_t which) {
  std::vector<float> out;
  for (std::size_t i = which; i < matrix.size(); i += columns) out.push_back(matrix[i]);
  return out;
}

double mean(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value);
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

double calibration_error(std::span<const float> told, std::span<const float> came) {
  constexpr std::size_t kBins = 10;
  const std::vector<std::int64_t> order = ranked(told);
  double error = 0;
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    double difference = 0;
    for (std::size_t i = bin * order.size() / kBins; i < (bin + 1) * order.size() / kBins; ++i) {
      const auto row = static_cast<std::size_t>(order[i]);
      difference += static_cast<double>(told[row] - came[row]);
    }
    error += std::abs(difference);
  }
  return error / static_cast<double>(told.size());
}

// Quality at a share of strong calls, on the straight lines between ranks.
double quality_at(const RankedRows& rows, std::span<const std::int64_t> order, double share) {
  const auto all = static_cast<double>(rows.weak.size());
  double seen = 0, gained = 0, at = 0;
  bool reached = false;
  walk(rows, order, [&](double count, double gain) {
    if (reached) return;
    if (seen + count >= share * all) {
      at = gained + gain * (share * all - seen) / count;
      reached = true;
    }
    seen += count;
    gained += gain;
  });
  return mean(rows.weak) + (reached ? at : gained) / all;
}

class PairEvaluator {
 public:
  PairEvaluator(const RouterData& data, std::span<const float> quality, const RouterCard& card,
                const Samples& samples)
      : data_(data), samples_(samples) {
    const std::size_t models = card.models.size(), weak = card.cheapest();
    weak_ = column(data.scores, models, weak);
    strong_ = column(data.scores, models, card.strong);
    for (std::size_t row = 0; row < data.rows(); ++row)
      gain_.push_back(quality[row * models + card.strong] - quality[row * models + weak]);
  }

  PairEvaluation run() {
    PairEvaluation out;
    const std::vector<std::int64_t> order = ranked(gain_);
    const Recovery own = recovery_of(rows(gain_), order);
    std::vector<double> apgr, cpt50, cpt80;
    for (const std::vector<int>& times : samples_) {
      const Recovery sample = recovery_of(rows(gain_, times), order);
      apgr.push_back(sample.apgr);
      cpt50.push_back(sample.cpt50);
      cpt80.push_back(sample.cpt80);
    }
    out.apgr = estimate(own.apgr, apgr);
    out.cpt50 = estimate(own.cpt50, cpt50);
    out.cpt80 = estimate(own.cpt80, cpt80);
    std::vector<float> length, hindsight;
    for (const std::string& text : data_.texts) length.push_back(static_cast<float>(text.size()));
    for (std::size_t i = 0; i < weak_.size(); ++i) hindsight.push_back(strong_[i] - weak_[i]);
    add(out, "random", std::vector<float>(weak_.size()), apgr);
    add(out, "prompt length", length, apgr);
    if (!data_.against.empty()) add(out, "against", data_.against, apgr);
    add(out, "hindsight", hindsight, apgr);
    const auto by_length = ranked(length), by_hindsight = ranked(hindsight);
    for (int i = 0; i <= 20; ++i) {
      const double share = i / 20.0;
      out.curve.push_back({share, quality_at(rows(gain_), order, share),
                           quality_at(rows(length), by_length, share),
                           quality_at(rows(hindsight), by_hindsight, share)});
    }
    return out;
  }

 private:
  RankedRows rows(std::span<const float> score, std::span<const int> times = {}) const {
    return {score, weak_, strong_, times};
  }

  void add(PairEvaluation& out, const char* name, const std::vector<float>& score,
           std::span<const double> apgr) const {
    const std::vector<std::int64_t> order = ranked(score);
    RankedBaseline baseline{name, recovery_of(rows(score), order), {}};
    std::vector<double> ahead;
    for (std::size_t i = 0; i < samples_.size(); ++i)
      ahead.push_back(apgr[i] - recovery_of(rows(score, samples_[i]), order).apgr);
    baseline.ahead = estimate(out.apgr.value - baseline.measured.apgr, ahead);
    out.baselines.push_back(std::move(baseline));
  }

  const RouterData& data_;
  const Samples& samples_;
  std::vector<float> weak_, strong_, gain_;  // [rows]
};

RouterEvaluation::Routed routed_by(const RouterCard& card, const RouterData& data,
                                   std::span<const float> quality, const RoutingPolicy& policy,
                                   const Samples& samples) {
  const std::size_t models = card.models.size();
  const auto rows = static_cast<double>(data.rows());
  RouterEvaluation::Routed out;
  out.policy = policy;
  out.shares.resize(models);
  std::vector<double> got, strong;
  for (std::size_t row = 0; row < data.rows(); ++row) {
    const std::size_t model = choose_model(card, quality.subspan(row * models, models), policy);
    out.shares[model] += 1 / rows;
    out.cost += card.models[model].cost / rows;
    got.push_back(static_cast<double>(data.score(row, model)));
    strong.push_back(static_cast<double>(data.score(row, card.strong)));
  }
  const auto measure = [&](std::span<const int> times) {
    double own = 0, theirs = 0, all = 0;
    for (std::size_t row = 0; row < got.size(); ++row) {
      const double count = times.empty() ? 1 : times[row];
      own += count * got[row];
      theirs += count * strong[row];
      all += count;
    }
    return std::pair(own / all, theirs > 0 ? own / theirs : 1);
  };
  std::vector<double> qualities, kept;
  for (const std::vector<int>& times : samples) {
    const auto [one, other] = measure(times);
    qualities.push_back(one);
    kept.push_back(other);
  }
  const auto [one, other] = measure({});
  out.quality = estimate(one, qualities);
  out.kept = estimate(other, kept);
  return out;
}

// The best quality that single models, shared out at random, have for a cost: the upper hull of
// their points.
double mixed_quality(const RouterCard& card, std::span<const double> quality, double cost) {
  double best = 0;
  for (std::size_t a = 0; a < quality.size(); ++a)
    for (std::size_t b = 0; b < quality.size(); ++b) {
      const double low = card.models[a].cost, high = card.models[b].cost;
      if (low > cost) continue;
      const double part = high > cost ? (cost - low) / (high - low) : high <= cost ? 1 : 0;
      best = std::max(best, (1 - part) * quality[a] + part * quality[b]);
    }
  return best;
}

void add_frontier(RouterEvaluation& out, const RouterCard& card, const RouterData& data,
                  std::span<const float> quality) {
  const std::size_t models = card.models.size();
  const auto rows = static_cast<double>(data.rows());
  for (const PolicyPoint& point : card.points) {
    RouterEvaluation::Step step;
    for (std::size_t row = 0; row < data.rows(); ++row) {
      const std::size_t model =
          choose_model(card, quality.subspan(row * models, models), point.policy);
      step.cost += card.models[model].cost / rows;
      step.quality += static_cast<double>(data.score(row, model)) / rows;
    }
    step.mixed = mixed_quality(card, out.model_quality, step.cost);
    out.frontier.push_back(step);
  }
  for (std::size_t row = 0; row < data.rows(); ++row) {
    std::size_t best = 0;
    for (std::size_t m = 1; m < models; ++m) {
      const float difference = data.score(row, m) - data.score(row, best);
      if (difference > 0 || (difference == 0 && card.models[m].cost < card.models[best].cost))
        best = m;
    }
    out.hindsight_quality += static_cast<double>(data.score(row, best)) / rows;
    out.hindsight_cost += card.models[best].cost / rows;
  }
}

}  // namespace

Recovery recovery(const RankedRows& rows) {
  return recovery_of(rows, ranked(rows.score));
}

RouterEvaluation evaluate_router(const RouterCard& card, const RouterData& data,
                                 std::span<const float> quality,
                                 const std::optional<RoutingPolicy>& policy,
                                 const MetricsOptions& options) {
  const std::size_t models = card.models.size();
  RouterEvaluation out;
  out.rows = static_cast<std::int64_t>(data.rows());
  for (std::size_t m = 0; m < models; ++m) {
    const std::vector<float> came = column(data.scores, models, m);
    out.model_quality.push_back(mean(came));
    out.calibration_error.push_back(calibration_error(column(quality, models, m), came));
  }
  const Samples samples = resample(data.rows(), options);
  if (policy) out.routed = routed_by(card, data, quality, *policy, samples);
  add_frontier(out, card, data, quality);
  if (models == 2) out.pair = PairEvaluator(data, quality, card, samples).run();
  return out;
}

Result<std::vector<float>> foretell(const LearnedRouter& router, std::span<const std::string> texts,
                                    std::span<const float> embeddings,
                                    std::vector<float>* times_us) {
  using Clock = std::chrono::steady_clock;
  const std::size_t models = router.models();
  const std::size_t dims = texts.empty() ? 0 : embeddings.size() / texts.size();
  std::vector<float> quality(texts.size() * models);
  for (std::size_t row = 0; row < texts.size(); ++row) {
    const auto start = Clock::now();
    const std::span out(quality.data() + row * models, models);
    TACK_RETURN_IF_ERROR(router.quality(texts[row], embeddings.subspan(row * dims, dims), out));
    if (times_us != nullptr)
      times_us->push_back(std::chrono::duration<float, std::micro>(Clock::now() - start).count());
  }
  return quality;
}

}  // namespace tack::gateway
