// What leaves the machine of a request that is masked, and what comes back.
#include "gateway/masking.h"

#include <deque>

#include <gtest/gtest.h>

#include "base/random.h"
#include "gateway/made_up_parts.h"
#include "gateway/policy.h"

namespace tack::gateway {
namespace {

using net::Async;

// A tagger that knows one name.
class Models final : public NoModels {
 public:
  bool fails = false;

  Async<Expected<guard::Answer>> ask(guard::Question question) override {
    if (fails) co_return std::unexpected(Failure{.message = "the tagger is gone"});
    guard::Answer answer;
    for (const std::string& text : question.texts) {
      auto& spans = answer.spans.emplace_back();
      const std::string name = "Ada Lovelace";
      for (auto at = text.find(name); at != text.npos; at = text.find(name, at + 1))
        spans.push_back(
            {static_cast<std::int64_t>(at), static_cast<std::int64_t>(at + name.size()), "person"});
    }
    co_return answer;
  }
};

class MaskingTest : public ::testing::Test {
 protected:
  std::shared_ptr<const MaskedCall> masked(const Json& body, const PrivacyConfig& config = {}) {
    const auto masker = Masker::create(config, models_);
    EXPECT_TRUE(masker);
    auto call = std::make_shared<Call>();
    call->body = body;
    auto result = run_to_end((*masker)->mask(call));
    EXPECT_TRUE(result);
    return *result;
  }
  static Json chat(const std::string& content) {
    return {{"model", "auto"},
            {"messages", Json::array({{{"role", "user"}, {"content", content}}})}};
  }
  static std::string sent(const std::shared_ptr<const MaskedCall>& masked) {
    return masked->call()->body["messages"][0]["content"];
  }

  Models models_;
};

TEST_F(MaskingTest, TextsLeaveWithPseudonyms) {
  const auto call =
      masked(chat("I am ada@example.com, and so is ADA: ada@example.com. Not "
                  "bob@example.org."));
  EXPECT_EQ(sent(call), "I am <EMAIL_1>, and so is ADA: <EMAIL_1>. Not <EMAIL_2>.");
  EXPECT_EQ(call->call()->body["model"], "auto");
  EXPECT_EQ(call->vault().size(), 2);
}

TEST_F(MaskingTest, WhatAUserTypesIsNoPseudonym) {
  const auto call = masked(chat("<EMAIL_1> is not ada@example.com"));
  EXPECT_EQ(sent(call), "<EMAIL_1> is not <EMAIL_2>");
  Reply reply{.body = R"({"choices":[{"message":{"content":"<EMAIL_1> <EMAIL_2> <EMAIL_3>"}}]})",
              .outcome = {}};
  const Json body = Json::parse(MaskedCall::restored(call, std::move(reply)).body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "<EMAIL_1> ada@example.com <EMAIL_3>");
}

TEST_F(MaskingTest, ArgumentsAreJsonInside) {
  Json body = chat("send it");
  body["messages"].push_back(
      {{"role", "assistant"},
       {"tool_calls",
        Json::array({{{"id", "call_1"},
                      {"type", "function"},
                      {"function",
                       {{"name", "mail"},
                        {"arguments",
                         R"({"to": "ada@example.com", "card": 4111111111111111, "n": 3})"}}}}})}});
  const auto call = masked(body);
  const Json function = call->call()->body["messages"][1]["tool_calls"][0]["function"];
  EXPECT_EQ(function["name"], "mail");
  const Json arguments = Json::parse(function["arguments"].get<std::string>());
  EXPECT_EQ(arguments["to"], "<EMAIL_1>");
  EXPECT_EQ(arguments["card"], "<CARD_1>");
  EXPECT_EQ(arguments["n"], 3);
}

TEST_F(MaskingTest, NamesAreATaggersWork) {
  const std::string far(3000, 'x');
  const auto call = masked(chat("Ada Lovelace wrote. " + far + " Ada Lovelace, ada@example.com"),
                           {.names = "names"});
  EXPECT_EQ(sent(call), "<PERSON_1> wrote. " + far + " <PERSON_1>, <EMAIL_1>");
  models_.fails = true;
  const auto masker = Masker::create({.names = "names"}, models_);
  auto plain = std::make_shared<Call>();
  plain->body = chat("Ada Lovelace");
  EXPECT_FALSE(run_to_end((*masker)->mask(plain)));
}

TEST_F(MaskingTest, ImagesCannotLeave) {
  Json body = chat("look");
  body["messages"][0]["content"] = Json::array(
      {{{"type", "text"}, {"text", "look"}},
       {{"type", "image_url"}, {"image_url", {{"url", "data:image/png;base64,AAAA"}}}}});
  const auto call = masked(body);
  EXPECT_NE(call->why_not().find("image_url"), std::string::npos);
  const auto cleared =
      Policy::clear(call->call(), {.mode = PrivacyMode::kMask, .masked = call}, "openai", "gpt");
  ASSERT_FALSE(cleared);
  EXPECT_EQ(cleared.error().code, "egress_refused");
}

TEST_F(MaskingTest, ThePolicyLetsOutOnlyWhatWasMasked) {
  auto plain = std::make_shared<Call>();
  plain->body = chat("ada@example.com");
  EXPECT_FALSE(Policy::clear(plain, {.mode = PrivacyMode::kMask}, "openai", "gpt"));
  const auto call = masked(plain->body);
  const auto cleared =
      Policy::clear(plain, {.mode = PrivacyMode::kMask, .masked = call}, "openai", "gpt");
  ASSERT_TRUE(cleared);
  EXPECT_EQ(to_text(cleared->call().body).find("ada@"), std::string::npos);
  EXPECT_FALSE(Policy::clear(plain, {.mode = PrivacyMode::kLocalOnly}, "openai", "gpt"));
  // A shadow asks the same in one piece.
  plain->body["stream"] = plain->stream = true;
  const auto streamed = masked(plain->body);
  auto shadow = std::make_shared<Call>(*plain);
  shadow->stream = false;
  shadow->body.erase("stream");
  const Egress egress{.mode = PrivacyMode::kMask, .masked = streamed};
  EXPECT_TRUE(Policy::clear(plain, egress, "openai", "gpt")->call().body.contains("stream"));
  const auto whole = Policy::clear(shadow, egress, "openai", "gpt");
  EXPECT_FALSE(whole->call().body.contains("stream"));
  EXPECT_EQ(to_text(whole->call().body).find("ada@"), std::string::npos);
  EXPECT_TRUE(Policy::clear(plain, {}, "openai", "gpt"));
}

// However a stream is cut, the client gets the same bytes.
TEST_F(MaskingTest, StreamsAreRestoredUnderAnyCut) {
  const auto call = masked(chat("ada@example.com bob@example.org C:\\\"x\" eve@example.net"));
  const std::string answer = "Dear <EMAIL_1>, <EMAIL_2> and <EMAIL_9> wrote <EMAI to <EMAIL_3>";
  const std::string wanted =
      "Dear ada@example.com, bob@example.org and <EMAIL_9> wrote <EMAI to eve@example.net";
  Random random(3);
  for (int round = 0; round < 500; ++round) {
    std::deque<std::string> events;
    for (std::size_t at = 0; at < answer.size();) {
      const std::size_t n = 1 + random.below(9);
      Json delta = {{"content", answer.substr(at, n)}};
      if (round % 3 == 0)
        delta = {{"tool_calls",
                  Json::array({{{"index", 0}, {"function", {{"arguments", delta["content"]}}}}})}};
      events.push_back(to_text({{"object", "chat.completion.chunk"},
                                {"choices", Json::array({{{"index", 0}, {"delta", delta}}})}}));
      at += n;
    }
    if (round % 2 == 0)
      events.push_back(R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})");
    Reply reply{.events = std::make_unique<ListedEvents>(std::move(events)), .outcome = {}};
    reply = MaskedCall::restored(call, std::move(reply));
    std::string got;
    const auto work = [&]() -> Async<bool> {
      while (true) {
        auto event = co_await reply.events->next();
        if (!event || !*event) co_return event.has_value();
        const Json delta = Json::parse(**event)["choices"][0].value("delta", Json::object());
        got += delta.value("content", "");
        if (delta.contains("tool_calls"))
          got += delta["tool_calls"][0]["function"]["arguments"].get<std::string>();
      }
    };
    EXPECT_TRUE(run_to_end(work()));
    EXPECT_EQ(got, wanted);
  }
}

TEST_F(MaskingTest, WhatIsKeptHoldsNoValues) {
  const auto call = masked(chat("I am Ada Lovelace, ada@example.com"), {.names = "names"});
  const Json kept = call->kept({{"choices", Json::array({{{"message",
                                                           {{"role", "assistant"},
                                                            {"content",
                                                             "Ada Lovelace (ada@example.com), call "
                                                             "eve@example.net"}}}}})}});
  EXPECT_EQ(kept["choices"][0]["message"]["content"], "<PERSON_1> (<EMAIL_1>), call <EMAIL_2>");
}

}  // namespace
}  // namespace tack::gateway
