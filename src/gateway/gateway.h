// From a request to an answer: who may ask, which models, in which order, and what it cost.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "gateway/account.h"
#include "gateway/cache.h"
#include "gateway/config.h"
#include "gateway/keys.h"
#include "gateway/local_models.h"
#include "gateway/metrics.h"
#include "gateway/policy.h"
#include "gateway/rate_limiter.h"
#include "gateway/route.h"

namespace tack::gateway {

// An upstream, by its send().
using SendUpstream = std::function<net::Async<Expected<Reply>>(ClearedCall)>;

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
  std::map<std::string, SendUpstream, std::less<>> upstreams;  // by the upstream's name
  AskLearned learned;                                          // may be empty
  RecordSink record;                                           // may be empty
  Metrics* metrics = nullptr;                                  // may be null
  KeyRing* keys = nullptr;                                     // null: nobody is asked for a key
  RateLimiter* limiter = nullptr;                              // with keys
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

  // For endpoints that use nothing up: only whether the key is one, where keys are asked for.
  std::optional<Failure> check_key(const net::Headers& headers) const;

  const AnswerCache& cache() const { return cache_; }

 private:
  using AccountPtr = std::shared_ptr<Account>;
  using CallPtr = std::shared_ptr<const Call>;
  struct Exchange;
  struct Answer;

  struct Entry;

  Entry enter(const net::Request& request, std::string_view endpoint) const;
  Expected<CallPtr> open(Operation operation, const net::Request& request, Account& account) const;
  net::Async<Expected<Plan>> plan(const Call& call, const CallFacts& facts, const Key* key) const;
  net::Async<Expected<Reply>> send(const Exchange& exchange, const std::string& model) const;
  net::Async<Expected<Answer>> ask(const Exchange& exchange, const std::string& model,
                                   bool drain) const;
  net::Async<Expected<Answer>> ask_in_order(const Exchange& exchange) const;
  net::Response answer_from_cache(const Exchange& exchange, const CachedAnswer& cached) const;
  net::Response respond(std::shared_ptr<Exchange> exchange, Answer answer);
  net::Async<void> pump(std::shared_ptr<Exchange> exchange, std::shared_ptr<Answer> answer,
                        net::ResponseStream& out);
  void finish(Exchange& exchange, Answer& answer, int status);
  net::Async<void> run_shadow(std::shared_ptr<Exchange> exchange, std::string model) const;

  const Services services_;
  const RouteDecider decider_;
  AnswerCache cache_;
};

}  // namespace tack::gateway
