// Text as checks see it: without the tricks of writing that hide words from them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tack::guard {

// Valid UTF-8, and where each byte comes from.
struct NormalText {
  std::string text;
  // [text.size() + 1], ascending: the byte of the original at which the character of text[i]
  // begins, and the original's size. Empty: text is the original.
  std::vector<std::uint32_t> origin;
  // What characters that nobody sees spell (U+E0020 to U+E007E, and bytes in variation selectors).
  std::string invisible;

  std::size_t original(std::size_t i) const { return origin.empty() ? i : origin[i]; }
};

enum class Lookalikes : std::uint8_t {
  kNone,    // stay as they are
  kByWord,  // are Latin letters in words that mix scripts, or in texts that are not in that script
  kAll,     // are Latin letters
};

// Compatibility composition (NFKC, character by character with its marks); characters without width
// and those that turn the direction of text are left out, as are marks piled on a letter that do
// not belong there; letters that look like Latin ones (homoglyphs.h) become those. What is not
// UTF-8 is U+FFFD. Linear; the result is at most eleven times as long.
NormalText normalize(std::string_view text, Lookalikes lookalikes = Lookalikes::kByWord);

// For comparing words: small letters, and one space for each stretch of white space. `origin` is of
// the same original as `text`'s.
NormalText fold(const NormalText& text);

// Whether the character is part of a word: a letter, a digit, a mark, '_'.
bool is_word_character(std::int32_t c);
// A letter of a script that puts no spaces between words (Chinese, Japanese, Thai and others).
bool is_unspaced_script(std::int32_t c);

}  // namespace tack::guard
