#include "guard/encodings.h"

#include <algorithm>
#include <array>
#include <functional>
#include <unordered_set>

#include <utf8proc.h>

#include "guard/normalize.h"
#include "text/unicode.h"

namespace tack::guard {
namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char l = lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

// Whether bytes are text that a person could have written: UTF-8, hardly any control characters,
// mostly letters and spaces.
bool reads_as_text(std::string_view bytes) {
  std::size_t characters = 0, letters = 0, odd = 0;
  for (std::size_t i = 0; i < bytes.size(); ++characters) {
    const CodePoint c = first_code_point(bytes.substr(i));
    if (c.value < 0) return false;
    const bool space = is_white_space(c.value);
    if (space || (is_word_character(c.value) && !(c.value >= '0' && c.value <= '9'))) ++letters;
    if ((c.value < 0x20 && !space) || c.value == 0x7f) ++odd;
    i += c.bytes;
  }
  return characters >= 6 && odd * 20 <= characters && letters * 10 >= characters * 7;
}

void append(std::string& to, std::string_view part) {
  if (!to.empty()) to += '\n';
  to += part;
}

// -- base64 -----------------------------------------------------------------------------------

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (is_digit(c)) return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  return c == '/' || c == '_' ? 63 : -1;
}

std::string base64_bytes(std::string_view digits) {
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : digits) {
    const int value = base64_value(c);
    if (value < 0) continue;  // line breaks
    bits = (bits << 6U) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>((bits >> static_cast<unsigned>(count)) & 0xFFU);
  }
  return out;
}

// The end of the digits that begin at `at`; long lines go on after a break.
std::size_t base64_end(std::string_view text, std::size_t at) {
  constexpr std::size_t kLongLine = 56;
  for (std::size_t line = at;;) {
    while (at < text.size() && base64_value(text[at]) >= 0) ++at;
    if (at - line < kLongLine) return at;
    std::size_t next = at;
    while (next < text.size() && (text[next] == '\r' || text[next] == '\n') && next < at + 2)
      ++next;
    if (next == at || next == text.size() || base64_value(text[next]) < 0) return at;
    at = line = next;
  }
}

std::string base64_texts(std::string_view text) {
  constexpr std::size_t kShortest = 12;
  std::string found;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = base64_end(text, at);
    if (end - at >= kShortest)
      if (const std::string bytes = base64_bytes(text.substr(at, end - at)); reads_as_text(bytes))
        append(found, bytes);
    at = end + 1;
  }
  return found;
}

// -- hexadecimal, escapes ---------------------------------------------------------------------

// Pairs of digits, together or with one space, colon or dash between them.
std::string hex_texts(std::string_view text) {
  constexpr std::size_t kShortest = 8;  // bytes
  std::string found, bytes;
  for (std::size_t at = 0; at < text.size();) {
    bytes.clear();
    const bool starts = at == 0 || hex_value(text[at - 1]) < 0 || !is_word_character(text[at - 1]);
    while (starts && at + 1 < text.size() && hex_value(text[at]) >= 0 &&
           hex_value(text[at + 1]) >= 0) {
      bytes += static_cast<char>(hex_value(text[at]) * 16 + hex_value(text[at + 1]));
      at += 2;
      if (at + 1 < text.size() && (text[at] == ' ' || text[at] == ':' || text[at] == '-') &&
          hex_value(text[at + 1]) >= 0)
        ++at;
    }
    if (bytes.size() >= kShortest && reads_as_text(bytes)) append(found, bytes);
    if (bytes.empty()) ++at;
  }
  return found;
}

void append_code_point(std::string& out, std::uint32_t c) {
  std::array<std::uint8_t, 4> bytes{};
  if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) c = 0xFFFD;
  const auto n = utf8proc_encode_char(static_cast<std::int32_t>(c), bytes.data());
  out.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(n));
}

// A number of up to `most` digits at `at`, in base 10 or 16; moves `at` behind them. False: fewer
// than `least`.
bool read_number(std::string_view text, std::size_t& at, int base, std::size_t least,
                 std::size_t most, std::uint32_t& out) {
  std::size_t count = 0;
  out = 0;
  while (count < most && at < text.size()) {
    const int value = hex_value(text[at]);
    if (value < 0 || value >= base) break;
    out = out * static_cast<std::uint32_t>(base) + static_cast<std::uint32_t>(value);
    ++at, ++count;
  }
  return count >= least;
}

// %41, \x41, \u0041, &#65;, &#x41; at `at`: appends what it says and moves behind it.
bool read_escape(std::string_view text, std::size_t& at, std::string& out) {
  std::size_t i = at + 1;
  std::uint32_t number = 0;
  const char next = i < text.size() ? text[i] : '\0';
  if (text[at] == '%') {
    if (!read_number(text, i, 16, 2, 2, number)) return false;
    out += static_cast<char>(number);
  } else if (text[at] == '\\' && (next == 'x' || next == 'u')) {
    ++i;
    const std::size_t digits = next == 'x' ? 2 : 4;
    if (!read_number(text, i, 16, digits, digits, number)) return false;
    if (next == 'x')
      out += static_cast<char>(number);
    else
      append_code_point(out, number);
  } else if (text[at] == '&' && next == '#') {
    ++i;
    const bool hex = i < text.size() && lower(text[i]) == 'x';
    if (hex) ++i;
    if (!read_number(text, i, hex ? 16 : 10, 1, 6, number)) return false;
    if (i < text.size() && text[i] == ';') ++i;
    append_code_point(out, number);
  } else {
    return false;
  }
  at = i;
  return true;
}

// Stretches without white space that hold at least three escapes.
std::string escaped_texts(std::string_view text) {
  if (text.find_first_of("%\\&") == std::string_view::npos) return {};
  std::string found, part;
  int escapes = 0;
  const auto end_part = [&] {
    if (escapes >= 3 && reads_as_text(part)) append(found, part);
    part.clear();
    escapes = 0;
  };
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == ' ' || text[at] == '\n' || text[at] == '\t') {
      end_part();
      ++at;
    } else if (read_escape(text, at, part)) {
      ++escapes;
    } else {
      part += text[at++];
    }
  }
  end_part();
  return found;
}

// -- letters that were exchanged --------------------------------------------------------------

// Words that hardly any English text of a line or two is without, and some that attacks need.
const std::unordered_set<std::string_view>& common_words() {
  static const std::unordered_set<std::string_view> kWords{
      "the",      "and",      "you",          "that",    "for",    "are",   "with",  "this",
      "have",     "from",     "not",          "but",     "all",    "can",   "your",  "what",
      "about",    "which",    "when",         "make",    "like",   "how",   "into",  "just",
      "know",     "them",     "some",         "other",   "than",   "then",  "only",  "over",
      "also",     "after",    "use",          "because", "any",    "these", "give",  "must",
      "ignore",   "previous", "instructions", "system",  "prompt", "tell",  "me",    "to",
      "of",       "in",       "is",           "it",      "now",    "do",    "write", "show",
      "password", "kill",     "bomb",         "build",   "a",      "an",    "on",    "as",
      "be",       "or",       "will",         "my",      "reveal", "steal", "hack",  "please"};
  return kWords;
}

std::string rot13(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (!is_letter(c)) continue;
    const char first = c >= 'a' ? 'a' : 'A';
    c = static_cast<char>(first + (c - first + 13) % 26);
  }
  return out;
}

std::size_t count_common(std::string_view text) {
  std::size_t count = 0;
  std::string word;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && is_letter(text[i])) {
      if (word.size() < 16) word += lower(text[i]);
      continue;
    }
    if (!word.empty() && common_words().contains(word)) ++count;
    word.clear();
  }
  return count;
}

// Pieces of at most 200 bytes, ending after sentences or lines where there are some.
void for_each_piece(std::string_view text, const std::function<void(std::string_view)>& take) {
  constexpr std::size_t kMost = 200;
  std::size_t begin = 0, space = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ') space = i + 1;
    const bool ends = c == '\n' || c == '.' || c == '?' || c == '!';
    if (!ends && i - begin < kMost) continue;
    const std::size_t end = ends || space <= begin ? i + 1 : space;
    take(text.substr(begin, end - begin));
    begin = end;
  }
  if (begin < text.size()) take(text.substr(begin));
}

std::string rot13_texts(std::string_view text) {
  std::string found;
  for_each_piece(text, [&](std::string_view piece) {
    const std::string turned = rot13(piece);
    const std::size_t common = count_common(turned);
    if (common >= 2 && common > 2 * count_common(piece)) append(found, turned);
  });
  return found;
}

// The letter that a digit or sign stands for between letters; 0: none.
char leet_letter(char c) {
  switch (c) {
    case '0':
      return 'o';
    case '1':
    case '!':
    case '|':
      return 'i';
    case '3':
      return 'e';
    case '4':
    case '@':
      return 'a';
    case '5':
    case '$':
      return 's';
    case '7':
    case '+':
      return 't';
    default:
      return 0;
  }
}

// Appends the word; with its digits and signs as letters, and true, when they stand between letters
// as in no name, unit or address ("h0w", "p@ssw0rd", not "mp3", "3rd", "x2y"). `loose`: also at its
// beginning ("4ll").
bool unleet(std::string_view word, bool loose, std::string& out) {
  std::size_t last = 0, letters = 0, swapped = 0;
  for (std::size_t i = 0; i < word.size(); ++i)
    if (is_letter(word[i])) last = i, ++letters;
  bool plain = word.size() > 32 || word.contains('/') || (word.contains('@') && word.contains('.'));
  std::string turned(word);
  for (std::size_t i = 0; i < word.size() && !plain; ++i) {
    if (is_letter(word[i]) || (i > last && (swapped == 0 || word[i] == '!'))) continue;
    if (const char letter = leet_letter(word[i]); letter != 0)
      turned[i] = letter, ++swapped;
    else
      plain = is_digit(word[i]);
  }
  const bool leading = !word.empty() && is_digit(word.front());
  plain = plain || swapped == 0 || letters + (loose ? 1 : 0) < swapped || letters + swapped < 3 ||
          (leading && letters <= 2 && !loose);
  out += plain ? word : std::string_view(turned);
  return !plain;
}

// A piece with such words in it as letters; "" when it has none.
std::string unleet_piece(std::string_view piece, bool loose) {
  std::string turned;
  bool any = false;
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t end = std::min(piece.find_first_of(" \n\t", at), piece.size());
    any = unleet(piece.substr(at, end - at), loose, turned) || any;
    if (end < piece.size()) turned += piece[end];
    at = end + 1;
  }
  return any ? turned : std::string();
}

std::string leet_texts(std::string_view text) {
  std::string found;
  for_each_piece(text, [&](std::string_view piece) {
    if (!unleet_piece(piece, /*loose=*/false).empty())
      append(found, unleet_piece(piece, /*loose=*/true));
  });
  return found;
}

// Single letters with one same sign between them, "h o w", "k.i.l.l": four at least. Two signs, or
// one more space, part words.
std::string spaced_texts(std::string_view text) {
  constexpr std::size_t kFewest = 4;
  std::string found;
  for (std::size_t at = 0; at + 2 < text.size();) {
    const char sign = text[at + 1];
    const bool starts = is_letter(text[at]) && (at == 0 || !is_word_character(text[at - 1])) &&
                        (sign == ' ' || sign == '.' || sign == '-' || sign == '_' || sign == '*');
    if (!starts) {
      ++at;
      continue;
    }
    std::string letters(1, text[at]);
    std::size_t count = 1;
    while (at + 2 < text.size() && text[at + 1] == sign) {
      std::size_t next = at + 2;
      while (sign == ' ' && next < text.size() && next < at + 5 && text[next] == ' ') ++next;
      const bool alone = next < text.size() && is_letter(text[next]) &&
                         (next + 1 == text.size() || !is_letter(text[next + 1]));
      if (!alone) break;
      if (next > at + 2) letters += ' ';
      letters += text[next];
      at = next;
      ++count;
    }
    if (count >= kFewest) append(found, letters);
    ++at;
  }
  return found;
}

}  // namespace

std::string_view encoding_name(Encoding encoding) {
  constexpr std::array<std::string_view, 7> kNames{
      "base64",         "hexadecimal",         "escapes", "ROT13", "leetspeak",
      "spaced letters", "invisible characters"};
  return kNames[static_cast<std::size_t>(encoding)];
}

std::vector<HiddenText> hidden_texts(std::string_view text) {
  std::vector<HiddenText> all;
  const auto add = [&](Encoding encoding, std::string found) {
    if (!found.empty()) all.push_back({encoding, normalize(found).text});
  };
  add(Encoding::kBase64, base64_texts(text));
  add(Encoding::kHex, hex_texts(text));
  add(Encoding::kEscapes, escaped_texts(text));
  add(Encoding::kRot13, rot13_texts(text));
  add(Encoding::kLeet, leet_texts(text));
  add(Encoding::kSpaced, spaced_texts(text));
  return all;
}

}  // namespace tack::guard
