#include "server/app.h"

#include "server/api.h"

namespace tack::server {

App::App(const gateway::GatewayConfig& config, EncoderService& encoders,
         GenerationService& decoders, gateway::RecordSink record)
    : encoders_(encoders),
      decoders_(decoders),
      locals_(encoders, decoders),
      gateway_({.config = config,
                .locals = locals_,
                .upstreams = {},
                .learned = {},
                .record = std::move(record)}) {}

void App::add_routes(net::Router& router) {
  server::add_routes(router, encoders_, decoders_);
  for (const auto operation : {gateway::Operation::kChat, gateway::Operation::kCompletion,
                               gateway::Operation::kEmbeddings})
    router.add("POST", gateway::endpoint(operation), [this, operation](net::Request request) {
      return gateway_.handle(operation, std::move(request));
    });
}

}  // namespace tack::server
