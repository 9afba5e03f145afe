#include "gateway/router_calibration.h"

#include <algorithm>
#include <numeric>

#include "base/random.h"
#include "gateway/quality_bound.h"
#include "gateway/router_policy.h"

namespace tack::gateway {
namespace {

// Adds to a point the calls and costs of some rows under its policy.
void count_calls(const RouterCard& card, std::span<const float> quality, PolicyPoint& point) {
  const std::size_t models = card.models.size();
  for (std::size_t row = 0; row < quality.size(); row += models) {
    const std::size_t model = choose_model(card, quality.subspan(row, models), point.policy);
    point.strong_share += model == card.strong ? 1 : 0;
    point.cost += card.models[model].cost;
  }
}

// What calibration rows came to under one policy, in an order that is drawn: the file's may be one
// of subjects.
class HeldBack {
 public:
  HeldBack(const RouterCard& card, const ForetoldRows& rows, std::uint64_t seed)
      : card_(card), data_(*rows.data), quality_(rows.quality), order_(rows.data->rows()) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    Random(seed).shuffle(std::span(order_));
    for (const std::size_t row : order_)
      strong_.push_back(static_cast<double>(data_.score(row, card.strong)));
  }

  std::vector<double> chosen(const RoutingPolicy& policy) const {
    const std::size_t models = card_.models.size();
    std::vector<double> out;
    for (const std::size_t row : order_)
      out.push_back(static_cast<double>(
          data_.score(row, choose_model(card_, quality_.subspan(row * models, models), policy))));
    return out;
  }
  double mean_chosen(const RoutingPolicy& policy) const {
    const std::vector<double> all = chosen(policy);
    return std::accumulate(all.begin(), all.end(), 0.0) / static_cast<double>(all.size());
  }
  std::optional<RoutingPolicy> cheapest_proven(std::span<const PolicyPoint> points,
                                               const RouterTarget& target) const {
    std::optional<RoutingPolicy> best;
    for (const PolicyPoint& point : points) {
      if (!keeps_quality({chosen(point.policy), strong_}, target.quality, target.confidence)) break;
      best = point.policy;
    }
    return best;
  }
  double kept_bound(const RoutingPolicy& policy, double confidence) const {
    return kept_quality_bound({chosen(policy), strong_}, confidence);
  }

 private:
  const RouterCard& card_;
  const RouterData& data_;
  std::span<const float> quality_;
  std::vector<std::size_t> order_;
  std::vector<double> strong_;  // [rows], in that order
};

Status check(const RouterCard& card, const ForetoldRows& rows, const RouterTarget& target) {
  if (rows.data->rows() < kMinCalibrationRows)
    return fail(ErrorCode::kUsage, "{} rows to calibrate on are too few: at least {}",
                rows.data->rows(), kMinCalibrationRows);
  if (card.points.empty() || rows.quality.size() != rows.data->rows() * card.models.size())
    return fail(ErrorCode::kUsage, "nothing is foretold of the rows to calibrate on");
  if (!(target.quality > 0 && target.quality <= 1) ||
      !(target.confidence > 0 && target.confidence < 1))
    return fail(ErrorCode::kUsage, "a quality of {} at a confidence of {} is no target",
                target.quality, target.confidence);
  return {};
}

void measure_models(RouterCard& card, const RouterData& data) {
  for (std::size_t m = 0; m < card.models.size(); ++m) {
    double sum = 0;
    for (std::size_t row = 0; row < data.rows(); ++row)
      sum += static_cast<double>(data.score(row, m));
    card.models[m].quality = std::min(1.0, sum / static_cast<double>(data.rows()));
  }
}

}  // namespace

Result<RouterCalibration> calibrate_router(RouterCard card, const ForetoldRows& rows,
                                           std::span<const float> more, const RouterTarget& target,
                                           std::uint64_t seed) {
  TACK_RETURN_IF_ERROR(check(card, rows, target));
  RouterCalibration out{std::move(card)};
  measure_models(out.card, *rows.data);
  const HeldBack held_back(out.card, rows, seed);
  const double count = static_cast<double>(rows.quality.size() + more.size()) /
                       static_cast<double>(out.card.models.size());
  for (PolicyPoint& point : out.card.points) {
    point.strong_share = point.cost = 0;
    count_calls(out.card, rows.quality, point);
    count_calls(out.card, more, point);
    point.strong_share /= count;
    point.cost = std::min(1.0, point.cost / count);
    point.quality = std::min(1.0, held_back.mean_chosen(point.policy));
  }
  out.card.policy = out.card.points.front().policy;
  if (target.strong_share) {
    TACK_TRY(out.card.policy, policy_for_share(out.card, *target.strong_share));
    out.card.target = {{"strong_share", *target.strong_share}};
  } else {
    const auto proven = held_back.cheapest_proven(out.card.points, target);
    out.proven = proven.has_value();
    out.card.policy = proven.value_or(out.card.policy);
    out.card.target = {{"quality", target.quality}, {"confidence", target.confidence}};
  }
  out.kept_bound = held_back.kept_bound(out.card.policy, target.confidence);
  return out;
}

Result<std::vector<ResplitResult>> resplit(const RouterCard& card, const ForetoldRows& rows,
                                           const RouterTarget& target, int times,
                                           std::uint64_t seed) {
  const std::size_t models = card.models.size();
  Random random(seed);
  std::vector<std::size_t> order(rows.data->rows());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<ResplitResult> results;
  for (int i = 0; i < times; ++i) {
    random.shuffle(std::span(order));
    const std::size_t half = order.size() / 2;
    std::vector<float> quality;
    for (std::size_t at = 0; at < half; ++at) {
      const auto own = rows.quality.subspan(order[at] * models, models);
      quality.insert(quality.end(), own.begin(), own.end());
    }
    const RouterData data =
        rows.data->subset({order.begin(), order.begin() + static_cast<std::ptrdiff_t>(half)});
    TACK_TRY(const auto calibrated,
             calibrate_router(card, {&data, quality}, {}, target, random.next()));
    ResplitResult result{calibrated.proven};
    double kept = 0, strong = 0;
    for (std::size_t at = half; at < order.size(); ++at) {
      const std::size_t row = order[at];
      const std::size_t model = choose_model(
          calibrated.card, rows.quality.subspan(row * models, models), calibrated.card.policy);
      kept += static_cast<double>(rows.data->score(row, model));
      strong += static_cast<double>(rows.data->score(row, card.strong));
      result.strong_share += model == card.strong;
    }
    result.kept = strong > 0 ? kept / strong : 1;
    result.strong_share /= static_cast<double>(order.size() - half);
    results.push_back(result);
  }
  return results;
}

}  // namespace tack::gateway
