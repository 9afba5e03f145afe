#include "cli/route_data.h"

#include <algorithm>

#include "base/nearest.h"
#include "base/progress.h"
#include "cli/lines.h"
#include "gateway/router_encoder.h"

namespace tack {

void add_route_data_options(Command& verb, RouteDataOptions& options) {
  verb.option("--data", options.data,
              "CSV, TSV, JSONL or JSON with a column for each model; may stand several times")
      .required()
      .one_at_a_time();
  verb.option("--text", options.text, "Column of the prompts; default: prompt, text, question");
  verb.option("--column", options.columns, "Of a model whose column has another name: MODEL=COLUMN")
      .one_at_a_time();
  verb.option("--format", options.format, "Of the data: auto, csv, tsv, jsonl or json")
      .show_default();
  add_threads_option(verb, options.threads);
}

Result<std::map<std::string, std::string>> model_values(const std::vector<std::string>& given,
                                                        const std::vector<std::string>& models,
                                                        const char* option) {
  std::map<std::string, std::string> out;
  for (const std::string& one : given) {
    const std::size_t sign = one.rfind('=');
    if (sign == std::string::npos || sign == 0 || sign + 1 == one.size())
      return fail(ErrorCode::kUsage, "{} {}: write MODEL=VALUE", option, one);
    const std::string name = one.substr(0, sign);
    if (std::ranges::find(models, name) == models.end())
      return fail(ErrorCode::kUsage, "{} {}: no such model{}", option, one,
                  did_you_mean(name, models));
    out[name] = one.substr(sign + 1);
  }
  return out;
}

Result<gateway::RouterData> read_route_files(const RouteDataOptions& options,
                                             const std::vector<std::string>& models,
                                             const std::vector<std::string>& paths) {
  gateway::RouterDataSource source;
  source.paths = paths;
  source.text = options.text;
  source.models = models;
  source.against = options.against;
  TACK_TRY(source.columns, model_values(options.columns, models, "--column"));
  TACK_TRY(source.format, parse_row_format(options.format));
  return gateway::read_router_data(source);
}

Result<RoutePart> embed_route_rows(gateway::RouterData data, TextEncoder* encoder) {
  RoutePart part{std::move(data), {}};
  if (encoder == nullptr) return part;
  Progress progress("embedding", static_cast<std::int64_t>(part.data.rows()), "prompts");
  TACK_TRY(part.embeddings,
           gateway::embed_prompts(*encoder, part.data.texts,
                                  [&](std::int64_t done) { progress.advance(done); }));
  return part;
}

Result<std::unique_ptr<TextEncoder>> open_route_encoder(const std::string& name, int threads) {
  if (name == "none") return nullptr;
  TACK_TRY(const auto path, resolve_model(name));
  TACK_TRY(auto model, Model::open(path));
  return TextEncoder::create(model, {.threads = threads, .outputs = {"embedding"}});
}

Result<std::unique_ptr<TextEncoder>> open_route_encoder(const gateway::LearnedRouter& router,
                                                        const std::string& name, int threads) {
  if (!router.needs_embedding()) return nullptr;
  const std::string& trained = router.card().encoder->name;
  TACK_TRY(auto encoder, open_route_encoder(name.empty() ? trained : name, threads));
  if (encoder == nullptr)
    return fail(ErrorCode::kUsage, "the router reads embeddings of '{}': it cannot do with none",
                trained);
  const std::string probe(gateway::kEncoderProbe);
  TACK_TRY(const auto embedding, gateway::embed_prompts(*encoder, std::span(&probe, 1)));
  TACK_RETURN_IF_ERROR(
      gateway::check_router_encoder(router.card(), encoder->model().name(), embedding));
  return encoder;
}

}  // namespace tack
