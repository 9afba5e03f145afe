// How an upstream is asked, what passes through, retries, the breaker, departures.
#include <atomic>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "gateway/upstream_fixture.h"

namespace tack::gateway {
namespace {

constexpr double kNone = -1;
double confidence(const Outcome& outcome) {
  return std::isnan(outcome.confidence) ? kNone : outcome.confidence;
}

TEST_F(UpstreamTest, AnswersInOnePiece) {
  start();
  const Got got = ask("gpt", false);
  ASSERT_FALSE(got.failure) << got.failure->message;
  const Json body = Json::parse(got.body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "12 bytes w2 w3");
  EXPECT_EQ(body["model"], "gpt");
  EXPECT_EQ(got.outcome.tokens.prompt, 3);
  EXPECT_EQ(got.outcome.tokens.completion, 4);
  EXPECT_EQ(got.outcome.tokens.cached, 1);
  EXPECT_FALSE(got.outcome.tokens.estimated);
  EXPECT_EQ(got.outcome.finish_reason, "stop");
  EXPECT_EQ(confidence(got.outcome), kNone);
  ASSERT_NE(got.headers.find("x-upstream-request-id"), nullptr);
  EXPECT_EQ(*got.headers.find("x-ratelimit-remaining-requests"), "99");
  EXPECT_EQ(got.headers.size(), 2u);
}

TEST_F(UpstreamTest, SendsTheClientsBodyAndItsOwnHeaders) {
  config_.headers = {{"X-Team", "tack"}};
  start();
  ask("gpt", false);
  const Json sent = last_body();
  EXPECT_EQ(sent["model"], "gpt");
  EXPECT_EQ(sent["provider_field"]["keep"], 1.5);
  EXPECT_EQ(sent.size(), 3u);
  const std::string head = mock_->recorded().back().first;
  EXPECT_TRUE(head.starts_with("post /v1/chat/completions http/1.1\r\n")) << head;
  for (const char* line : {"authorization: bearer secret", "x-team: tack", "x-request-id: req-1",
                           "content-type: application/json"})
    EXPECT_NE(head.find(std::string("\r\n") + line + "\r\n"), head.npos) << line << head;
}

TEST_F(UpstreamTest, StreamsEventsVerbatim) {
  start();
  const Got got = ask("gpt", true);
  ASSERT_FALSE(got.failure) << got.failure->message;
  const MockRequest request{.endpoint = "chat/completions",
                            .model = "gpt",
                            .stream = true,
                            .include_usage = true,
                            .prompt_bytes = 12};
  std::vector<std::string> want = MockAnswers(request, 4).events(true, false);
  want.pop_back();  // the usage, which nobody asked for
  EXPECT_EQ(got.events, want);
  EXPECT_EQ(got.outcome.tokens.prompt, 3);
  EXPECT_EQ(got.outcome.tokens.completion, 4);
  EXPECT_FALSE(got.outcome.tokens.estimated);
  EXPECT_EQ(got.outcome.finish_reason, "stop");
  EXPECT_EQ(last_body()["stream_options"]["include_usage"], true);
}

TEST_F(UpstreamTest, PassesTheUsageOnToWhoAskedForIt) {
  start();
  auto asking = call(true);
  asking->include_usage = true;
  asking->body["stream_options"] = {{"include_usage", true}, {"other", 1}};
  const Got got = loop_.run(collect(*upstream_, cleared(asking, "gpt")));
  ASSERT_FALSE(got.failure);
  EXPECT_NE(got.events.back().find("\"completion_tokens\":4"), std::string::npos);
  EXPECT_EQ(last_body()["stream_options"]["other"], 1);
  // Other stream options stay when the gateway adds its own.
  auto other = call(true);
  other->body["stream_options"] = {{"other", 1}};
  loop_.run(collect(*upstream_, cleared(other, "gpt")));
  EXPECT_EQ(last_body()["stream_options"], (Json{{"other", 1}, {"include_usage", true}}));
}

TEST_F(UpstreamTest, CompletionsAndEmbeddings) {
  start();
  auto completion = call(false, Operation::kCompletion);
  completion->body = {{"prompt", "hello"}, {"model", "x"}};
  Got got = loop_.run(collect(*upstream_, cleared(completion, "gpt")));
  ASSERT_FALSE(got.failure) << got.failure->message;
  EXPECT_EQ(Json::parse(got.body)["choices"][0]["text"], "5 bytes w2 w3");
  auto embedding = call(false, Operation::kEmbeddings);
  embedding->body = {{"input", {"ab", "cde"}}};
  got = loop_.run(collect(*upstream_, cleared(embedding, "embed")));
  ASSERT_FALSE(got.failure) << got.failure->message;
  EXPECT_EQ(Json::parse(got.body)["data"][1]["embedding"][0], 3);
  EXPECT_EQ(got.outcome.tokens.prompt, 2);
  EXPECT_TRUE(mock_->recorded().back().first.starts_with("post /v1/embeddings "));
}

TEST_F(UpstreamTest, ToolCallsPassThrough) {
  start();
  const Got got = ask("fault-tools", true);
  ASSERT_FALSE(got.failure);
  std::string arguments;
  for (const std::string& event : got.events) {
    const Json delta = Json::parse(event)["choices"][0]["delta"];
    if (delta.contains("tool_calls"))
      arguments += delta["tool_calls"][0]["function"]["arguments"].get<std::string>();
  }
  EXPECT_EQ(arguments, R"({"city": "Paris"})");
  EXPECT_EQ(got.outcome.finish_reason, "tool_calls");
}

TEST_F(UpstreamTest, ConfidenceIsTheMeanProbability) {
  start();
  EXPECT_NEAR(ask("fault-logprobs", false).outcome.confidence, 0.5, 1e-9);
  EXPECT_NEAR(ask("fault-logprobs", true).outcome.confidence, 0.5, 1e-9);
  // Asked for where it is needed, unless the client says otherwise.
  auto sure = call(false);
  sure->want_confidence = true;
  loop_.run(collect(*upstream_, cleared(sure, "gpt")));
  EXPECT_EQ(last_body()["logprobs"], true);
  sure->body["logprobs"] = false;
  loop_.run(collect(*upstream_, cleared(sure, "gpt")));
  EXPECT_EQ(last_body()["logprobs"], false);
}

TEST_F(UpstreamTest, EstimatesTokensThatNobodyCounted) {
  start();
  for (const bool stream : {false, true}) {
    const Got got = ask("fault-no-usage", stream);
    ASSERT_FALSE(got.failure);
    EXPECT_TRUE(got.outcome.tokens.estimated);
    EXPECT_EQ(got.outcome.tokens.prompt, 3);      // "twelve bytes"
    EXPECT_EQ(got.outcome.tokens.completion, 4);  // "12 bytes w2 w3"
  }
}

TEST_F(UpstreamTest, PassesOnWhatTheUpstreamSays) {
  start();
  const Got got = ask("fault-422", false);
  EXPECT_EQ(got.failure->message, "as asked for");
  EXPECT_EQ(got.failure->type, "mock_error");
  EXPECT_EQ(got.failure->param, "model");
  // But not that the key is wrong, since the client's is not.
  const Got key = ask("fault-401", false);
  EXPECT_NE(key.failure->message.find("refused the gateway's key"), std::string::npos);
  EXPECT_NE(key.failure->message.find("'up'"), std::string::npos);
  EXPECT_EQ(key.failure->type, "");
}

TEST_F(UpstreamTest, HonoursRetryAfter) {
  pace_.retry_after_limit = milliseconds(1500);
  start();
  const auto begin = steady_clock::now();
  Got got = ask("fault-429-retry-after-1", false);
  EXPECT_EQ(mock_->requests(), 3);
  EXPECT_GE(steady_clock::now() - begin, milliseconds(2000));
  EXPECT_EQ(got.failure->retry_after, milliseconds(1000));
  got = ask("fault-429-retry-after-2", false);
  EXPECT_EQ(mock_->requests(), 4);
  EXPECT_EQ(got.failure->retry_after, milliseconds(2000));
}

TEST_F(UpstreamTest, NobodyListens) {
  start();
  mock_.reset();
  const Got got = ask("gpt", false);
  EXPECT_EQ(got.failure->status, 502);
  EXPECT_EQ(got.failure->code, "upstream_unreachable");
  EXPECT_TRUE(got.failure->another_may_answer);
  EXPECT_EQ(upstream_->connections().opened, 3u);
}

TEST_F(UpstreamTest, TheWholeHasALimit) {
  config_.total_timeout = milliseconds(700);
  start();
  auto begin = steady_clock::now();
  Got got = ask("fault-never-ends", true);
  EXPECT_EQ(got.failure->status, 504);
  EXPECT_EQ(got.failure->code, "upstream_timeout");
  EXPECT_GT(got.events.size(), 10u);
  EXPECT_LT(steady_clock::now() - begin, milliseconds(1500));
  // Retries count too.
  config_.retries = 1000;
  open();
  begin = steady_clock::now();
  got = ask("fault-503", false);
  EXPECT_TRUE(got.failure->status == 503 || got.failure->status == 504);  // or during a try
  EXPECT_LT(steady_clock::now() - begin, milliseconds(1500));
}

TEST_F(UpstreamTest, TheBreakerOpensAndCloses) {
  config_.breaker_failures = 4;
  config_.breaker_open = milliseconds(300);
  start();
  ask("fault-500", false);  // three failures
  EXPECT_EQ(upstream_->state(), CircuitBreaker::State::kClosed);
  Got got = ask("fault-500", false);  // the fourth opens it, and no retry follows
  EXPECT_EQ(mock_->requests(), 4);
  EXPECT_EQ(got.failure->code, "mock_500");
  EXPECT_EQ(upstream_->state(), CircuitBreaker::State::kOpen);
  got = ask("gpt", false);
  EXPECT_EQ(mock_->requests(), 4) << "nothing is sent";
  EXPECT_EQ(got.failure->status, 503);
  EXPECT_EQ(got.failure->code, "upstream_shut_off");
  ASSERT_TRUE(got.failure->retry_after);
  EXPECT_LE(*got.failure->retry_after, milliseconds(300));
  std::this_thread::sleep_for(milliseconds(320));
  EXPECT_FALSE(ask("gpt", false).failure);
  EXPECT_EQ(upstream_->state(), CircuitBreaker::State::kClosed);
}

TEST_F(UpstreamTest, TheBreakerCountsStreamsThatBreak) {
  config_.breaker_failures = 2;
  start();
  ask("fault-cut-2", true);
  EXPECT_EQ(upstream_->state(), CircuitBreaker::State::kClosed);
  ask("fault-cut-2", true);
  EXPECT_EQ(upstream_->state(), CircuitBreaker::State::kOpen);
}

TEST_F(UpstreamTest, WrongRequestsDoNotOpenTheBreaker) {
  config_.breaker_failures = 1;
  start();
  for (const char* fault : {"fault-400", "fault-404", "fault-401", "fault-429"}) ask(fault, false);
  EXPECT_EQ(upstream_->state(), CircuitBreaker::State::kClosed);
  EXPECT_FALSE(ask("gpt", true).failure);
}

// The client leaves after `time`.
Async<Got> leave_after(Upstream& upstream, std::shared_ptr<Call> call, std::string model,
                       milliseconds time) {
  call->departure = std::make_shared<net::Departure>();
  auto timer =
      std::make_shared<boost::asio::steady_timer>(co_await boost::asio::this_coro::executor, time);
  auto leave = [timer, departure = call->departure](const boost::system::error_code&) {
    departure->depart();
  };
  timer->async_wait(leave);
  auto cleared = *Policy::clear(call, {}, "up", std::move(model));
  co_return co_await collect(upstream, std::move(cleared));
}

TEST_F(UpstreamTest, ADepartureClosesTheConnection) {
  config_.first_byte_timeout = config_.idle_timeout = milliseconds(10'000);
  config_.breaker_failures = 1;
  start();
  int left = 0;
  for (const auto& [model, stream] : {std::pair("fault-silent", false),
                                      {"fault-silent", true},
                                      {"fault-stall-2", true},
                                      {"fault-never-ends", true}}) {
    const auto begin = steady_clock::now();
    const Got got = loop_.run(leave_after(*upstream_, call(stream), model, milliseconds(100)));
    EXPECT_LT(steady_clock::now() - begin, milliseconds(1000)) << model;
    ASSERT_TRUE(got.failure);
    EXPECT_EQ(got.failure->status, 499) << model << got.failure->message;
    EXPECT_FALSE(got.failure->another_may_answer);
    ++left;
    const auto end = steady_clock::now() + std::chrono::seconds(3);
    while (mock_->abandoned() < left && steady_clock::now() < end)
      std::this_thread::sleep_for(milliseconds(5));
    EXPECT_EQ(mock_->abandoned(), left) << model;
  }
  EXPECT_EQ(upstream_->connections().active, 0u);
  EXPECT_EQ(upstream_->state(), CircuitBreaker::State::kClosed);
  // While it waits for another try, too.
  pace_.base = pace_.longest = milliseconds(100'000);
  open();
  const Got got = loop_.run(leave_after(*upstream_, call(false), "fault-503", milliseconds(50)));
  EXPECT_EQ(got.failure->status, 499);
}

// Takes two events and lets go.
Async<int> take_two(Upstream& upstream, ClearedCall call) {
  auto reply = co_await upstream.send(std::move(call));
  int got = 0;
  for (; reply && got < 2; ++got) co_await reply->events->next();
  co_return got;
}

TEST_F(UpstreamTest, AStreamLetGoClosesTheConnection) {
  start();
  EXPECT_EQ(loop_.run(take_two(*upstream_, cleared(call(true), "fault-never-ends"))), 2);
  const auto end = steady_clock::now() + std::chrono::seconds(3);
  while (mock_->abandoned() < 1 && steady_clock::now() < end)
    std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(mock_->abandoned(), 1);
  EXPECT_EQ(upstream_->connections().active, 0u);
}

TEST_F(UpstreamTest, ConnectionsAreKept) {
  start();
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(ask("gpt", i % 2 == 1).failure);
    // The end of a stream's body may come after "[DONE]", and is read in the background.
    const auto end = steady_clock::now() + std::chrono::seconds(3);
    while (upstream_->connections().idle < 1 && steady_clock::now() < end)
      std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ(mock_->connections(), 1);
  EXPECT_EQ(upstream_->connections().opened, 1u);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(ask("fault-422", i % 2 == 1).failure);
  EXPECT_EQ(mock_->connections(), 1) << "an error's connection can be used again";
}

TEST_F(UpstreamTest, ConnectionsAreLimited) {
  config_.max_connections = 2;
  start({.tokens = 4, .latency = milliseconds(50)});
  std::vector<std::future<Got>> all;
  for (int i = 0; i < 8; ++i)
    all.push_back(loop_.start(collect(*upstream_, cleared(call(i % 2 == 0), "gpt"))));
  for (auto& one : all) EXPECT_FALSE(one.get().failure);
  EXPECT_EQ(mock_->connections(), 2);
}

TEST_F(UpstreamTest, BadConfigurationsAreSaid) {
  config_.base_url = "api.example.com";
  EXPECT_FALSE(Upstream::create(config_, ""));
  config_.base_url = "https://api.example.com/v1";
  config_.ca_file = "/no/such/file.pem";
  EXPECT_FALSE(Upstream::create(config_, ""));
}

}  // namespace
}  // namespace tack::gateway
