// What passes a guard and when: streams cut in every way, checks that trip, fail or come late.
#include "gateway/guarding.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>

#include "base/random.h"
#include "gateway/made_up_parts.h"

namespace tack::gateway {
namespace {

using guard::CheckConfig;
using guard::Stage;
using guard::Subject;
using guard::Verdict;
using net::Async;
using namespace std::chrono_literals;

// Trips on a word, wherever it stands; asks a model when `asks`.
class WordGuard final : public guard::Guard {
 public:
  explicit WordGuard(std::string word) : word_(std::move(word)) {
    config_.enabled = true;
    config_.timeout = 100ms;
    config_.input = config_.output = {CheckConfig{.kind = guard::CheckKind::kWords}};
  }
  const guard::GuardConfig& config() const override { return config_; }
  std::vector<guard::Question> questions(Stage, const Subject& subject) const override {
    if (!asks) return {};
    return {{.model = "guard", .texts = {subject.passages.back().text}}};
  }
  Verdict judge(Stage, const Subject& subject,
                std::span<const Result<guard::Answer>> answers) const override {
    Verdict verdict;
    guard::Finding finding{.check = "words"};
    for (const auto& passage : subject.passages)
      finding.tripped = finding.tripped || passage.text.contains(word_);
    for (const auto& answer : answers) finding.failed = finding.failed || !answer;
    finding.reason = finding.failed ? "words could not be checked" : "a word that is not allowed";
    verdict.blocked = finding.tripped || finding.failed;
    verdict.findings = {finding};
    ++judged;
    return verdict;
  }
  bool needs_whole_answer() const override { return whole; }
  // As long as the end of the text may be the beginning of the word.
  std::size_t held_back(std::string_view answer) const override {
    for (std::size_t n = std::min(answer.size(), word_.size() - 1); n > 0; --n)
      if (answer.ends_with(word_.substr(0, n))) return n;
    return 0;
  }

  guard::GuardConfig config_;
  bool asks = false, whole = false;
  mutable int judged = 0;

 private:
  const std::string word_;
};

class Models final : public NoModels {
 public:
  std::chrono::milliseconds takes{0};
  bool fails = false;
  int fails_after = 1'000'000;  // answers
  int asked = 0;

  Async<Expected<guard::Answer>> ask(guard::Question question) override {
    ++asked;
    if (takes > 0ms) {
      boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
      timer.expires_after(takes);
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
    if (fails || asked > fails_after)
      co_return std::unexpected(Failure{.status = 500, .message = "out of memory"});
    guard::Answer answer;
    answer.labels.resize(question.texts.size());
    co_return answer;
  }
};

std::string chunk(std::string_view content, const Json& reason = nullptr) {
  Json delta = Json::object();
  if (!content.empty()) delta["content"] = content;
  return to_text(
      {{"id", "c1"},
       {"object", "chat.completion.chunk"},
       {"choices", Json::array({{{"index", 0}, {"delta", delta}, {"finish_reason", reason}}})}});
}

class GuardingTest : public ::testing::Test {
 protected:
  GuardingTest() : guard_(std::make_shared<WordGuard>("secret")) {
    auto call = std::make_shared<Call>();
    call->stream = true;
    call->body = {{"messages", Json::array({{{"role", "user"}, {"content", "hello"}}})}};
    exchange_ = std::make_shared<Exchange>();
    exchange_->account = std::make_shared<Account>(config_, nullptr);
    exchange_->call = call;
  }

  struct Seen {
    std::string text, finish, refusal;
    std::optional<Failure> failure;
    int events = 0;
  };
  static Async<Seen> read(std::unique_ptr<EventStream> stream) {
    Seen seen;
    while (true) {
      auto event = co_await stream->next();
      if (!event) {
        seen.failure = event.error();
        break;
      }
      if (!*event) break;
      ++seen.events;
      const Json json = Json::parse(**event);
      const Json& choice = json["choices"][0];
      if (choice.contains("delta")) {
        seen.text += choice["delta"].value("content", "");
        seen.refusal += choice["delta"].value("refusal", "");
      }
      if (choice["finish_reason"].is_string()) seen.finish = choice["finish_reason"];
    }
    co_return seen;
  }
  // Of an answer that comes in these pieces.
  Seen streamed(const std::vector<std::string>& pieces, bool* destroyed = nullptr) {
    std::deque<std::string> events;
    for (const std::string& piece : pieces)
      events.push_back(piece == "break" ? piece : chunk(piece));
    if (pieces.empty() || pieces.back() != "break") events.push_back(chunk("", "stop"));
    const Guarding guarding(guard_, models_);
    Answer answer;
    answer.events.push_back(std::move(events.front()));
    events.pop_front();
    answer.reply.events = std::make_unique<ListedEvents>(std::move(events), destroyed);
    guarding.check_stream(exchange_, answer);
    return run_to_end(read(std::move(answer.reply.events)));
  }

  GatewayConfig config_;
  std::shared_ptr<WordGuard> guard_;
  Models models_;
  std::shared_ptr<Exchange> exchange_;
};

TEST_F(GuardingTest, WhatIsHarmlessPassesWhole) {
  const Seen seen = streamed({"the ", "answer", " is 42, sec", "ond to none"});
  EXPECT_EQ(seen.text, "the answer is 42, second to none");
  EXPECT_EQ(seen.finish, "stop");
}

TEST_F(GuardingTest, NothingOfAWordPassesHoweverItIsCut) {
  const std::string answer = "this is a secret, and more of it";
  Random random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < answer.size();) {
      const std::size_t n = 1 + random.below(6);
      pieces.push_back(answer.substr(at, n));
      at += n;
    }
    bool destroyed = false;
    guard_->asks = round % 2 == 1;
    const Seen seen = streamed(pieces, &destroyed);
    EXPECT_TRUE(std::string("this is a ").starts_with(seen.text)) << seen.text;
    EXPECT_EQ(seen.finish, "content_filter");
    EXPECT_NE(seen.refusal, "");
    EXPECT_TRUE(destroyed);
  }
  EXPECT_NE(exchange_->account->record.reason.find("guard: words of the answer"),
            std::string::npos);
}

TEST_F(GuardingTest, ACheckThatFailsOrIsLateBlocks) {
  guard_->asks = true;
  models_.fails = true;
  EXPECT_EQ(streamed({"all ", "good"}).text, "");
  models_.fails = false;
  models_.takes = 300ms;
  const Seen late = streamed({"all ", "good"});
  EXPECT_EQ(late.text, "");
  EXPECT_EQ(late.finish, "content_filter");
}

// A model that dies in the middle: what comes after its last answer is not seen.
TEST_F(GuardingTest, NoUncheckedByteFollowsAFailure) {
  guard_->asks = true;
  std::vector<std::string> pieces;
  for (int i = 0; i < 200; ++i) pieces.push_back(fmt::format("{:03} ", i));
  for (int after = 0; after < 12; ++after) {
    models_.asked = 0;
    models_.fails_after = after;
    const Seen seen = streamed(pieces);
    EXPECT_EQ(seen.finish, "content_filter");
    EXPECT_LE(seen.text.size(), static_cast<std::size_t>(after) * 16 * 4);
  }
}

TEST_F(GuardingTest, ModelsAreAskedNowAndThenOnly) {
  guard_->asks = true;
  std::vector<std::string> pieces(160, "word ");
  EXPECT_EQ(streamed(pieces).text.size(), 160 * 5);
  EXPECT_LE(models_.asked, 80);  // by time, a slow machine asks more often
  EXPECT_GE(models_.asked, 8);
}

// Though the role came just before it, and nothing else has come yet.
TEST_F(GuardingTest, TheFirstWordDoesNotWait) {
  guard_->asks = true;
  const Guarding guarding(guard_, models_);
  Answer answer;
  answer.events = {
      R"({"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]})",
      chunk("Well")};
  answer.reply.events =
      std::make_unique<ListedEvents>(std::deque<std::string>{"break"}, nullptr);  // more comes late
  guarding.check_stream(exchange_, answer);
  const auto work = [&]() -> Async<std::string> {
    co_await answer.reply.events->next();
    auto second = co_await answer.reply.events->next();
    co_return second && *second ? **second : "";
  };
  EXPECT_NE(run_to_end(work()).find("Well"), std::string::npos);
  EXPECT_EQ(models_.asked, 1);
}

TEST_F(GuardingTest, ACheckOfTheWholeHoldsAll) {
  guard_->whole = true;
  EXPECT_EQ(streamed({"a", "b", "c secret"}).text, "");
  EXPECT_EQ(streamed({"a", "b", "c"}).text, "abc");
}

TEST_F(GuardingTest, AStreamThatBreaksStillBreaks) {
  const Seen seen = streamed({"half an ", "answer sec", "break"});
  EXPECT_EQ(seen.text, "half an answer sec");  // what was held was checked at its end
  ASSERT_TRUE(seen.failure);
  EXPECT_EQ(seen.failure->message, "cut off");
}

TEST_F(GuardingTest, RequestsAreRefusedWithAReason) {
  const Guarding guarding(guard_, models_);
  EXPECT_FALSE(run_to_end(guarding.check_request(*exchange_)));
  auto call = std::make_shared<Call>(*exchange_->call);
  call->body["messages"].push_back(
      {{"role", "user"},
       {"content", Json::array({{{"type", "text"}, {"text", "tell me the secret"}}})}});
  exchange_->call = call;
  const auto refused = run_to_end(guarding.check_request(*exchange_));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 400);
  EXPECT_EQ(refused->code, "content_filter");
  EXPECT_EQ(refused->message, "a word that is not allowed");
  EXPECT_FALSE(refused->another_may_answer);
  EXPECT_EQ(refused->param, "messages");
  call = std::make_shared<Call>();
  call->operation = Operation::kEmbeddings;
  call->body = {{"input", Json::array({"fine", "a secret"})}};
  exchange_->call = call;
  const auto embedding = run_to_end(guarding.check_request(*exchange_));
  ASSERT_TRUE(embedding);
  EXPECT_EQ(embedding->param, "input");
}

TEST_F(GuardingTest, ArgumentsOfToolsAreLookedAtToo) {
  const Guarding guarding(guard_, models_);
  Answer answer;
  answer.reply.body = to_text(
      {{"choices",
        Json::array(
            {{{"index", 0},
              {"message",
               {{"role", "assistant"},
                {"content", nullptr},
                {"tool_calls", Json::array({{{"id", "1"},
                                             {"function",
                                              {{"name", "send"},
                                               {"arguments", R"({"text":"the secret"})"}}}}})}}},
              {"finish_reason", "tool_calls"}}})}});
  const auto work = [&]() -> Async<bool> {
    co_await guarding.check_answer(*exchange_, answer);
    co_return true;
  };
  run_to_end(work());
  const Json body = Json::parse(answer.reply.body);
  const Json& choice = body["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "content_filter");
  EXPECT_FALSE(choice["message"].contains("tool_calls"));
  EXPECT_NE(choice["message"]["refusal"], "");
}

}  // namespace
}  // namespace tack::gateway
