// What the learned router sees of a prompt: counts that describe its form, and its words.
//
// All is a function of the bytes, and part of the router's format: a change of any number needs
// another kFeatureVersion. A prompt of a few hundred words takes about ten microseconds.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace tack::gateway {

// A router made for another version is refused.
inline constexpr int kFeatureVersion = 1;

// The form of a text: counts on a log scale, shares, means. "log" is log(1 + x).
enum class Form : std::uint8_t {
  kBytes,             // log bytes of the whole text
  kWords,             // log words
  kLines,             // log lines
  kWordBytes,         // mean bytes of a word
  kDigits,            // digits per byte
  kNumbers,           // log numbers; "1,234.5" is one
  kLargestNumber,     // log of the largest
  kDecimals,          // log numbers with a decimal point
  kMathSigns,         // = + * / ^ < > | ~ per byte
  kBackslashes,       // log backslashes: LaTeX, escapes
  kDollars,           // log dollar signs: money, LaTeX
  kPercents,          // log per cent signs
  kCodeSigns,         // log braces, brackets, semicolons, underscores, backticks
  kParentheses,       // log opening parentheses
  kQuestionMarks,     // log question marks
  kUpperCase,         // capitals per letter (ASCII)
  kNonAscii,          // bytes from 0x80 per byte
  kCommas,            // commas per word
  kSentences,         // log ends of sentences: . ! ? before white space or the end
  kSentenceWords,     // log words per sentence
  kDistinctWords,     // distinct words per word
  kLongWords,         // words of eight bytes and more, per word
  kShortWords,        // words of three bytes and fewer, per word
  kNegations,         // log "not", "except", ... (English)
  kAskingWords,       // log "why", "prove", "compute", ... (English)
  kOptions,           // log lines like "A. ..." or "- ..."
  kOptionBytes,       // log mean bytes of such a line
  kOptionSpread,      // log of the longest minus the shortest
  kOptionsOfNumbers,  // such lines with a digit, per line
  kStemBytes,         // log bytes before the first of them
  kQuotes,            // log quotation marks
  kBlanks,            // 1 when there is a blank to fill: "__"
  kShouted,           // words of two and more in capitals, per word
};
inline constexpr std::size_t kForms = 33;
// "bytes", "largest number", ...: for people, and in the router file.
std::string_view name_of(Form form);

// Counts look at the first so many bytes (kBytes at all), n-grams at the first so many words: what
// a longer prompt costs has a bound.
inline constexpr std::size_t kFormBytes = 32 * 1024;
inline constexpr std::size_t kMaxWords = 1024;

// The form of a text, and its words and pairs of neighbouring words as hashes.
//
// A word is a run of letters, digits and underscores, where bytes from 0x80 count as letters; every
// other byte that is not white space is a word of its own among the n-grams, and so is every
// character from U+2E80 (ideographs, kana). Capitals (ASCII) count as small letters.
//
// For one thread at a time; to be reused: it holds 90 kB.
class TextFeatures {
 public:
  TextFeatures();
  // Forgets the text before. Allocates nothing.
  void read(std::string_view text);

  std::span<const float, kForms> form() const { return form_; }
  // Each once, in the order of first places.
  std::span<const std::uint64_t> ngrams() const { return {ngrams_.data(), ngram_count_}; }

 private:
  struct Counts;
  void read_bytes(std::string_view text, Counts& counts);
  void read_words(std::string_view text, Counts& counts);
  void read_numbers(std::string_view text, Counts& counts);
  void read_lines(std::string_view text, Counts& counts);
  void add_ngram(std::uint64_t word, bool is_word, Counts& counts);
  bool insert(std::uint64_t hash);  // false when it was there

  std::array<float, kForms> form_{};
  std::vector<std::uint64_t> ngrams_;  // [2 kMaxWords]
  std::size_t ngram_count_ = 0;
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t generation = 0;  // of the read() that filled it
  };
  std::vector<Slot> table_;  // [4 kMaxWords], open addressing
  std::uint32_t generation_ = 0;
};

// The n-grams as a vector of length 1 (0 without any): each adds 1 or -1 to one element, both told
// by its hash (Weinberger et al. 2009, arXiv:0902.2206). out [dims], dims > 0.
void hashed_vector(std::span<const std::uint64_t> ngrams, std::span<float> out);

}  // namespace tack::gateway
