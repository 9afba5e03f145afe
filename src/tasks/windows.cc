#include "tasks/windows.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tack {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// Where word `w` of the context begins; past the last one: how many tokens there are.
std::int64_t token_of(const ContextTokens& context, std::size_t w) {
  return w < context.words.size() ? context.words[w].token
                                  : static_cast<std::int64_t>(context.ids.size());
}

void insert(std::vector<std::int32_t>& sorted, std::size_t value) {
  const auto v = static_cast<std::int32_t>(value);
  const auto place = std::ranges::lower_bound(sorted, v);
  if (place == sorted.end() || *place != v) sorted.insert(place, v);
}

// log of the sum of exp(x).
double log_sum(const std::vector<float>& x) {
  const auto most = static_cast<double>(*std::ranges::max_element(x));
  double sum = 0;
  for (float v : x) sum += std::exp(static_cast<double>(v) - most);
  return most + std::log(sum);
}

}  // namespace

ContextTokens context_tokens(const Tokenizer& tokenizer, std::string_view context) {
  ContextTokens out;
  const Tokens tokens = tokenizer.encode_words(context, 0, out.words);
  out.ids.assign(tokens.ids.begin() + 1, tokens.ids.end() - 1);
  for (Word& word : out.words) --word.token;
  return out;
}

Tokens question_tokens(const Tokenizer& tokenizer, std::string_view question,
                       const WindowRule& rule) {
  return tokenizer.encode(question, std::min(kLongestQuestion, (rule.length - 3) / 2) + 2);
}

std::int64_t Window::begin_of(std::size_t w, const ContextTokens& context) const {
  return offset + token_of(context, first_word + w) - token_of(context, first_word);
}

std::int64_t Window::end_of(std::size_t w, const ContextTokens& context) const {
  // A word that is longer than the window ends with it; behind stands [SEP].
  return std::min(
      offset + token_of(context, first_word + w + 1) - token_of(context, first_word) - 1,
      tokens - 2);
}

std::vector<Window> make_windows(const Tokens& question, const ContextTokens& context,
                                 const WindowRule& rule) {
  const auto offset = static_cast<std::int64_t>(question.ids.size());
  const std::int64_t room = std::max<std::int64_t>(1, rule.length - offset - 1);
  const std::int64_t overlap = std::min(rule.overlap, room / 2);
  std::vector<Window> windows;
  std::size_t from = 0;
  do {
    const std::int64_t begin = token_of(context, from);
    std::size_t to = from;
    while (to < context.words.size() && token_of(context, to + 1) - begin <= room) ++to;
    if (to == from && to < context.words.size()) ++to;  // one word that alone is too long
    const std::int64_t end = token_of(context, to);
    windows.push_back({.first_word = from,
                       .words = to - from,
                       .offset = offset,
                       .tokens = offset + std::min(end - begin, room) + 1});
    if (to == context.words.size()) break;
    // The first word that begins within the overlap; the next window must get further.
    std::size_t next = to;
    while (next > from + 1 && token_of(context, next - 1) >= end - overlap) --next;
    from = next;
  } while (true);
  return windows;
}

Tokens window_tokens(const Tokens& question, const ContextTokens& context, const Window& window) {
  Tokens out;
  out.truncated = question.truncated;
  out.ids.reserve(at(window.tokens));
  out.ids = question.ids;
  const auto begin = context.ids.begin() + token_of(context, window.first_word);
  out.ids.insert(out.ids.end(), begin, begin + (window.tokens - window.offset - 1));
  out.ids.push_back(question.ids.back());
  out.type_ids.assign(at(window.offset), 0);
  out.type_ids.resize(out.ids.size(), 1);
  return out;
}

WindowTargets window_targets(const Window& window, const ContextTokens& context,
                             std::span<const Stretch> answers) {
  WindowTargets out;
  const auto begin = context.words.begin();
  for (const Stretch& answer : answers) {
    const auto first = std::ranges::upper_bound(context.words, answer.begin, {}, &Word::end);
    const auto end = std::ranges::lower_bound(context.words, answer.end, {}, &Word::begin);
    if (first >= end || first - begin < static_cast<std::ptrdiff_t>(window.first_word) ||
        end - begin > static_cast<std::ptrdiff_t>(window.first_word + window.words))
      continue;
    // Candidate 0 is [CLS].
    insert(out.starts, static_cast<std::size_t>(first - begin) - window.first_word + 1);
    insert(out.ends, static_cast<std::size_t>(end - begin) - window.first_word);
  }
  if (out.starts.empty()) out.starts = out.ends = {0};
  return out;
}

WindowScores window_scores(std::span<const float> rows, const Window& window,
                           const ContextTokens& context) {
  WindowScores out;
  out.starts.push_back(rows[0]);
  out.ends.push_back(rows[1]);
  for (std::size_t w = 0; w < window.words; ++w) {
    out.starts.push_back(rows[2 * at(window.begin_of(w, context))]);
    out.ends.push_back(rows[2 * at(window.end_of(w, context)) + 1]);
  }
  return out;
}

Found find_answer(const WindowScores& scores, const Window& window, const ContextTokens& context,
                  std::int64_t longest) {
  Found out;
  const double sum = log_sum(scores.starts) + log_sum(scores.ends);
  out.log_none = static_cast<double>(scores.starts[0]) + static_cast<double>(scores.ends[0]) - sum;
  double most = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < window.words; ++i)
    for (std::size_t j = i; j < window.words; ++j) {
      const std::int64_t length = window.end_of(j, context) - window.begin_of(i, context) + 1;
      if (j > i && length > longest) break;
      const double score =
          static_cast<double>(scores.starts[i + 1]) + static_cast<double>(scores.ends[j + 1]);
      if (score <= most) continue;
      most = score;
      out.any = true;
      out.stretch = {context.words[window.first_word + i].begin,
                     context.words[window.first_word + j].end};
    }
  out.log_probability = most - sum;
  return out;
}

void Answer::add(const Found& found) {
  if (!found.any) return;
  if (!any || found.margin() > margin) {
    margin = found.margin();
    log_none = found.log_none;
  }
  if (!any || found.log_probability > log_probability) {
    log_probability = found.log_probability;
    stretch = found.stretch;
  }
  any = true;
}

}  // namespace tack
