#include "gateway/gateway.h"

#include <algorithm>
#include <ctime>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/log.h"
#include "base/random.h"

namespace tack::gateway {

using net::Async;
using net::Request;
using net::Response;
using store::Purpose;

struct Gateway::Entry {
  std::shared_ptr<Account> account;
  std::shared_ptr<const Key> key;  // null where none is asked for
  std::optional<Failure> refused;
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

constexpr std::size_t kMostNameBytes = 256;

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
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

Response refuse(Account& account, const Failure& failure) {
  account.record.status = failure.status;
  Response response = failure_response(failure);
  describe(response, account);
  return response;
}

// Of the answer the client got: what else was asked for it is not its fault.
std::int64_t tokens_of(const store::CallRecord& record) {
  std::int64_t sum = 0;
  for (const store::Attempt& attempt : record.attempts)
    if (attempt.purpose == Purpose::kAnswer)
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

// A client that says anything but "false" means it.
bool wants_local_only(const net::Headers& headers) {
  return std::ranges::any_of(headers, [](const auto& field) {
    return lower_case(field.first) == "x-tack-local-only" && lower_case(field.second) != "false";
  });
}

// The strictest of what the configuration, the key and the request say.
Egress egress_of(PrivacyMode configured, const Key* key, const net::Headers& headers) {
  Egress egress{.mode = wants_local_only(headers) ? PrivacyMode::kLocalOnly : configured};
  if (key == nullptr) return egress;
  egress.mode = std::max(egress.mode, key->privacy);
  egress.allowed = key->upstreams;
  return egress;
}

// Whether to run a shadow: at random, and not for the client to choose.
bool in_share(double share) {
  static std::atomic<std::uint64_t> count{static_cast<std::uint64_t>(std::time(nullptr))};
  return Random(count.fetch_add(1)).uniform() < share;
}

// Of shadows that run at once: beyond, answers would wait for what only compares.
constexpr int kMostShadows = 32;

}  // namespace

Gateway::Gateway(Services services)
    : services_(std::move(services)),
      decider_(services_.locals, services_.learned),
      asker_(services_.config, services_.locals, services_.upstreams, services_.auditing),
      guarding_(services_.guard != nullptr
                    ? std::make_unique<Guarding>(services_.guard, services_.locals,
                                                 services_.auditing, services_.metrics,
                                                 services_.workers)
                    : nullptr),
      cache_(services_.config.cache),
      delivery_(services_.config, cache_) {}

// The account of a request is opened, and its key looked at.
Gateway::Entry Gateway::enter(const Request& request, std::string_view endpoint) const {
  if (services_.metrics != nullptr) services_.metrics->begin();
  Entry entry;
  Expected<std::shared_ptr<const Key>> key = nullptr;
  if (services_.keys != nullptr) key = services_.keys->find(bearer_of(request.headers));
  if (key) entry.key = *key;
  RecordSink sink = [this, key = entry.key](store::CallRecord record) {
    if (services_.metrics != nullptr) services_.metrics->end(record);
    if (services_.auditing != nullptr) services_.auditing->request(record);
    if (services_.limiter != nullptr && key) services_.limiter->charge(*key, tokens_of(record));
    // What no model saw would only fill the disk of a server that strangers knock at.
    const bool asked = !record.attempts.empty() || record.from_cache;
    if (services_.record && asked) services_.record(std::move(record));
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

Expected<std::shared_ptr<Call>> Gateway::open(Operation operation, const Request& request,
                                              const Account& account) const {
  auto body = parse_json(request.body, "request body");
  if (!body) return std::unexpected(bad_request("", body.error().message));
  if (!body->is_object())
    return std::unexpected(bad_request("", "request body: must be a JSON object"));
  auto call = std::make_shared<Call>();
  call->operation = operation;
  call->body = *std::move(body);
  call->stream = operation != Operation::kEmbeddings && flag(call->body, "stream");
  if (const auto options = call->body.find("stream_options");
      options != call->body.end() && options->is_object())
    call->include_usage = flag(*options, "include_usage");
  call->departure = request.departure;
  call->id = account.record.id;
  call->client = account.record.client;
  const auto model = call->body.find("model");
  if (model != call->body.end() && !model->is_string() && !model->is_null())
    return std::unexpected(bad_request("model", "'model' must be a string"));
  if (model != call->body.end() && model->is_string() &&
      model->get_ref<const std::string&>().size() > kMostNameBytes)
    return std::unexpected(bad_request(
        "model", fmt::format("'model' is longer than any name ({} bytes)", kMostNameBytes)));
  return call;
}

Async<Expected<Plan>> Gateway::plan(const Call& call, const CallFacts& facts,
                                    const Key* key) const {
  const auto at = call.body.find("model");
  const std::string name =
      at != call.body.end() && at->is_string() ? at->get<std::string>() : std::string();
  // Routes choose among models that generate: embeddings without a model go to the one encoder.
  const bool by_default = name.empty() && call.operation != Operation::kEmbeddings;
  const RouteConfig* route = services_.config.route(by_default ? "auto" : name);
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

Expected<std::shared_ptr<const Key>> Gateway::key_of(const net::Headers& headers) const {
  if (services_.keys == nullptr) return nullptr;
  return services_.keys->find(bearer_of(headers));
}

// Of a local endpoint: a key that may ask for some models only has to say which it wants.
std::optional<Failure> Gateway::check_model(const Key& key, const Request& request) const {
  if (key.models.empty()) return std::nullopt;
  const auto body = parse_json(request.body, "request body");
  if (!body) return bad_request("", body.error().message);
  const auto model = body->is_object() ? body->find("model") : body->end();
  if (!body->is_object() || model == body->end() || !model->is_string())
    return bad_request("model", "'model' is missing: this key may ask for some models only");
  const auto& name = model->get_ref<const std::string&>();
  if (key.may_ask(name)) return std::nullopt;
  return not_allowed(key, name);
}

Async<Response> Gateway::serve_local(std::string endpoint, Request request, LocalHandler handler) {
  const Entry entry = enter(request, endpoint);
  Account& account = *entry.account;
  if (entry.refused) co_return refuse(account, *entry.refused);
  if (entry.key) {
    if (const auto refused = check_model(*entry.key, request)) co_return refuse(account, *refused);
  }
  const std::string* workload = request.headers.find("x-tack-workload");
  account.record.workload = workload != nullptr ? *workload : "";
  LocalUse use;
  const AttemptClock clock;
  account.record.status = 500;  // should the handler throw
  Response response = co_await handler(std::move(request), use);
  account.record.status = response.status;
  account.record.model = use.model;
  if (account.record.workload.empty()) account.record.workload = use.model;
  if (!use.model.empty())
    account.add({.model = use.model,
                 .local = true,
                 .purpose = response.status < 400 ? Purpose::kAnswer : Purpose::kFailed,
                 .status = response.status,
                 .tokens = use.tokens,
                 .cpu_seconds = use.cpu_seconds,
                 .first_byte_ms = clock.ms(),
                 .total_ms = clock.ms()});
  describe(response, account);
  co_return response;
}

Async<Response> Gateway::handle(Operation operation, Request request) {
  const Entry entry = enter(request, endpoint(operation));
  Account& account = *entry.account;
  if (entry.refused) co_return refuse(account, *entry.refused);
  auto call = open(operation, request, account);
  if (!call) co_return refuse(account, call.error());
  auto exchange = std::make_shared<Exchange>();
  exchange->account = entry.account;
  exchange->call = *call;
  exchange->facts = facts_of(**call, request.headers);
  account.record.streamed = (*call)->stream;
  try {
    auto plan = co_await this->plan(**call, exchange->facts, entry.key.get());
    if (!plan) co_return refuse(account, plan.error());
    exchange->plan = *std::move(plan);
    const RouteConfig* route = services_.config.route(exchange->plan.route);
    exchange->egress =
        egress_of(services_.config.privacy_of(route), entry.key.get(), request.headers);
    (*call)->want_confidence = exchange->plan.min_confidence.has_value();
    Response response = co_await answer(std::move(exchange));
    co_return response;
  } catch (...) {
    account.record.status = 500;
    throw;
  }
}

void Gateway::describe_plan(Exchange& exchange) const {
  store::CallRecord& record = exchange.account->record;
  record.route = exchange.plan.route;
  record.reason = exchange.plan.reason;
  const std::string* workload = exchange.facts.headers.find("x-tack-workload");
  record.workload = workload != nullptr    ? *workload
                    : record.route.empty() ? exchange.plan.models.front()
                                           : record.route;
}

// Nothing is asked for a request before its checks have passed, and none leaves the machine before
// what is personal in it has been looked for.
Async<std::optional<Failure>> Gateway::clear(Exchange& exchange) const {
  if (guarding_ != nullptr) {
    auto refused = co_await guarding_->check_request(exchange);
    if (refused) co_return refused;
  }
  const GatewayConfig& config = services_.config;
  const bool kept = cache_.enabled() || config.ledger.content;
  const bool looks = exchange.egress.mode == PrivacyMode::kMask ||
                     (exchange.egress.mode == PrivacyMode::kLocalOnly && kept);
  if (!looks || services_.masker == nullptr) co_return std::nullopt;
  auto masked = co_await services_.masker->mask(exchange.call);
  if (!masked) co_return masked.error();
  exchange.egress.masked = *std::move(masked);
  exchange.personal = exchange.egress.masked->vault().size() > 0;
  if (services_.auditing != nullptr) services_.auditing->mask(exchange, *exchange.egress.masked);
  co_return std::nullopt;
}

// The plan is made: the cache, a shadow beside, and the models in their order.
Async<Response> Gateway::answer(std::shared_ptr<Exchange> exchange) {
  describe_plan(*exchange);
  Account& account = *exchange->account;
  const std::string& name = exchange->plan.route;
  const RouteConfig* route = name.empty() ? nullptr : services_.config.route(name);
  if (route != nullptr) account.set_baseline(route->baseline, exchange->facts.whole.size());
  if (const auto refused = co_await clear(*exchange)) co_return refuse(account, *refused);
  if (cache_.enabled() && !exchange->personal) {
    exchange->cache_key = AnswerCache::key(*exchange->call, exchange->plan, exchange->egress);
    if (const auto cached = cache_.find(exchange->cache_key))
      co_return delivery_.from_cache(*exchange, *cached);
  }
  const bool compares = exchange->call->operation != Operation::kEmbeddings;
  if (route != nullptr && route->shadow && compares && in_share(route->shadow->share)) {
    const auto executor = co_await boost::asio::this_coro::executor;
    start_shadow(executor, exchange, route->shadow->model);
  }
  auto answer = co_await asker_.ask_in_order(*exchange);
  if (!answer) co_return refuse(account, answer.error());
  if (guarding_ != nullptr && guarding_->has(guard::Stage::kOutput)) {
    if (!exchange->call->stream)
      co_await guarding_->check_answer(*exchange, *answer);
    else
      guarding_->check_stream(exchange, *answer);
  }
  co_return delivery_.respond(std::move(exchange), *std::move(answer));
}

void Gateway::start_shadow(const boost::asio::any_io_executor& executor,
                           const std::shared_ptr<Exchange>& exchange, const std::string& model) {
  if (shadows_.fetch_add(1) >= kMostShadows) {
    shadows_.fetch_sub(1);
    return;
  }
  exchange->keep_text = true;
  boost::asio::co_spawn(executor, asker_.run_shadow(exchange, model),
                        [this](std::exception_ptr thrown) {
                          shadows_.fetch_sub(1);
                          if (thrown) log_warn("a shadow run failed");
                        });
}

}  // namespace tack::gateway
