#include "gateway/upstream.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <random>
#include <utility>

#include <boost/asio/this_coro.hpp>

#include "base/log.h"
#include "base/random.h"
#include "gateway/upstream_request.h"
#include "gateway/upstream_stream.h"
#include "net/url.h"
#include "net/wakeup.h"

namespace tack::gateway {

using net::Async;
using std::chrono::steady_clock;

namespace {

constexpr std::uint64_t kLongestBody = 64 * 1024 * 1024;
constexpr std::size_t kLongestError = 1024 * 1024;  // of an error's body; the rest is not read

// Waits; false when the client has left meanwhile.
Async<bool> wait_with(std::shared_ptr<net::Departure> departure, milliseconds time) {
  const auto wakeup = std::make_shared<net::Wakeup>(co_await boost::asio::this_coro::executor);
  net::Departure::Watch watch;
  if (departure) watch = departure->on_gone([wakeup] { wakeup->wake_here(); });
  const bool left = co_await wakeup->sleep_until(steady_clock::now() + time);
  co_return !left;
}

// Rate limits, and the request's id there under a name that does not hide the gateway's own.
net::Headers visible_headers(const net::Headers& headers) {
  net::Headers out;
  for (const auto& [name, value] : headers) {
    std::string lower = name;
    for (char& c : lower)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (lower.starts_with("x-ratelimit-")) out.add(lower, value);
    if (lower == "x-request-id") out.add("x-upstream-request-id", value);
  }
  return out;
}

Failure client_left() {
  return {.status = 499, .message = "the client has left", .another_may_answer = false};
}

}  // namespace

// Shared with what still runs when the Upstream goes.
struct Upstream::State {
  UpstreamConfig config;
  std::string key;
  RetryPace pace;
  std::string base_path;  // "/v1"
  std::shared_ptr<CircuitBreaker> breaker;
  std::unique_ptr<net::ClientPool> pool;
  // What this upstream has refused once is not added any more.
  std::atomic<bool> takes_usage{true}, takes_logprobs{true};
  std::atomic<std::uint64_t> dice{std::random_device{}()};

  AddedMembers added() const { return {.usage = takes_usage, .logprobs = takes_logprobs}; }

  Failure shut(milliseconds wait) const {
    return {.status = 503,
            .message = fmt::format(
                "the upstream '{}' failed {} times in a row and is not asked for another {:.1f} s",
                config.name, breaker->failures(), static_cast<double>(wait.count()) / 1000),
            .code = "upstream_shut_off",
            .retry_after = wait};
  }

  // Full jitter: those that failed together do not come back together.
  milliseconds pause_before(int retry) {
    const double most = std::min(static_cast<double>(pace.longest.count()),
                                 static_cast<double>(pace.base.count()) * std::exp2(retry));
    const double part = Random(dice.fetch_add(0x9e3779b97f4a7c15ULL)).uniform();
    return milliseconds(std::llround(part * most));
  }
};

// One request, sent once.
struct Upstream::Try {
  using Result = std::expected<Reply, FailedTry>;

  const std::shared_ptr<State>& state;
  const ClearedCall& cleared;
  const steady_clock::time_point deadline;

  const Call& call() const { return cleared.call(); }
  net::PoolRequest request(const AddedMembers& added) const;
  Async<Result> run(CircuitBreaker::Permit permit) const;
  Async<Result> receive(net::ClientPool::Answer answer, CircuitBreaker::Permit& permit,
                        AddedMembers added) const;
  Async<FailedTry> read_error(net::ClientPool::Answer answer, AddedMembers added) const;
  Async<Result> read_body(net::ClientPool::Answer answer) const;
  Async<Result> open_stream(net::ClientPool::Answer answer, CircuitBreaker::Permit permit) const;
};

net::PoolRequest Upstream::Try::request(const AddedMembers& added) const {
  // endpoint() is "/v1/..."; the base path has its own version.
  const std::string_view path = endpoint(call().operation).substr(3);
  net::PoolRequest out{.target = state->base_path + std::string(path),
                       .headers = upstream_headers(call(), state->config, state->key),
                       .body = upstream_body(call(), cleared.model(), added),
                       .body_limit = kLongestBody,
                       .deadline = deadline,
                       .departure = call().departure};
  if (call().stream) out.body_limit = std::nullopt;  // its events have a limit
  return out;
}

Async<Upstream::Try::Result> Upstream::Try::run(CircuitBreaker::Permit permit) const {
  const AddedMembers added = state->added();
  auto answer = co_await state->pool->send(request(added));
  Result result;
  if (answer)
    result = co_await receive(*std::move(answer), permit, added);
  else
    result = std::unexpected(failed_exchange(state->config.name, answer.error()));
  // A stream has taken the permit along. Who left or sent nonsense says nothing of the upstream.
  if (!result && result.error().breaks) permit.failed();
  if (result && !result->events) permit.worked();
  if (!result && !result.error().breaks && result.error().failure.status < 499) permit.worked();
  co_return result;
}

Async<Upstream::Try::Result> Upstream::Try::receive(net::ClientPool::Answer answer,
                                                    CircuitBreaker::Permit& permit,
                                                    AddedMembers added) const {
  if (answer.status() != 200) {
    auto failed = co_await read_error(std::move(answer), added_to(call(), added));
    co_return std::unexpected(std::move(failed));
  }
  if (call().stream) {
    auto opened = co_await open_stream(std::move(answer), std::move(permit));
    co_return opened;
  }
  auto read = co_await read_body(std::move(answer));
  co_return read;
}

Async<FailedTry> Upstream::Try::read_error(net::ClientPool::Answer answer,
                                           AddedMembers added) const {
  std::string body;
  while (body.size() < kLongestError) {
    const auto piece = co_await answer.next_piece();
    if (!piece || piece->empty()) break;
    body.append(*piece);
  }
  FailedTry failed = failed_status(state->config.name, answer.status(), answer.headers(), body);
  // Asked again without what the gateway added, when the complaint is about that.
  const bool unknown = answer.status() == 400 || answer.status() == 422;
  const auto complains = [&](std::string_view member) { return body.find(member) != body.npos; };
  if (unknown && added.usage && complains("stream_options")) {
    state->takes_usage = false;
    failed.retry = failed.at_once = true;
  }
  if (unknown && added.logprobs && complains("logprobs")) {
    state->takes_logprobs = false;
    failed.retry = failed.at_once = true;
  }
  co_return failed;
}

Async<Upstream::Try::Result> Upstream::Try::read_body(net::ClientPool::Answer answer) const {
  Reply reply{.headers = visible_headers(answer.headers())};
  auto body = co_await answer.rest();
  if (!body) co_return std::unexpected(failed_exchange(state->config.name, body.error()));
  AnswerMeter meter(cleared.shared_call());
  const AnswerMeter::Kind kind = meter.add_body(*body);
  if (kind == AnswerMeter::Kind::kError)
    co_return std::unexpected(failed_inside(state->config.name, *body));
  if (kind == AnswerMeter::Kind::kInvalid)
    co_return std::unexpected(failed_answer(state->config.name, meter.why()));
  reply.body = *std::move(body);
  reply.outcome = meter.outcome();
  co_return reply;
}

Async<Upstream::Try::Result> Upstream::Try::open_stream(net::ClientPool::Answer answer,
                                                        CircuitBreaker::Permit permit) const {
  Reply reply{.headers = visible_headers(answer.headers())};
  auto stream = std::make_unique<UpstreamStream>(state->config.name, cleared.shared_call(),
                                                 std::move(answer), std::move(permit));
  if (auto opened = co_await stream->open(); !opened)
    co_return std::unexpected(std::move(opened).error());
  reply.events = std::move(stream);
  co_return reply;
}

Result<std::unique_ptr<Upstream>> Upstream::create(const UpstreamConfig& config, std::string key,
                                                   const RetryPace& pace) {
  TACK_TRY(const net::Url url, net::parse_url(config.base_url));
  auto state = std::make_shared<State>();
  state->config = config;
  state->key = std::move(key);
  state->pace = pace;
  state->base_path = url.target;
  while (state->base_path.ends_with('/')) state->base_path.pop_back();
  state->breaker = std::make_shared<CircuitBreaker>(config.breaker_failures, config.breaker_open);
  const net::PoolOptions options{
      .connect_timeout = config.connect_timeout,
      .first_byte_timeout = config.first_byte_timeout,
      .idle_timeout = config.idle_timeout,
      .max_connections = static_cast<std::size_t>(std::max(1, config.max_connections)),
      .queue_limit = pace.queue_limit,
      .queue_timeout = pace.queue_timeout,
      .ca_file = config.ca_file};
  TACK_TRY(state->pool, net::ClientPool::create(config.base_url, options));
  return std::unique_ptr<Upstream>(new Upstream(std::move(state)));
}

Upstream::Upstream(std::shared_ptr<State> state) : state_(std::move(state)) {}
Upstream::~Upstream() = default;

Async<Expected<Reply>> Upstream::send(ClearedCall cleared) {
  const std::shared_ptr<State> state = state_;
  const auto& departure = cleared.call().departure;
  const Try attempt{state, cleared, steady_clock::now() + state->config.total_timeout};
  std::optional<Failure> last;
  for (int retry = 0;; ++retry) {
    auto permit = state->breaker->enter();
    if (!permit) co_return std::unexpected(last ? *last : state->shut(permit.error()));
    auto result = co_await attempt.run(*std::move(permit));
    if (result) co_return *std::move(result);
    const FailedTry failed = std::move(result).error();
    last = failed.failure;
    if (departure && departure->gone()) co_return std::unexpected(client_left());
    if (last->status == 504) last->tokens = {estimate_prompt_tokens(cleared.call()), 0, 0, true};
    if (!failed.retry || (retry >= state->config.retries && !failed.at_once))
      co_return std::unexpected(*last);
    const milliseconds asked = last->retry_after.value_or(milliseconds(0));
    const milliseconds pause =
        failed.at_once ? milliseconds(0) : std::max(asked, state->pause_before(retry));
    if (asked > state->pace.retry_after_limit || steady_clock::now() + pause >= attempt.deadline)
      co_return std::unexpected(*last);
    log_debug("upstream {}: try {} failed ({}), again in {} ms", state->config.name, retry + 1,
              last->message, pause.count());
    const bool there = co_await wait_with(departure, pause);
    if (!there) co_return std::unexpected(client_left());
  }
}

const std::string& Upstream::name() const {
  return state_->config.name;
}

CircuitBreaker::State Upstream::state() const {
  return state_->breaker->state();
}

net::PoolCounts Upstream::connections() const {
  return state_->pool->counts();
}

}  // namespace tack::gateway
