#include "net/client_pool.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "net/client_connection.h"
#include "net/idle_sweeper.h"
#include "net/wakeup.h"

namespace tack::net {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ConnectionPtr = std::shared_ptr<ClientConnection>;

namespace {

constexpr milliseconds kKeepAddress{30'000};
constexpr milliseconds kDrainTime{1'000};
constexpr std::size_t kDrainBytes = 64 * 1024;

asio::io_context& context_of(const asio::any_io_executor& executor) {
  return static_cast<asio::io_context&>(asio::query(executor, asio::execution::context));
}

}  // namespace

// Shared with every answer and background task, so that the pool may go first.
struct ClientPool::State final : IdleOwner, std::enable_shared_from_this<ClientPool::State> {
  struct Waiter {
    std::shared_ptr<Wakeup> wakeup;
    bool granted = false;
  };
  struct Queued;
  struct Idle {
    ConnectionPtr connection;
    asio::io_context* context = nullptr;
    steady_clock::time_point until;
  };

  State(Url url, const PoolOptions& o, std::shared_ptr<TlsClient> t)
      : server(std::move(url)),
        options(o),
        tls(std::move(t)),
        lookup(std::make_shared<HostLookup>(server.host, server.port, kKeepAddress)) {}

  Async<ClientStatus> take_slot(const PoolRequest& request);
  void release_slot();
  ConnectionPtr take_idle(const asio::io_context& context);
  void keep(ConnectionPtr connection, asio::io_context& context);
  // IdleOwner: from the sweeper.
  bool sweep(asio::io_context& context, steady_clock::time_point now) override;
  void drop_all(asio::io_context* context) override;  // nullptr: of every context

  const Url server;
  const PoolOptions options;
  const std::shared_ptr<TlsClient> tls;
  const std::shared_ptr<HostLookup> lookup;

  mutable std::mutex mutex;
  std::size_t active = 0;
  std::deque<std::shared_ptr<Waiter>> waiting;  // in order
  std::vector<Idle> idle;                       // the one used last at the end
  std::vector<asio::io_context*> swept;         // whose sweepers know of this pool
  std::uint64_t opened = 0, reopened = 0;
  bool closed = false;  // the pool is gone: nothing is kept any more
};

// One of the pool's slots, with a connection once there is one. Gives both back.
struct ClientPool::Lease {
  explicit Lease(std::shared_ptr<State> s, asio::any_io_executor e)
      : state(std::move(s)), strand(std::move(e)), context(&context_of(strand)) {}
  ~Lease() {
    drop();
    state->release_slot();
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  void drop() {
    if (!connection) return;
    connection->detach();
    connection->close();
    connection = nullptr;
  }
  // After the whole answer.
  void give_back() {
    if (!connection || !connection->reusable()) return;
    connection->detach();
    state->keep(std::exchange(connection, nullptr), *context);
  }
  Async<ClientStatus> open(const ClientLimits& limits, const std::shared_ptr<Departure>& departure);

  const std::shared_ptr<State> state;
  const asio::any_io_executor strand;
  asio::io_context* const context;
  ConnectionPtr connection;
};

// A place in the queue. Its coroutine may be destroyed while it waits, with the I/O context.
struct ClientPool::State::Queued {
  State& state;
  std::shared_ptr<Waiter> waiter;
  bool taken = false;

  bool granted() const {
    const std::lock_guard lock(state.mutex);
    return waiter->granted;
  }
  ~Queued() {
    if (taken) return;
    {
      const std::lock_guard lock(state.mutex);
      std::erase(state.waiting, waiter);
    }
    if (waiter->granted) state.release_slot();
  }
};

Async<ClientStatus> ClientPool::State::take_slot(const PoolRequest& request) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  Queued place{*this, nullptr, true};
  {
    const std::lock_guard lock(mutex);
    if (waiting.empty() && active < options.max_connections) {
      ++active;
      co_return ClientStatus{};
    }
    if (waiting.size() >= options.queue_limit)
      co_return client_fail(ClientFault::kBusy, "{}:{}: {} requests wait for a connection already",
                            server.host, server.port, waiting.size());
    place.waiter = std::make_shared<Waiter>(std::make_shared<Wakeup>(executor));
    place.taken = false;
    waiting.push_back(place.waiter);
  }
  const auto wakeup = place.waiter->wakeup;
  Departure::Watch watch;
  if (request.departure) watch = request.departure->on_gone([wakeup] { wakeup->wake_here(); });
  const auto limit = steady_clock::now() + options.queue_timeout;
  co_await wakeup->sleep_until(std::min(limit, request.deadline));

  if (request.departure && request.departure->gone())
    co_return client_fail(ClientFault::kCancelled, "{}:{}: cancelled", server.host, server.port);
  place.taken = place.granted();
  if (place.taken) co_return ClientStatus{};
  co_return client_fail(ClientFault::kBusy, "{}:{}: no connection became free in time", server.host,
                        server.port);
}

// Hands the slot to who waits longest.
void ClientPool::State::release_slot() {
  std::shared_ptr<Wakeup> next;
  {
    const std::lock_guard lock(mutex);
    if (waiting.empty()) {
      --active;
      return;
    }
    waiting.front()->granted = true;
    next = waiting.front()->wakeup;
    waiting.pop_front();
  }
  next->wake();
}

ConnectionPtr ClientPool::State::take_idle(const asio::io_context& context) {
  while (true) {
    ConnectionPtr connection;
    {
      const std::lock_guard lock(mutex);
      const auto found = std::find_if(idle.rbegin(), idle.rend(),
                                      [&](const Idle& one) { return one.context == &context; });
      if (found == idle.rend()) return nullptr;
      connection = std::move(found->connection);
      idle.erase(std::next(found).base());
    }
    if (connection->looks_open()) return connection;
    connection->close();
    const std::lock_guard lock(mutex);
    ++reopened;
  }
}

void ClientPool::State::keep(ConnectionPtr connection, asio::io_context& context) {
  bool first = false;
  {
    const std::lock_guard lock(mutex);
    if (closed) return;
    first = std::ranges::find(swept, &context) == swept.end();
    if (first) swept.push_back(&context);
    idle.push_back({std::move(connection), &context, steady_clock::now() + options.keep_idle});
  }
  if (first) IdleSweeper::of(context).add(weak_from_this(), options.keep_idle);
}

bool ClientPool::State::sweep(asio::io_context& context, steady_clock::time_point now) {
  std::vector<Idle> old;  // closed without the mutex
  const std::lock_guard lock(mutex);
  bool left = false;
  for (Idle& one : idle) {
    if (one.context != &context) continue;
    if (one.until <= now)
      old.push_back(std::move(one));
    else
      left = true;
  }
  std::erase_if(idle, [](const Idle& one) { return !one.connection; });
  if (!left) std::erase(swept, &context);
  return left;
}

void ClientPool::State::drop_all(asio::io_context* context) {
  std::vector<Idle> gone;
  const std::lock_guard lock(mutex);
  closed = closed || context == nullptr;
  std::erase(swept, context);
  for (Idle& one : idle)
    if (context == nullptr || one.context == context) gone.push_back(std::move(one));
  std::erase_if(idle, [](const Idle& one) { return !one.connection; });
}

// A fresh connection.
Async<ClientStatus> ClientPool::Lease::open(const ClientLimits& limits,
                                            const std::shared_ptr<Departure>& departure) {
  const auto until =
      std::min(limits.deadline, steady_clock::now() + state->options.connect_timeout);
  auto endpoints = co_await state->lookup->find(until, departure);
  if (!endpoints) co_return std::unexpected(std::move(endpoints).error());
  connection =
      std::make_shared<ClientConnection>(context->get_executor(), state->server, state->tls);
  connection->attach(strand, limits, departure);
  {
    const std::lock_guard lock(state->mutex);
    ++state->opened;
  }
  auto connected = co_await connection->connect(*endpoints, until);
  if (!connected) state->lookup->forget();
  co_return connected;
}

Result<std::unique_ptr<ClientPool>> ClientPool::create(std::string_view base_url,
                                                       const PoolOptions& options) {
  TACK_TRY(Url url, parse_url(base_url));
  std::shared_ptr<TlsClient> tls;
  if (url.tls) {
    TACK_TRY(tls, TlsClient::create(options.ca_file));
  }
  auto state = std::make_shared<State>(std::move(url), options, std::move(tls));
  return std::unique_ptr<ClientPool>(new ClientPool(std::move(state)));
}

ClientPool::ClientPool(std::shared_ptr<State> state) : state_(std::move(state)) {}

ClientPool::~ClientPool() {
  state_->drop_all(nullptr);
}

Async<ClientResult<ClientPool::Answer>> ClientPool::send(PoolRequest request) {
  const std::shared_ptr<State> state = state_;  // the pool may go meanwhile
  if (auto slot = co_await state->take_slot(request); !slot)
    co_return std::unexpected(std::move(slot).error());
  auto lease = std::make_unique<Lease>(state, co_await asio::this_coro::executor);
  const ClientLimits limits{.write = state->options.idle_timeout,
                            .first_byte = state->options.first_byte_timeout,
                            .idle = state->options.idle_timeout,
                            .deadline = request.deadline,
                            .body_limit = request.body_limit};
  const OutgoingRequest outgoing{request.method, request.target, &request.headers, request.body};

  lease->connection = state->take_idle(*lease->context);
  if (lease->connection) {
    lease->connection->attach(lease->strand, limits, request.departure);
    auto answered = co_await lease->connection->exchange(outgoing, true);
    if (answered) co_return Answer(std::move(lease));
    const bool stale =
        answered.error().fault == ClientFault::kBroken && !lease->connection->answer_began();
    if (!stale) co_return std::unexpected(std::move(answered).error());
    lease->drop();
    const std::lock_guard lock(state->mutex);
    ++state->reopened;
  }
  auto opened = co_await lease->open(limits, request.departure);
  if (!opened) co_return std::unexpected(std::move(opened).error());
  auto answered = co_await lease->connection->exchange(outgoing, true);
  if (!answered) co_return std::unexpected(std::move(answered).error());
  co_return Answer(std::move(lease));
}

PoolCounts ClientPool::counts() const {
  const std::lock_guard lock(state_->mutex);
  return {state_->active, state_->idle.size(), state_->waiting.size(), state_->opened,
          state_->reopened};
}

ClientPool::Answer::Answer(std::unique_ptr<Lease> lease)
    : status_(lease->connection->status()),
      headers_(std::move(lease->connection->headers())),
      lease_(std::move(lease)) {}
ClientPool::Answer::Answer(Answer&&) noexcept = default;
ClientPool::Answer& ClientPool::Answer::operator=(Answer&&) noexcept = default;
ClientPool::Answer::~Answer() = default;

Async<ClientResult<std::string_view>> ClientPool::Answer::next_piece() {
  if (!lease_) co_return std::string_view{};
  auto piece = co_await lease_->connection->next_piece();
  if (!piece) {
    lease_ = nullptr;
    co_return piece;
  }
  if (!lease_->connection->complete()) co_return piece;
  last_ = *piece;  // another request may use the connection's memory from now on
  lease_->give_back();
  lease_ = nullptr;
  co_return std::string_view(last_);
}

Async<ClientResult<std::string>> ClientPool::Answer::rest() {
  std::string all;
  while (true) {
    auto piece = co_await next_piece();
    if (!piece) co_return std::unexpected(std::move(piece).error());
    if (piece->empty()) co_return all;
    all.append(*piece);
  }
}

namespace {

template <class LeasePtr>
Async<void> drain_rest(LeasePtr lease) {
  std::size_t bytes = 0;
  while (!lease->connection->complete() && bytes < kDrainBytes) {
    auto piece = co_await lease->connection->next_piece();
    if (!piece) co_return;
    bytes += piece->size();
  }
  lease->give_back();
}

}  // namespace

void ClientPool::Answer::drain() {
  if (!lease_) return;
  if (lease_->connection->complete()) {
    lease_->give_back();
    lease_ = nullptr;
    return;
  }
  lease_->connection->detach();
  ClientLimits limits;
  limits.deadline = steady_clock::now() + kDrainTime;
  const asio::any_io_executor strand = lease_->strand;
  lease_->connection->attach(strand, limits, nullptr);
  asio::co_spawn(strand, drain_rest(std::move(lease_)), asio::detached);
}

}  // namespace tack::net
