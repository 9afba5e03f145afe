// Brings an answer to the client, and to whoever else wants it: the account, the cache, a shadow's
// comparison.
#pragma once

#include <memory>

#include "gateway/cache.h"
#include "gateway/config.h"
#include "gateway/exchange.h"

namespace tack::gateway {

// Headers that say what happened to the request.
void describe(net::Response& response, const Account& account);

class Delivery {
 public:
  // Both outlive it.
  Delivery(const GatewayConfig& config, AnswerCache& cache) : config_(config), cache_(cache) {}

  // The answer is counted when it is complete, when the client leaves, or when the response is
  // destroyed before that.
  net::Response respond(std::shared_ptr<Exchange> exchange, Answer answer) const;
  net::Response from_cache(Exchange& exchange, const CachedAnswer& cached) const;

 private:
  class Stream;
  void finish(Exchange& exchange, Answer& answer, int status, const AnswerFold* fold,
              std::vector<std::string> sent) const;

  const GatewayConfig& config_;
  AnswerCache& cache_;
};

}  // namespace tack::gateway
