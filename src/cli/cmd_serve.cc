#include "cli/cmd_serve.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <set>

#include <CLI/CLI.hpp>
#include <fmt/ranges.h>

#include "base/log.h"
#include "cli/verb.h"
#include "models/model.h"
#include "net/server.h"
#include "server/api.h"

namespace tack {
namespace {

constexpr std::chrono::seconds kGrace{10};

using Models = std::vector<std::unique_ptr<server::ServedModel>>;

Result<Models> open_models(const ServeOptions& options) {
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

}  // namespace

CLI::App* add_serve_options(CLI::App& root, ServeOptions& options) {
  CLI::App* verb = root.add_subcommand("serve", "Serve models on an OpenAI-compatible HTTP API");
  verb->add_option("model,--model", options.models,
                   "Task models or encoders (paths or names); default: the default encoder");
  verb->add_option("--host", options.host, "Address to listen on")
      ->envname("TACK_HOST")
      ->capture_default_str();
  verb->add_option("--port", options.port, "Port to listen on; 0: any free one")
      ->envname("TACK_PORT")
      ->capture_default_str();
  verb->add_option("--threads", options.threads, "Threads that compute; 0: all cores")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  verb->add_option("--max-body", options.max_body, "Largest request body in bytes (8388608, 8MB)")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  verb->add_option("--alias", options.aliases,
                   "Name clients use for a model; once a model, in their order")
      ->allow_extra_args(false);
  verb->footer("Example: tack serve tickets.gguf --port 8080 --alias tickets");
  return verb;
}

Status run_serve(const ServeOptions& options) {
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

Verb make_serve(CLI::App& root) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* verb = add_serve_options(root, *options);
  return {verb, [options] { return run_serve(*options); }};
}

}  // namespace tack
