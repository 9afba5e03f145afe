#include "gateway/router_features.h"

#include <algorithm>
#include <cmath>

namespace tack::gateway {
namespace {

constexpr std::array<std::string_view, kForms> kNames = {
    "bytes",
    "words",
    "lines",
    "bytes per word",
    "share of digits",
    "numbers",
    "largest number",
    "decimals",
    "mathematical signs",
    "backslashes",
    "dollar signs",
    "per cent signs",
    "signs of code",
    "parentheses",
    "question marks",
    "capitals",
    "other scripts",
    "commas",
    "sentences",
    "words per sentence",
    "distinct words",
    "long words",
    "short words",
    "negations",
    "asking words",
    "options",
    "bytes per option",
    "spread of options",
    "options of numbers",
    "bytes before the options",
    "quotation marks",
    "blanks",
    "words in capitals",
};

// FNV-1a (Fowler, Noll, Vo) over small letters, then SplitMix64's mixing: all bits depend on all.
constexpr std::uint64_t kOffset = 0xcbf29ce484222325ULL, kPrime = 0x100000001b3ULL;
constexpr std::uint64_t fnv(std::uint64_t hash, char c) {
  return (hash ^ static_cast<unsigned char>(c)) * kPrime;
}
constexpr std::uint64_t mixed(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}
constexpr std::uint64_t hash_of(std::string_view word) {
  std::uint64_t hash = kOffset;
  for (const char c : word) hash = fnv(hash, c);
  return mixed(hash);
}

constexpr std::array kNegations = {
    hash_of("not"),   hash_of("except"),    hash_of("least"),   hash_of("never"),
    hash_of("false"), hash_of("incorrect"), hash_of("neither"), hash_of("nor"),
    hash_of("none"),  hash_of("without"),   hash_of("cannot"),
};
constexpr std::array kAskingWords = {
    hash_of("why"),       hash_of("how"),      hash_of("explain"),   hash_of("prove"),
    hash_of("derive"),    hash_of("compare"),  hash_of("calculate"), hash_of("compute"),
    hash_of("solve"),     hash_of("evaluate"), hash_of("determine"), hash_of("design"),
    hash_of("implement"), hash_of("write"),    hash_of("describe"),
};
template <std::size_t n>
bool one_of(const std::array<std::uint64_t, n>& words, std::uint64_t word) {
  return std::ranges::find(words, word) != words.end();
}

// What a byte is, looked up: most bytes need no more.
enum : std::uint8_t {
  kSpace = 1,
  kDigit = 2,
  kCapital = 4,
  kSmall = 8,
  kWordByte = 16,  // letters, digits, underscore, bytes from 0x80
  kMath = 32,
  kCode = 64,
};
constexpr std::array<std::uint8_t, 256> make_kinds() {
  std::array<std::uint8_t, 256> kinds{};
  const auto mark = [&](std::string_view bytes, int kind) {
    for (const char c : bytes)
      kinds[static_cast<unsigned char>(c)] |= static_cast<std::uint8_t>(kind);
  };
  mark(" \t\n\r\v\f", kSpace);
  mark("0123456789", kDigit | kWordByte);
  mark("ABCDEFGHIJKLMNOPQRSTUVWXYZ", kCapital | kWordByte);
  mark("abcdefghijklmnopqrstuvwxyz", kSmall | kWordByte);
  mark("_", kWordByte | kCode);
  mark("=+*/^<>|~", kMath);
  mark("{}[];`", kCode);
  for (int c = 0x80; c < 0x100; ++c) kinds[static_cast<std::size_t>(c)] = kWordByte;
  return kinds;
}
constexpr auto kKinds = make_kinds();
std::uint8_t kind(char c) {
  return kKinds[static_cast<unsigned char>(c)];
}
bool is(char c, int kinds) {
  return (kind(c) & kinds) != 0;
}

// Bytes of a character from U+2E80, which is a word of its own; 0 for any other.
std::size_t ideograph(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  if (byte(0) < 0xe2) return 0;
  const std::size_t length = byte(0) < 0xf0 ? 3 : 4;
  if (at + length > text.size()) return 0;
  return byte(0) > 0xe2 || byte(1) >= 0xba ? length : 0;
}

float log1(double x) {
  return static_cast<float>(std::log1p(x));
}
float per(double part, double whole) {
  return whole > 0 ? static_cast<float>(part / whole) : 0.0F;
}

// Whether a line begins, after spaces, with "A. ", "(b) ", "12) ", "- " or "* ".
bool is_option(std::string_view line) {
  const std::size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return false;
  line.remove_prefix(begin);
  if (line.starts_with("- ") || line.starts_with("* ")) return true;
  if (line.starts_with('(')) line.remove_prefix(1);
  std::size_t mark = 0;
  while (mark < line.size() && mark < 2 && is(line[mark], kDigit)) ++mark;
  if (mark == 0 && !line.empty() && is(line[0], kCapital | kSmall)) mark = 1;
  return mark > 0 && mark + 1 < line.size() && (line[mark] == '.' || line[mark] == ')') &&
         is(line[mark + 1], kSpace);
}

}  // namespace

std::string_view name_of(Form form) {
  return kNames[static_cast<std::size_t>(form)];
}

struct TextFeatures::Counts {
  // Of bytes.
  double digits = 0, capitals = 0, letters = 0, math = 0, code = 0, other = 0, lines = 0;
  double backslashes = 0, dollars = 0, percents = 0, parentheses = 0, questions = 0, commas = 0;
  double quotes = 0, sentences = 0;
  bool blank = false;
  // Of words.
  double words = 0, word_bytes = 0, compared = 0, distinct = 0, long_words = 0, short_words = 0;
  double shouted = 0, negations = 0, asking = 0;
  std::uint64_t word_before = 0;
  std::size_t read = 0;  // for n-grams, signs too
  // Of numbers.
  double numbers = 0, decimals = 0, largest = 0;
  // Of lines.
  double options = 0, option_bytes = 0, longest = 0, shortest = 0, options_of_numbers = 0;
  double stem = 0;
};

TextFeatures::TextFeatures() : ngrams_(2 * kMaxWords), table_(4 * kMaxWords) {}

bool TextFeatures::insert(std::uint64_t hash) {
  for (std::size_t at = hash % table_.size();; at = (at + 1) % table_.size()) {
    Slot& slot = table_[at];
    if (slot.generation != generation_) {
      slot = {hash, generation_};
      return true;
    }
    if (slot.hash == hash) return false;
  }
}

void TextFeatures::read_bytes(std::string_view text, Counts& counts) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const std::uint8_t k = kind(c);
    counts.digits += (k & kDigit) != 0;
    counts.capitals += (k & kCapital) != 0;
    counts.letters += (k & (kCapital | kSmall)) != 0;
    counts.math += (k & kMath) != 0;
    counts.code += (k & kCode) != 0;
    counts.other += static_cast<unsigned char>(c) >= 0x80;
    if ((k & (kWordByte | kSpace)) == kWordByte && c != '_') continue;
    switch (c) {
      case '\n':
        ++counts.lines;
        break;
      case '\\':
        ++counts.backslashes;
        break;
      case '$':
        ++counts.dollars;
        break;
      case '%':
        ++counts.percents;
        break;
      case '(':
        ++counts.parentheses;
        break;
      case ',':
        ++counts.commas;
        break;
      case '"':
        ++counts.quotes;
        break;
      case '_':
        counts.blank = counts.blank || (i > 0 && text[i - 1] == '_');
        break;
      case '?':
        ++counts.questions;
        [[fallthrough]];
      case '!':
      case '.':
        counts.sentences += i + 1 == text.size() || is(text[i + 1], kSpace);
        break;
      default:
        break;
    }
  }
}

void TextFeatures::add_ngram(std::uint64_t word, bool is_word, Counts& counts) {
  if (counts.read == kMaxWords) return;
  ++counts.read;
  counts.compared += is_word;
  if (insert(word)) {
    ngrams_[ngram_count_++] = word;
    counts.distinct += is_word;
  }
  // The pair with the word before; order counts.
  const std::uint64_t pair = mixed(counts.word_before * kPrime + word);
  if (counts.read > 1 && insert(pair)) ngrams_[ngram_count_++] = pair;
  counts.word_before = word;
}

void TextFeatures::read_words(std::string_view text, Counts& counts) {
  for (std::size_t i = 0; i < text.size();) {
    if (is(text[i], kSpace)) {
      ++i;
      continue;
    }
    const std::size_t begin = i;
    std::uint64_t hash = kOffset;
    if (!is(text[i], kWordByte)) {
      add_ngram(mixed(fnv(hash, text[i++])), false, counts);
      continue;
    }
    if (const std::size_t length = ideograph(text, i); length > 0) {
      for (; i < begin + length; ++i) hash = fnv(hash, text[i]);
    } else {
      bool shouted = true;
      do {
        shouted = shouted && is(text[i], kCapital);
        hash = fnv(hash, is(text[i], kCapital) ? static_cast<char>(text[i] | 0x20) : text[i]);
        ++i;
      } while (i < text.size() && is(text[i], kWordByte) && ideograph(text, i) == 0);
      counts.shouted += shouted && i > begin + 1;
    }
    hash = mixed(hash);
    ++counts.words;
    counts.word_bytes += static_cast<double>(i - begin);
    counts.long_words += i - begin >= 8;
    counts.short_words += i - begin <= 3;
    counts.negations += one_of(kNegations, hash);
    counts.asking += one_of(kAskingWords, hash);
    add_ngram(hash, true, counts);
  }
}

void TextFeatures::read_numbers(std::string_view text, Counts& counts) {
  for (std::size_t i = 0; i < text.size();) {
    if (!is(text[i], kDigit)) {
      ++i;
      continue;
    }
    double value = 0, place = 0;  // place: of the next decimal
    for (; i < text.size(); ++i) {
      if (is(text[i], kDigit)) {
        const double digit = text[i] - '0';
        value = place > 0 ? value + digit * place : 10 * value + digit;
        place /= 10;
      } else if (i + 1 < text.size() && is(text[i + 1], kDigit) && text[i] == ',') {
        continue;
      } else if (i + 1 < text.size() && is(text[i + 1], kDigit) && text[i] == '.' && place == 0) {
        place = 0.1;
      } else {
        break;
      }
    }
    ++counts.numbers;
    counts.decimals += place > 0;
    counts.largest = std::max(counts.largest, std::min(value, 1e30));
  }
}

void TextFeatures::read_lines(std::string_view text, Counts& counts) {
  counts.stem = static_cast<double>(text.size());
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (is_option(line)) {
      const auto bytes = static_cast<double>(line.size());
      if (counts.options == 0) {
        counts.stem = static_cast<double>(begin);
        counts.shortest = bytes;
      }
      ++counts.options;
      counts.option_bytes += bytes;
      counts.longest = std::max(counts.longest, bytes);
      counts.shortest = std::min(counts.shortest, bytes);
      // Not the digit that numbers the option itself.
      const std::size_t mark = line.find_first_of(".)-*");
      counts.options_of_numbers +=
          std::ranges::any_of(line.substr(mark + 1), [](char c) { return is(c, kDigit); });
    }
    begin = end + 1;
  }
}

void TextFeatures::read(std::string_view text) {
  if (++generation_ == 0) {  // it has wrapped round: old slots would look filled
    std::ranges::fill(table_, Slot{});
    generation_ = 1;
  }
  ngram_count_ = 0;
  const std::string_view head = text.substr(0, kFormBytes);
  Counts c;
  read_bytes(head, c);
  read_words(head, c);
  read_numbers(head, c);
  read_lines(head, c);
  const auto bytes = static_cast<double>(head.size());
  const double sentences = std::max(c.sentences, 1.0);
  form_ = {
      log1(static_cast<double>(text.size())),
      log1(c.words),
      log1(c.lines),
      per(c.word_bytes, c.words),
      per(c.digits, bytes),
      log1(c.numbers),
      log1(c.largest),
      log1(c.decimals),
      per(c.math, bytes),
      log1(c.backslashes),
      log1(c.dollars),
      log1(c.percents),
      log1(c.code),
      log1(c.parentheses),
      log1(c.questions),
      per(c.capitals, c.letters),
      per(c.other, bytes),
      per(c.commas, c.words),
      log1(sentences),
      log1(c.words / sentences),
      per(c.distinct, c.compared),
      per(c.long_words, c.words),
      per(c.short_words, c.words),
      log1(c.negations),
      log1(c.asking),
      log1(c.options),
      log1(c.options > 0 ? c.option_bytes / c.options : 0),
      log1(c.longest - c.shortest),
      per(c.options_of_numbers, c.options),
      log1(c.stem),
      log1(c.quotes),
      c.blank ? 1.0F : 0.0F,
      per(c.shouted, c.words),
  };
}

void hashed_vector(std::span<const std::uint64_t> ngrams, std::span<float> out) {
  std::ranges::fill(out, 0.0F);
  for (const std::uint64_t hash : ngrams) {
    // Sign and place from bits that the table of n-grams does not divide by.
    const std::uint64_t place = ((hash >> 32) * out.size()) >> 32;
    out[place] += (hash & 1) != 0 ? 1.0F : -1.0F;
  }
  float square = 0;
  for (const float value : out) square += value * value;
  if (square == 0) return;
  const float scale = 1 / std::sqrt(square);
  for (float& value : out) value *= scale;
}

}  // namespace tack::gateway
