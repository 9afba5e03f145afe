#include "text/pretokenizer.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <utf8proc.h>

#include "text/unicode.h"
#include "text/unicode16.h"

namespace tack {
namespace {

// What the expressions tell apart.
enum Class : std::uint8_t {
  kLetter = 1,   // \p{L}
  kNumber = 2,   // \p{N}
  kSpace = 4,    // \s
  kNewline = 8,  // \r or \n; kSpace as well
  kUpper = 16,   // \p{Lu} \p{Lt} \p{Lm} \p{Lo} \p{M}
  kLower = 32,   // \p{Ll} \p{Lm} \p{Lo} \p{M}
};

struct Character {
  std::uint8_t classes = 0;
  std::size_t bytes = 0;  // 0: the end of the text
};

// What became a character after utf8proc's tables were made.
std::uint8_t added_since(std::int32_t c) {
  const auto next = std::ranges::upper_bound(unicode16::kAdded, c, {}, &unicode16::Range::first);
  if (next == unicode16::kAdded.begin() || c > std::prev(next)->last) return 0;
  switch (std::prev(next)->kind) {
    case unicode16::Kind::kUpper:
      return kLetter | kUpper;
    case unicode16::Kind::kLower:
      return kLetter | kLower;
    case unicode16::Kind::kOtherLetter:
      return kLetter | kUpper | kLower;
    case unicode16::Kind::kMark:
      return kUpper | kLower;
    case unicode16::Kind::kNumber:
      return kNumber;
  }
  return 0;
}

std::uint8_t classify(std::int32_t c) {
  if (is_white_space(c)) return c == '\r' || c == '\n' ? kSpace | kNewline : kSpace;
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
      return kLetter | kUpper;
    case UTF8PROC_CATEGORY_LL:
      return kLetter | kLower;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return kLetter | kUpper | kLower;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return kUpper | kLower;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return kNumber;
    case UTF8PROC_CATEGORY_CN:
      return added_since(c);
    default:
      return 0;
  }
}

// Of the ASCII characters, looked up.
constexpr std::array<std::uint8_t, 128> ascii_classes() {
  std::array<std::uint8_t, 128> classes{};
  for (int c = 0; c < 128; ++c) {
    std::uint8_t of = 0;
    if (c >= 'a' && c <= 'z') of = kLetter | kLower;
    if (c >= 'A' && c <= 'Z') of = kLetter | kUpper;
    if (c >= '0' && c <= '9') of = kNumber;
    if ((c >= 9 && c <= 13) || c == ' ') of = kSpace;
    if (c == '\r' || c == '\n') of = kSpace | kNewline;
    classes[static_cast<std::size_t>(c)] = of;
  }
  return classes;
}
constexpr auto kAscii = ascii_classes();

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  Character at(std::size_t i) const {
    if (i >= text_.size()) return {};
    const auto first = static_cast<unsigned char>(text_[i]);
    if (first < 128) return {kAscii[first], 1};
    const CodePoint c = first_code_point(text_.substr(i));
    return {c.value < 0 ? std::uint8_t{0} : classify(c.value), c.bytes};
  }

  // The end of the run of characters from `i` that `belongs`.
  template <class Predicate>
  std::size_t run(std::size_t i, Predicate belongs) const {
    for (Character c; (c = at(i)).bytes > 0 && belongs(c.classes);) i += c.bytes;
    return i;
  }
  std::size_t run_of(std::size_t i, std::uint8_t classes) const {
    return run(i, [classes](std::uint8_t of) { return (of & classes) != 0; });
  }
  std::size_t run_of_none(std::size_t i) const {  // neither space, letter nor number
    return run(i, [](std::uint8_t of) { return is_other(of); });
  }
  static bool is_other(std::uint8_t classes) {
    return (classes & (kSpace | kLetter | kNumber)) == 0;
  }

  char byte(std::size_t i) const { return i < text_.size() ? text_[i] : '\0'; }
  std::size_t size() const { return text_.size(); }

 private:
  std::string_view text_;
};

// 's 't 'm 'd 're 've 'll; 0 when there is none.
std::size_t contraction(const Scanner& s, bool any_case) {
  if (s.byte(0) != '\'') return 0;
  const auto lower = [&](std::size_t i) {
    const char c = s.byte(i);
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const char a = lower(1), b = lower(2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (any_case && s.byte(1) == '\xC5' && s.byte(2) == '\xBF') return 3;  // U+017F, a long s
  return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

// \s+(?!\S)|\s+: spaces but for the last one, which goes with what follows.
std::size_t spaces(const Scanner& s) {
  std::size_t end = 0, last = 0;
  for (Character c; (c = s.at(end)).bytes > 0 && (c.classes & kSpace) != 0;) {
    last = end;
    end += c.bytes;
  }
  return end == s.size() || last == 0 ? end : last;
}

std::size_t gpt2(const Scanner& s) {
  if (const std::size_t n = contraction(s, false)) return n;
  const std::size_t begin =
      s.byte(0) == ' ' && (s.at(1).classes & kSpace) == 0 && s.at(1).bytes > 0 ? 1 : 0;
  const std::uint8_t first = s.at(begin).classes;
  if ((first & kLetter) != 0) return s.run_of(begin, kLetter);
  if ((first & kNumber) != 0) return s.run_of(begin, kNumber);
  if ((first & kSpace) == 0) return s.run_of_none(begin);
  return spaces(s);
}

// What Llama 3, Qwen 2 and Tekken share after their letters. `closes`: what may follow symbols
// besides newlines.
std::size_t after_letters(const Scanner& s, int digits, bool slashes) {
  const Character first = s.at(0);
  if ((first.classes & kNumber) != 0) {
    std::size_t end = 0;
    for (int i = 0; i < digits && (s.at(end).classes & kNumber) != 0; ++i) end += s.at(end).bytes;
    return end;
  }
  const std::size_t begin = s.byte(0) == ' ' ? 1 : 0;
  if (const Character c = s.at(begin); c.bytes > 0 && Scanner::is_other(c.classes)) {
    std::size_t end = s.run_of_none(begin);
    while ((s.at(end).classes & kNewline) != 0 || (slashes && s.byte(end) == '/')) ++end;
    return end;
  }
  // \s*[\r\n]+: up to the last newline of the spaces.
  std::size_t end = 0, after_newline = 0;
  for (Character c; (c = s.at(end)).bytes > 0 && (c.classes & kSpace) != 0;) {
    end += c.bytes;
    if ((c.classes & kNewline) != 0) after_newline = end;
  }
  return after_newline > 0 ? after_newline : spaces(s);
}

// [^\r\n\p{L}\p{N}]
bool may_lead(const Character& c) {
  return c.bytes > 0 && (c.classes & (kNewline | kLetter | kNumber)) == 0;
}

std::size_t llama3(const Scanner& s, int digits) {
  if (const std::size_t n = contraction(s, true)) return n;
  const Character first = s.at(0);
  const std::size_t begin = may_lead(first) ? first.bytes : 0;
  if ((s.at(begin).classes & kLetter) != 0) return s.run_of(begin, kLetter);
  return after_letters(s, digits, false);
}

// Upper* Lower+, greedy; 0 when it does not match. Characters of both classes are taken by Upper*,
// and given back when no lower one follows.
std::size_t upper_then_lower(const Scanner& s, std::size_t begin) {
  std::size_t end = begin, after_both = 0;
  for (Character c; (c = s.at(end)).bytes > 0 && (c.classes & kUpper) != 0;) {
    end += c.bytes;
    if ((c.classes & kLower) != 0) after_both = end;
  }
  if (const std::size_t lower = s.run_of(end, kLower); lower > end) return lower;
  return after_both;
}

// Upper+ Lower*; 0 when it does not match.
std::size_t upper_maybe_lower(const Scanner& s, std::size_t begin) {
  const std::size_t end = s.run_of(begin, kUpper);
  return end > begin ? s.run_of(end, kLower) : 0;
}

std::size_t tekken(const Scanner& s) {
  const Character first = s.at(0);
  for (const auto words : {upper_then_lower, upper_maybe_lower}) {
    if (may_lead(first))
      if (const std::size_t end = words(s, first.bytes)) return end;
    if (const std::size_t end = words(s, 0)) return end;
  }
  return after_letters(s, 1, true);
}

}  // namespace

std::size_t first_word(PreTokenizer kind, std::string_view text) {
  const Scanner scanner(text);
  switch (kind) {
    case PreTokenizer::kGpt2:
      return gpt2(scanner);
    case PreTokenizer::kLlama3:
      return llama3(scanner, 3);
    case PreTokenizer::kQwen2:
      return llama3(scanner, 1);
    case PreTokenizer::kTekken:
      return tekken(scanner);
  }
  return text.size();
}

}  // namespace tack
