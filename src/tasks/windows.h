// A question and its context as a model sees them: [CLS] question [SEP] context [SEP], with token
// types 0 and 1. A context that is too long is cut into windows that overlap.
//
// Answers are made of words, as the tokenizer cuts them: one begins at the first token of a word
// and ends at the last token of a word. So a window's candidates are [CLS], which stands for "not
// in this window", and its words; everything that is chosen or learnt is a softmax over them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "eval/questions.h"
#include "text/tokenizer.h"

namespace tack {

inline constexpr std::int64_t kLongestQuestion = 64;  // tokens; what is behind them is cut
inline constexpr std::int64_t kLongestAnswer = 30;    // tokens

struct WindowRule {
  std::int64_t length = 0;   // tokens of a window, with the question and special tokens
  std::int64_t overlap = 0;  // tokens of the context that neighbours share (at most half of one)
};

// Tokens without special ones, and the words; words[w].token counts in `ids`.
struct ContextTokens {
  std::vector<TokenId> ids;
  std::vector<Word> words;
};
ContextTokens context_tokens(const Tokenizer& tokenizer, std::string_view context);

// With its special tokens: [CLS] question [SEP].
Tokens question_tokens(const Tokenizer& tokenizer, std::string_view question,
                       const WindowRule& rule);

struct Window {
  std::size_t first_word = 0, words = 0;  // of the context
  std::int64_t offset = 0;                // where the first word's first token is
  std::int64_t tokens = 0;                // of the whole

  std::size_t candidates() const { return words + 1; }
  // The token at which word `w` of the window begins or ends.
  std::int64_t begin_of(std::size_t w, const ContextTokens& context) const;
  std::int64_t end_of(std::size_t w, const ContextTokens& context) const;
};

// At least one; each has at least one word, where the context has some.
std::vector<Window> make_windows(const Tokens& question, const ContextTokens& context,
                                 const WindowRule& rule);
// What the model gets.
Tokens window_tokens(const Tokens& question, const ContextTokens& context, const Window& window);

// The candidates that are right, in ascending order, without doubles.
struct WindowTargets {
  std::vector<std::int32_t> starts, ends;
};
// Of the answers that lie in the window with all their words; {0} when none does.
WindowTargets window_targets(const Window& window, const ContextTokens& context,
                             std::span<const Stretch> answers);

// The candidates' values out of a window's rows [tokens, 2] of the output "span".
struct WindowScores {
  std::vector<float> starts, ends;  // [candidates]
};
WindowScores window_scores(std::span<const float> rows, const Window& window,
                           const ContextTokens& context);

// The best answer of a window, by the sum of the logarithms of its start's and end's
// probabilities.
struct Found {
  bool any = false;            // the window has words
  Stretch stretch;             // of the context
  double log_probability = 0;  // of the answer
  double log_none = 0;         // of "not in this window"
  double margin() const { return log_probability - log_none; }
};
// `longest`: tokens that an answer may have; one word is always allowed.
Found find_answer(const WindowScores& scores, const Window& window, const ContextTokens& context,
                  std::int64_t longest);

// What all windows of a question say together: the most probable answer; and its margin, the
// largest of any window, which is small when every window says that it has no answer.
struct Answer {
  bool any = false;
  Stretch stretch;
  double margin = 0;           // above 0: more probable than none
  double log_probability = 0;  // in its window
  double log_none = 0;         // in the window that is least sure of having none

  void add(const Found& found);
};

}  // namespace tack
