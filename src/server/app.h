// What `tack serve` serves: the models of this process and the gateway before them, put together
// as the configuration says.
#pragma once

#include <memory>

#include "gateway/gateway.h"
#include "net/router.h"
#include "server/served_models.h"

namespace tack::server {

// Outlives the HTTP server whose handlers it gives: coroutines that still wait are destroyed with
// the server, and write their records then.
class App {
 public:
  // All three outlive the server too. `record` gets a copy of each record; for tests.
  App(const gateway::GatewayConfig& config, EncoderService& encoders, GenerationService& decoders,
      gateway::RecordSink record = {});

  // Opens what the configuration names besides models. Errors: of the first that does not open.
  static Result<std::unique_ptr<App>> create(const gateway::GatewayConfig& config,
                                             EncoderService& encoders, GenerationService& decoders);

  // All endpoints: those of add_routes() (server/api.h), those that routes and upstreams share
  // (POST /v1/chat/completions, /v1/completions, /v1/embeddings), and /metrics.
  void add_routes(net::Router& router);

  gateway::Gateway& gateway() { return gateway_; }

 private:
  void watch_services();

  const gateway::GatewayConfig& config_;
  EncoderService& encoders_;
  GenerationService& decoders_;
  ServedModels locals_;
  gateway::Metrics metrics_;
  gateway::Gateway gateway_;
};

}  // namespace tack::server
