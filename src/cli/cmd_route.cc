// `tack route`: learns which prompts the cheap model answers well enough, measures and explains it.

#include <algorithm>
#include <chrono>
#include <map>

#include <fmt/ranges.h>

#include "base/atomic_file.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/nearest.h"
#include "base/progress.h"
#include "cli/explain_plan.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "gateway/router_encoder.h"
#include "gateway/router_explanation.h"
#include "gateway/router_policy.h"
#include "gateway/router_report.h"
#include "gateway/router_training.h"

namespace tack {
namespace {

using gateway::EmbeddedRows;
using gateway::RouterData;
using gateway::RouterTrainingOptions;

struct Options {
  std::vector<std::string> data, calibration, test, models, prices, columns;
  std::string text, weak, strong, format = "auto", against;
  std::string encoder, out, router, html, prompt, scores;
  std::string config, route = "auto", key;  // of explain
  double target_quality = 0.95, confidence = 0.95, strong_share = 0, answer_tokens = 256;
  bool share_given = false;
  int trees = 300, cross_fit = 0, threads = 0;
  std::uint64_t seed = 1;
  bool json = false;
};

int workers(const Options& options) {
  return options.threads > 0 ? options.threads : cpu_info().logical_cores;
}

// "a=b" of an option that may stand several times.
Result<std::map<std::string, std::string>> assignments(const std::vector<std::string>& given,
                                                       const char* option) {
  std::map<std::string, std::string> out;
  for (const std::string& one : given) {
    const std::size_t sign = one.rfind('=');
    if (sign == std::string::npos || sign == 0 || sign + 1 == one.size())
      return fail(ErrorCode::kUsage, "{} {}: write MODEL=VALUE", option, one);
    out[one.substr(0, sign)] = one.substr(sign + 1);
  }
  return out;
}

Result<std::vector<std::string>> models_of(const Options& options) {
  std::vector<std::string> models = options.models;
  for (const std::string* one : {&options.weak, &options.strong})
    if (!one->empty() && std::ranges::find(models, *one) == models.end()) models.push_back(*one);
  if (models.size() < 2)
    return fail(ErrorCode::kUsage, "two models at least: --weak A --strong B, or --models A,B,C");
  return models;
}

Status check_names(const std::map<std::string, std::string>& by_model,
                   const std::vector<std::string>& models, const char* option) {
  for (const auto& [name, value] : by_model)
    if (std::ranges::find(models, name) == models.end())
      return fail(ErrorCode::kUsage, "{} {}={}: no such model{}", option, name, value,
                  did_you_mean(name, models));
  return {};
}

Result<gateway::RouterDataSource> source_of(const Options& options,
                                            std::vector<std::string> models) {
  gateway::RouterDataSource source;
  source.text = options.text;
  TACK_TRY(source.columns, assignments(options.columns, "--column"));
  TACK_RETURN_IF_ERROR(check_names(source.columns, models, "--column"));
  TACK_TRY(source.format, parse_row_format(options.format));
  source.models = std::move(models);
  source.against = options.against;
  return source;
}

Result<RouterData> read_files(gateway::RouterDataSource source,
                              const std::vector<std::string>& paths) {
  source.paths = paths;
  return gateway::read_router_data(source);
}

// "0.2:0.8": a million tokens of prompts and of answers; one number for both.
Result<store::Price> parse_price(const std::string& text) {
  const std::size_t colon = text.find(':');
  const auto input = gateway::parse_number(std::string_view(text).substr(0, colon));
  const auto output = colon == std::string::npos
                          ? input
                          : gateway::parse_number(std::string_view(text).substr(colon + 1));
  if (!input || !output || *input < 0 || *output < 0)
    return fail(ErrorCode::kUsage, "--price: '{}' is no price; write INPUT:OUTPUT", text);
  return store::Price{static_cast<double>(*input), static_cast<double>(*output), {}};
}

Result<std::vector<store::Price>> prices_of(const Options& options,
                                            const std::vector<std::string>& models) {
  TACK_TRY(const auto by_model, assignments(options.prices, "--price"));
  TACK_RETURN_IF_ERROR(check_names(by_model, models, "--price"));
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

// The strong model: the one named; else the last of two, or of more the one that is best on
// average.
Result<std::size_t> strong_of(const Options& options, const RouterData& data) {
  if (!options.strong.empty())
    return static_cast<std::size_t>(std::ranges::find(data.models, options.strong) -
                                    data.models.begin());
  if (data.models.size() == 2 && !options.weak.empty()) return options.weak == data.models[0];
  std::vector<double> sums(data.models.size());
  for (std::size_t row = 0; row < data.rows(); ++row)
    for (std::size_t m = 0; m < sums.size(); ++m)
      sums[m] += static_cast<double>(data.score(row, m));
  return static_cast<std::size_t>(std::ranges::max_element(sums) - sums.begin());
}

// Null for "none".
Result<std::unique_ptr<TextEncoder>> open_encoder(const std::string& name, int threads) {
  if (name == "none") return nullptr;
  TACK_TRY(const auto path, resolve_model(name));
  TACK_TRY(auto model, Model::open(path));
  return TextEncoder::create(model, {.threads = threads, .outputs = {"embedding"}});
}

Result<std::vector<float>> embed(TextEncoder* encoder, const RouterData& data,
                                 const std::string& what) {
  if (encoder == nullptr) return std::vector<float>{};
  Progress progress(what, static_cast<std::int64_t>(data.rows()), "prompts");
  return gateway::embed_prompts(*encoder, data.texts,
                                [&](std::int64_t done) { progress.advance(done); });
}

struct Part {
  RouterData data;
  std::vector<float> embeddings;
  EmbeddedRows rows() const { return {&data, embeddings}; }
};

Result<Part> embedded(RouterData data, TextEncoder* encoder, const std::string& what) {
  Part part{std::move(data), {}};
  TACK_TRY(part.embeddings, embed(encoder, part.data, what));
  return part;
}

// What trains, calibrates and tests: files of their own, or parts of one by hash.
struct Parts {
  Part training, calibration;
  std::optional<Part> test;
};

Result<Parts> read_parts(const Options& options, const gateway::RouterDataSource& source,
                         TextEncoder* encoder) {
  TACK_TRY(const RouterData data, read_files(source, options.data));
  RouterData training = data, calibration, test;
  const gateway::RouterSplit split = gateway::split_router_data(data);
  std::vector<std::size_t> rest;  // that no file of its own takes the place of
  for (std::size_t row = 0; row < data.rows(); ++row) {
    const std::uint32_t fold = gateway::hash_fold(data.texts[row], 5);
    if ((fold == 3 && options.calibration.empty()) || (fold == 4 && options.test.empty())) continue;
    rest.push_back(row);
  }
  training = data.subset(rest);
  calibration = data.subset(split.calibration);
  test = data.subset(split.test);
  if (!options.calibration.empty()) {
    TACK_TRY(calibration, read_files(source, options.calibration));
  }
  if (!options.test.empty()) {
    TACK_TRY(test, read_files(source, options.test));
  }
  Parts parts;
  TACK_TRY(parts.training, embedded(std::move(training), encoder, "embedding"));
  TACK_TRY(parts.calibration, embedded(std::move(calibration), encoder, "embedding"));
  if (test.rows() > 0) {
    TACK_TRY(parts.test, embedded(std::move(test), encoder, "embedding"));
  }
  return parts;
}

Result<RouterTrainingOptions> training_options(const Options& options, const RouterData& data,
                                               TextEncoder* encoder) {
  RouterTrainingOptions training;
  TACK_TRY(training.prices, prices_of(options, data.models));
  TACK_TRY(training.strong, strong_of(options, data));
  training.answer_tokens = options.answer_tokens;
  if (encoder != nullptr) {
    TACK_TRY(training.encoder, gateway::router_encoder_of(*encoder));
  }
  training.target.quality = options.target_quality;
  training.target.confidence = options.confidence;
  if (options.share_given) training.target.strong_share = options.strong_share;
  training.trees = options.trees;
  training.seed = options.seed;
  return training;
}

Json lineage_of(const Options& options, const Parts& parts) {
  const auto part = [](const RouterData& data) {
    return Json{{"rows", data.rows()}, {"sha256", data.sha256}};
  };
  Json lineage = {{"tack", TACK_VERSION},
                  {"data", options.data},
                  {"training", part(parts.training.data)},
                  {"calibration", part(parts.calibration.data)}};
  if (parts.test) lineage["test"] = part(parts.test->data);
  lineage["trees"] = options.trees;
  lineage["seed"] = options.seed;
  return lineage;
}

float percentile(std::vector<float> values, double part) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

// Each prompt alone, as when it is served.
Result<gateway::DecisionTimes> time_decisions(const gateway::LearnedRouter& router,
                                              const Part& part, TextEncoder* encoder) {
  using Clock = std::chrono::steady_clock;
  constexpr std::size_t kMost = 2000;
  const std::size_t rows = std::min(part.data.rows(), kMost);
  const std::size_t dims = part.embeddings.size() / part.data.rows();
  const std::span texts(part.data.texts.data(), rows);
  std::vector<float> alone, together;
  TACK_TRY(const auto ignored,
           gateway::foretell(router, texts, std::span(part.embeddings).first(rows * dims), &alone));
  gateway::DecisionTimes times;
  times.p50_us = static_cast<double>(percentile(alone, 0.5));
  times.p99_us = static_cast<double>(percentile(alone, 0.99));
  if (encoder == nullptr) return times;
  Progress progress("timing", static_cast<std::int64_t>(rows), "prompts");
  for (std::size_t row = 0; row < rows; ++row) {
    const auto start = Clock::now();
    TACK_TRY(const auto embedding, gateway::embed_prompts(*encoder, texts.subspan(row, 1)));
    TACK_TRY(const auto quality, gateway::foretell(router, texts.subspan(row, 1), embedding));
    together.push_back(std::chrono::duration<float, std::micro>(Clock::now() - start).count());
    progress.advance();
  }
  times.encoder_p50_us = static_cast<double>(percentile(together, 0.5));
  times.encoder_p99_us = static_cast<double>(percentile(together, 0.99));
  return times;
}

std::string proof_text(const gateway::RouterTraining& trained, const RouterTrainingOptions& options,
                       std::size_t rows) {
  const gateway::RouterCard& card = trained.router->card();
  const std::string& strong = card.models[card.strong].name;
  if (options.target.strong_share)
    return fmt::format(
        "asks {} for {:.1f} % of prompts; {} held-back rows prove at {:g} % that at "
        "least {:.1f} % of its quality is kept\n",
        strong, 100 * *options.target.strong_share, rows, 100 * options.target.confidence,
        100 * trained.kept_bound);
  if (!trained.proven)
    return fmt::format(
        "{} held-back rows do not prove at {:g} % that any other policy than asking "
        "{} always keeps {:.1f} % of its quality: more rows, or a lower target\n",
        rows, 100 * options.target.confidence, strong, 100 * options.target.quality);
  return fmt::format(
      "{} held-back rows prove at {:g} % that at least {:.1f} % of {}'s quality is "
      "kept\n",
      rows, 100 * options.target.confidence, 100 * trained.kept_bound, strong);
}

Status run_train(const Options& options) {
  TACK_TRY(std::vector<std::string> models, models_of(options));
  TACK_TRY(const auto source, source_of(options, std::move(models)));
  TACK_TRY(const auto encoder, open_encoder(options.encoder, options.threads));
  TACK_TRY(const Parts parts, read_parts(options, source, encoder.get()));
  TACK_TRY(RouterTrainingOptions training,
           training_options(options, parts.training.data, encoder.get()));
  ThreadPool pool(workers(options));
  Progress progress("training", gateway::trees_to_grow(training), "trees");
  training.on_tree = [&] { progress.advance(); };
  TACK_TRY(const auto trained,
           gateway::train_router(parts.training.rows(), parts.calibration.rows(), training, pool));
  progress.finish();

  gateway::RouterCard card = trained.router->card();
  card.lineage = lineage_of(options, parts);
  card.lineage["leaf_rows"] = trained.leaf_rows;
  card.target["proven"] = trained.proven;
  card.target["kept_bound"] = trained.kept_bound;
  std::string text = proof_text(trained, training, parts.calibration.data.rows());
  if (parts.test) {
    const Part& test = *parts.test;
    TACK_TRY(const auto quality,
             gateway::foretell(*trained.router, test.data.texts, test.embeddings));
    const auto evaluation =
        gateway::evaluate_router(card, test.data, quality, card.policy, {.seed = options.seed});
    TACK_TRY(const auto times, time_decisions(*trained.router, test, encoder.get()));
    card.measured = gateway::router_evaluation_json(card, evaluation, times);
    text += "on rows that neither trained nor calibrated: " +
            gateway::router_evaluation_text(card, evaluation, times);
  }
  TACK_TRY(const auto router, trained.router->with_card(card));
  TACK_RETURN_IF_ERROR(router->write(options.out));
  if (options.json) return print_line(to_text(gateway::to_json(card), 2));
  fmt::print("{}wrote {}\n", text, options.out);
  return {};
}

// The columns of the data that a router's models have.
Result<RouterData> data_for(const Options& options, const gateway::RouterCard& card) {
  std::vector<std::string> models;
  for (const gateway::RoutedModel& model : card.models) models.push_back(model.name);
  TACK_TRY(const auto source, source_of(options, std::move(models)));
  return read_files(source, options.data);
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
    fmt::print("{}", gateway::router_evaluation_text(card, evaluation, times));
  if (options.html.empty()) return {};
  TACK_RETURN_IF_ERROR(write_file(
      options.html, gateway::router_evaluation_html(
                        {{"router", options.router.empty() ? "cross-fitted" : options.router},
                         {"data", fmt::format("{}", fmt::join(options.data, ", "))},
                         {"rows", fmt::format("{}", data.rows())}},
                        card, evaluation, times)));
  fmt::print(options.json ? stderr : stdout, "report: {}\n", options.html);
  return {};
}

// How good routers trained on the rest of the data would be on each part of it.
Status run_cross_fit(const Options& options) {
  TACK_TRY(std::vector<std::string> models, models_of(options));
  TACK_TRY(const auto source, source_of(options, std::move(models)));
  TACK_TRY(RouterData data, read_files(source, options.data));
  TACK_TRY(const auto encoder, open_encoder(options.encoder, options.threads));
  TACK_TRY(const Part part, embedded(std::move(data), encoder.get(), "embedding"));
  TACK_TRY(RouterTrainingOptions training, training_options(options, part.data, encoder.get()));
  ThreadPool pool(workers(options));
  const auto folds = static_cast<std::uint32_t>(options.cross_fit);
  Progress progress("training", gateway::trees_to_grow(training, folds), "trees");
  training.on_tree = [&] { progress.advance(); };
  TACK_TRY(const auto fitted, gateway::cross_fit_router(part.rows(), folds, training, pool));
  progress.finish();
  return report(options, fitted.card, part.data, fitted.quality, std::nullopt, {});
}

// The encoder a router was trained with: the one named, or the shipped one; null when it needs
// none.
Result<std::unique_ptr<TextEncoder>> encoder_for(const Options& options,
                                                 const gateway::LearnedRouter& router) {
  if (!router.needs_embedding()) return nullptr;
  const std::string name = options.encoder.empty() ? router.card().encoder->name : options.encoder;
  TACK_TRY(auto encoder, open_encoder(name, options.threads));
  if (encoder == nullptr)
    return fail(ErrorCode::kUsage, "the router reads embeddings of '{}': --encoder none cannot be",
                router.card().encoder->name);
  const std::string probe(gateway::kEncoderProbe);
  TACK_TRY(const auto embedding, gateway::embed_prompts(*encoder, std::span(&probe, 1)));
  TACK_RETURN_IF_ERROR(
      gateway::check_router_encoder(router.card(), encoder->model().name(), embedding));
  return encoder;
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
  TACK_TRY(RouterData data, data_for(options, router->card()));
  TACK_TRY(const auto encoder, encoder_for(options, *router));
  TACK_TRY(const Part part, embedded(std::move(data), encoder.get(), "embedding"));
  TACK_TRY(const auto quality, gateway::foretell(*router, part.data.texts, part.embeddings));
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
  TACK_TRY(const auto encoder, encoder_for(options, *router));
  TACK_TRY(const auto policy, policy_of(options, router->card()));
  const auto embed_one = [&](std::string_view text) {
    const std::string own(text);
    return gateway::embed_prompts(*encoder, std::span(&own, 1));
  };
  TACK_TRY(const auto explanation,
           gateway::explain_route(*router, options.prompt, policy, embed_one));
  if (options.json) return print_line(to_text(gateway::to_json(router->card(), explanation), 2));
  return print_text(gateway::explanation_text(router->card(), explanation));
}

void add_data_options(Command& verb, Options& options) {
  verb.option("--data", options.data,
              "CSV, TSV, JSONL or JSON with a column for each model; several")
      .required()
      .one_at_a_time();
  verb.option("--text", options.text,
              "Column of the prompts; default: prompt, text, question, ...");
  verb.option("--column", options.columns, "Of a model whose column has another name: MODEL=COLUMN")
      .one_at_a_time();
  verb.option("--format", options.format, "Of the data: auto, csv, tsv, jsonl or json")
      .show_default();
  verb.flag("--json", options.json, "One object");
  add_threads_option(verb, options.threads);
}

void add_training_options(Command& verb, Options& options) {
  verb.option("--weak", options.weak, "The cheap model");
  verb.option("--strong", options.strong, "The model that quality is measured against");
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
  verb.option("--seed", options.seed, "Of all that is drawn").show_default();
}

}  // namespace

Verb make_route(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("route", "Learn, measure and explain which model a prompt goes to");
  verb.require_verb();
  Command training = verb.add_verb("train", "Learn a router from prompts with known answers");
  Command evaluation = verb.add_verb("eval", "The curve of quality against cost");
  Command explanation = verb.add_verb("explain", "Where a prompt goes and why");
  for (Command* one : {&training, &evaluation}) {
    add_data_options(*one, *options);
    add_training_options(*one, *options);
  }
  training
      .option("--calibration", options->calibration,
              "Rows of its own; default: a fifth of the data")
      .one_at_a_time();
  training.option("--test", options->test, "Likewise").one_at_a_time();
  training
      .option("--target-quality", options->target_quality,
              "Share of the strong model's quality that is to be kept")
      .range(0.01, 1.0)
      .show_default();
  training.option("--confidence", options->confidence, "That it is kept")
      .range(0.5, 0.9999)
      .show_default();
  training.option("--out,-o", options->out, "The router").required();
  for (Command* one : {&training, &evaluation, &explanation})
    one->option("--encoder", options->encoder,
                "Encoder (path or name), or none; default: the shipped one");
  evaluation.option("--router", options->router, "What `tack route train` wrote");
  evaluation
      .option("--cross-fit", options->cross_fit,
              "In place of a router: train on all folds but one, for each of so many")
      .range(2, 100);
  evaluation.option("--against", options->against,
                    "Column with another router's score or decision, larger for the strong model");
  evaluation.option("--scores", options->scores, "Writes what is foretold of each row (JSONL)");
  evaluation.option("--html", options->html, "Also a page with the curve");
  explanation.option("prompt", options->prompt, "The text").required();
  Command chosen = explanation.add_choice("what", "What decides");
  chosen.option("--router", options->router, "What `tack route train` wrote");
  chosen.option("--config,-c", options->config, "tack.toml: all steps of one of its routes");
  explanation.option("--route", options->route, "Of --config").show_default();
  explanation.option("--key", options->key, "Of --config: the name of the client's key");
  explanation.flag("--json", options->json, "One object");
  add_threads_option(explanation, options->threads);
  std::vector<Option> shares;
  for (Command* one : {&training, &evaluation, &explanation})
    shares.push_back(one->option("--strong-share", options->strong_share,
                                 "Share of calls for the strong model, in place of a quality")
                         .range(0.0, 1.0));
  for (Command* one : {&verb, &training, &evaluation, &explanation})
    one->footer(
        "Example: tack route train --data logs.jsonl --weak small --strong large "
        "--target-quality 0.95 -o router.gguf");
  return {verb, [options, training, evaluation, shares] {
            options->share_given = std::ranges::any_of(shares, &Option::given);
            if (training.given()) return run_train(*options);
            return evaluation.given() ? run_eval(*options) : run_explain(*options);
          }};
}

}  // namespace tack
