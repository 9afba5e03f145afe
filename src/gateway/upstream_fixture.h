// For tests: an upstream against the mock.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "gateway/mock_upstream.h"
#include "gateway/upstream.h"
#include "net/test_loop.h"

namespace tack::gateway {

using net::Async;
using std::chrono::steady_clock;

// What became of a call, streamed or not.
struct Got {
  std::vector<std::string> events;
  std::string body;
  std::optional<Failure> failure;  // instead of an answer, or after events
  Outcome outcome;
  net::Headers headers;
};

inline Async<Got> collect(Upstream& upstream, ClearedCall call) {
  Got got;
  auto reply = co_await upstream.send(std::move(call));
  if (!reply) {
    got.failure = reply.error();
    co_return got;
  }
  got.body = reply->body;
  got.outcome = reply->outcome;
  got.headers = reply->headers;
  while (reply->events) {
    auto event = co_await reply->events->next();
    got.outcome = reply->events->outcome();
    if (!event) got.failure = event.error();
    if (!event || !*event) break;
    got.events.push_back(**std::move(event));
  }
  co_return got;
}

class UpstreamTest : public testing::Test {
 protected:
  UpstreamTest() {
    config_.name = "up";
    config_.retries = 2;
    config_.breaker_failures = 0;
    config_.first_byte_timeout = milliseconds(400);
    config_.idle_timeout = milliseconds(400);
  }

  void start(MockOptions options = {.tokens = 4, .record = true}) {
    auto mock = MockUpstream::start(options);
    ASSERT_TRUE(mock) << mock.error().message;
    mock_ = std::move(*mock);
    config_.base_url = mock_->url();
    open();
  }
  void open() {
    auto upstream = Upstream::create(config_, "secret", pace_);
    ASSERT_TRUE(upstream) << upstream.error().message;
    upstream_ = std::move(*upstream);
  }

  static std::shared_ptr<Call> call(bool stream, Operation operation = Operation::kChat) {
    auto out = std::make_shared<Call>();
    out->operation = operation;
    out->stream = stream;
    out->id = "req-1";
    out->body = {{"model", "auto"},
                 {"messages", {{{"role", "user"}, {"content", "twelve bytes"}}}},
                 {"provider_field", {{"keep", 1.5}}}};
    if (stream) out->body["stream"] = true;
    return out;
  }
  static ClearedCall cleared(std::shared_ptr<const Call> call, const std::string& model) {
    return *Policy::clear(std::move(call), {}, "up", model);
  }
  Got ask(const std::string& model, bool stream) {
    return loop_.run(collect(*upstream_, cleared(call(stream), model)));
  }
  Json last_body() const { return Json::parse(mock_->recorded().back().second); }

  UpstreamConfig config_;
  RetryPace pace_{
      .base = milliseconds(2), .longest = milliseconds(10), .retry_after_limit = milliseconds(50)};
  std::unique_ptr<MockUpstream> mock_;
  net::TestLoop loop_;
  std::unique_ptr<Upstream> upstream_;
};

}  // namespace tack::gateway
