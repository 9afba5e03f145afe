// Holds requests and answers back until a guard's checks have passed them.
#pragma once

#include <memory>
#include <string>

#include "gateway/auditing.h"
#include "gateway/exchange.h"
#include "gateway/local_models.h"
#include "gateway/metrics.h"
#include "guard/guard.h"
#include "net/offload.h"

namespace tack::gateway {

// Any strand; outlives the server.
class Guarding {
 public:
  // All outlive it but the guard, which it shares. `auditing` and `metrics` may be null, and
  // `workers`, who look at long texts.
  Guarding(std::shared_ptr<const guard::Guard> guard, LocalModels& models,
           const Auditing* auditing = nullptr, Metrics* metrics = nullptr,
           net::Workers* workers = nullptr);

  const guard::Guard& guard() const { return *guard_; }
  bool has(guard::Stage stage) const { return guard_->has(stage); }
  // Whether the output stage asks models: then it is not worth the while for every token.
  bool output_asks_models() const { return output_asks_models_; }

  // Puts a verdict on record: the reason of the request, the audit log, the answer's header.
  void note(const Exchange& exchange, guard::Stage stage, const guard::Verdict& verdict) const;

  // Asks the models a stage needs, and judges. Never fails: what a model does not answer in time is
  // a check that failed.
  net::Async<guard::Verdict> run(guard::Stage stage, guard::Subject subject) const;

  // The texts of a request, message by message.
  static std::vector<guard::Passage> passages_of(const Call& call);
  // Of the request's stages, in their order until one blocks. `reason` of the record tells what
  // happened.
  net::Async<std::optional<Failure>> check_request(const Exchange& exchange) const;
  // An answer in one piece: choices that are blocked lose what they say, and end for
  // "content_filter".
  net::Async<void> check_answer(const Exchange& exchange, Answer& answer) const;
  // A streamed one: from here on its events are those that were checked.
  void check_stream(const std::shared_ptr<const Exchange>& exchange, Answer& answer) const;

 private:
  void count(guard::Stage stage, const guard::Verdict& verdict, double seconds) const;
  net::Async<std::vector<Result<guard::Answer>>> ask_all(
      std::vector<guard::Question> questions) const;

  const std::shared_ptr<const guard::Guard> guard_;
  LocalModels& models_;
  const Auditing* const auditing_;
  Metrics* const metrics_;
  net::Workers* const workers_;
  bool output_asks_models_ = false;
};

// What a blocked answer says to people.
std::string refusal_of(const guard::Guard& guard, const guard::Verdict& verdict);
// What the record says of a verdict: "; guard: injection 0.97 (from 0.90 on)"; "" when nothing
// tripped.
std::string told(guard::Stage stage, const guard::Verdict& verdict);

}  // namespace tack::gateway
