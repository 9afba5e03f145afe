// For tests and fuzzers: local models that are none, and a stream of given events.
#pragma once

#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>

#include "gateway/local_models.h"

namespace tack::gateway {

class NoModels : public LocalModels {
 public:
  bool serves(std::string_view) const override { return false; }
  Expected<std::string> only_model(Operation) const override { return std::unexpected(Failure{}); }
  Failure no_such_model(std::string_view) const override { return {}; }
  net::Async<Expected<Reply>> answer(std::shared_ptr<const Call>, std::string) override {
    co_return std::unexpected(Failure{});
  }
  net::Async<Expected<Intent>> intent(std::string, std::string) override {
    co_return std::unexpected(Failure{});
  }
  net::Async<Expected<std::vector<float>>> embed(std::string, std::string, std::int64_t) override {
    co_return std::unexpected(Failure{});
  }
  net::Async<Expected<guard::Answer>> ask(guard::Question) override {
    co_return std::unexpected(Failure{});
  }
};

// "break" is a failure. `destroyed`, if not null, is set when the stream is.
class ListedEvents final : public EventStream {
 public:
  explicit ListedEvents(std::deque<std::string> events, bool* destroyed = nullptr)
      : events_(std::move(events)), destroyed_(destroyed) {}
  ~ListedEvents() override {
    if (destroyed_ != nullptr) *destroyed_ = true;
  }
  net::Async<Expected<std::optional<std::string>>> next() override {
    if (events_.empty()) co_return std::nullopt;
    std::optional<std::string> event = std::move(events_.front());
    events_.pop_front();
    if (*event == "break") co_return std::unexpected(Failure{.message = "cut off"});
    co_return event;
  }
  Outcome outcome() const override { return {.finish_reason = "stop"}; }

 private:
  std::deque<std::string> events_;
  bool* const destroyed_;
};

// What `work` comes to, run on a strand to its end. What it throws is thrown.
template <class T>
T run_to_end(net::Async<T> work) {
  boost::asio::io_context context;
  std::optional<T> result;
  boost::asio::co_spawn(boost::asio::make_strand(context), std::move(work),
                        [&](std::exception_ptr thrown, T value) {
                          if (thrown) std::rethrow_exception(thrown);
                          result = std::move(value);
                        });
  context.run();
  return std::move(result).value();
}

}  // namespace tack::gateway
