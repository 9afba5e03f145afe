#include "gateway/gateway.h"

#include <atomic>
#include <cmath>
#include <ctime>
#include <deque>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/ranges.h>

#include "base/log.h"
#include "gateway/fold.h"

namespace tack::gateway {

using net::Async;
using net::Request;
using net::Response;
using store::Attempt;
using store::Purpose;

struct Gateway::Entry {
  AccountPtr account;
  std::shared_ptr<const Key> key;  // null where none is asked for
  std::optional<Failure> refused;
};

// One request on its way.
struct Gateway::Exchange {
  AccountPtr account;
  CallPtr call;
  CallFacts facts;
  Plan plan;
  Egress egress;
  std::string cache_key;   // "": not cached
  bool keep_text = false;  // what the answer says is compared with a shadow's
};

// The beginning of an answer, or all of it.
struct Gateway::Answer {
  std::string model;
  Reply reply;
  std::deque<std::string> events;  // read already, not sent yet
  bool complete = true;
  Attempt attempt;  // counted when the answer is complete
  AttemptClock clock;
  AnswerFold fold;                // of events, where somebody wants the whole
  std::vector<std::string> sent;  // for the cache
};

namespace {

std::string new_request_id() {
  static std::atomic<std::uint64_t> count{static_cast<std::uint64_t>(std::time(nullptr)) << 20U};
  return fmt::format("req-{:016x}", count.fetch_add(1));
}

// A client may bring its own; one that could not stand in a log line or a header is replaced.
std::string request_id(const net::Headers& headers) {
  const std::string* given = headers.find("x-request-id");
  if (given == nullptr || given->empty() || given->size() > 128) return new_request_id();
  const bool printable = std::ranges::all_of(*given, [](char c) { return c > 0x20 && c < 0x7f; });
  return printable ? *given : new_request_id();
}

Failure bad_request(std::string param, std::string message) {
  return {.status = 400,
          .message = std::move(message),
          .type = "invalid_request_error",
          .param = std::move(param),
          .another_may_answer = false};
}

bool flag(const Json& object, std::string_view name) {
  const auto at = object.find(name);
  return at != object.end() && at->is_boolean() && at->get<bool>();
}

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

void describe(Response& response, const Account& account) {
  const store::CallRecord& record = account.record;
  for (const auto& [name, value] : account.headers) response.headers.set(name, value);
  response.headers.set("x-request-id", record.id);
  if (!record.model.empty()) response.headers.set("x-tack-model", record.model);
  if (!record.route.empty()) response.headers.set("x-tack-route", record.route);
  if (!record.reason.empty()) response.headers.set("x-tack-reason", record.reason);
}

Response refuse(Account& account, const Failure& failure) {
  account.record.status = failure.status;
  Response response = failure_response(failure);
  describe(response, account);
  return response;
}

std::int64_t tokens_of(const store::CallRecord& record) {
  std::int64_t sum = 0;
  for (const Attempt& attempt : record.attempts)
    sum += attempt.tokens.prompt + attempt.tokens.completion;
  return sum;
}

Failure not_allowed(const Key& key, std::string_view model) {
  return {.status = 403,
          .message = fmt::format("the key '{}' may not ask for '{}'", key.name, model),
          .type = "permission_error",
          .code = "model_not_allowed",
          .param = "model",
          .another_may_answer = false};
}

Egress egress_of(const Key* key, const net::Headers& headers) {
  const std::string* local_only = headers.find("x-tack-local-only");
  Egress egress{.local_only = local_only != nullptr && *local_only == "true"};
  if (key == nullptr) return egress;
  egress.local_only = egress.local_only || key->local_only;
  egress.allowed = key->upstreams;
  return egress;
}

// Whether a request is among those that are run beside: always the same for the same id.
bool in_share(double share, const std::string& id) {
  constexpr double kParts = 1e6;
  return static_cast<double>(std::hash<std::string>{}(id) % static_cast<std::size_t>(kParts)) <
         share * kParts;
}

}  // namespace

Gateway::Gateway(Services services)
    : services_(std::move(services)),
      decider_(services_.locals, services_.learned),
      cache_(services_.config.cache) {}

// The account of a request is opened, and its key looked at.
Gateway::Entry Gateway::enter(const Request& request, std::string_view endpoint) const {
  if (services_.metrics != nullptr) services_.metrics->begin();
  Entry entry;
  Expected<std::shared_ptr<const Key>> key = nullptr;
  if (services_.keys != nullptr) key = services_.keys->find(bearer_of(request.headers));
  if (key) entry.key = *key;
  RecordSink sink = [this, key = entry.key](store::CallRecord record) {
    if (services_.metrics != nullptr) services_.metrics->end(record);
    if (services_.limiter != nullptr && key) services_.limiter->charge(*key, tokens_of(record));
    if (services_.record) services_.record(std::move(record));
  };
  entry.account = std::make_shared<Account>(services_.config, std::move(sink));
  Account* account = entry.account.get();
  account->record.id = request_id(request.headers);
  account->record.endpoint = endpoint;
  account->record.status = 499;  // unless there is an answer: the client has gone
  if (!key) {
    entry.refused = key.error();
  } else if (entry.key) {
    account->record.client = entry.key->name;
    if (services_.limiter == nullptr) return entry;
    Admission admission = services_.limiter->admit(*entry.key);
    account->headers = std::move(admission.headers);
    entry.refused = std::move(admission.refused);
  }
  return entry;
}

Expected<Gateway::CallPtr> Gateway::open(Operation operation, const Request& request,
                                         Account& account) const {
  auto body = parse_json(request.body, "request body");
  if (!body) return std::unexpected(bad_request("", body.error().message));
  if (!body->is_object())
    return std::unexpected(bad_request("", "request body: must be a JSON object"));
  auto call = std::make_shared<Call>();
  call->operation = operation;
  call->body = *std::move(body);
  call->stream = flag(call->body, "stream");
  if (const auto options = call->body.find("stream_options");
      options != call->body.end() && options->is_object())
    call->include_usage = flag(*options, "include_usage");
  call->departure = request.departure;
  call->id = account.record.id;
  call->client = account.record.client;
  const auto model = call->body.find("model");
  if (model != call->body.end() && !model->is_string() && !model->is_null())
    return std::unexpected(bad_request("model", "'model' must be a string"));
  return call;
}

Async<Expected<Plan>> Gateway::plan(const Call& call, const CallFacts& facts,
                                    const Key* key) const {
  const auto at = call.body.find("model");
  const std::string name =
      at != call.body.end() && at->is_string() ? at->get<std::string>() : std::string();
  const RouteConfig* route = services_.config.route(name.empty() ? "auto" : name);
  const auto may_ask = [&](const std::string& model) {
    return key == nullptr || key->may_ask(model);
  };
  if (route != nullptr) {
    if (!may_ask(route->name)) co_return std::unexpected(not_allowed(*key, route->name));
    Plan plan = co_await decider_.decide(*route, facts);
    co_return plan;
  }
  const std::string by_name = "addressed by its name";
  if (name.empty()) {
    auto only = services_.locals.only_model(call.operation);
    if (!only) co_return std::unexpected(only.error());
    if (!may_ask(*only)) co_return std::unexpected(not_allowed(*key, *only));
    co_return Plan{"", {*std::move(only)}, {}, "the only model that can do it"};
  }
  if (!may_ask(name)) co_return std::unexpected(not_allowed(*key, name));
  if (services_.locals.serves(name) || split_upstream(services_.config, name))
    co_return Plan{"", {name}, {}, by_name};
  Failure failure = services_.locals.no_such_model(name);
  if (name == "auto")
    failure.message +=
        "; \"auto\" needs a [routes.auto] in the configuration (tack serve --config)";
  co_return std::unexpected(std::move(failure));
}

Async<Expected<Reply>> Gateway::send(const Exchange& exchange, const std::string& model) const {
  if (services_.locals.serves(model)) {
    auto reply = co_await services_.locals.answer(exchange.call, model);
    co_return reply;
  }
  const auto split = split_upstream(services_.config, model);
  const auto upstream =
      split ? services_.upstreams.find(split->upstream->name) : services_.upstreams.end();
  if (upstream == services_.upstreams.end())
    co_return std::unexpected(services_.locals.no_such_model(model));
  auto cleared = Policy::clear(exchange.call, exchange.egress, upstream->first, split->model);
  if (!cleared) co_return std::unexpected(cleared.error());
  auto reply = co_await upstream->second(*std::move(cleared));
  co_return reply;
}

// Asks one model, and waits until its answer has begun; with `drain` until it is complete.
Async<Expected<Gateway::Answer>> Gateway::ask(const Exchange& exchange, const std::string& model,
                                              bool drain) const {
  Answer answer;
  answer.model = model;
  answer.attempt = {.model = model, .local = services_.locals.serves(model)};
  auto reply = co_await send(exchange, model);
  Failure failure;
  if (reply) {
    answer.reply = *std::move(reply);
    answer.complete = answer.reply.events == nullptr;
    bool begun = answer.complete, failed = false;
    while ((drain ? !answer.complete : !begun) && !failed) {
      auto event = co_await answer.reply.events->next();
      if (!event) {
        failure = event.error();
        failed = true;
      } else if (!*event) {
        answer.complete = begun = true;
        answer.reply.outcome = answer.reply.events->outcome();
      } else {
        begun = begun || begins_answer(**event);
        answer.events.push_back(**std::move(event));
      }
    }
    answer.attempt.first_byte_ms = answer.clock.ms();
    if (!failed) co_return answer;
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

Async<Expected<Gateway::Answer>> Gateway::ask_in_order(const Exchange& exchange) const {
  const Plan& plan = exchange.plan;
  store::CallRecord& record = exchange.account->record;
  for (std::size_t i = 0; i < plan.models.size(); ++i) {
    const bool last = i + 1 == plan.models.size();
    const bool judged = plan.min_confidence && !last;
    auto answer = co_await ask(exchange, plan.models[i], judged);
    if (!answer) {
      if (last || !answer.error().another_may_answer) co_return std::unexpected(answer.error());
      record.reason += fmt::format("; {} failed ({}), so {} was asked", plan.models[i],
                                   answer.error().message, plan.models[i + 1]);
      continue;
    }
    const double confidence = answer->reply.outcome.confidence;
    // A confidence that is unknown is none.
    if (!judged || confidence >= *plan.min_confidence) co_return answer;
    record.reason += fmt::format("; {} was sure to {:.2f}, so {} was asked", plan.models[i],
                                 std::isnan(confidence) ? 0 : confidence, plan.models[i + 1]);
    answer->attempt.purpose = Purpose::kEscalated;
    answer->attempt.tokens = answer->reply.outcome.tokens;
    answer->attempt.cpu_seconds = answer->reply.outcome.cpu_seconds;
    answer->attempt.total_ms = answer->clock.ms();
    exchange.account->add(std::move(answer->attempt));
  }
  co_return std::unexpected(Failure{.status = 500, .message = "the plan names no model"});
}

// The answer is complete, or the client has gone (499), or it broke off.
void Gateway::finish(Exchange& exchange, Answer& answer, int status) {
  if (answer.reply.events) answer.reply.outcome = answer.reply.events->outcome();
  const Outcome& outcome = answer.reply.outcome;
  Account& account = *exchange.account;
  answer.attempt.status = status;
  if (status >= 500) answer.attempt.purpose = Purpose::kFailed;
  answer.attempt.tokens = outcome.tokens;
  answer.attempt.cpu_seconds = outcome.cpu_seconds;
  answer.attempt.total_ms = answer.clock.ms();
  account.add(std::move(answer.attempt));
  account.record.status = status;
  account.set_answer(answer.model, outcome);
  const bool content = services_.config.ledger.content;
  if (exchange.keep_text || content) {
    const Json whole =
        answer.reply.events ? answer.fold.whole() : Json::parse(answer.reply.body, nullptr, false);
    if (exchange.keep_text) account.answer = answer_text(whole);
    if (content) account.record.response = to_text(whole);
  }
  if (content) account.record.request = to_text(exchange.call->body);
  if (status == 200 && !exchange.cache_key.empty())
    cache_.put(exchange.cache_key,
               {answer.model, std::move(answer.reply.body), std::move(answer.sent), outcome});
}

Async<void> Gateway::pump(std::shared_ptr<Exchange> exchange, std::shared_ptr<Answer> answer,
                          net::ResponseStream& out) {
  const bool fold = exchange->keep_text || services_.config.ledger.content;
  int status = 200;
  bool ended = false;
  while (!ended) {
    std::string bytes;
    if (answer->events.empty() && !answer->complete) {
      auto event = co_await answer->reply.events->next();
      if (!event) {
        status = event.error().status;
        bytes = net::sse_event(failure_event(event.error()));
      } else if (*event) {
        answer->events.push_back(**std::move(event));
      }
      answer->complete = !event || !*event;
    }
    while (!answer->events.empty()) {
      std::string& event = answer->events.front();
      bytes += net::sse_event(event);
      if (fold) answer->fold.add(event);
      if (!exchange->cache_key.empty()) answer->sent.push_back(std::move(event));
      answer->events.pop_front();
    }
    ended = answer->complete;
    if (ended) bytes += net::sse_event("[DONE]");
    // Written down before the last bytes go: a client that has them all can look for the record.
    if (ended) finish(*exchange, *answer, status);
    const bool there = co_await out.write(std::move(bytes));
    if (there || ended) continue;
    finish(*exchange, *answer, 499);
    co_return;
  }
}

Response Gateway::respond(std::shared_ptr<Exchange> exchange, Answer answer) {
  Response response;
  if (answer.reply.events) {
    auto shared = std::make_shared<Answer>(std::move(answer));
    exchange->account->record.model = shared->model;
    net::StreamProducer producer = [this, exchange, shared](net::ResponseStream& out) {
      return pump(exchange, shared, out);
    };
    response = Response::events(std::move(producer), services_.config.serve.heartbeat);
    for (const auto& [name, value] : shared->reply.headers) response.headers.set(name, value);
  } else {
    response = Response::json_text(200, answer.reply.body);
    for (const auto& [name, value] : answer.reply.headers) response.headers.set(name, value);
    finish(*exchange, answer, 200);
  }
  describe(response, *exchange->account);
  return response;
}

Response Gateway::answer_from_cache(const Exchange& exchange, const CachedAnswer& cached) const {
  Account& account = *exchange.account;
  account.record.from_cache = true;
  account.record.status = 200;
  account.record.reason += "; the answer was in the cache";
  account.set_answer(cached.model, cached.outcome);
  Response response;
  if (exchange.call->stream) {
    std::string bytes;
    for (const std::string& event : cached.events) bytes += net::sse_event(event);
    bytes += net::sse_event("[DONE]");
    net::StreamProducer producer = [bytes](net::ResponseStream& out) -> Async<void> {
      co_await out.write(bytes);
    };
    response = Response::events(std::move(producer));
  } else {
    response = Response::json_text(200, cached.body);
  }
  describe(response, account);
  response.headers.set("x-tack-cache", "hit");
  return response;
}

// Beside the answer, never in its way: whatever fails here is only on record.
Async<void> Gateway::run_shadow(std::shared_ptr<Exchange> exchange, std::string model) const {
  Exchange beside{.account = exchange->account, .egress = exchange->egress};
  auto call = std::make_shared<Call>(*exchange->call);
  call->stream = call->include_usage = false;
  call->departure = nullptr;  // it goes on when the client has what it wants
  call->body.erase("stream");
  call->body.erase("stream_options");
  beside.call = std::move(call);
  Attempt attempt{
      .model = model, .local = services_.locals.serves(model), .purpose = Purpose::kShadow};
  const AttemptClock clock;
  const auto reply = co_await send(beside, model);
  attempt.total_ms = attempt.first_byte_ms = clock.ms();
  if (reply) {
    attempt.tokens = reply->outcome.tokens;
    attempt.cpu_seconds = reply->outcome.cpu_seconds;
    exchange->account->shadow_answer = answer_text(Json::parse(reply->body, nullptr, false));
  } else {
    attempt.status = reply.error().status;
    attempt.tokens = reply.error().tokens;
  }
  exchange->account->add(std::move(attempt));
}

std::optional<Failure> Gateway::check_key(const net::Headers& headers) const {
  if (services_.keys == nullptr) return std::nullopt;
  const auto key = services_.keys->find(bearer_of(headers));
  if (key) return std::nullopt;
  return key.error();
}

Async<Response> Gateway::serve_local(std::string endpoint, Request request, LocalHandler handler) {
  const Entry entry = enter(request, endpoint);
  const AccountPtr& account = entry.account;
  if (entry.refused) co_return refuse(*account, *entry.refused);
  LocalUse use;
  const AttemptClock clock;
  Response response = co_await handler(std::move(request), use);
  account->record.status = response.status;
  account->record.model = use.model;
  account->record.workload = use.model;
  if (!use.model.empty())
    account->add({.model = use.model,
                  .local = true,
                  .purpose = response.status < 400 ? Purpose::kAnswer : Purpose::kFailed,
                  .status = response.status,
                  .tokens = use.tokens,
                  .cpu_seconds = use.cpu_seconds,
                  .first_byte_ms = clock.ms(),
                  .total_ms = clock.ms()});
  if (entry.key && !use.model.empty() && !entry.key->may_ask(use.model))
    co_return refuse(*account, not_allowed(*entry.key, use.model));
  describe(response, *account);
  co_return response;
}

Async<Response> Gateway::handle(Operation operation, Request request) {
  auto exchange = std::make_shared<Exchange>();
  const Entry entry = enter(request, endpoint(operation));
  exchange->account = entry.account;
  Account& account = *exchange->account;
  if (entry.refused) co_return refuse(account, *entry.refused);
  exchange->egress = egress_of(entry.key.get(), request.headers);
  auto call = open(operation, request, account);
  if (!call) co_return refuse(account, call.error());
  exchange->call = *call;
  account.record.streamed = exchange->call->stream;
  exchange->facts = facts_of(*exchange->call, request.headers);
  auto plan = co_await this->plan(*exchange->call, exchange->facts, entry.key.get());
  if (!plan) co_return refuse(account, plan.error());
  exchange->plan = *std::move(plan);
  account.record.route = exchange->plan.route;
  account.record.reason = exchange->plan.reason;
  account.record.workload =
      exchange->plan.route.empty() ? exchange->plan.models.front() : exchange->plan.route;
  if (const std::string* workload = request.headers.find("x-tack-workload"))
    account.record.workload = *workload;

  const RouteConfig* route =
      exchange->plan.route.empty() ? nullptr : services_.config.route(exchange->plan.route);
  if (route != nullptr) account.set_baseline(route->baseline, exchange->facts.whole.size());
  if (cache_.enabled()) {
    exchange->cache_key = AnswerCache::key(*exchange->call, exchange->plan.models);
    if (const auto cached = cache_.find(exchange->cache_key))
      co_return answer_from_cache(*exchange, *cached);
  }
  if (exchange->plan.min_confidence) {
    auto sure = std::make_shared<Call>(*exchange->call);
    sure->want_confidence = true;
    exchange->call = std::move(sure);
  }
  if (route != nullptr && route->shadow && operation != Operation::kEmbeddings &&
      in_share(route->shadow->share, account.record.id)) {
    exchange->keep_text = true;
    boost::asio::co_spawn(co_await boost::asio::this_coro::executor,
                          run_shadow(exchange, route->shadow->model), boost::asio::detached);
  }
  auto answer = co_await ask_in_order(*exchange);
  if (!answer) co_return refuse(account, answer.error());
  co_return respond(std::move(exchange), *std::move(answer));
}

}  // namespace tack::gateway
