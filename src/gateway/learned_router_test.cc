#include "gateway/learned_router.h"

#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

#include "base/random.h"
#include "gateway/router_explanation.h"
#include "gateway/router_policy.h"
#include "gateway/router_test_data.h"
#include "gateway/router_training.h"

namespace tack::gateway {
namespace {

std::shared_ptr<const LearnedRouter> small_router(bool middle = false) {
  static ThreadPool pool(1);
  const RouterData training = made_up_logs(400, 1, middle),
                   held_back = made_up_logs(200, 2, middle);
  RouterTrainingOptions options;
  options.trees = 10;
  options.leaf_rows = {10};
  if (middle) options.prices = {{0.1, 0.1, {}}, {1, 1, {}}, {0.4, 0.4, {}}};
  auto trained = train_router({&training, {}}, {&held_back, {}}, options, pool);
  EXPECT_TRUE(trained) << trained.error().message;
  return trained->router;
}

std::vector<float> quality_of(const LearnedRouter& router, std::string_view text) {
  std::vector<float> out(router.models());
  EXPECT_TRUE(router.quality(text, {}, out));
  return out;
}

Result<std::shared_ptr<const LearnedRouter>> parsed(const std::string& bytes) {
  return LearnedRouter::parse(std::as_bytes(std::span(bytes)), "x.gguf");
}

TEST(LearnedRouter, IsTheSameAfterAFile) {
  const auto router = small_router();
  const auto path = std::filesystem::temp_directory_path() / "tack_learned_router_test.gguf";
  ASSERT_TRUE(router->write(path));
  const auto again = LearnedRouter::open(path);
  ASSERT_TRUE(again) << again.error().message;
  for (const char* text : {"Prove that 3 > 2", "Where is my parcel?", ""})
    EXPECT_EQ(quality_of(*router, text), quality_of(**again, text)) << text;
  EXPECT_EQ(to_json(router->card()), to_json((*again)->card()));
  EXPECT_EQ((*again)->typical().size(), router->features());
  std::filesystem::remove(path);
}

TEST(LearnedRouter, ReadsEmbeddingsOfTheRightSizeOnly) {
  const auto router = small_router();
  std::vector<float> out(2);
  const Status wrong = router->quality("x", std::vector<float>(384), out);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message, "the router reads embeddings of 0 numbers, not 384");
}

TEST(LearnedRouter, ATruncatedFileIsOneClearError) {
  const auto bytes = small_router()->to_bytes();
  ASSERT_TRUE(bytes);
  for (std::size_t size = 0; size < bytes->size(); size += 1 + bytes->size() / 300)
    EXPECT_FALSE(parsed(bytes->substr(0, size))) << size;
  EXPECT_FALSE(LearnedRouter::open("/nowhere/router.gguf"));
}

// Bytes that changed: an error, or a router that answers within bounds (sanitizers watch).
TEST(LearnedRouter, AHostileFileDoesNoHarm) {
  const auto bytes = small_router()->to_bytes();
  ASSERT_TRUE(bytes);
  Random random(4);
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string broken = *bytes;
    for (std::uint64_t n = 0; n <= random.below(3); ++n)
      broken[random.below(broken.size())] = static_cast<char>(random.next());
    const auto router = parsed(broken);
    if (!router) {
      ++refused;
      EXPECT_EQ(router.error().message.find(0x0a), std::string::npos)
          << router.error().message.substr(0, 300);
      continue;
    }
    std::vector<float> out((*router)->models());
    if ((*router)->needs_embedding()) continue;
    ASSERT_TRUE((*router)->quality("Prove that 3 > 2", {}, out));
    ASSERT_LT(choose_model((*router)->card(), out, (*router)->card().policy), out.size());
  }
  EXPECT_GT(refused, 100);
}

TEST(LearnedRouter, ErrorsOfTheCardNameTheKey) {
  const Json good = to_json(small_router()->card());
  const auto error = [&](const char* pointer, Json value) {
    Json bad = good;
    bad[Json::json_pointer(pointer)] = std::move(value);
    const auto card = router_card_from(bad);
    return card ? "" : card.error().message;
  };
  EXPECT_TRUE(router_card_from(good));
  EXPECT_EQ(error("/strong", 7), "tack.router.strong names no model");
  EXPECT_EQ(error("/strong", "large"), "tack.router.strong is no number");
  EXPECT_EQ(error("/models/1/cost", -1), "models[1].cost is -1, outside [0, 1]");
  EXPECT_EQ(error("/models/1/name", "small"), "two models are called 'small'");
  EXPECT_EQ(error("/models", Json::array()), "tack.router.models has 0 elements");
  EXPECT_EQ(error("/points", Json::object()), "tack.router.points is no list");
  EXPECT_EQ(error("/points/0/strong_share", nullptr), "points[0].strong_share is no number");
  EXPECT_EQ(error("/policy", 3), "policy is no object");
  EXPECT_EQ(error("/encoder", Json{{"name", "x"}, {"dims", 0}}),
            "encoder.dims is 0, outside [1, 65536]");
  EXPECT_NE(error("/features", 99).find("another version"), std::string::npos);
  EXPECT_FALSE(router_card_from(Json::array()));
}

TEST(RouterPolicy, TheCheapestModelThatIsWorthIt) {
  RouterCard card;
  card.models = {{"a", {}, 0.1, 0.5}, {"b", {}, 0.5, 0.6}, {"c", {}, 1, 0.9}};
  card.strong = 2;
  const std::vector<float> quality = {0.5F, 0.7F, 0.8F};
  EXPECT_EQ(choose_model(card, quality, {0}), 2U);
  EXPECT_EQ(choose_model(card, quality, {0.3}), 1U);  // 0.47, 0.55, 0.5
  EXPECT_EQ(choose_model(card, quality, {0.6}), 0U);  // 0.44, 0.4, 0.2
  EXPECT_EQ(choose_model(card, quality, {9, true}), 2U);
  EXPECT_EQ(choose_model(card, quality, {0, true}, {true, true, false}), 1U);
  EXPECT_EQ(choose_model(card, quality, {0}, {true, false, false}), 0U);
  EXPECT_EQ(choose(card, quality, {0.3}).reason,
            "b: 0.70 at 0.50 of the dearest model's cost; 0.80 of c at 1.00 is not worth it");
}

TEST(RouterPolicy, TheReasonOfTwoModelsIsTheGain) {
  RouterCard card;
  card.models = {{"small", {}, 0, 0.5}, {"large", {}, 1, 0.9}};
  card.strong = 1;
  EXPECT_EQ(choose(card, std::vector{0.71F, 0.83F}, {0.18}).reason,
            "small: 0.71 against 0.83 of large; a gain of 0.120 is not above 0.180");
  EXPECT_EQ(choose(card, std::vector{0.5F, 0.83F}, {0.18}).reason,
            "large: 0.83 against 0.50 of small; a gain of 0.330 is above 0.180");
}

TEST(RouterPolicy, SharesLieBetweenThePoints) {
  RouterCard card;
  card.points = {{{-0.5, true}, 1}, {{-0.5}, 0.9}, {{0.1}, 0.5}, {{0.3}, 0.1}, {{0.4}, 0}};
  EXPECT_TRUE(policy_for_share(card, 1)->always_strong);
  EXPECT_DOUBLE_EQ(policy_for_share(card, 0.95)->rate, -0.5);
  EXPECT_DOUBLE_EQ(policy_for_share(card, 0.7)->rate, -0.2);
  EXPECT_DOUBLE_EQ(policy_for_share(card, 0.3)->rate, 0.2);
  EXPECT_DOUBLE_EQ(policy_for_share(card, 0)->rate, 0.4);
  EXPECT_FALSE(policy_for_share(card, 1.2));
  EXPECT_FALSE(policy_for_share(card, -0.1));
}

TEST(RouterExplanation, WhatSpeaksForTheStrongModel) {
  const auto router = small_router();
  const auto hard =
      explain_route(*router, "Prove by induction that the lemma holds for n = 7", {0.3}, {});
  ASSERT_TRUE(hard) << hard.error().message;
  EXPECT_EQ(router->card().models[hard->choice.model].name, "large");
  EXPECT_GT(hard->gain, 0.3);
  const auto easy = explain_route(*router, "Where can I find a parcel number 12?", {0.3}, {});
  ASSERT_TRUE(easy);
  EXPECT_EQ(router->card().models[easy->choice.model].name, "small");
  EXPECT_LT(easy->gain, 0.2);
  // Without the words of the hard prompts there is less to gain.
  double words = 0;
  for (const Influence& word : hard->words) words += word.change;
  EXPECT_GT(words, 0);
  const std::string text = explanation_text(router->card(), *hard);
  EXPECT_NE(text.find("asks large: "), std::string::npos) << text;
  EXPECT_NE(text.find("its words: '"), std::string::npos) << text;
  EXPECT_EQ(to_json(router->card(), *hard)["model"], "large");
}

}  // namespace
}  // namespace tack::gateway
