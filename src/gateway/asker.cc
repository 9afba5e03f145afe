#include "gateway/asker.h"

#include <cmath>

#include "gateway/masking.h"

namespace tack::gateway {

using net::Async;
using store::Attempt;
using store::Purpose;

namespace {

// Of events that wait for a first token, or for a whole answer that is judged.
constexpr std::size_t kMostHeldBytes = 8 << 20;

// Whether an event carries a piece of the answer, or its end: from there on no other model can be
// asked. The role that opens a chat does not count.
bool begins_answer(std::string_view event) {
  const Json json = Json::parse(event, nullptr, false);
  if (!json.is_object() || !json.contains("choices")) return true;  // an error, or another shape
  for (const Json& choice : json["choices"]) {
    if (!choice.is_object()) return true;
    if (const auto reason = choice.find("finish_reason");
        reason != choice.end() && !reason->is_null())
      return true;
    if (const auto text = choice.find("text"); text != choice.end() && *text != "") return true;
    const auto delta = choice.find("delta");
    if (delta == choice.end() || !delta->is_object()) continue;
    for (const auto& [name, value] : delta->items())
      if (name != "role" && !value.is_null() && value != "") return true;
  }
  return false;
}

// Counts the attempt of a shadow however it ends: also when the server stops under it.
class ShadowAttempt {
 public:
  ShadowAttempt(std::shared_ptr<Account> account, Attempt begun)
      : attempt(std::move(begun)), account_(std::move(account)) {}
  ~ShadowAttempt() {
    attempt.total_ms = attempt.first_byte_ms = clock_.ms();
    account_->add(std::move(attempt));
  }
  ShadowAttempt(const ShadowAttempt&) = delete;
  ShadowAttempt& operator=(const ShadowAttempt&) = delete;

  Attempt attempt;

 private:
  const std::shared_ptr<Account> account_;
  const AttemptClock clock_;
};

}  // namespace

Async<Expected<Reply>> Asker::send(const Exchange& exchange, const std::string& model) const {
  if (locals_.serves(model)) {
    auto reply = co_await locals_.answer(exchange.call, model);
    co_return reply;
  }
  const auto split = split_upstream(config_, model);
  if (!split) co_return std::unexpected(locals_.no_such_model(model));
  auto cleared = Policy::clear(exchange.call, exchange.egress, split->upstream->name, split->model);
  if (!cleared) co_return std::unexpected(cleared.error());
  const auto upstream = upstreams_.find(split->upstream->name);
  if (upstream == upstreams_.end()) co_return std::unexpected(locals_.no_such_model(model));
  if (auditing_ != nullptr) {
    const auto noted = co_await auditing_->egress(exchange, upstream->first, *cleared);
    if (!noted) co_return std::unexpected(noted.error());
  }
  auto reply = co_await upstream->second(*std::move(cleared));
  if (reply && exchange.egress.mode == PrivacyMode::kMask)
    co_return MaskedCall::restored(exchange.egress.masked, *std::move(reply));
  co_return reply;
}

// Reads events until the answer has begun, or with `whole` until it is complete.
Async<Expected<void>> Asker::begin(Answer& answer, bool whole) const {
  std::size_t bytes = 0;
  bool begun = false;
  while (whole ? !answer.complete : !begun) {
    auto event = co_await answer.reply.events->next();
    if (!event) co_return std::unexpected(event.error());
    if (!*event) {
      answer.complete = begun = true;
      answer.reply.outcome = answer.reply.events->outcome();
      continue;
    }
    bytes += (*event)->size();
    if (bytes > kMostHeldBytes)
      co_return std::unexpected(
          Failure{.message = fmt::format("{} sent {} bytes without {}", answer.model, bytes,
                                         whole ? "an end" : "a beginning of an answer")});
    if (!begun && begins_answer(**event)) {
      begun = true;
      answer.attempt.first_byte_ms = answer.clock.ms();
    }
    answer.events.push_back(**std::move(event));
  }
  co_return Expected<void>();
}

// Failures are counted here, answers when they are complete.
Async<Expected<Answer>> Asker::ask(const Exchange& exchange, const std::string& model,
                                   bool whole) const {
  Answer answer;
  answer.model = model;
  answer.attempt = {.model = model, .local = locals_.serves(model)};
  Failure failure;
  auto reply = co_await send(exchange, model);
  if (reply) {
    answer.reply = *std::move(reply);
    answer.complete = answer.reply.events == nullptr;
    answer.attempt.first_byte_ms = answer.clock.ms();
    if (answer.complete) co_return answer;
    const auto begun = co_await begin(answer, whole);
    if (begun) co_return answer;
    failure = begun.error();
    const Outcome so_far = answer.reply.events->outcome();
    failure.tokens = so_far.tokens;
    answer.attempt.cpu_seconds = so_far.cpu_seconds;
  } else {
    failure = reply.error();
  }
  const auto& departure = exchange.call->departure;
  if (departure != nullptr && departure->gone())  // nobody is there for another model's answer
    failure = {.status = 499,
               .message = "the client has left",
               .another_may_answer = false,
               .tokens = failure.tokens};
  answer.attempt.purpose = Purpose::kFailed;
  answer.attempt.status = failure.status;
  answer.attempt.tokens = failure.tokens;
  answer.attempt.total_ms = answer.clock.ms();
  exchange.account->add(std::move(answer.attempt));
  co_return std::unexpected(std::move(failure));
}

Async<Expected<Answer>> Asker::ask_in_order(const Exchange& exchange) const {
  const Plan& plan = exchange.plan;
  std::string& reason = exchange.account->record.reason;
  for (std::size_t i = 0; i < plan.models.size(); ++i) {
    const std::string& model = plan.models[i];
    const bool last = i + 1 == plan.models.size();
    const bool judged = plan.min_confidence && !last;
    auto answer = co_await ask(exchange, model, judged);
    if (!answer) {
      if (last || !answer.error().another_may_answer) co_return std::unexpected(answer.error());
      reason += fmt::format("; {} failed ({}), so {} was asked", model, answer.error().message,
                            plan.models[i + 1]);
      continue;
    }
    const Outcome& outcome = answer->reply.outcome;
    // A confidence that is unknown is none.
    if (!judged || outcome.confidence >= *plan.min_confidence) co_return answer;
    reason +=
        fmt::format("; {} was sure to {:.2f}, so {} was asked", model,
                    std::isnan(outcome.confidence) ? 0 : outcome.confidence, plan.models[i + 1]);
    answer->attempt.purpose = Purpose::kEscalated;
    answer->attempt.tokens = outcome.tokens;
    answer->attempt.cpu_seconds = outcome.cpu_seconds;
    answer->attempt.total_ms = answer->clock.ms();
    exchange.account->add(std::move(answer->attempt));
  }
  co_return std::unexpected(Failure{.status = 500, .message = "the plan names no model"});
}

Async<void> Asker::run_shadow(std::shared_ptr<const Exchange> exchange, std::string model) const {
  const std::shared_ptr<Account> account = exchange->account;
  ShadowAttempt shadow(
      account,
      {.model = model, .local = locals_.serves(model), .purpose = Purpose::kShadow, .status = 0});
  auto call = std::make_shared<Call>(*exchange->call);
  call->stream = call->include_usage = false;
  call->departure = nullptr;  // it goes on when the client has what it wants
  call->body.erase("stream");
  call->body.erase("stream_options");
  const Exchange beside{.account = account, .call = std::move(call), .egress = exchange->egress};
  exchange.reset();
  const auto reply = co_await send(beside, model);
  shadow.attempt.status = reply ? 200 : reply.error().status;
  shadow.attempt.tokens = reply ? reply->outcome.tokens : reply.error().tokens;
  if (!reply) co_return;
  shadow.attempt.cpu_seconds = reply->outcome.cpu_seconds;
  account->shadow_answer = answer_text(Json::parse(reply->body, nullptr, false));
}

}  // namespace tack::gateway
