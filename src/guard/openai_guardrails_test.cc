#include "guard/openai_guardrails.h"

#include <gtest/gtest.h>

#include "guard/made_up_guard.h"

namespace tack::guard {
namespace {

// As the published package (openai-guardrails 0.3.6) reads it: the names and settings are those of
// its specifications.
constexpr const char* kWhole = R"({
  "version": 1,
  "pre_flight": {"version": 1, "guardrails": [
    {"name": "Contains PII", "config": {"entities": ["EMAIL_ADDRESS", "US_SSN", "CRYPTO"],
                                        "block": false, "detect_encoded_pii": true}},
    {"name": "Moderation", "config": {"categories": ["violence", "violence/graphic", "illicit/violent"]}}]},
  "input": {"version": 1, "config": {"concurrency": 5}, "guardrails": [
    {"name": "Jailbreak", "config": {"model": "gpt-4.1-mini", "confidence_threshold": 0.7}},
    {"name": "Keyword Filter", "config": {"keywords": ["confidential!", "internal use only"]}},
    {"name": "Competitors", "config": {"keywords": ["acme"]}},
    {"name": "Secret Keys", "config": {"threshold": "balanced", "custom_regex": ["corp-[a-z]{8}"]}}]},
  "output": {"version": 1, "config": {"suppress_tripwire": true}, "guardrails": [
    {"name": "URL Filter", "config": {"url_allow_list": ["example.com"], "allow_subdomains": true}},
    {"name": "Contains PII", "config": {"entities": ["PHONE_NUMBER"], "block": true}},
    {"name": "NSFW Text", "config": {"model": "gpt-4.1-mini"}}]}
})";

TEST(OpenAiGuardrails, AreReadAsTheyAre) {
  const auto all = parse_openai_guardrails(kWhole, "g.json");
  ASSERT_TRUE(all) << all.error().message;
  ASSERT_EQ(all->pre_flight.size(), 2U);
  EXPECT_EQ(all->pre_flight[0].kind, CheckKind::kPii);
  EXPECT_EQ(all->pre_flight[0].only, (std::vector<std::string>{"EMAIL_ADDRESS", "US_SSN"}));
  EXPECT_TRUE(all->pre_flight[0].mask);
  EXPECT_EQ(all->pre_flight[1].only, (std::vector<std::string>{"violence", "drugs_weapons"}));
  ASSERT_EQ(all->input.size(), 5U);
  EXPECT_EQ(all->input[0].kind, CheckKind::kInjection);
  EXPECT_EQ(all->input[1].words, (std::vector<std::string>{"confidential", "internal use only"}));
  EXPECT_EQ(all->input[2].name, "Competitors");
  EXPECT_EQ(all->input[3].kind, CheckKind::kSecrets);
  EXPECT_EQ(all->input[4].patterns, std::vector<std::string>{"corp-[a-z]{8}"});
  EXPECT_FALSE(all->input[0].observe);
  ASSERT_EQ(all->output.size(), 3U);
  EXPECT_EQ(all->output[0].allow,
            (std::vector<std::string>{"example.com", "*.example.com", "https:"}));
  EXPECT_TRUE(all->output[0].observe);
  EXPECT_FALSE(all->output[1].mask);
  ASSERT_EQ(all->warnings.size(), 3U);
  EXPECT_TRUE(all->warnings[0].starts_with("pre_flight: guardrails 1 (Contains PII): entities"));
  EXPECT_TRUE(all->warnings[0].ends_with("CRYPTO"));
}

TEST(OpenAiGuardrails, WhatTheyBecomeRuns) {
  const auto all = parse_openai_guardrails(kWhole, "g.json");
  ASSERT_TRUE(all);
  GuardConfig config;
  config.input = all->input;
  const auto guard = made(config);
  const auto first = [&](const char* text) {
    const Verdict verdict = judged(*guard, Stage::kInput, user_says(text));
    return verdict.first_tripped() == nullptr ? "" : verdict.first_tripped()->check;
  };
  EXPECT_EQ(first("this is Confidential."), "Keyword Filter");
  EXPECT_EQ(first("better than ACME?"), "Competitors");
  EXPECT_EQ(first("OVERRIDE"), "Jailbreak");
  EXPECT_EQ(first("use corp-abcdefgh"), "Secret Keys (custom_regex)");
  EXPECT_EQ(first("hello"), "");
}

std::string mistake(const std::string& guardrails) {
  const auto all = parse_openai_guardrails(
      R"({"version":1,"input":{"version":1,"guardrails":)" + guardrails + "}}", "g.json");
  EXPECT_FALSE(all) << guardrails;
  return all ? "" : all.error().message;
}

TEST(OpenAiGuardrails, WhatCannotBeSaysWhatToUse) {
  const std::string topic = mistake(
      R"([{"name":"Off Topic Prompts","config":{"model":"gpt-4.1","confidence_threshold":0.7,
          "system_prompt_details":"shoes"}}])");
  EXPECT_TRUE(topic.starts_with("g.json: input: guardrails 1 (Off Topic Prompts): asks a large"));
  EXPECT_TRUE(topic.contains("check = \"topic\""));
  EXPECT_TRUE(mistake(R"([{"name":"Custom Prompt Check","config":{}}])").contains("tack build"));
  EXPECT_TRUE(
      mistake(R"([{"name":"Hallucination Detection","config":{"knowledge_source":"vs_1"}}])")
          .contains("check = \"grounded\""));
}

TEST(OpenAiGuardrails, MistakesHaveTheirPlace) {
  EXPECT_TRUE(mistake(R"([{"name":"Jailbrake","config":{}}])").contains("mean 'Jailbreak'"));
  EXPECT_TRUE(
      mistake(R"([{"name":"Keyword Filter","config":{}}])").contains("keywords is missing"));
  EXPECT_TRUE(mistake(R"([{"name":"Keyword Filter","config":{"keywords":["?"]}}])")
                  .contains("no characters"));
  EXPECT_TRUE(mistake(R"([{"name":"Keyword Filter","config":{"keywords":["a"],"words":1}}])")
                  .contains("unknown key 'words'"));
  EXPECT_TRUE(mistake(R"([{"name":"Contains PII","config":{"entities":["EMAIL"]}}])")
                  .contains("there is no 'EMAIL'"));
  EXPECT_TRUE(mistake(R"([{"name":"Contains PII","config":{"entities":["PERSON"]}}])")
                  .contains("need a tagger"));
  EXPECT_TRUE(
      mistake(R"([{"name":"Moderation","config":{"categories":["evil"]}}])").contains("no 'evil'"));
  EXPECT_TRUE(mistake(R"([{"config":{}}])").contains("guardrails 1: name is missing"));
  EXPECT_TRUE(mistake("{}").contains("guardrails must be a list"));
  const auto fails = [](const char* text) {
    const auto all = parse_openai_guardrails(text, "g.json");
    return all ? std::string() : all.error().message;
  };
  EXPECT_TRUE(fails("{}").contains("none of the stages"));
  EXPECT_TRUE(fails("[").starts_with("g.json"));
  EXPECT_TRUE(fails(R"({"version":2,"input":{}})").contains("version must be 1"));
  EXPECT_TRUE(fails(R"({"inputs":{}})").contains("mean 'input'"));
}

}  // namespace
}  // namespace tack::guard
