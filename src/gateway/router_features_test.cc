#include "gateway/router_features.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace tack::gateway {
namespace {

float form(std::string_view text, Form which) {
  TextFeatures features;
  features.read(text);
  return features.form()[static_cast<std::size_t>(which)];
}

float log1(double x) {
  return static_cast<float>(std::log1p(x));
}

// Counted by hand.
TEST(RouterFeatures, FormOfAQuestionWithOptions) {
  const std::string text =
      "Which of these is NOT a prime, e.g. (x > 1)?\n"
      "A. 1,234.5 and 7\n"
      "B. 11\n"
      "Answer:";
  EXPECT_FLOAT_EQ(form(text, Form::kBytes), log1(static_cast<double>(text.size())));
  // Which of these is NOT a prime e g x 1 A 1 234 5 and 7 B 11 Answer
  EXPECT_FLOAT_EQ(form(text, Form::kWords), log1(20));
  EXPECT_FLOAT_EQ(form(text, Form::kLines), log1(3));
  EXPECT_FLOAT_EQ(form(text, Form::kNumbers), log1(4));  // 1, 1234.5, 7, 11
  EXPECT_FLOAT_EQ(form(text, Form::kLargestNumber), log1(1234.5));
  EXPECT_FLOAT_EQ(form(text, Form::kDecimals), log1(1));
  EXPECT_FLOAT_EQ(form(text, Form::kDigits), 9.0F / static_cast<float>(text.size()));
  EXPECT_FLOAT_EQ(form(text, Form::kMathSigns), 1.0F / static_cast<float>(text.size()));
  EXPECT_FLOAT_EQ(form(text, Form::kParentheses), log1(1));
  EXPECT_FLOAT_EQ(form(text, Form::kQuestionMarks), log1(1));
  EXPECT_FLOAT_EQ(form(text, Form::kNegations), log1(1));
  EXPECT_FLOAT_EQ(form(text, Form::kShouted), 1.0F / 20);  // NOT; single letters do not count
  EXPECT_FLOAT_EQ(form(text, Form::kDistinctWords), 18.0F / 20);  // "a" and "1" come twice
  EXPECT_FLOAT_EQ(form(text, Form::kOptions), log1(2));
  EXPECT_FLOAT_EQ(form(text, Form::kOptionBytes), log1((16 + 5) / 2.0));
  EXPECT_FLOAT_EQ(form(text, Form::kOptionSpread), log1(11));
  EXPECT_FLOAT_EQ(form(text, Form::kOptionsOfNumbers), 1);
  EXPECT_FLOAT_EQ(form(text, Form::kStemBytes), log1(45));
  EXPECT_FLOAT_EQ(form(text, Form::kBlanks), 0);
}

TEST(RouterFeatures, SignsThatTellOfCodeLatexAndMoney) {
  EXPECT_FLOAT_EQ(form("\\frac{1}{2} costs $5 or 10%", Form::kBackslashes), log1(1));
  EXPECT_FLOAT_EQ(form("\\frac{1}{2} costs $5 or 10%", Form::kDollars), log1(1));
  EXPECT_FLOAT_EQ(form("\\frac{1}{2} costs $5 or 10%", Form::kPercents), log1(1));
  EXPECT_FLOAT_EQ(form("\\frac{1}{2} costs $5 or 10%", Form::kCodeSigns), log1(4));
  EXPECT_FLOAT_EQ(form("fill the ____ in", Form::kBlanks), 1);
  EXPECT_FLOAT_EQ(form("snake_case", Form::kBlanks), 0);
  EXPECT_FLOAT_EQ(form("Why? Prove it! Version 1.2 is. out", Form::kSentences), log1(3));
  EXPECT_FLOAT_EQ(form("Why? Prove it! Version 1.2 is. out", Form::kAskingWords), log1(2));
  EXPECT_FLOAT_EQ(form("\xc3\xa9t\xc3\xa9", Form::kNonAscii), 4.0F / 5);
}

TEST(RouterFeatures, OptionsAreLinesThatBeginLikeThem) {
  EXPECT_FLOAT_EQ(form("(a) one\n 2) two\n- three\n12. four\n* five", Form::kOptions), log1(5));
  EXPECT_FLOAT_EQ(form("a.b\nAb. c\n123. d\n-e\n(\n", Form::kOptions), 0);
}

TEST(RouterFeatures, NgramsAreWordsSignsAndPairsEachOnce) {
  TextFeatures features;
  features.read("to be, or not TO BE");
  // Words: to be , or not. Pairs: "to be" twice, "be ,", ", or", "or not", "not to".
  EXPECT_EQ(features.ngrams().size(), 10U);
  const std::vector<std::uint64_t> first(features.ngrams().begin(), features.ngrams().end());
  features.read("something else");
  features.read("To be, or not to\n be");
  EXPECT_TRUE(std::ranges::equal(features.ngrams(), first));
  features.read("be to");
  const std::vector<std::uint64_t> turned(features.ngrams().begin(), features.ngrams().end());
  ASSERT_EQ(turned.size(), 3U);
  EXPECT_EQ(std::ranges::find(first, turned[2]), first.end());  // a pair has an order
}

// Part of the router's format: other numbers need another kFeatureVersion. Computed apart, from the
// definitions of FNV-1a and SplitMix64.
TEST(RouterFeatures, HashesAreThoseOfThisVersion) {
  TextFeatures features;
  features.read("Prove it");
  ASSERT_EQ(features.ngrams().size(), 3U);
  EXPECT_EQ(features.ngrams()[0], 648312009744741643ULL);
  EXPECT_EQ(features.ngrams()[1], 3290798640478112193ULL);
  EXPECT_EQ(features.ngrams()[2], 4794889207135149294ULL);
}

TEST(RouterFeatures, IdeographsStandAlone) {
  TextFeatures features;
  features.read("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e");  // three of them
  EXPECT_EQ(features.ngrams().size(), 5U);
  EXPECT_FLOAT_EQ(form("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", Form::kWords), log1(3));
  EXPECT_FLOAT_EQ(form("\xd0\xbc\xd0\xb8\xd1\x80", Form::kWords), log1(1));  // Cyrillic: one word
}

TEST(RouterFeatures, WhateverTheBytesAreNumbersAreFinite) {
  std::string all;
  for (int i = 0; i < 3000; ++i) all += static_cast<char>(i * 7 + i / 256);
  for (const std::string& text :
       {std::string(), std::string(1, '\0'), std::string("\xe6\x97"), std::string("\xff\xfe"), all,
        std::string(5000, '9'), std::string(100'000, 'a'), std::string(20'000, '.')}) {
    TextFeatures features;
    features.read(text);
    for (const float value : features.form()) EXPECT_TRUE(std::isfinite(value));
    EXPECT_LE(features.ngrams().size(), 2 * kMaxWords);
  }
}

TEST(RouterFeatures, ALongTextIsReadUpToTheLimits) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "word" + std::to_string(i) + " ";
  TextFeatures features;
  features.read(text);
  EXPECT_EQ(features.ngrams().size(), 2 * kMaxWords - 1);
  EXPECT_FLOAT_EQ(features.form()[0], log1(static_cast<double>(text.size())));
}

TEST(RouterFeatures, TheHashedVectorHasLengthOneAndTellsTextsApart) {
  TextFeatures features;
  const auto vector = [&](std::string_view text) {
    std::vector<float> out(512);
    features.read(text);
    hashed_vector(features.ngrams(), out);
    return out;
  };
  const auto product = [](const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i] * b[i]);
    return sum;
  };
  const auto one = vector("how much is the fish in the market today");
  EXPECT_NEAR(product(one, one), 1, 1e-5);
  EXPECT_GT(product(one, vector("how much is the bread in the market today")), 0.5);
  EXPECT_LT(product(one, vector("prove every bounded sequence of reals converges somewhere")), 0.3);
  EXPECT_EQ(product(vector(""), one), 0);
}

TEST(RouterFeatures, FormsHaveDifferentNames) {
  std::set<std::string_view> names;
  for (std::size_t f = 0; f < kForms; ++f) names.insert(name_of(static_cast<Form>(f)));
  EXPECT_EQ(names.size(), kForms);
  EXPECT_EQ(name_of(Form::kShouted), "words in capitals");
}

}  // namespace
}  // namespace tack::gateway
