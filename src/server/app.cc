#include "server/app.h"

#include "server/api.h"

namespace tack::server {
namespace {

net::Async<net::Response> metrics_response(gateway::Metrics& metrics) {
  net::Response response = net::Response::text(200, metrics.text());
  response.headers.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  co_return response;
}

net::Async<net::Response> ready(net::Response response) {
  co_return response;
}

// Routes, and those models of upstreams that have a price.
std::vector<Json> named_elsewhere(const gateway::GatewayConfig& config) {
  std::vector<Json> all;
  const auto add = [&](std::string id, std::string_view owner, std::string_view task) {
    all.push_back({{"id", std::move(id)},
                   {"object", "model"},
                   {"created", 0},
                   {"owned_by", owner},
                   {"task", task}});
  };
  for (const gateway::RouteConfig& route : config.routes) add(route.name, "tackhammer", "route");
  for (const gateway::UpstreamConfig& upstream : config.upstreams)
    for (const auto& [model, price] : upstream.prices)
      if (model != "*") add(upstream.name + "/" + model, upstream.name, "upstream");
  return all;
}

}  // namespace

App::App(const gateway::GatewayConfig& config, EncoderService& encoders,
         GenerationService& decoders, gateway::RecordSink record)
    : config_(config),
      encoders_(encoders),
      decoders_(decoders),
      locals_(encoders, decoders),
      gateway_({.config = config,
                .locals = locals_,
                .upstreams = {},
                .learned = {},
                .record = std::move(record),
                .metrics = &metrics_}) {
  watch_services();
}

Result<std::unique_ptr<App>> App::create(const gateway::GatewayConfig& config,
                                         EncoderService& encoders, GenerationService& decoders) {
  return std::make_unique<App>(config, encoders, decoders);
}

void App::watch_services() {
  const auto encoder = [this](auto read) {
    return [this, read] { return static_cast<double>(read(encoders_.counters())); };
  };
  using Counters = EncoderService::Counters;
  metrics_.gauge("tack_encoder_queue_texts", "Texts that wait for an encoder or are in it", {},
                 encoder([](const Counters& c) { return c.waiting_texts; }));
  metrics_.counter("tack_encoder_batches_total", "Batches that encoders have run", {},
                   encoder([](const Counters& c) { return c.batches; }));
  metrics_.counter("tack_encoder_texts_total", "Texts that encoders have run", {},
                   encoder([](const Counters& c) { return c.texts; }));
  metrics_.counter("tack_encoder_refused_total", "Requests refused since too many waited", {},
                   encoder([](const Counters& c) { return c.refused; }));
  for (std::size_t i = 0; i < decoders_.model_count(); ++i) {
    const gateway::Metrics::Labels labels = {{"model", decoders_.model(i).id}};
    const auto decoder = [this, i](auto read) {
      return [this, i, read] { return static_cast<double>(read(decoders_.load(i))); };
    };
    using Load = GenerationService::Load;
    metrics_.gauge("tack_decoder_running", "Requests a decoder answers now", labels,
                   decoder([](const Load& load) { return load.running; }));
    metrics_.gauge("tack_decoder_waiting", "Requests that wait for a decoder", labels,
                   decoder([](const Load& load) { return load.waiting; }));
    metrics_.gauge("tack_kv_tokens", "Tokens in a decoder's KV cache", labels,
                   decoder([](const Load& load) { return load.kv_tokens; }));
    metrics_.gauge("tack_kv_capacity_tokens", "Tokens a decoder's KV cache has room for", labels,
                   decoder([](const Load& load) { return load.kv_capacity; }));
  }
}

void App::add_routes(net::Router& router) {
  add_open_routes(router, encoders_);
  const Guard guard = [this](net::Handler handler) -> net::Handler {
    return [this, handler = std::move(handler)](net::Request request) {
      if (const auto refused = gateway_.check_key(request.headers))
        return ready(gateway::failure_response(*refused));
      return handler(std::move(request));
    };
  };
  add_listing_routes(router, guard, encoders_, decoders_, named_elsewhere(config_));
  const AddLocal add = [this, &router](std::string_view path, gateway::LocalHandler handler) {
    router.add("POST", path, [this, name = std::string(path), handler](net::Request request) {
      return gateway_.serve_local(name, std::move(request), handler);
    });
  };
  add_local_routes(add, encoders_, decoders_);
  for (const auto operation : {gateway::Operation::kChat, gateway::Operation::kCompletion,
                               gateway::Operation::kEmbeddings})
    router.add("POST", gateway::endpoint(operation), [this, operation](net::Request request) {
      return gateway_.handle(operation, std::move(request));
    });
  router.add("GET", "/metrics", guard([this](net::Request) { return metrics_response(metrics_); }));
}

}  // namespace tack::server
