// `tack serve`: models behind the OpenAI-compatible API.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <ranges>

#include <fmt/ranges.h>

#include "base/log.h"
#include "base/paths.h"
#include "cli/kv_option.h"
#include "cli/verb.h"
#include "models/model.h"
#include "net/server.h"
#include "server/api.h"

namespace tack {
namespace {

constexpr std::chrono::seconds kGrace{10};

struct Options {
  std::vector<std::string> models;   // paths or short names; none: all that are here
  std::vector<std::string> aliases;  // the names clients use, in the order of the models
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;                 // 0: any free one
  int threads = 0;                           // of the engine; 0: all usable cores
  std::uint64_t max_body = 8 * 1024 * 1024;  // bytes
  // Of a decoder.
  std::int64_t context = 0, parallel = 4;
  std::string kv;
};

struct Models {
  std::vector<std::unique_ptr<server::ServedModel>> encoders;
  std::vector<std::unique_ptr<server::ServedDecoder>> decoders;
  std::vector<std::string> ids;  // in the order they were given
};

Status open_model(const std::filesystem::path& path, const std::string& alias,
                  const Options& options, const PriorityLane& lane, Models& models) {
  const auto is_new = [&](const std::string& id) -> Status {
    if (std::ranges::find(models.ids, id) == models.ids.end()) return {};
    return fail(ErrorCode::kUsage, "two models are called '{}': give them names with --alias", id);
  };
  TACK_TRY(const auto opened, Model::open(path));
  if (opened->generates()) {
    const GeneratorOptions generation{.decoder = {.threads = options.threads,
                                                  .context = options.context,
                                                  .sequences = options.parallel,
                                                  .lane = &lane,
                                                  .kv = kv_type(options.kv)}};
    TACK_TRY(auto decoder, server::open_served_decoder(opened, alias, generation));
    TACK_RETURN_IF_ERROR(is_new(decoder->id));
    models.ids.push_back(decoder->id);
    models.decoders.push_back(std::move(decoder));
    return {};
  }
  TACK_TRY(auto model, server::open_served_model(path, alias, {.threads = options.threads}));
  TACK_RETURN_IF_ERROR(is_new(model->info().id));
  models.ids.push_back(model->info().id);
  models.encoders.push_back(std::move(model));
  return {};
}

// Those that were named: each must load.
Result<Models> open_named(const Options& options, const PriorityLane& lane) {
  if (options.aliases.size() > options.models.size())
    return fail(ErrorCode::kUsage, "{} times --alias for {} models: one a model, in their order",
                options.aliases.size(), options.models.size());
  Models models;
  for (std::size_t i = 0; i < options.models.size(); ++i) {
    TACK_TRY(const auto path, resolve_model(options.models[i]));
    const std::string alias = i < options.aliases.size() ? options.aliases[i] : "";
    TACK_RETURN_IF_ERROR(open_model(path, alias, options, lane, models));
  }
  return models;
}

// All that are here; a file that does not load is left out.
Result<Models> open_all(const Options& options, const PriorityLane& lane) {
  if (!options.aliases.empty())
    return fail(ErrorCode::kUsage, "--alias needs the names of models to serve");
  Models models;
  for (const auto& path : models_here()) {
    const auto opened = open_model(path, "", options, lane, models);
    if (opened) continue;
    if (opened.error().code == ErrorCode::kInterrupted) return std::unexpected(opened.error());
    log_warn("left out: {}", opened.error().message);
  }
  if (models.ids.empty())
    return fail(ErrorCode::kNotFound,
                "no model to serve in {}: give a path to a .gguf file, or make one with tack build",
                fmt::join(model_directories() |
                              std::views::transform([](const auto& path) { return path.string(); }),
                          ", "));
  return models;
}

std::string base_url(const std::string& host, std::uint16_t port) {
  const bool bare_v6 = host.find(':') != host.npos && !host.starts_with('[');
  return fmt::format("http://{}{}{}:{}", bare_v6 ? "[" : "", host, bare_v6 ? "]" : "", port);
}

bool is_local(const std::string& host) {
  return host.starts_with("127.") || host == "localhost" || host == "::1" || host == "[::1]";
}

// Serves until SIGINT or SIGTERM, then lets requests in flight finish.
Status run(const Options& options) {
  PriorityLane lane;
  auto opened = options.models.empty() ? open_all(options, lane) : open_named(options, lane);
  TACK_TRY(Models models, std::move(opened));
  // Declared first, destroyed last: the server holds the coroutines that the service may resume.
  std::unique_ptr<net::HttpServer> http;
  server::EncoderService service(std::move(models.encoders), {}, &lane);
  server::GenerationService decoders(std::move(models.decoders));
  net::Router router;
  server::add_routes(router, service, decoders);
  const net::ServerOptions server_options{
      .host = options.host, .port = options.port, .body_limit = options.max_body};
  TACK_TRY(http, net::HttpServer::start(server_options, std::move(router)));

  if (!is_local(options.host))
    log_warn("{} can be reached from other machines, and no key is asked for", options.host);
  fmt::print(stderr, "listening on {} (models {})\n", base_url(options.host, http->port()),
             fmt::join(models.ids, ", "));
  std::fflush(stderr);

  net::wait_for_stop_signal();
  if (!http->stop(kGrace))
    log_warn("broke off requests that took longer than {} s", kGrace.count());
  decoders.stop();
  service.stop();
  return {};
}

}  // namespace

Verb make_serve(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("serve", "Serve models on an OpenAI-compatible HTTP API");
  verb.option("model,--model", options->models,
              "Task models, encoders or decoders (paths or names); default: all in models/");
  verb.option("--host", options->host, "Address to listen on")
      .environment("TACK_HOST")
      .show_default();
  verb.option("--port", options->port, "Port to listen on; 0: any free one")
      .environment("TACK_PORT")
      .show_default();
  verb.option("--threads", options->threads, "Threads that compute; 0: all cores")
      .range(0, 1024)
      .show_default();
  verb.option("--max-body", options->max_body, "Largest request body in bytes (8388608, 8MiB)")
      .bytes()
      .show_default();
  verb.option("--parallel", options->parallel,
              "Of a decoder: requests that run together; more wait")
      .range(1, 256)
      .show_default();
  verb.option("--context", options->context,
              "Of a decoder: tokens of a prompt and its answer; 0: the model's, at most 8192")
      .range(0, 1 << 30);
  add_kv_option(verb, options->kv);
  verb.option("--alias", options->aliases,
              "Name clients use for a model; once a model, in their order")
      .one_at_a_time();
  verb.footer("Example: tack serve tickets.gguf --port 8080 --alias tickets");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
