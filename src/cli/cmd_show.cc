// `tack show`: what a model file is.

#include <algorithm>

#include <fmt/ranges.h>

#include "base/json.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "engine/text_encoder.h"
#include "gateway/learned_router.h"
#include "gateway/router_report.h"
#include "tasks/predictor.h"
#include "tasks/training_report.h"

namespace tack {
namespace {

struct Options {
  std::string model;
  bool json = false, graph = false, tensors = false;
};

Json describe(const Model& model) {
  Json json = {{"name", model.name()},
               {"path", model.path().string()},
               {"architecture", model.architecture()},
               {"parameters", model.parameter_count()},
               {"bytes", model.file_bytes()},
               {"max_tokens", model.context_length()},
               {"embedding_dim", model.embedding_dim()},
               {"vocabulary", model.vocab_size()},
               {"labels", model.labels()}};
  if (const GgufFile* gguf = model.gguf()) {
    std::map<std::string, std::int64_t> types;
    for (const GgufTensor& tensor : gguf->tensors())
      types[std::string(info(tensor.view.dtype).name)] += element_count(tensor.view.shape);
    json["types"] = types;
    if (const auto licence = gguf->string_or("general.license", "")) json["licence"] = *licence;
    if (const auto name = gguf->string_or("general.name", "")) json["title"] = *name;
  }
  for (const char* key : {"task", "calibration", "heads", "guard", "metrics", "lineage"})
    if (const Json* value = model.tack_metadata(key)) json[key] = *value;
  return json;
}

// Metrics are numbers, or {"value", "low", "high"}.
void print_metrics(const Json& metrics) {
  if (!metrics.is_object()) return;
  const auto number = [&](const char* key) {
    const auto found = metrics.find(key);
    if (found == metrics.end()) return 0.0;
    const Json& value = found->is_object() && found->contains("value") ? (*found)["value"] : *found;
    return value.is_number() ? value.get<double>() : 0.0;
  };
  if (metrics.contains("f1") && !metrics.contains("precision"))
    fmt::print("measured      exact match {:.2f} %, F1 {:.2f} % on {} questions\n",
               100 * number("exact"), 100 * number("f1"),
               static_cast<std::int64_t>(number("rows")));
  else if (metrics.contains("f1"))
    fmt::print("measured      span F1 {:.2f} %, all of a text right {:.2f} % on {} rows\n",
               100 * number("f1"), 100 * number("exact"),
               static_cast<std::int64_t>(number("rows")));
  const auto rows = static_cast<std::int64_t>(number("rows"));
  if (metrics.contains("micro_f1"))
    fmt::print(
        "measured      micro F1 {:.2f} %, macro F1 {:.2f} %, all of a text right {:.2f} % on {} "
        "rows\n",
        100 * number("micro_f1"), 100 * number("macro_f1"), 100 * number("exact"), rows);
  if (metrics.contains("mrr"))
    fmt::print("measured      recall at 1 {:.2f} %, at 10 {:.2f} %, MRR {:.2f} % of {} queries\n",
               100 * number("recall_1"), 100 * number("recall_10"), 100 * number("mrr"), rows);
  if (metrics.contains("perplexity"))
    fmt::print("measured      perplexity {:.3f} per token, {:.4f} bits per byte on {} documents\n",
               number("perplexity"), number("bits_per_byte"),
               static_cast<std::int64_t>(number("documents")));
  if (metrics.contains("spearman"))
    fmt::print("measured      Spearman {:.2f} % on {} pairs\n", 100 * number("spearman"), rows);
  if (!metrics.contains("macro_f1") || metrics.contains("micro_f1")) return;
  fmt::print(
      "measured      accuracy {:.2f} %, macro F1 {:.2f} %, calibration error {:.2f} % on {} "
      "rows\n",
      100 * number("accuracy"), 100 * number("macro_f1"), 100 * number("ece"),
      static_cast<std::int64_t>(number("rows")));
}

// A string without its quotes, anything else as JSON.
std::string text_of(const Json& json) {
  return json.is_string() ? json.get<std::string>() : to_text(json);
}

void print_lineage(const Json& lineage) {
  const auto base = lineage.find("base");
  if (base == lineage.end()) return;
  if (base->is_string()) fmt::print("base          {}\n", base->get<std::string>());
  if (base->is_object() && base->contains("name"))
    fmt::print("base          {}\n", text_of((*base)["name"]));
  if (lineage.contains("train") && lineage["train"].is_object())
    fmt::print("trained on    {}\n", to_text(lineage["train"]));
  const auto compressed = lineage.find("compressed");
  if (compressed == lineage.end() || !compressed->is_object()) {
    if (lineage.contains("gate")) fmt::print("gate          {}\n", text_of(lineage["gate"]));
    return;
  }
  for (const auto& [key, title] : {std::pair{"recipe", "compressed"}, std::pair{"gate", "gate"}})
    if (compressed->contains(key)) fmt::print("{:<13} {}\n", title, text_of((*compressed)[key]));
}

void print_labels(std::string_view title, const std::vector<std::string>& labels) {
  constexpr std::size_t kShown = 8;
  const std::vector<std::string> first(
      labels.begin(),
      labels.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, labels.size())));
  fmt::print("{:<13} {}: {}{}\n", title, labels.size(), fmt::join(first, ", "),
             labels.size() > kShown ? ", ..." : "");
}

// One of several.
void print_head(const TaskHead& head, const Json* metrics) {
  print_labels("head " + head.name, head.labels);
  fmt::print("  calibration temperature {:.3f}, out of scope below a score of {:.2f}\n",
             head.calibration.temperature, head.calibration.threshold);
  if (metrics == nullptr || !metrics->contains("heads")) return;
  const Json& all = (*metrics)["heads"];
  if (const auto one = all.find(head.name); one != all.end()) {
    fmt::print("  ");
    print_metrics(*one);
  }
}

void print(const Model& model, const std::vector<TaskHead>& heads, const Json& json) {
  fmt::print("model         {}\n",
             json.contains("title") ? json["title"].get<std::string>() : model.name());
  fmt::print("file          {} ({:.1f} MB)\n", model.path().string(),
             static_cast<double>(model.file_bytes()) / 1e6);
  fmt::print("architecture  {}, {:.1f} M parameters, {} dimensions, up to {} tokens\n",
             model.architecture(), static_cast<double>(model.parameter_count()) / 1e6,
             model.embedding_dim(), model.context_length());
  if (json.contains("types")) fmt::print("types         {}\n", to_text(json["types"]));
  if (json.contains("licence") && !json["licence"].get<std::string>().empty())
    fmt::print("licence       {}\n", json["licence"].get<std::string>());
  if (heads.size() == 1 && !model.labels().empty()) print_labels("labels", model.labels());
  for (const TaskHead& head : heads)
    if (!head.name.empty()) print_head(head, model.tack_metadata("metrics"));
  if (const Json* calibration = model.tack_metadata("calibration");
      calibration && heads.size() == 1)
    fmt::print("calibration   {}\n", to_text(*calibration));
  if (const Json* guard = model.tack_metadata("guard"))
    fmt::print("guard         {}\n", to_text(*guard));
  if (const Json* metrics = model.tack_metadata("metrics")) {
    print_metrics(*metrics);
    if (const auto compared = metrics->find("compared");
        metrics->is_object() && compared != metrics->end())
      fmt::print("side by side\n{}", comparison_text(*compared));
  }
  if (const Json* lineage = model.tack_metadata("lineage")) print_lineage(*lineage);
}

// Of a file that `tack route train` wrote.
Status show_router(const std::filesystem::path& path, bool as_json) {
  TACK_TRY(const auto router, gateway::LearnedRouter::open(path));
  if (as_json) return print_line(to_text(gateway::to_json(router->card()), 2));
  return print_text(gateway::router_card_text(router->card()));
}

bool is_router(const std::filesystem::path& path) {
  if (path.extension() != ".gguf") return false;
  const auto file = GgufFile::open(path);
  return file && file->find("tack.router") != nullptr;
}

Status run(const Options& options) {
  TACK_TRY(const auto path, resolve_model(options.model));
  if (is_router(path)) return show_router(path, options.json);
  TACK_TRY(const auto model, Model::open(path, Model::Use::kWeights));
  Json json = describe(*model);
  if (options.tensors && model->gguf() != nullptr)
    for (const GgufTensor& tensor : model->gguf()->tensors())
      json["tensors"].push_back({{"name", tensor.name},
                                 {"type", info(tensor.view.dtype).name},
                                 {"shape", tensor.view.shape}});
  TACK_TRY(const auto heads, task_heads(*model));
  if (options.json) return print_line(to_text(json, 2));
  print(*model, heads, json);
  if (options.tensors && json.contains("tensors"))
    for (const Json& tensor : json["tensors"])
      fmt::print("{:<32} {:<6} {}\n", tensor["name"].get<std::string>(),
                 tensor["type"].get<std::string>(), tensor["shape"].dump());
  if (options.graph) {
    fmt::print("\n{}", model->graph().to_text());
    if (!model->generates()) {
      TACK_TRY(const auto encoder, TextEncoder::create(model, {.threads = 1}));
      fmt::print("\n{}", encoder->plan_text());
    }
  }
  return {};
}

}  // namespace

Verb make_show(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb =
      root.add_verb("show", "Describe a model: size, labels, lineage, metrics; or a router");
  add_model_option(verb, options->model, "Model (path or name); default: the default encoder");
  verb.flag("--json", options->json, "Everything, as JSON");
  verb.flag("--tensors", options->tensors, "List the tensors");
  verb.flag("--graph", options->graph, "Print the operator graph and the plan made of it");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
