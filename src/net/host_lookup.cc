#include "net/host_lookup.h"

#include <utility>

#include <boost/asio/bind_executor.hpp>

#include "net/wakeup.h"

namespace tack::net {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::steady_clock;

// One look-up and who waits for it. Guarded by the mutex of the HostLookup.
struct HostLookup::Question {
  std::vector<std::shared_ptr<Wakeup>> waiting;
  bool answered = false;
  Endpoints found;
  std::string error;
};

HostLookup::HostLookup(std::string host, std::uint16_t port, std::chrono::milliseconds keep)
    : host_(std::move(host)), port_(port), keep_(keep) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host_, error);
  if (error) return;
  known_.emplace_back(address, port_);
  known_until_ = steady_clock::time_point::max();
}

void HostLookup::forget() {
  const std::lock_guard lock(mutex_);
  if (known_until_ != steady_clock::time_point::max()) known_until_ = {};
}

void HostLookup::settle(const std::shared_ptr<Question>& question) {
  if (asked_ == question) asked_ = nullptr;
}

// The answer comes to a callback, not to a coroutine: a look-up cannot be broken off, and nobody
// shall wait longer for it than he wants.
void HostLookup::ask(const asio::any_io_executor& executor, std::shared_ptr<Question> question) {
  const auto resolver = std::make_shared<tcp::resolver>(executor);
  // The callback may be destroyed unasked, with its I/O context: then the next one asks again.
  const std::shared_ptr<void> guard(nullptr, [self = shared_from_this(), question](void*) {
    const std::lock_guard lock(self->mutex_);
    self->settle(question);
  });
  auto answer = [this, resolver, guard, question](const boost::system::error_code& error,
                                                  const tcp::resolver::results_type& found) {
    const std::lock_guard lock(mutex_);
    settle(question);
    question->answered = true;
    for (const auto& entry : found) question->found.push_back(entry.endpoint());
    if (error) question->error = error.message();
    if (!error && !question->found.empty()) {
      known_ = question->found;
      known_until_ = steady_clock::now() + keep_;
    }
    for (const auto& waiter : question->waiting) waiter->wake();
  };
  resolver->async_resolve(host_, std::to_string(port_),
                          asio::bind_executor(executor, std::move(answer)));
}

Async<ClientResult<HostLookup::Endpoints>> HostLookup::find(steady_clock::time_point deadline,
                                                            std::shared_ptr<Departure> departure) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto wakeup = std::make_shared<Wakeup>(executor);
  std::shared_ptr<Question> question;
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    if (!known_.empty() && steady_clock::now() < known_until_) co_return known_;
    first = asked_ == nullptr;
    if (first) asked_ = std::make_shared<Question>();
    question = asked_;
    question->waiting.push_back(wakeup);
  }
  if (first) ask(executor, question);
  Departure::Watch watch;
  if (departure) watch = departure->on_gone([wakeup] { wakeup->wake_here(); });
  co_await wakeup->sleep_until(deadline);

  const std::lock_guard lock(mutex_);
  if (departure && departure->gone())
    co_return client_fail(ClientFault::kCancelled, "{}: cancelled", host_);
  if (!question->answered)
    co_return client_fail(ClientFault::kTimedOut, "cannot look up {}: took too long", host_);
  if (question->found.empty())
    co_return client_fail(ClientFault::kNoConnection, "cannot look up {}: {}", host_,
                          question->error);
  co_return question->found;
}

}  // namespace tack::net
