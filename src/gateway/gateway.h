// From a request to an answer: who may ask, which models, in which order, and what it cost.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>

#include "gateway/account.h"
#include "gateway/asker.h"
#include "gateway/cache.h"
#include "gateway/config.h"
#include "gateway/delivery.h"
#include "gateway/guarding.h"
#include "gateway/keys.h"
#include "gateway/local_models.h"
#include "gateway/masking.h"
#include "gateway/metrics.h"
#include "gateway/rate_limiter.h"
#include "gateway/route.h"

namespace tack::gateway {

// What a local endpoint that no route or upstream has (/v1/classify) used.
struct LocalUse {
  std::string model;
  store::TokenUse tokens;
  double cpu_seconds = 0;
};
using LocalHandler = std::function<net::Async<net::Response>(net::Request, LocalUse&)>;

// What the gateway works with; all of it outlives the gateway.
struct Services {
  const GatewayConfig& config;
  LocalModels& locals;
  Upstreams upstreams;
  AskLearned learned;              // may be empty
  RecordSink record;               // of requests that a model or the cache answered; may be empty
  Metrics* metrics = nullptr;      // may be null
  KeyRing* keys = nullptr;         // null: nobody is asked for a key
  RateLimiter* limiter = nullptr;  // with keys
  std::shared_ptr<const guard::Guard> guard = nullptr;  // null: nothing is checked
  const Auditing* auditing = nullptr;                   // null: there is no audit log
  net::Workers* workers = nullptr;  // who look at long texts; null: I/O threads do
  const Masker* masker = nullptr;   // null: no request is to be masked
};

// Outlives the server whose handlers it runs. Any strand.
class Gateway {
 public:
  explicit Gateway(Services services);

  // Answers one of the operations that models, routes and upstreams share.
  net::Async<net::Response> handle(Operation operation, net::Request request);
  // Answers by `handler`, with the same admission and accounts.
  net::Async<net::Response> serve_local(std::string endpoint, net::Request request,
                                        LocalHandler handler);

  // For endpoints that use nothing up: the key, where one is asked for; else null.
  Expected<std::shared_ptr<const Key>> key_of(const net::Headers& headers) const;

  const AnswerCache& cache() const { return cache_; }
  const Guarding* guarding() const { return guarding_.get(); }  // null: nothing is checked

 private:
  struct Entry;

  Entry enter(const net::Request& request, std::string_view endpoint) const;
  std::optional<Failure> check_model(const Key& key, const net::Request& request) const;
  Expected<std::shared_ptr<Call>> open(Operation operation, const net::Request& request,
                                       const Account& account) const;
  net::Async<Expected<Plan>> plan(const Call& call, const CallFacts& facts, const Key* key) const;
  void describe_plan(Exchange& exchange) const;
  net::Async<std::optional<Failure>> clear(Exchange& exchange) const;
  net::Async<net::Response> answer(std::shared_ptr<Exchange> exchange);
  void start_shadow(const boost::asio::any_io_executor& executor,
                    const std::shared_ptr<Exchange>& exchange, const std::string& model);

  const Services services_;
  const RouteDecider decider_;
  const Asker asker_;
  const std::unique_ptr<const Guarding> guarding_;  // null: nothing is checked
  AnswerCache cache_;
  const Delivery delivery_;
  std::atomic<int> shadows_{0};  // that run now
};

}  // namespace tack::gateway
