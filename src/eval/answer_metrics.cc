#include "eval/answer_metrics.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include <utf8proc.h>

namespace tack {
namespace {

bool is_ascii_punctuation(std::int32_t c) {
  return c < 128 && ((c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
                     (c >= '{' && c <= '~'));
}

// As Python's str.split().
bool is_space(std::int32_t c) {
  const auto category = utf8proc_category(c);
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F) || c == 0x85 ||
         category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

// As \w of Python's re, without the underscore, which is punctuation and gone before.
bool is_letter(std::int32_t c) {
  const auto category = utf8proc_category(c);
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
         (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

void append(std::string& out, std::int32_t c) {
  std::array<utf8proc_uint8_t, 4> bytes;
  const auto size = static_cast<std::size_t>(utf8proc_encode_char(c, bytes.data()));
  out.append(reinterpret_cast<const char*>(bytes.data()), size);
}

// The words of a normalised answer.
std::vector<std::string> words_of(const std::string& normalized) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < normalized.size();) {
    const std::size_t end = std::min(normalized.find(' ', begin), normalized.size());
    words.push_back(normalized.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

double f1_of(const std::vector<std::string>& said, const std::vector<std::string>& gold) {
  if (said.empty() || gold.empty()) return said.empty() && gold.empty() ? 1 : 0;
  std::map<std::string_view, std::int64_t> left;
  for (const std::string& word : gold) ++left[word];
  double same = 0;
  for (const std::string& word : said)
    if (const auto found = left.find(word); found != left.end() && found->second > 0) {
      --found->second;
      ++same;
    }
  return 2 * same / static_cast<double>(said.size() + gold.size());
}

}  // namespace

std::string normalized_answer(std::string_view text) {
  std::string out, word;  // `word`: letters and digits that touch each other
  bool gap = false;       // white space since the last thing in `out`
  const auto put = [&](std::string_view piece) {
    if (gap && !out.empty()) out.push_back(' ');
    gap = false;
    out += piece;
  };
  const auto end_word = [&] {
    if (word == "a" || word == "an" || word == "the")
      gap = true;  // an article is replaced by a space
    else if (!word.empty())
      put(word);
    word.clear();
  };
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto size = static_cast<utf8proc_ssize_t>(text.size());
  for (utf8proc_ssize_t i = 0; i < size;) {
    utf8proc_int32_t c = 0xFFFD;
    const utf8proc_ssize_t used = utf8proc_iterate(bytes + i, size - i, &c);
    if (used < 0) c = 0xFFFD;
    i += std::max<utf8proc_ssize_t>(used, 1);
    c = utf8proc_tolower(c);
    if (is_ascii_punctuation(c)) continue;
    if (is_letter(c)) {
      append(word, c);
      continue;
    }
    end_word();
    if (is_space(c)) {
      gap = true;
      continue;
    }
    std::string other;
    append(other, c);
    put(other);
  }
  end_word();
  return out;
}

AnswerScore score_answer(std::string_view said, std::span<const std::string_view> gold) {
  const std::string ours = normalized_answer(said);
  const auto words = words_of(ours);
  AnswerScore best;
  bool any = false;  // as the official script: answers that normalise to nothing do not count
  for (std::string_view answer : gold) {
    const std::string theirs = normalized_answer(answer);
    if (theirs.empty()) continue;
    any = true;
    best.exact = std::max(best.exact, ours == theirs ? 1.0 : 0.0);
    best.f1 = std::max(best.f1, f1_of(words, words_of(theirs)));
  }
  if (!any) best.exact = best.f1 = ours.empty() ? 1 : 0;
  return best;
}

AnswerMetrics compute_answer_metrics(std::span<const AnswerScore> scores,
                                     const std::vector<bool>& answerable,
                                     const MetricsOptions& options) {
  AnswerMetrics m;
  m.rows = static_cast<std::int64_t>(scores.size());
  std::vector<std::size_t> all(scores.size()), with, without;
  std::iota(all.begin(), all.end(), std::size_t{0});
  for (std::size_t i : all) (answerable[i] ? with : without).push_back(i);
  const auto mean = [&](const std::vector<std::size_t>& which, double AnswerScore::* value) {
    return bootstrap(static_cast<std::int64_t>(which.size()), options,
                     [&](std::span<const std::int64_t> rows) {
                       double sum = 0;
                       for (std::int64_t row : rows)
                         sum += scores[which[static_cast<std::size_t>(row)]].*value;
                       return rows.empty() ? 0.0 : sum / static_cast<double>(rows.size());
                     });
  };
  m.exact = mean(all, &AnswerScore::exact);
  m.f1 = mean(all, &AnswerScore::f1);
  if (without.empty()) return m;
  m.answerable_exact = mean(with, &AnswerScore::exact);
  m.answerable_f1 = mean(with, &AnswerScore::f1);
  m.unanswerable = mean(without, &AnswerScore::exact);
  return m;
}

double fit_answer_threshold(std::span<const double> margins, std::span<const double> answered,
                            std::span<const double> refused) {
  std::vector<std::size_t> order(margins.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater{}, [&](std::size_t i) { return margins[i]; });
  if (order.empty()) return 0;
  double gain = 0, most = 0, best = margins[order.front()] + 1;
  for (std::size_t k = 0; k < order.size(); ++k) {
    gain += answered[order[k]] - refused[order[k]];
    // Questions of equal margin go together.
    if (k + 1 < order.size() && margins[order[k + 1]] == margins[order[k]]) continue;
    if (gain <= most) continue;
    most = gain;
    // Half-way to the next one, so that rounding does not move a question across.
    best = k + 1 < order.size() ? (margins[order[k]] + margins[order[k + 1]]) / 2
                                : margins[order[k]] - 1;
  }
  return best;
}

}  // namespace tack
