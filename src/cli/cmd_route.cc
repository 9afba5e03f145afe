// `tack route`: learns which prompts a cheap model answers well enough, measures it, explains it.

#include <algorithm>
#include <chrono>

#include <fmt/ranges.h>

#include "base/atomic_file.h"
#include "base/cpu.h"
#include "base/progress.h"
#include "cli/explain_plan.h"
#include "cli/lines.h"
#include "cli/route_data.h"
#include "cli/verb.h"
#include "gateway/router_encoder.h"
#include "gateway/router_explanation.h"
#include "gateway/router_policy.h"
#include "gateway/router_report.h"

namespace tack {
namespace {

using gateway::RouterData;
using gateway::RouterTrainingOptions;

struct Options {
  RouteDataOptions data;
  std::vector<std::string> calibration, test, models, prices;
  std::vector<std::int64_t> leaf_rows;
  std::string weak, strong, encoder, router, out, html, scores, prompt;
  std::string config, route = "auto", key;  // of explain
  gateway::RouterTarget target;
  double strong_share = 0, answer_tokens = 256;
  bool share_given = false;
  int trees = 300, cross_fit = 0, resplits = 0;
  std::uint64_t seed = 1;
  bool json = false;
};

int workers(const Options& options) {
  return options.data.threads > 0 ? options.data.threads : cpu_info().logical_cores;
}

Result<std::vector<std::string>> models_of(const Options& options) {
  std::vector<std::string> models = options.models;
  for (const std::string* one : {&options.weak, &options.strong})
    if (!one->empty() && std::ranges::find(models, *one) == models.end()) models.push_back(*one);
  if (models.size() < 2)
    return fail(ErrorCode::kUsage, "two models at least: --weak A --strong B, or --models A,B,C");
  return models;
}

// "0.2:0.8": a million tokens of prompts and of answers; one number for both.
Result<store::Price> parse_price(const std::string& text) {
  const std::size_t colon = text.find(':');
  const std::string_view first = std::string_view(text).substr(0, colon);
  const auto input = gateway::parse_number(first);
  const auto output = gateway::parse_number(
      colon == std::string::npos ? first : std::string_view(text).substr(colon + 1));
  if (!input || !output || *input < 0 || *output < 0)
    return fail(ErrorCode::kUsage, "--price: '{}' is no price; write INPUT:OUTPUT", text);
  return store::Price{static_cast<double>(*input), static_cast<double>(*output), {}};
}

Result<std::vector<store::Price>> prices_of(const Options& options,
                                            const std::vector<std::string>& models) {
  TACK_TRY(const auto by_model, model_values(options.prices, models, "--price"));
  std::vector<store::Price> prices;
  for (const std::string& model : models) {
    const auto price = by_model.find(model);
    if (price == by_model.end()) {
      if (by_model.empty()) return prices;
      return fail(ErrorCode::kUsage, "--price: {} has none", model);
    }
    TACK_TRY(prices.emplace_back(), parse_price(price->second));
  }
  return prices;
}

// The strong model: the one named; else the one that is best on average.
std::size_t strong_of(const Options& options, const RouterData& data) {
  if (!options.strong.empty())
    return static_cast<std::size_t>(std::ranges::find(data.models, options.strong) -
                                    data.models.begin());
  std::vector<double> sums(data.models.size());
  for (std::size_t row = 0; row < data.rows(); ++row)
    for (std::size_t m = 0; m < sums.size(); ++m)
      sums[m] += static_cast<double>(data.score(row, m));
  return static_cast<std::size_t>(std::ranges::max_element(sums) - sums.begin());
}

Result<RouterTrainingOptions> training_options(const Options& options, const RouterData& data,
                                               TextEncoder* encoder) {
  RouterTrainingOptions training;
  TACK_TRY(training.prices, prices_of(options, data.models));
  training.strong = strong_of(options, data);
  training.answer_tokens = options.answer_tokens;
  if (encoder != nullptr) {
    TACK_TRY(training.encoder, gateway::router_encoder_of(*encoder));
  }
  training.target = options.target;
  training.trees = options.trees;
  if (!options.leaf_rows.empty())
    training.leaf_rows.assign(options.leaf_rows.begin(), options.leaf_rows.end());
  training.seed = options.seed;
  return training;
}

// What trains, calibrates and tests: files of their own, or fifths of one by hash.
struct Parts {
  RoutePart training, calibration, test;
};

Result<Parts> read_parts(const Options& options, const std::vector<std::string>& models,
                         TextEncoder* encoder) {
  TACK_TRY(const RouterData data, read_route_files(options.data, models, options.data.data));
  gateway::RouterSplit split = gateway::split_router_data(data);
  const auto other = [&](const std::vector<std::string>& paths,
                         const std::vector<std::size_t>& fifth) -> Result<RouterData> {
    if (paths.empty()) return data.subset(fifth);
    split.train.insert(split.train.end(), fifth.begin(), fifth.end());
    return read_route_files(options.data, models, paths);
  };
  TACK_TRY(RouterData calibration, other(options.calibration, split.calibration));
  TACK_TRY(RouterData test, other(options.test, split.test));
  std::ranges::sort(split.train);
  Parts parts;
  TACK_TRY(parts.training, embed_route_rows(data.subset(split.train), encoder));
  TACK_TRY(parts.calibration, embed_route_rows(std::move(calibration), encoder));
  TACK_TRY(parts.test, embed_route_rows(std::move(test), encoder));
  return parts;
}

Json lineage_of(const Options& options, const Parts& parts, int leaf_rows) {
  const auto part = [](const RoutePart& rows) {
    return Json{{"rows", rows.data.rows()}, {"sha256", rows.data.sha256}};
  };
  return {{"tack", TACK_VERSION},
          {"data", options.data.data},
          {"training", part(parts.training)},
          {"calibration", part(parts.calibration)},
          {"test", part(parts.test)},
          {"trees", options.trees},
          {"leaf_rows", leaf_rows},
          {"seed", options.seed}};
}

double percentile(std::vector<float> values, double part) {
  std::ranges::sort(values);
  return static_cast<double>(
      values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))]);
}

// Each prompt alone, as when it is served.
Result<gateway::DecisionTimes> time_decisions(const gateway::LearnedRouter& router,
                                              const RoutePart& part, TextEncoder* encoder) {
  using Clock = std::chrono::steady_clock;
  constexpr std::size_t kMost = 2000;
  const std::size_t rows = std::min(part.data.rows(), kMost);
  const std::size_t dims = part.embeddings.size() / part.data.rows();
  const std::span texts(part.data.texts.data(), rows);
  std::vector<float> alone, together;
  TACK_TRY(const auto warmed_up,
           gateway::foretell(router, texts, std::span(part.embeddings).first(rows * dims)));
  TACK_TRY(const auto ignored,
           gateway::foretell(router, texts, std::span(part.embeddings).first(rows * dims), &alone));
  gateway::DecisionTimes times{percentile(alone, 0.5), percentile(alone, 0.99)};
  if (encoder == nullptr) return times;
  Progress progress("timing", static_cast<std::int64_t>(rows), "prompts");
  for (std::size_t row = 0; row < rows; ++row) {
    const auto start = Clock::now();
    TACK_TRY(const auto embedding, gateway::embed_prompts(*encoder, texts.subspan(row, 1)));
    TACK_TRY(const auto quality, gateway::foretell(router, texts.subspan(row, 1), embedding));
    together.push_back(std::chrono::duration<float, std::micro>(Clock::now() - start).count());
    progress.advance();
  }
  times.encoder_p50_us = percentile(together, 0.5);
  times.encoder_p99_us = percentile(together, 0.99);
  return times;
}

std::string proof_text(const gateway::RouterCalibration& calibration,
                       const gateway::RouterTarget& target, std::size_t rows) {
  const std::string& strong = calibration.card.models[calibration.card.strong].name;
  if (!target.strong_share && !calibration.proven)
    return fmt::format(
        "{} held-back rows do not prove at {:g} % that {:g} % of the quality of {} is kept by "
        "anything but asking it always: more rows, or a lower --target-quality\n",
        rows, 100 * target.confidence, 100 * target.quality, strong);
  return fmt::format(
      "{} held-back rows prove at {:g} % that at least {:.1f} % of the quality of {} is kept\n",
      rows, 100 * target.confidence, 100 * calibration.kept_bound, strong);
}

// Measures a router that was made on rows of its own, writes it and says so.
Status finish(const Options& options, const gateway::LearnedRouter& router,
              gateway::RouterCalibration calibration, std::size_t rows, const RoutePart& test,
              TextEncoder* encoder) {
  gateway::RouterCard& card = calibration.card;
  card.target["proven"] = calibration.proven;
  card.target["kept_bound"] = calibration.kept_bound;
  std::string text = proof_text(calibration, options.target, rows);
  if (test.data.rows() > 0) {
    TACK_TRY(const auto quality, gateway::foretell(router, test.data.texts, test.embeddings));
    const auto evaluation =
        gateway::evaluate_router(card, test.data, quality, card.policy, {.seed = options.seed});
    TACK_TRY(const auto times, time_decisions(router, test, encoder));
    card.measured = gateway::router_evaluation_json(card, evaluation, times);
    text += "on rows that neither trained nor calibrated: " +
            gateway::router_evaluation_text(card, evaluation, times);
  }
  TACK_TRY(const auto finished, router.with_card(card));
  TACK_RETURN_IF_ERROR(finished->write(options.out));
  if (options.json) return print_line(to_text(gateway::to_json(card), 2));
  return print_text(fmt::format("{}wrote {}\n", text, options.out));
}

Status run_train(const Options& options) {
  TACK_TRY(const std::vector<std::string> models, models_of(options));
  TACK_TRY(const auto encoder, open_route_encoder(options.encoder, options.data.threads));
  TACK_TRY(const Parts parts, read_parts(options, models, encoder.get()));
  TACK_TRY(RouterTrainingOptions training,
           training_options(options, parts.training.data, encoder.get()));
  ThreadPool pool(workers(options));
  Progress progress("training", gateway::trees_to_grow(training), "trees");
  training.on_tree = [&] { progress.advance(); };
  TACK_TRY(auto trained,
           gateway::train_router(parts.training.rows(), parts.calibration.rows(), training, pool));
  progress.finish();
  trained.calibration.card.lineage = lineage_of(options, parts, trained.leaf_rows);
  return finish(options, *trained.router, std::move(trained.calibration),
                parts.calibration.data.rows(), parts.test, encoder.get());
}

// Rows of a router's models, with its embeddings.
Result<RoutePart> rows_for(const Options& options, const gateway::LearnedRouter& router,
                           TextEncoder* encoder) {
  std::vector<std::string> models;
  for (const gateway::RoutedModel& model : router.card().models) models.push_back(model.name);
  TACK_TRY(RouterData data, read_route_files(options.data, models, options.data.data));
  return embed_route_rows(std::move(data), encoder);
}

Status run_calibrate(const Options& options) {
  TACK_TRY(const auto router, gateway::LearnedRouter::open(options.router));
  TACK_TRY(const auto encoder, open_route_encoder(*router, options.encoder, options.data.threads));
  TACK_TRY(const RoutePart part, rows_for(options, *router, encoder.get()));
  TACK_TRY(const auto quality, gateway::foretell(*router, part.data.texts, part.embeddings));
  TACK_TRY(auto calibration, gateway::calibrate_router(router->card(), {&part.data, quality}, {},
                                                       options.target, options.seed));
  calibration.card.measured = nullptr;
  calibration.card.lineage["calibration"] = {{"rows", part.data.rows()},
                                             {"sha256", part.data.sha256}};
  return finish(options, *router, std::move(calibration), part.data.rows(), {}, nullptr);
}

Status write_scores(const Options& options, const RouterData& data,
                    std::span<const float> quality) {
  if (options.scores.empty()) return {};
  std::string lines;
  for (std::size_t row = 0; row < data.rows(); ++row) {
    Json line = {{"prompt", data.texts[row]}};
    for (std::size_t m = 0; m < data.models.size(); ++m)
      line[data.models[m]] = quality[row * data.models.size() + m];
    lines += to_text(line) + "\n";
  }
  return write_file(options.scores, lines);
}

Status report(const Options& options, const gateway::RouterCard& card, const RouterData& data,
              std::span<const float> quality, const std::optional<gateway::RoutingPolicy>& policy,
              const gateway::DecisionTimes& times) {
  TACK_RETURN_IF_ERROR(write_scores(options, data, quality));
  const auto evaluation =
      gateway::evaluate_router(card, data, quality, policy, {.seed = options.seed});
  if (options.json)
    TACK_RETURN_IF_ERROR(
        print_line(to_text(gateway::router_evaluation_json(card, evaluation, times), 2)));
  else
    TACK_RETURN_IF_ERROR(print_text(gateway::router_evaluation_text(card, evaluation, times)));
  if (options.html.empty()) return {};
  TACK_RETURN_IF_ERROR(write_file(
      options.html, gateway::router_evaluation_html(
                        {{"router", options.router.empty() ? "cross-fitted" : options.router},
                         {"data", fmt::format("{}", fmt::join(options.data.data, ", "))}},
                        card, evaluation, times)));
  fmt::print(stderr, "report: {}\n", options.html);
  return {};
}

// How good routers trained on the rest of the data would be on each part of it.
Status run_cross_fit(const Options& options) {
  TACK_TRY(const std::vector<std::string> models, models_of(options));
  TACK_TRY(RouterData data, read_route_files(options.data, models, options.data.data));
  TACK_TRY(const auto encoder, open_route_encoder(options.encoder, options.data.threads));
  TACK_TRY(const RoutePart part, embed_route_rows(std::move(data), encoder.get()));
  TACK_TRY(RouterTrainingOptions training, training_options(options, part.data, encoder.get()));
  ThreadPool pool(workers(options));
  const auto folds = static_cast<std::uint32_t>(options.cross_fit);
  Progress progress("training", gateway::trees_to_grow(training, folds), "trees");
  training.on_tree = [&] { progress.advance(); };
  TACK_TRY(const auto fitted, gateway::cross_fit_router(part.rows(), folds, training, pool));
  progress.finish();
  return report(options, fitted.card, part.data, fitted.quality, std::nullopt, {});
}

// How often the target would be kept, were the router calibrated on half of the rows.
Status run_resplits(const Options& options, const gateway::LearnedRouter& router,
                    const RoutePart& part, std::span<const float> quality) {
  TACK_TRY(const auto results, gateway::resplit(router.card(), {&part.data, quality},
                                                options.target, options.resplits, options.seed));
  return print_text(gateway::resplits_text(results, options.target, options.json));
}

Result<gateway::RoutingPolicy> policy_of(const Options& options, const gateway::RouterCard& card) {
  if (options.share_given) return gateway::policy_for_share(card, options.strong_share);
  return card.policy;
}

Status run_eval(const Options& options) {
  if (options.cross_fit > 0) return run_cross_fit(options);
  if (options.router.empty())
    return fail(ErrorCode::kUsage, "what is to be measured: --router FILE, or --cross-fit 5");
  TACK_TRY(const auto router, gateway::LearnedRouter::open(options.router));
  TACK_TRY(const auto encoder, open_route_encoder(*router, options.encoder, options.data.threads));
  TACK_TRY(const RoutePart part, rows_for(options, *router, encoder.get()));
  TACK_TRY(const auto quality, gateway::foretell(*router, part.data.texts, part.embeddings));
  if (options.resplits > 0) return run_resplits(options, *router, part, quality);
  TACK_TRY(const auto times, time_decisions(*router, part, encoder.get()));
  TACK_TRY(const auto policy, policy_of(options, router->card()));
  return report(options, router->card(), part.data, quality, policy, times);
}

Status run_explain(const Options& options) {
  if (!options.config.empty())
    return explain_plan({.config = options.config,
                         .route = options.route,
                         .prompt = options.prompt,
                         .client = options.key,
                         .json = options.json});
  TACK_TRY(const auto router, gateway::LearnedRouter::open(options.router));
  TACK_TRY(const auto encoder, open_route_encoder(*router, options.encoder, options.data.threads));
  TACK_TRY(const auto policy, policy_of(options, router->card()));
  const auto embed = [&](std::string_view text) {
    const std::string own(text);
    return gateway::embed_prompts(*encoder, std::span(&own, 1));
  };
  TACK_TRY(const auto explanation, gateway::explain_route(*router, options.prompt, policy, embed));
  if (options.json) return print_line(to_text(gateway::to_json(router->card(), explanation), 2));
  return print_text(gateway::explanation_text(router->card(), explanation));
}

void add_training_options(Command& verb, Options& options) {
  verb.option("--weak", options.weak, "The cheap model");
  verb.option("--strong", options.strong,
              "The model that quality is measured against; default: the best of the data");
  verb.option("--models", options.models, "All models, of more than two: A,B,C")
      .delimiter(',')
      .one_at_a_time();
  verb.option("--price", options.prices,
              "MODEL=INPUT:OUTPUT for a million tokens; default, of two: the weak one is free")
      .delimiter(',')
      .one_at_a_time();
  verb.option("--answer-tokens", options.answer_tokens, "Of an answer, for what a call costs")
      .not_negative()
      .show_default();
  verb.option("--trees", options.trees, "Of the forest").range(1, 10000).show_default();
  verb.option("--leaf-rows", options.leaf_rows,
              "Of a leaf of its trees; of several the best is taken; default: 5,10,20,40")
      .delimiter(',')
      .one_at_a_time()
      .positive();
}

void add_target_options(Command& verb, Options& options) {
  verb.option("--target-quality", options.target.quality,
              "Share of the strong model's quality that is to be kept")
      .range(0.01, 1.0)
      .show_default();
  verb.option("--confidence", options.target.confidence, "That it is kept")
      .range(0.5, 0.9999)
      .show_default();
}

}  // namespace

Verb make_route(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("route", "Learn, measure and explain which model a prompt goes to");
  verb.require_verb();
  Command training = verb.add_verb("train", "Learn a router from prompts with known answers");
  Command calibration = verb.add_verb("calibrate", "Another target, or other rows, for a router");
  Command evaluation = verb.add_verb("eval", "The curve of quality against cost");
  Command explanation = verb.add_verb("explain", "Where a prompt goes and why");
  for (Command* one : {&training, &calibration, &evaluation}) {
    add_route_data_options(*one, options->data);
    add_target_options(*one, *options);
    one->option("--seed", options->seed, "Of all that is drawn").show_default();
  }
  for (Command* one : {&training, &evaluation}) add_training_options(*one, *options);
  training
      .option("--calibration", options->calibration,
              "Rows of its own; default: a fifth of the data")
      .one_at_a_time();
  training.option("--test", options->test, "Likewise").one_at_a_time();
  for (Command* one : {&training, &calibration})
    one->option("--out,-o", options->out, "The router").required();
  evaluation.option("--router", options->router, "What `tack route train` wrote");
  calibration.option("--router", options->router, "What `tack route train` wrote").required();
  evaluation
      .option("--cross-fit", options->cross_fit,
              "In place of a router: train on all folds but one, for each of so many")
      .range(2, 100);
  evaluation
      .option("--resplits", options->resplits,
              "Calibrate on one half of the rows, measure on the other, so many times")
      .range(1, 10000);
  evaluation.option("--against", options->data.against,
                    "Column with another router's score or decision, larger for the strong model");
  evaluation.option("--scores", options->scores, "Writes what is foretold of each row (JSONL)");
  evaluation.option("--html", options->html, "Also a page with the curve");
  explanation.option("prompt", options->prompt, "The text").required();
  Command chosen = explanation.add_choice("what", "What decides");
  chosen.option("--router", options->router, "What `tack route train` wrote");
  chosen.option("--config,-c", options->config, "tack.toml: all steps of one of its routes");
  explanation.option("--route", options->route, "Of --config").show_default();
  explanation.option("--key", options->key, "Of --config: the name of the client's key");
  add_threads_option(explanation, options->data.threads);
  std::vector<Option> shares;
  for (Command* one : {&training, &calibration, &evaluation, &explanation}) {
    one->option("--encoder", options->encoder,
                "Encoder (path or name), or none; default: the shipped one, or the router's");
    shares.push_back(one->option("--strong-share", options->strong_share,
                                 "Share of calls for the strong model, in place of a quality")
                         .range(0.0, 1.0));
    one->flag("--json", options->json, "One object");
  }
  for (Command* one : {&verb, &training, &calibration, &evaluation, &explanation})
    one->footer(
        "Example: tack route train --data logs.jsonl --weak small --strong large "
        "--target-quality 0.95 -o router.gguf");
  return {verb, [options, training, calibration, evaluation, shares] {
            options->share_given = std::ranges::any_of(shares, &Option::given);
            if (options->share_given) options->target.strong_share = options->strong_share;
            if (training.given()) return run_train(*options);
            if (calibration.given()) return run_calibrate(*options);
            return evaluation.given() ? run_eval(*options) : run_explain(*options);
          }};
}

}  // namespace tack
