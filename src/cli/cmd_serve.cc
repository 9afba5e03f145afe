// `tack serve`: models behind the OpenAI-compatible API.

#include <chrono>
#include <cstdio>
#include <deque>
#include <memory>
#include <optional>

#include <fmt/ranges.h>

#include "base/log.h"
#include "base/paths.h"
#include "cli/kv_option.h"
#include "cli/serve_models.h"
#include "cli/verb.h"
#include "gateway/config.h"
#include "gateway/egress_summary.h"
#include "models/model.h"
#include "net/server.h"
#include "server/app.h"

namespace tack {
namespace {

constexpr std::chrono::seconds kLedgerTime{5};  // to write what waits when stopping

struct Options {
  std::string config;                // tack.toml; empty: none
  std::vector<std::string> models;   // paths or short names; none: all that are here
  std::vector<std::string> aliases;  // the names clients use, in the order of the models
  // Over the configuration's, where given.
  std::vector<gateway::ConfigOverride> flags;
  // Of a decoder on the command line.
  std::int64_t context = 0, parallel = 4;
  std::string kv;
};

// The file's configuration, or the default one, with what the environment and flags say over it.
Result<gateway::GatewayConfig> configuration(const Options& options) {
  std::vector<gateway::ConfigOverride> overrides = gateway::environment_overrides();
  overrides.insert(overrides.end(), options.flags.begin(), options.flags.end());
  if (!options.config.empty()) return gateway::read_config(options.config, overrides);
  auto config = gateway::parse_config("", "", overrides);
  if (!config) return fail(ErrorCode::kUsage, "{}", config.error().front().message);
  config->ledger.enabled = !config->ledger.path.empty();
  return *std::move(config);
}

std::unexpected<Error> no_model_here() {
  std::vector<std::string> places;
  for (const auto& path : model_directories()) places.push_back(path.string());
  return fail(ErrorCode::kNotFound,
              "no model to serve in {}: give a path to a .gguf file, or make one with tack build",
              fmt::join(places, ", "));
}

// Adds those of the command line to the file's; with neither, all that are here.
Status add_models(const Options& options, gateway::GatewayConfig& config) {
  std::vector<std::string> names = options.models;
  const bool all = names.empty() && options.config.empty();
  if (all && !options.aliases.empty())
    return fail(ErrorCode::kUsage, "--alias needs the names of models to serve");
  if (all)
    for (const auto& path : models_here()) names.push_back(path.string());
  if (all && names.empty()) return no_model_here();
  if (options.aliases.size() > names.size())
    return fail(ErrorCode::kUsage, "{} times --alias for {} models: one a model, in their order",
                options.aliases.size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i)
    config.models.push_back({.name = i < options.aliases.size() ? options.aliases[i] : "",
                             .path = names[i],
                             .context = options.context,
                             .parallel = options.parallel,
                             .kv = options.kv});
  return {};
}

std::string base_url(const std::string& host, std::uint16_t port) {
  const bool bare_v6 = host.find(':') != host.npos && !host.starts_with('[');
  return fmt::format("http://{}{}{}:{}", bare_v6 ? "[" : "", host, bare_v6 ? "]" : "", port);
}

// "models a, b; routes auto; upstreams openai at https://...; texts may leave this machine for ..."
std::string what_is_served(const std::vector<std::string>& ids,
                           const gateway::GatewayConfig& config) {
  std::vector<std::string> routes, upstreams, parts;
  for (const auto& route : config.routes) routes.push_back(route.name);
  for (const auto& upstream : config.upstreams)
    upstreams.push_back(fmt::format("{} at {}", upstream.name, upstream.base_url));
  if (!ids.empty()) parts.push_back(fmt::format("models {}", fmt::join(ids, ", ")));
  if (!routes.empty()) parts.push_back(fmt::format("routes {}", fmt::join(routes, ", ")));
  if (!upstreams.empty() && config.may_leave())
    parts.push_back(fmt::format("upstreams {}", fmt::join(upstreams, ", ")));
  parts.push_back(gateway::what_may_leave(config));
  return fmt::format("{}", fmt::join(parts, "; "));
}

// Those of the command line too: a route of the same name would hide a model, and a model's name
// must not be taken for an upstream's.
Status check_names(const std::vector<std::string>& ids, const gateway::GatewayConfig& config) {
  for (const std::string& id : ids) {
    if (config.route(id) != nullptr)
      return fail(ErrorCode::kUsage, "'{}' is a model and a route: name one differently (--alias)",
                  id);
    if (gateway::split_upstream(config, id))
      return fail(ErrorCode::kUsage, "the model '{}' is named like one of an upstream (--alias)",
                  id);
  }
  return {};
}

// Serves until SIGINT or SIGTERM, then lets requests in flight finish.
Status run(const Options& options) {
  TACK_TRY(gateway::GatewayConfig config, configuration(options));
  TACK_RETURN_IF_ERROR(add_models(options, config));
  PriorityLane lane;
  const bool all = options.models.empty() && options.config.empty();
  TACK_TRY(ServeModels models,
           open_serve_models(config.models, config.serve.threads, lane,
                             all ? WhatFails::kLeftOut : WhatFails::kIsAnError));
  if (models.ids.empty() && config.upstreams.empty()) return no_model_here();
  TACK_RETURN_IF_ERROR(check_names(models.ids, config));
  TACK_TRY(auto parts, server::App::open(config, models.encoders));
  // Destroyed in the opposite order: the services resume coroutines that live in the server, and
  // those end in records that the app writes.
  std::optional<server::App> app;
  std::unique_ptr<net::HttpServer> http;
  server::EncoderService service(std::move(models.encoders), {}, &lane);
  server::GenerationService decoders(std::move(models.decoders));
  app.emplace(config, std::move(parts), service, decoders);
  net::Router router;
  app->add_routes(router);
  const net::ServerOptions server_options{.host = config.serve.host,
                                          .port = config.serve.port,
                                          .threads = config.serve.io_threads,
                                          .body_limit = config.serve.max_body};
  TACK_TRY(http, net::HttpServer::start(server_options, std::move(router)));

  fmt::print(stderr, "listening on {} ({})\n", base_url(config.serve.host, http->port()),
             what_is_served(models.ids, config));
  std::fflush(stderr);

  net::wait_for_stop_signal();
  if (!http->stop(config.serve.grace))
    log_warn("broke off requests that took longer than {} s", config.serve.grace.count() / 1000);
  decoders.stop();
  service.stop();
  app->settle();
  http.reset();
  if (!app->close(kLedgerTime))
    log_error("the ledger or the audit log could not be written: some requests are missing");
  return {};
}

}  // namespace

Verb make_serve(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("serve", "Serve models on an OpenAI-compatible HTTP API");
  verb.option("model,--model", options->models,
              "Task models, encoders or decoders (paths or names); default: all in models/");
  verb.option("--config,-c", options->config,
              "tack.toml: models, upstreams, routes, keys, ledger (docs/config.md)")
      .environment("TACK_CONFIG");
  // What the configuration has too: given here it stands over the file and the environment.
  struct Flag {
    Option option;
    std::string key, name;
  };
  auto flags = std::make_shared<std::vector<Flag>>();
  auto values = std::make_shared<std::deque<std::string>>();
  const auto setting = [&](const std::string& name, const std::string& key,
                           const std::string& help) {
    const Option option = verb.option(name, values->emplace_back(), help);
    flags->push_back({option, key, name});
  };
  setting("--host", "serve.host", "Address to listen on (127.0.0.1); TACK_HOST");
  setting("--port", "serve.port", "Port to listen on (8080); 0: any free one; TACK_PORT");
  setting("--threads", "serve.threads", "Threads that compute; 0: all cores (0)");
  setting("--max-body", "serve.max_body", "Largest request body in bytes (8MiB)");
  setting("--keys", "keys.file", "File of API keys made by `tack keys`: clients must have one");
  setting("--ledger", "ledger.path", "Where to write what requests cost; with --config: ledger.db");
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
  return {verb, [options, flags, values] {
            for (std::size_t i = 0; i < flags->size(); ++i)
              if ((*flags)[i].option.given())
                options->flags.push_back({(*flags)[i].key, (*values)[i], (*flags)[i].name});
            return run(*options);
          }};
}

}  // namespace tack
