#include "tasks/windows.h"

#include <cmath>

#include <gtest/gtest.h>

#include "base/random.h"
#include "text/wordpiece.h"

namespace tack {
namespace {

std::unique_ptr<Tokenizer> tiny() {
  WordPieceConfig config;
  config.vocab = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##b", "c", ","};
  auto tokenizer = make_wordpiece(std::move(config));
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return *std::move(tokenizer);
}

using Ids = std::vector<TokenId>;

TEST(Windows, QuestionAndContextOfOneWindow) {
  const auto t = tiny();
  const ContextTokens context = context_tokens(*t, "a bbb, c");
  EXPECT_EQ(context.ids, (Ids{5, 6, 7, 7, 9, 8}));
  ASSERT_EQ(context.words.size(), 4U);
  const WindowRule rule{20, 4};
  const Tokens question = question_tokens(*t, "c a", rule);
  const auto windows = make_windows(question, context, rule);
  ASSERT_EQ(windows.size(), 1U);
  const Tokens tokens = window_tokens(question, context, windows[0]);
  EXPECT_EQ(tokens.ids, (Ids{2, 8, 5, 3, 5, 6, 7, 7, 9, 8, 3}));
  EXPECT_EQ(tokens.type_ids, (std::vector<std::int32_t>{0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(windows[0].tokens, 11);
  EXPECT_EQ(windows[0].begin_of(1, context), 5);  // "bbb"
  EXPECT_EQ(windows[0].end_of(1, context), 7);
  EXPECT_EQ(windows[0].begin_of(3, context), 9);
  EXPECT_EQ(windows[0].end_of(3, context), 9);
  // The question is cut, not the context: half of what is there.
  const Tokens longer = question_tokens(*t, "a a a a a a a a a a a a", rule);
  EXPECT_EQ(longer.ids.size(), 10U);
  EXPECT_EQ(longer.truncated, 4);
}

TEST(Windows, TargetsAreWordsOfTheAnswer) {
  const auto t = tiny();
  const ContextTokens context = context_tokens(*t, "a bbb, c");
  const WindowRule rule{20, 4};
  const auto window = make_windows(question_tokens(*t, "c", rule), context, rule)[0];
  const auto targets = [&](std::vector<Stretch> answers) {
    const WindowTargets out = window_targets(window, context, answers);
    return std::pair(out.starts, out.ends);
  };
  using Pair = std::pair<std::vector<std::int32_t>, std::vector<std::int32_t>>;
  EXPECT_EQ(targets({{0, 1}}), (Pair{{1}, {1}}));
  EXPECT_EQ(targets({{2, 8}}), (Pair{{2}, {4}}));
  EXPECT_EQ(targets({{3, 4}}), (Pair{{2}, {2}}));  // a part of a word is the word
  EXPECT_EQ(targets({{0, 5}, {2, 5}, {0, 1}}), (Pair{{1, 2}, {1, 2}}));
  EXPECT_EQ(targets({}), (Pair{{0}, {0}}));
  EXPECT_EQ(targets({{1, 2}}), (Pair{{0}, {0}}));  // white space
}

TEST(Windows, LongContextsAreCutWithOverlap) {
  const auto t = tiny();
  std::string text;
  for (int i = 0; i < 200; ++i) text += i % 5 == 0 ? "bbb " : "a ";
  const ContextTokens context = context_tokens(*t, text);
  const WindowRule rule{40, 10};
  const Tokens question = question_tokens(*t, "c", rule);
  const auto windows = make_windows(question, context, rule);
  ASSERT_GT(windows.size(), 5U);
  EXPECT_EQ(windows.front().first_word, 0U);
  EXPECT_EQ(windows.back().first_word + windows.back().words, context.words.size());
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const Tokens tokens = window_tokens(question, context, windows[i]);
    EXPECT_LE(tokens.ids.size(), 40U);
    EXPECT_EQ(static_cast<std::int64_t>(tokens.ids.size()), windows[i].tokens);
    EXPECT_EQ(tokens.ids.back(), 3);
    for (std::size_t w = 0; w < windows[i].words; ++w) {
      const Word& word = context.words[windows[i].first_word + w];
      EXPECT_EQ(tokens.ids[static_cast<std::size_t>(windows[i].begin_of(w, context))],
                context.ids[static_cast<std::size_t>(word.token)]);
    }
    if (i == 0) continue;
    const std::size_t before = windows[i - 1].first_word + windows[i - 1].words;
    const auto shared = context.words[before].token - context.words[windows[i].first_word].token;
    EXPECT_LE(shared, 10);
    EXPECT_GE(shared, 7);  // a word more would be too many
    // An answer that only the earlier window holds whole is none in this one.
    const Word& outside = context.words[windows[i].first_word - 1];
    const std::vector<Stretch> answer = {{outside.begin, outside.end}};
    EXPECT_EQ(window_targets(windows[i], context, answer).starts.front(), 0);
    EXPECT_NE(window_targets(windows[i - 1], context, answer).starts.front(), 0);
  }
}

TEST(Windows, WordsLongerThanAWindowAndEmptyContexts) {
  const auto t = tiny();
  const ContextTokens context = context_tokens(*t, "a " + std::string(90, 'b') + " a");
  const WindowRule rule{32, 10};
  const Tokens question = question_tokens(*t, "c", rule);
  const auto windows = make_windows(question, context, rule);
  ASSERT_EQ(windows.size(), 3U);
  for (const Window& window : windows) {
    EXPECT_LE(window_tokens(question, context, window).ids.size(), 32U);
    for (std::size_t w = 0; w < window.words; ++w)
      EXPECT_LT(window.end_of(w, context), window.tokens - 1);
  }
  const ContextTokens none = context_tokens(*t, " ");
  const auto empty = make_windows(question, none, rule);
  ASSERT_EQ(empty.size(), 1U);
  EXPECT_EQ(window_tokens(question, none, empty[0]).ids, (Ids{2, 8, 3, 3}));
  const std::vector<float> rows = {1, 2, 0, 0, 0, 0, 0, 0};
  const WindowScores scores = window_scores(rows, empty[0], none);
  EXPECT_EQ(scores.starts, std::vector<float>{1});
  const Found found = find_answer(scores, empty[0], none, 30);
  EXPECT_FALSE(found.any);
  EXPECT_NEAR(found.log_none, 0, 1e-12);
}

// Against all pairs of words.
TEST(Windows, TheBestAnswerIsTheBest) {
  const auto t = tiny();
  Random random(1);
  for (int round = 0; round < 50; ++round) {
    std::string text;
    for (int i = 0; i < 12; ++i) text += random.below(3) == 0 ? "bb " : "a ";
    const ContextTokens context = context_tokens(*t, text);
    const WindowRule rule{64, 10};
    const auto window = make_windows(question_tokens(*t, "c", rule), context, rule)[0];
    std::vector<float> rows(static_cast<std::size_t>(2 * window.tokens));
    for (float& v : rows) v = static_cast<float>(2 * random.normal());
    const WindowScores scores = window_scores(rows, window, context);
    std::vector<double> p, q;
    double sum_p = 0, sum_q = 0;
    for (std::size_t c = 0; c < window.candidates(); ++c) {
      p.push_back(std::exp(static_cast<double>(scores.starts[c])));
      q.push_back(std::exp(static_cast<double>(scores.ends[c])));
      sum_p += p.back();
      sum_q += q.back();
    }
    double best = 0;
    Stretch stretch;
    for (std::size_t i = 0; i < window.words; ++i)
      for (std::size_t j = i; j < window.words; ++j)
        if ((i == j || window.end_of(j, context) - window.begin_of(i, context) + 1 <= 4) &&
            p[i + 1] * q[j + 1] > best) {
          best = p[i + 1] * q[j + 1];
          stretch = {context.words[i].begin, context.words[j].end};
        }
    const Found found = find_answer(scores, window, context, 4);
    EXPECT_EQ(found.stretch, stretch);
    EXPECT_NEAR(std::exp(found.log_probability), best / (sum_p * sum_q), 1e-9);
    EXPECT_NEAR(std::exp(found.log_none), p[0] * q[0] / (sum_p * sum_q), 1e-9);
  }
}

TEST(Windows, AllWindowsTogether) {
  Answer answer;
  answer.add({.any = true, .stretch = {0, 1}, .log_probability = -5, .log_none = -0.1});
  answer.add({.any = true, .stretch = {7, 9}, .log_probability = -1, .log_none = -2});
  answer.add({.any = false});
  EXPECT_EQ(answer.stretch, (Stretch{7, 9}));
  EXPECT_DOUBLE_EQ(answer.margin, 1);
  EXPECT_DOUBLE_EQ(answer.log_none, -2);
}

}  // namespace
}  // namespace tack
