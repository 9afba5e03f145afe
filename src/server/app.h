// What `tack serve` serves: the models of this process and the gateway before them, put together
// as the configuration says.
#pragma once

#include <chrono>
#include <memory>

#include "gateway/gateway.h"
#include "gateway/learned_routes.h"
#include "gateway/upstream.h"
#include "net/router.h"
#include "server/guard_api.h"
#include "server/served_models.h"
#include "store/ledger_writer.h"

namespace tack::server {

// Outlives the HTTP server whose handlers it gives: coroutines that still wait are destroyed with
// the server, and write their records then.
class App {
 public:
  // What the configuration names besides models, opened.
  struct Parts {
    std::unique_ptr<store::LedgerWriter> ledger;  // null: nothing is written down
    std::unique_ptr<store::AuditLog> audit;       // null: there is none
    std::unique_ptr<gateway::KeyRing> keys;       // null: nobody is asked for a key
    std::vector<std::unique_ptr<gateway::Upstream>> upstreams;
    gateway::LearnedRoutes learned;
    GuardModels guard_models;                   // all that are served
    std::shared_ptr<const guard::Guard> guard;  // null: nothing is checked
  };
  // `models`: that are to be served. Upstreams that nothing may leave for are not made. Errors: of
  // the first that does not open; a guard whose model is not served or does not fit.
  static Result<Parts> open(const gateway::GatewayConfig& config,
                            const std::vector<std::unique_ptr<ServedModel>>& models);

  // Configuration and services outlive the server too. `record` gets all records in place of the
  // ledger; for tests.
  App(const gateway::GatewayConfig& config, Parts parts, EncoderService& encoders,
      GenerationService& decoders, gateway::RecordSink record = {});

  // All endpoints: those of add_routes() (server/api.h), those that routes and upstreams share
  // (POST /v1/chat/completions, /v1/completions, /v1/embeddings), and /metrics.
  void add_routes(net::Router& router);

  // When the HTTP server has stopped, and before it is destroyed: waits for what works for its
  // coroutines.
  void settle();
  // Writes what waits for the ledger and the audit log. When the HTTP server has been destroyed.
  // False when some of it could not be written in this time.
  bool close(std::chrono::milliseconds time);

 private:
  void watch_services();
  void watch_ledger();
  void watch_audit();
  void watch_upstreams();

  const gateway::GatewayConfig& config_;
  EncoderService& encoders_;
  GenerationService& decoders_;
  Parts parts_;
  gateway::RateLimiter limiter_;
  ServedModels locals_;
  net::Workers workers_{2};                            // who look at long texts
  std::unique_ptr<const gateway::Masker> masker_;      // null: no request is masked
  std::unique_ptr<const gateway::Auditing> auditing_;  // null: there is no audit log
  gateway::Metrics metrics_;
  gateway::Gateway gateway_;
};

}  // namespace tack::server
