#include "tasks/compress.h"

#include <gtest/gtest.h>

#include "tasks/compress_report.h"

namespace tack {
namespace {

Candidate made(std::int64_t layers, std::size_t bytes, double quality, double p50_us = 100) {
  return {.recipe = {.layers = layers, .type = "int8"},
          .bytes = bytes,
          .quality = quality,
          .p50_us = p50_us};
}

const std::vector<Candidate> kSome = {
    made(6, 10'000'000, 0.93, 400), made(5, 8'000'000, 0.9295, 350), made(3, 6'000'000, 0.92, 200),
    made(2, 6'500'000, 0.91, 150), made(1, 2'000'000, 0.80, 90)};

TEST(Compress, FrontierIsWhatNothingAsSmallBeats) {
  auto some = kSome;
  mark_frontier(some);
  std::vector<bool> marks;
  for (const Candidate& one : some) marks.push_back(one.frontier);
  EXPECT_EQ(marks, (std::vector<bool>{true, true, true, false, true}));
}

TEST(Compress, OfTwoThatAreEqualBothStand) {
  std::vector<Candidate> two = {made(2, 5, 0.5), made(3, 5, 0.5)};
  mark_frontier(two);
  EXPECT_TRUE(two[0].frontier && two[1].frontier);
}

TEST(Compress, ChoosesTheBestWithinTheBudgetAndOfEqualsTheSmallest) {
  const auto layers = [&](const CompressLimits& limits) {
    const Candidate* chosen = choose_candidate(kSome, 0.935, limits);
    return chosen == nullptr ? 0 : chosen->recipe.layers;
  };
  EXPECT_EQ(layers({.bytes = 20'000'000}), 5);  // 0.05 points below the best, a fifth smaller
  EXPECT_EQ(layers({.bytes = 7'000'000}), 3);
  EXPECT_EQ(layers({.bytes = 1'000'000}), 0);
  EXPECT_EQ(layers({.latency_us = 160}), 2);
  EXPECT_EQ(layers({.bytes = 3'000'000, .latency_us = 100}), 1);
  EXPECT_EQ(layers({.max_drop = 0.01}), 5);
  EXPECT_EQ(layers({.max_drop = 0.016}), 3);
  EXPECT_EQ(layers({.max_drop = 0.2}), 1);
  EXPECT_EQ(layers({.bytes = 3'000'000, .max_drop = 0.01}), 0);
}

TEST(Compress, RecipesHaveNamesOfTheirOwn) {
  const Recipe plain{.layers = 1, .type = "q4_0"},
      trained{.layers = 1, .type = "q4_0", .trained_type = true},
      fewer{.layers = 1, .type = "q4_0", .tokens = 5012},
      narrow{.layers = 2, .ffn = 768, .type = "q4_0", .tokens = 5012};
  EXPECT_EQ(plain.text(), "1 layer, q4_0");
  EXPECT_EQ(trained.text(), "1 layer, q4_0 trained");
  EXPECT_EQ(fewer.text(), "1 layer, q4_0, 5012 tokens");
  EXPECT_EQ(fewer.name(), "1-q4_0-5012");
  EXPECT_EQ(narrow.text(), "2 layers, ffn 768, q4_0, 5012 tokens");
  EXPECT_EQ(narrow.name(), "2-ffn768-q4_0-5012");
  EXPECT_NE(plain.name(), trained.name());
}

TEST(Compress, ThePictureShowsEveryPointOfTheFrontierAndWhichWasChosen) {
  CompressResult result{.measure = "accuracy"};
  result.original = made(6, 40'000'000, 0.935);
  result.original.recipe.type = "original";
  result.candidates = kSome;
  mark_frontier(result.candidates);
  result.chosen = result.candidates[2];
  const std::string text = frontier_text(result);
  for (const char* wanted : {"  a     2.00 MB    80.00 %", "  b     6.00 MB    92.00 %",
                             "3 layers, int8  <- chosen", "O: the original"})
    EXPECT_NE(text.find(wanted), std::string::npos) << wanted << " in\n" << text;
  const std::string page = compress_html("a < b", result);
  EXPECT_NE(page.find("a &lt; b"), std::string::npos);
  EXPECT_NE(page.find("<svg"), std::string::npos);
  EXPECT_NE(page.find("</html>"), std::string::npos);
}

}  // namespace
}  // namespace tack
