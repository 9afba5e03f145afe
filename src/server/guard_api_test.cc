#include "server/guard_api.h"

#include <gtest/gtest.h>

namespace tack::server {
namespace {

TEST(Moderations, TextsComeInThreeShapes) {
  EXPECT_EQ(parse_moderation_request(R"({"input": "a"})")->texts, std::vector<std::string>{"a"});
  EXPECT_EQ(parse_moderation_request(R"({"input": ["a", "b"]})")->texts,
            (std::vector<std::string>{"a", "b"}));
  // Parts are one message.
  EXPECT_EQ(parse_moderation_request(
                R"({"input": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})")
                ->texts,
            std::vector<std::string>{"a\nb"});
}

TEST(Moderations, TheirNamesOfModelsStandForOurs) {
  EXPECT_EQ(parse_moderation_request(R"({"input": "a", "model": "omni-moderation-latest"})")->model,
            "");
  EXPECT_EQ(parse_moderation_request(R"({"input": "a", "model": "guard"})")->model, "guard");
}

TEST(Moderations, WhatIsWrongIsNamed) {
  for (const auto& [body, param] : std::vector<std::pair<const char*, const char*>>{
           {R"({})", "input"},
           {R"({"input": []})", "input"},
           {R"({"input": [7]})", "input"},
           {R"({"input": [{"image_url": {}}]})", "input"},
           {R"({"input": "a", "model": 3})", "model"},
           {R"({"input": "a", "inputs": 1})", "inputs"}}) {
    const auto parsed = parse_moderation_request(body);
    ASSERT_FALSE(parsed) << body;
    EXPECT_EQ(parsed.error().param, param);
    EXPECT_EQ(parsed.error().status, 400);
  }
}

TEST(Moderations, CategoriesAreMadeOfLabels) {
  const std::vector<std::string> labels = {"safe", "violence", "fraud", "drugs_weapons"};
  const Json json = moderation_json(labels, {0.05, 0.15, 0.1, 0.7}, 0.9);
  EXPECT_EQ(json["flagged"], true);
  EXPECT_NEAR(json["category_scores"]["illicit"].get<double>(), 0.8, 1e-9);
  EXPECT_NEAR(json["category_scores"]["illicit/violent"].get<double>(), 0.7, 1e-9);
  EXPECT_EQ(json["categories"]["illicit"], true);
  EXPECT_EQ(json["categories"]["violence"], false);
  EXPECT_EQ(json["category_scores"]["violence/graphic"], 0.0);
  EXPECT_EQ(json["categories"].size(), 13u);
  // Below the threshold nothing is flagged, whatever the categories say.
  const Json safe = moderation_json(labels, {0.2, 0.7, 0.05, 0.05}, 0.9);
  EXPECT_EQ(safe["flagged"], false);
  EXPECT_EQ(safe["categories"]["violence"], false);
}

TEST(GuardRequest, AnAnswerIsTheLastMessage) {
  const auto text = parse_guard_request(R"({"input": "a"})");
  ASSERT_TRUE(text);
  EXPECT_EQ(text->stage, guard::Stage::kInput);
  EXPECT_EQ(text->subject.passages.at(0).role, guard::Role::kUser);
  const auto answer = parse_guard_request(R"({"input": "a", "stage": "output"})");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->subject.passages.at(0).role, guard::Role::kAssistant);
  const auto chat = parse_guard_request(
      R"({"stage": "pre_flight", "messages": [{"role": "system", "content": "s"},
          {"role": "tool", "content": [{"type": "text", "text": "t"}]}, 7]})");
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->stage, guard::Stage::kPreFlight);
  EXPECT_EQ(chat->subject.passages.at(0).role, guard::Role::kSystem);
  EXPECT_EQ(chat->subject.passages.at(1).text, "t");
}

TEST(GuardRequest, OneOfBothIsNeeded) {
  EXPECT_EQ(parse_guard_request(R"({})").error().param, "input");
  EXPECT_EQ(parse_guard_request(R"({"input": "a", "messages": []})").error().param, "input");
  EXPECT_EQ(parse_guard_request(R"({"input": 1})").error().param, "input");
  EXPECT_EQ(parse_guard_request(R"({"messages": 1})").error().param, "messages");
  EXPECT_EQ(parse_guard_request(R"({"input": "a", "stage": "late"})").error().param, "stage");
}

}  // namespace
}  // namespace tack::server
