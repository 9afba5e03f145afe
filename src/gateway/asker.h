// Asks models until one has begun to answer.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "gateway/auditing.h"
#include "gateway/config.h"
#include "gateway/exchange.h"
#include "gateway/local_models.h"

namespace tack::gateway {

// An upstream, by its send().
using SendUpstream = std::function<net::Async<Expected<Reply>>(ClearedCall)>;
using Upstreams = std::map<std::string, SendUpstream, std::less<>>;  // by name

class Asker {
 public:
  // All outlive it. `auditing` may be null.
  Asker(const GatewayConfig& config, LocalModels& locals, Upstreams upstreams,
        const Auditing* auditing = nullptr)
      : config_(config), locals_(locals), upstreams_(std::move(upstreams)), auditing_(auditing) {}

  // Asks the plan's models in their order. Of a stream it waits for the first token, so that
  // nothing of a failed answer has gone to the client; with the plan's min_confidence for whole
  // answers. Failed attempts and answers that are thrown away are added to the account, with the
  // reason.
  net::Async<Expected<Answer>> ask_in_order(const Exchange& exchange) const;

  // Asks `model` beside the answer, for the account alone; whatever fails is only on record.
  net::Async<void> run_shadow(std::shared_ptr<const Exchange> exchange, std::string model) const;

 private:
  net::Async<Expected<Reply>> send(const Exchange& exchange, const std::string& model) const;
  net::Async<Expected<void>> begin(Answer& answer, bool whole) const;
  net::Async<Expected<Answer>> ask(const Exchange& exchange, const std::string& model,
                                   bool whole) const;

  const GatewayConfig& config_;
  LocalModels& locals_;
  const Upstreams upstreams_;
  const Auditing* const auditing_;
};

}  // namespace tack::gateway
