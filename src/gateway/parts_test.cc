// Facts of a request, conditions of rules, folding streams, the cache: each by itself.
#include <gtest/gtest.h>

#include "gateway/cache.h"
#include "gateway/facts.h"
#include "gateway/fold.h"
#include "gateway/rules.h"

namespace tack::gateway {
namespace {

CallFacts facts(const char* body, Operation operation = Operation::kChat) {
  return facts_of({.operation = operation, .body = Json::parse(body)}, {});
}

TEST(Facts, ReadMessagesPromptsAndInputs) {
  const CallFacts chat = facts(R"({"messages": [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": null},
    {"role": "user", "content": [{"type": "text", "text": "größer"},
                                 {"type": "image_url", "image_url": {"url": "x"}}]}],
    "tools": [{"type": "function"}]})");
  EXPECT_EQ(chat.text, "größer");
  EXPECT_EQ(chat.whole, "Be brief.\nfirst\ngrößer");
  EXPECT_EQ(chat.chars, 22);
  EXPECT_TRUE(chat.tools && chat.images);
  EXPECT_EQ(facts(R"({"prompt": "a b"})", Operation::kCompletion).text, "a b");
  EXPECT_EQ(facts(R"({"input": ["a", "b"]})", Operation::kEmbeddings).whole, "a\nb");
}

TEST(Facts, SurviveWhatIsNotWhatItShouldBe) {
  for (const char* body :
       {R"({})", R"({"messages": 7})", R"({"messages": [7, null, {"role": []}]})",
        R"({"messages": [{"content": [7, {"text": 8}, []]}], "tools": {}})"}) {
    const CallFacts read = facts(body);
    EXPECT_EQ(read.text, "") << body;
    EXPECT_FALSE(read.tools) << body;
  }
}

TEST(Rules, AllConditionsMustHold) {
  CallFacts asked =
      facts(R"({"messages": [{"role": "user", "content": "Refund my order, please."}]})");
  asked.client = "shop";
  asked.headers.set("X-Tier", "gold");
  RuleConfig rule{.keys = {"shop"},
                  .headers = {{"x-tier", "gold"}},
                  .min_chars = 10,
                  .max_chars = 100,
                  .contains = {"chargeback", "REFUND"},
                  .tools = false};
  const Verdict all = check_conditions(rule, asked);
  EXPECT_TRUE(all.holds);
  EXPECT_EQ(all.why, "the key is 'shop', x-tier is 'gold', 24 characters, no tools, says 'REFUND'");
  rule.headers["x-tier"] = "silver";
  EXPECT_FALSE(check_conditions(rule, asked).holds);
  EXPECT_EQ(check_conditions(rule, asked).why, "x-tier is 'gold'");
  EXPECT_FALSE(check_conditions({.max_chars = 23}, asked).holds);
  EXPECT_FALSE(check_conditions({.contains = {"fund"}}, asked).holds);  // only whole words
  EXPECT_FALSE(check_conditions({.languages = {"fr"}}, asked).holds);
}

TEST(Fold, PutsAStreamTogether) {
  AnswerFold fold;
  for (
      const char* event :
      {R"({"id":"c1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]})",
       R"({"choices":[{"index":0,"delta":{"content":"Hel"}}]})",
       R"({"choices":[{"index":0,"delta":{"content":"lo"}}]})", "garbage", "7",
       R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"f","arguments":""}}]}}]})",
       R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]})",
       R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]})",
       R"({"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]})",
       R"({"choices":[],"usage":{"prompt_tokens":3}})"})
    fold.add(event);
  EXPECT_EQ(fold.whole(),
            Json::parse(R"({"id":"c1","object":"chat.completion","model":"m","choices":[
    {"index":0,"message":{"role":"assistant","content":"Hello","tool_calls":[
      {"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
     "finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3}})"))
      << fold.whole();
  EXPECT_EQ(answer_text(fold.whole()), R"([{"name":"f","arguments":{"a":1}}])");
}

TEST(Fold, AHostileIndexMakesNoLongList) {
  AnswerFold fold;
  fold.add(R"({"choices":[{"index":4000000000,"delta":{"content":"x"}}]})");
  fold.add(R"({"choices":[{"index":-1,"delta":{"tool_calls":[{"index":99999999,"id":"a"}]}}]})");
  EXPECT_LE(fold.whole()["choices"].size(), 1025U);
}

TEST(Fold, AnswersAreCompared) {
  EXPECT_TRUE(same_answer("Yes. ", "yes"));
  EXPECT_TRUE(same_answer(R"({"a": 1, "b": 2})", R"({"b":2,"a":1})"));
  EXPECT_FALSE(same_answer(R"({"a": 1})", R"({"a": 2})"));
  EXPECT_FALSE(same_answer("no", "yes"));
  EXPECT_TRUE(same_answer("two  words", "Two\nwords."));
}

TEST(Cache, KeepsTheRecentWithinItsSizeAndTime) {
  std::chrono::steady_clock::time_point now{};
  AnswerCache cache({.max_bytes = 8000, .ttl = std::chrono::seconds(10)}, [&] { return now; });
  for (int i = 0; i < 20; ++i) {
    cache.put(std::to_string(i), {.model = "m", .body = std::string(500, 'x')});
    EXPECT_NE(cache.find("0"), nullptr) << i;  // used, so it stays
    EXPECT_LE(cache.bytes(), 8000U);
  }
  EXPECT_EQ(cache.find("1"), nullptr);
  EXPECT_NE(cache.find("19"), nullptr);
  cache.put("large", {.body = std::string(2000, 'x')});
  EXPECT_EQ(cache.find("large"), nullptr);
  now += std::chrono::seconds(11);
  EXPECT_EQ(cache.find("19"), nullptr);
}

TEST(Cache, KeysDifferByWhatCouldChangeTheAnswer) {
  const auto key = [](const char* body, std::string client, Plan plan, Egress egress = {}) {
    return AnswerCache::key({.body = Json::parse(body), .client = std::move(client)}, plan, egress);
  };
  const std::string one = key(R"({"a":1,"b":2})", "x", {.models = {"m"}});
  EXPECT_EQ(one, key(R"({"b":2,"a":1})", "x", {.models = {"m"}, .reason = "another"}));
  EXPECT_NE(one, key(R"({"a":1,"b":3})", "x", {.models = {"m"}}));
  EXPECT_NE(one, key(R"({"a":1,"b":2})", "y", {.models = {"m"}}));
  EXPECT_NE(one, key(R"({"a":1,"b":2})", "x", {.models = {"m", "n"}}));
  EXPECT_NE(one, key(R"({"a":1,"b":2})", "x", {.models = {"m"}, .min_confidence = 0.5}));
  EXPECT_NE(one,
            key(R"({"a":1,"b":2})", "x", {.models = {"m"}}, {.mode = PrivacyMode::kLocalOnly}));
}

}  // namespace
}  // namespace tack::gateway
