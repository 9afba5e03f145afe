#include "gateway/router_report.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "tasks/page.h"

namespace tack::gateway {
namespace {

std::string percent(const Estimate& e) {
  return fmt::format("{:.2f} % [{:.2f}, {:.2f}]", 100 * e.value, 100 * e.low, 100 * e.high);
}

std::string number(const Estimate& e) {
  return fmt::format("{:.3f} [{:.3f}, {:.3f}]", e.value, e.low, e.high);
}

Json to_json(const Estimate& e) {
  return {{"value", e.value}, {"low", e.low}, {"high", e.high}};
}

Json to_json(const Recovery& r) {
  return {{"apgr", r.apgr}, {"cpt50", r.cpt50}, {"cpt80", r.cpt80}};
}

std::string policy_text(const RouterCard& card, const RouterEvaluation::Routed& routed) {
  std::string out = fmt::format("quality {}, {} of what {} has\n", percent(routed.quality),
                                percent(routed.kept), card.models[card.strong].name);
  out += fmt::format("cost {:.1f} % of the dearest model's\n", 100 * routed.cost);
  for (std::size_t m = 0; m < card.models.size(); ++m)
    out +=
        fmt::format("  {:<32} {:5.1f} % of calls\n", card.models[m].name, 100 * routed.shares[m]);
  return out;
}

std::string pair_text(const PairEvaluation& pair) {
  std::string out = fmt::format("APGR {}, CPT50 {}, CPT80 {}\n", number(pair.apgr),
                                percent(pair.cpt50), percent(pair.cpt80));
  for (const RankedBaseline& baseline : pair.baselines)
    out += fmt::format("  {:<14} APGR {:.3f}, CPT50 {:5.1f} %, CPT80 {:5.1f} %; ahead by {}\n",
                       baseline.name, baseline.measured.apgr, 100 * baseline.measured.cpt50,
                       100 * baseline.measured.cpt80, number(baseline.ahead));
  out += "strong calls   router   length  hindsight\n";
  for (std::size_t i = 0; i < pair.curve.size(); i += 2) {
    const PairEvaluation::Step& step = pair.curve[i];
    out += fmt::format("{:10.0f} %  {:6.2f} % {:6.2f} % {:6.2f} %\n", 100 * step.share,
                       100 * step.router, 100 * step.length, 100 * step.hindsight);
  }
  return out;
}

std::string frontier_text(const RouterCard& card, const RouterEvaluation& evaluation) {
  std::string out = "cost of the dearest   router   single models mixed\n";
  const auto& steps = evaluation.frontier;
  double last = 2;
  for (const RouterEvaluation::Step& step : steps) {
    if (step.cost > last - 0.08) continue;
    last = step.cost;
    out += fmt::format("{:17.1f} %  {:6.2f} %  {:6.2f} %\n", 100 * step.cost, 100 * step.quality,
                       100 * step.mixed);
  }
  std::size_t best = 0;
  for (std::size_t m = 1; m < card.models.size(); ++m)
    if (evaluation.model_quality[m] > evaluation.model_quality[best]) best = m;
  const auto least = std::ranges::find_if(steps.rbegin(), steps.rend(), [&](const auto& step) {
    return step.quality >= evaluation.model_quality[best];
  });
  if (least != steps.rend())
    out += fmt::format("the quality of {} ({:.2f} %) for {:.1f} % of the dearest model's cost\n",
                       card.models[best].name, 100 * evaluation.model_quality[best],
                       100 * least->cost);
  return out;
}

std::string times_text(const DecisionTimes& times) {
  if (times.p99_us == 0) return "";
  std::string out =
      fmt::format("decision p50 {:.1f} us, p99 {:.1f} us", times.p50_us, times.p99_us);
  if (times.encoder_p99_us > 0)
    out += fmt::format("; with the encoder {:.2f} ms, {:.2f} ms", times.encoder_p50_us / 1000,
                       times.encoder_p99_us / 1000);
  return out + "\n";
}

// Curves of quality over a share or a cost, on one pair of axes.
class Chart {
 public:
  Chart(double low, double high) : low_(low), high_(high) {
    svg_ = fmt::format(
        "<svg viewBox=\"0 0 640 400\" width=\"640\" height=\"400\" role=\"img\" "
        "aria-label=\"Quality against cost\"><path class=\"axis\" d=\"M60 10V350H620\" "
        "fill=\"none\"/>");
    for (int i = 0; i <= 4; ++i) {
      const double part = i / 4.0, quality = low_ + part * (high_ - low_);
      svg_ += fmt::format(
          "<text x=\"54\" y=\"{:.0f}\" text-anchor=\"end\">{:.1f} %</text>"
          "<text x=\"{:.0f}\" y=\"366\" text-anchor=\"middle\">{:.0f} %</text>",
          y(quality) + 4, 100 * quality, x(part), 100 * part);
    }
  }
  void line(const std::vector<std::pair<double, double>>& points, std::string_view style,
            std::string_view name) {
    svg_ += fmt::format("<polyline fill=\"none\" stroke-width=\"2\" {} points=\"", style);
    for (const auto& [at, quality] : points)
      svg_ += fmt::format("{:.1f},{:.1f} ", x(at), y(quality));
    svg_ += fmt::format(
        "\"><title>{0}</title></polyline><line x1=\"420\" x2=\"450\" y1=\"{1}\" y2=\"{1}\" "
        "stroke-width=\"2\" {2}/><text x=\"458\" y=\"{3}\">{0}</text>",
        html_escaped(name), legend_, style, legend_ + 4);
    legend_ += 18;
  }
  void point(double at, double quality, std::string_view name) {
    svg_ += fmt::format(
        "<circle cx=\"{0:.1f}\" cy=\"{1:.1f}\" r=\"4\" class=\"wrong\"><title>{2}</title></circle>"
        "<text x=\"{3:.1f}\" y=\"{4:.1f}\">{2}</text>",
        x(at), y(quality), html_escaped(name), x(at) + 7, y(quality) + 4);
  }
  std::string finish(std::string_view axis) {
    return svg_ + fmt::format("<text x=\"340\" y=\"390\" text-anchor=\"middle\">{}</text></svg>",
                              html_escaped(axis));
  }

 private:
  double x(double share) const { return 60 + 560 * share; }
  double y(double quality) const {
    return 350 - 340 * std::clamp((quality - low_) / std::max(high_ - low_, 1e-9), 0.0, 1.0);
  }
  std::string svg_;
  double low_, high_;
  double legend_ = 250;
};

constexpr std::string_view kRouter = "stroke=\"#2f7fd1\"", kOther = "stroke=\"#d1902f\"",
                           kChance = "stroke=\"currentColor\" stroke-dasharray=\"4\"",
                           kHindsight = "stroke=\"#3f9d5a\" stroke-dasharray=\"2\"";

std::string pair_chart(const RouterCard& card, const RouterEvaluation& evaluation) {
  const PairEvaluation& pair = *evaluation.pair;
  double low = 1, high = 0;
  for (const PairEvaluation::Step& step : pair.curve) {
    low = std::min({low, step.router, step.length});
    high = std::max(high, step.hindsight);
  }
  Chart chart(low, high);
  const auto draw = [&](double PairEvaluation::Step::* what, std::string_view style,
                        std::string_view name) {
    std::vector<std::pair<double, double>> points;
    for (const PairEvaluation::Step& step : pair.curve) points.emplace_back(step.share, step.*what);
    chart.line(points, style, name);
  };
  draw(&PairEvaluation::Step::router, kRouter, "router");
  draw(&PairEvaluation::Step::length, kOther, "prompt length");
  draw(&PairEvaluation::Step::hindsight, kHindsight, "hindsight");
  chart.line({{0, pair.curve.front().router}, {1, pair.curve.back().router}}, kChance, "random");
  if (evaluation.routed)
    chart.point(evaluation.routed->shares[card.strong], evaluation.routed->quality.value,
                "its policy");
  return chart.finish("share of strong calls");
}

std::string frontier_chart(const RouterCard& card, const RouterEvaluation& evaluation) {
  double low = 1, high = evaluation.hindsight_quality;
  std::vector<std::pair<double, double>> router, mixed;
  for (const RouterEvaluation::Step& step : evaluation.frontier) {
    router.emplace_back(step.cost, step.quality);
    mixed.emplace_back(step.cost, step.mixed);
    low = std::min({low, step.quality, step.mixed});
  }
  for (const double quality : evaluation.model_quality) low = std::min(low, quality);
  Chart chart(low, high);
  chart.line(router, kRouter, "router");
  chart.line(mixed, kChance, "single models, mixed");
  for (std::size_t m = 0; m < card.models.size(); ++m)
    chart.point(card.models[m].cost, evaluation.model_quality[m], card.models[m].name);
  chart.point(evaluation.hindsight_cost, evaluation.hindsight_quality, "hindsight");
  return chart.finish("cost of the dearest model");
}

Json routed_json(const RouterCard& card, const RouterEvaluation::Routed& routed) {
  Json json = {{"rate", routed.policy.rate},
               {"always_strong", routed.policy.always_strong},
               {"quality", to_json(routed.quality)},
               {"kept", to_json(routed.kept)},
               {"strong_share", routed.shares[card.strong]},
               {"cost", routed.cost}};
  for (std::size_t m = 0; m < card.models.size(); ++m)
    json["shares"][card.models[m].name] = routed.shares[m];
  return json;
}

Json pair_json(const PairEvaluation& pair) {
  Json json = {
      {"apgr", to_json(pair.apgr)}, {"cpt50", to_json(pair.cpt50)}, {"cpt80", to_json(pair.cpt80)}};
  for (const RankedBaseline& baseline : pair.baselines) {
    json["baselines"][baseline.name] = to_json(baseline.measured);
    json["baselines"][baseline.name]["ahead"] = to_json(baseline.ahead);
  }
  json["curve"] = Json::array();
  for (const PairEvaluation::Step& step : pair.curve)
    json["curve"].push_back({{"strong_share", step.share},
                             {"router", step.router},
                             {"length", step.length},
                             {"hindsight", step.hindsight}});
  return json;
}

std::string policy_text(const RouterCard& card) {
  if (card.policy.always_strong)
    return fmt::format("asks {} always\n", card.models[card.strong].name);
  std::string out =
      fmt::format("asks the model with the largest quality - {:.3f} x cost\n", card.policy.rate);
  const auto nearest = std::ranges::min_element(card.points, {}, [&](const PolicyPoint& point) {
    return point.policy.always_strong ? 1e9 : std::abs(point.policy.rate - card.policy.rate);
  });
  return out + fmt::format(
                   "on held-back rows: {:.1f} % of calls to {}, quality {:.2f} %, {:.1f} % of "
                   "the dearest model's cost\n",
                   100 * nearest->strong_share, card.models[card.strong].name,
                   100 * nearest->quality, 100 * nearest->cost);
}

}  // namespace

std::string router_card_text(const RouterCard& card) {
  std::string out =
      fmt::format("router of {} models, reads {}\n", card.models.size(),
                  card.encoder ? fmt::format("embeddings of {}", card.encoder->name) : "words");
  for (const RoutedModel& model : card.models)
    out += fmt::format("  {:<32} quality {:6.2f} %, cost {:5.1f} %{}\n", model.name,
                       100 * model.quality, 100 * model.cost,
                       &model == &card.models[card.strong] ? "  (strong)" : "");
  out += policy_text(card);
  out += fmt::format("target: {}\n", tack::to_text(card.target));
  return out + fmt::format("lineage: {}\n", tack::to_text(card.lineage));
}

std::string router_evaluation_text(const RouterCard& card, const RouterEvaluation& evaluation,
                                   const DecisionTimes& times) {
  std::string out = fmt::format("{} rows\n", evaluation.rows);
  for (std::size_t m = 0; m < card.models.size(); ++m)
    out += fmt::format("  {:<32} quality {:6.2f} %, cost {:5.1f} %, calibration error {:.1f} %\n",
                       card.models[m].name, 100 * evaluation.model_quality[m],
                       100 * card.models[m].cost, 100 * evaluation.calibration_error[m]);
  if (evaluation.routed) out += policy_text(card, *evaluation.routed);
  out += evaluation.pair ? pair_text(*evaluation.pair) : frontier_text(card, evaluation);
  return out + times_text(times);
}

Json router_evaluation_json(const RouterCard& card, const RouterEvaluation& evaluation,
                            const DecisionTimes& times) {
  Json json = {{"rows", evaluation.rows}};
  json["models"] = Json::array();
  for (std::size_t m = 0; m < card.models.size(); ++m)
    json["models"].push_back({{"name", card.models[m].name},
                              {"quality", evaluation.model_quality[m]},
                              {"cost", card.models[m].cost},
                              {"calibration_error", evaluation.calibration_error[m]}});
  if (evaluation.routed) json["routed"] = routed_json(card, *evaluation.routed);
  if (evaluation.pair) json["pair"] = pair_json(*evaluation.pair);
  json["frontier"] = Json::array();
  for (const RouterEvaluation::Step& step : evaluation.frontier)
    json["frontier"].push_back(
        {{"cost", step.cost}, {"quality", step.quality}, {"mixed", step.mixed}});
  json["hindsight"] = {{"quality", evaluation.hindsight_quality},
                       {"cost", evaluation.hindsight_cost}};
  if (times.p99_us > 0) json["decision_us"] = {{"p50", times.p50_us}, {"p99", times.p99_us}};
  if (times.encoder_p99_us > 0)
    json["decision_with_encoder_us"] = {{"p50", times.encoder_p50_us},
                                        {"p99", times.encoder_p99_us}};
  return json;
}

std::string resplits_text(std::span<const ResplitResult> results, const RouterTarget& target,
                          bool as_json) {
  std::size_t proven = 0, kept = 0, near = 0;
  double share = 0, quality = 0, least = 2;
  for (const ResplitResult& result : results) {
    proven += result.proven;
    kept += result.kept >= target.quality;
    near += std::abs(result.strong_share - target.strong_share.value_or(0)) <= 0.02;
    share += result.strong_share / static_cast<double>(results.size());
    quality += result.kept / static_cast<double>(results.size());
    least = std::min(least, result.kept);
  }
  if (as_json) {
    Json json = {{"resplits", results.size()},
                 {"strong_share", share},
                 {"kept", quality},
                 {"least_kept", least}};
    if (target.strong_share)
      json.update({{"target_share", *target.strong_share}, {"within_two_points", near}});
    else
      json.update({{"target_quality", target.quality}, {"proven", proven}, {"target_kept", kept}});
    return tack::to_text(json, 2) + "\n";
  }
  if (target.strong_share)
    return fmt::format("share {:.1f} %: within two points of it in {} of {}, {:.2f} % on average\n",
                       100 * *target.strong_share, near, results.size(), 100 * share);
  return fmt::format(
      "{:g} % kept in {} of {} (proven in {}): {:.2f} % on average, {:.2f} % at the least; strong "
      "calls {:.1f} % on average\n",
      100 * target.quality, kept, results.size(), proven, 100 * quality, 100 * least, 100 * share);
}

std::string router_evaluation_html(const std::vector<std::pair<std::string, std::string>>& facts,
                                   const RouterCard& card, const RouterEvaluation& evaluation,
                                   const DecisionTimes& times) {
  std::string page = page_begin("Router") + "<table>\n";
  for (const auto& [name, value] : facts)
    page +=
        fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", html_escaped(name), html_escaped(value));
  page += "</table>\n<section>";
  page += evaluation.pair ? pair_chart(card, evaluation) : frontier_chart(card, evaluation);
  page += fmt::format("</section>\n<section><pre>{}</pre></section>\n",
                      html_escaped(router_evaluation_text(card, evaluation, times)));
  return page.append(kPageEnd);
}

}  // namespace tack::gateway
