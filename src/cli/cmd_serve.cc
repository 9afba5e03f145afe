// `tack serve`: models behind the OpenAI-compatible API.

#include <chrono>
#include <cstdio>
#include <memory>
#include <set>

#include <fmt/ranges.h>

#include "base/log.h"
#include "cli/verb.h"
#include "models/model.h"
#include "net/server.h"
#include "server/api.h"

namespace tack {
namespace {

constexpr std::chrono::seconds kGrace{10};

struct Options {
  std::vector<std::string> models;   // paths or short names; none: the default encoder
  std::vector<std::string> aliases;  // the names clients use, in the order of the models
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;                 // 0: any free one
  int threads = 0;                           // of the engine; 0: all usable cores
  std::uint64_t max_body = 8 * 1024 * 1024;  // bytes
};

using Models = std::vector<std::unique_ptr<server::ServedModel>>;

Result<Models> open_models(const Options& options) {
  const std::vector<std::string> names =
      options.models.empty() ? std::vector<std::string>{""} : options.models;
  if (options.aliases.size() > names.size())
    return fail(ErrorCode::kUsage, "{} times --alias for {} models: one a model, in their order",
                options.aliases.size(), names.size());
  Models models;
  std::set<std::string> ids;
  for (std::size_t i = 0; i < names.size(); ++i) {
    TACK_TRY(const auto path, resolve_model(names[i]));
    const std::string alias = i < options.aliases.size() ? options.aliases[i] : "";
    TACK_TRY(auto model, server::open_served_model(path, alias, {.threads = options.threads}));
    const std::string& id = model->info().id;
    if (!ids.insert(id).second)
      return fail(ErrorCode::kUsage, "two models are called '{}': give them names with --alias",
                  id);
    models.push_back(std::move(model));
  }
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
  TACK_TRY(Models models, open_models(options));
  // Declared first, destroyed last: the server holds the coroutines that the service may resume.
  std::unique_ptr<net::HttpServer> http;
  server::EncoderService service(std::move(models));
  net::Router router;
  server::add_routes(router, service);
  const net::ServerOptions server_options{
      .host = options.host, .port = options.port, .body_limit = options.max_body};
  TACK_TRY(http, net::HttpServer::start(server_options, std::move(router)));

  std::vector<std::string> ids;
  for (std::size_t i = 0; i < service.model_count(); ++i) ids.push_back(service.model(i).id);
  if (!is_local(options.host))
    log_warn("{} can be reached from other machines, and no key is asked for", options.host);
  fmt::print(stderr, "listening on {} (models {})\n", base_url(options.host, http->port()),
             fmt::join(ids, ", "));
  std::fflush(stderr);

  net::wait_for_stop_signal();
  if (!http->stop(kGrace))
    log_warn("broke off requests that took longer than {} s", kGrace.count());
  service.stop();
  return {};
}

}  // namespace

Verb make_serve(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("serve", "Serve models on an OpenAI-compatible HTTP API");
  verb.option("model,--model", options->models,
              "Task models or encoders (paths or names); default: the default encoder");
  verb.option("--host", options->host, "Address to listen on")
      .environment("TACK_HOST")
      .show_default();
  verb.option("--port", options->port, "Port to listen on; 0: any free one")
      .environment("TACK_PORT")
      .show_default();
  verb.option("--threads", options->threads, "Threads that compute; 0: all cores")
      .range(0, 1024)
      .show_default();
  verb.option("--max-body", options->max_body, "Largest request body in bytes (8388608, 8MB)")
      .bytes()
      .show_default();
  verb.option("--alias", options->aliases,
              "Name clients use for a model; once a model, in their order")
      .one_at_a_time();
  verb.footer("Example: tack serve tickets.gguf --port 8080 --alias tickets");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
