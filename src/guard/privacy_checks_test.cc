#include <gtest/gtest.h>

#include "base/random.h"
#include "guard/made_up_guard.h"
#include "privacy/finder.h"

namespace tack::guard {
namespace {

using enum CheckKind;

std::string category(const Guard& guard, Stage stage, const Subject& subject) {
  const Verdict verdict = judged(guard, stage, subject);
  return verdict.blocked ? verdict.findings[0].category : "";
}

TEST(PrivacyChecks, PersonalDataAndSecretsAreApart) {
  const auto pii = made(with({.kind = kPii}));
  const auto secrets = made(with({.kind = kSecrets}));
  const Subject mail = user_says("write to jane.doe@example.org please");
  const Subject key = user_says("my key is AKIAIOSFODNN7EXAMPLE, use it");
  EXPECT_EQ(category(*pii, Stage::kInput, mail), "EMAIL_ADDRESS");
  EXPECT_EQ(category(*secrets, Stage::kInput, mail), "");
  EXPECT_EQ(category(*pii, Stage::kInput, key), "");
  EXPECT_EQ(category(*secrets, Stage::kInput, key), "API_KEY");
}

TEST(PrivacyChecks, ReasonsDoNotRepeatWhatTheyFound) {
  const auto pii = made(with({.kind = kPii}));
  const Verdict verdict = judged(*pii, Stage::kInput, user_says("jane.doe@example.org"));
  EXPECT_EQ(verdict.findings[0].reason,
            "message 1 (user) contains personal data (e-mail address): leave it out");
  EXPECT_FALSE(to_text(verdict.to_json()).contains("jane"));
}

TEST(PrivacyChecks, EveryMessageIsLookedAtAndWhatIsHidden) {
  const auto pii = made(with({.kind = kPii, .only = {"EMAIL_ADDRESS"}}));
  EXPECT_EQ(
      category(*pii, Stage::kInput,
               {.passages = {{Role::kSystem, "contact boss@example.org"}, {Role::kUser, "hi"}}}),
      "EMAIL_ADDRESS");
  EXPECT_EQ(category(*pii, Stage::kInput, user_says("amFuZS5kb2VAZXhhbXBsZS5vcmc=")),
            "EMAIL_ADDRESS");
  EXPECT_EQ(category(*pii, Stage::kInput, user_says("jane\u200B.doe＠example.org")),
            "EMAIL_ADDRESS");
}

TEST(PrivacyChecks, WhatIsAllowedPasses) {
  const auto pii = made(with({.kind = kPii, .allow = {"Support@example.org"}}));
  EXPECT_EQ(category(*pii, Stage::kInput, user_says("mail support@example.org")), "");
  EXPECT_EQ(category(*pii, Stage::kInput, user_says("mail jane@example.org")), "EMAIL_ADDRESS");
}

TEST(PrivacyChecks, WhatIsMaskedDoesNotBlockUnlessItCannotBe) {
  const auto pii = made(with({.kind = kPii, .mask = true}, Stage::kPreFlight));
  const Verdict verdict = judged(*pii, Stage::kPreFlight, user_says("mail jane@example.org"));
  EXPECT_FALSE(verdict.blocked);
  EXPECT_EQ(verdict.findings[0].category, "EMAIL_ADDRESS");
  EXPECT_TRUE(verdict.findings[0].reason.ends_with("it is replaced"));
  EXPECT_TRUE(judged(*pii, Stage::kPreFlight, user_says("amFuZS5kb2VAZXhhbXBsZS5vcmc=")).blocked);
}

TEST(PrivacyChecks, ATaggerNamesPersons) {
  GuardModel tagger;
  tagger.spans = {"person", "location", "product"};
  tagger.context_length = 64;
  const auto guard =
      made(with({.kind = kPii, .model = "names", .only = {"PERSON"}}), only_model(tagger, "names"));
  const auto tags = [](const Question& question) -> Result<Answer> {
    EXPECT_TRUE(question.tags);
    Answer answer;
    for (const std::string& text : question.texts) {
      answer.spans.emplace_back();
      for (const auto& [word, name] : {std::pair("Ann", "person"), std::pair("Rome", "location")})
        if (const std::size_t at = text.find(word); at != std::string::npos)
          answer.spans.back().push_back(
              {static_cast<std::int64_t>(at), static_cast<std::int64_t>(at + 3), name});
    }
    return answer;
  };
  EXPECT_TRUE(judged(*guard, Stage::kInput, user_says("call Ann"), tags).blocked);
  EXPECT_FALSE(judged(*guard, Stage::kInput, user_says("go to Rome"), tags).blocked);
  const auto fails = [](const CheckConfig& check, const GuardModel& model) {
    const auto made_guard = Guard::create(with(check), only_model(model, "names"));
    return made_guard ? std::string() : made_guard.error().message;
  };
  EXPECT_TRUE(fails({.kind = kPii, .only = {"PERSON"}}, tagger).contains("name one that tags it"));
  EXPECT_TRUE(fails({.kind = kPii, .only = {"EMAIL_ADRESS"}}, tagger).contains("EMAIL_ADDRESS"));
  EXPECT_TRUE(fails({.kind = kPii, .model = "names"}, made_up_model()).contains("tags no persons"));
  EXPECT_TRUE(fails({.kind = kSecrets, .only = {"EMAIL_ADDRESS"}}, tagger).contains("API_KEY"));
}

// As in guard_test.cc: nothing of what the whole text's check finds is out before it is found.
TEST(PrivacyChecks, NoByteIsReleasedBeforeItIsFound) {
  GuardConfig config = with({.kind = kPii}, Stage::kOutput);
  config.output.push_back({.kind = kSecrets});
  const auto guard = made(config);
  const std::vector<std::string> parts = {"mail jane.doe@example.org now. ",
                                          "card 4111 1111 1111 1111 ",
                                          "AKIAIOSFODNN7EXAMPLE ",
                                          "ssn 536-90-4399, ",
                                          "DE89 3704 0044 0532 0130 00 ",
                                          "the order 12345 of today ",
                                          "see example.org, ",
                                          "+49 30 901820 or later. "};
  const auto finder = privacy::Finder::create();
  ASSERT_TRUE(finder);
  Random random(5);
  int found = 0;
  for (int round = 0; round < 400; ++round) {
    std::string text;
    for (int i = 0; i < 4; ++i) text += parts[random.below(parts.size())];
    const auto whole = (*finder)->find(text);
    std::size_t released = 0, at = 0;
    bool blocked = false;
    while (at < text.size() && !blocked) {
      at = std::min(text.size(), at + 1 + random.below(9));
      const std::string_view so_far = std::string_view(text).substr(0, at);
      const Subject subject{.passages = {{Role::kAssistant, std::string(so_far)}},
                            .complete = false};
      blocked = guard->judge(Stage::kOutput, subject, {}).blocked;
      if (!blocked) released = std::max(released, at - guard->held_back(so_far));
    }
    found += whole.empty() ? 0 : 1;
    if (!whole.empty()) {
      ASSERT_LE(released, whole.front().begin) << text;
    }
  }
  EXPECT_GT(found, 300);
}

}  // namespace
}  // namespace tack::guard
