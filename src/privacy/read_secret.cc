// Keys and passwords: by the providers' prefixes, and by what they are called.
#include <algorithm>
#include <array>
#include <string_view>

#include "privacy/characters.h"
#include "privacy/recognisers.h"

namespace tack::privacy {
namespace {

enum class Alphabet : std::uint8_t { kWord, kHex, kCapitals };  // kWord: letters, digits, '_', '-'

struct Prefix {
  std::string_view prefix;
  std::uint8_t fewest;  // characters behind it
  std::uint8_t exactly = 0;
  Alphabet alphabet = Alphabet::kWord;
};
// Sorted by their first letter only for reading; one text position compares those of its letter.
constexpr std::array kPrefixes = {
    Prefix{"AIza", 35, 35},
    Prefix{"AKIA", 16, 16, Alphabet::kCapitals},
    Prefix{"ASIA", 16, 16, Alphabet::kCapitals},
    Prefix{"ABIA", 16, 16, Alphabet::kCapitals},
    Prefix{"ACCA", 16, 16, Alphabet::kCapitals},
    Prefix{"AGE-SECRET-KEY-1", 50},
    Prefix{"dop_v1_", 64, 64, Alphabet::kHex},
    Prefix{"dckr_pat_", 20},
    Prefix{"gh", 0},  // ghp_, gho_, ghu_, ghs_, ghr_: below
    Prefix{"github_pat_", 22},
    Prefix{"glpat-", 20},
    Prefix{"gsk_", 40},
    Prefix{"hf_", 30},
    Prefix{"lin_api_", 30},
    Prefix{"npm_", 36},
    Prefix{"nvapi-", 40},
    Prefix{"pplx-", 40},
    Prefix{"pypi-AgE", 50},
    Prefix{"rk_live_", 16},
    Prefix{"rk_test_", 16},
    Prefix{"r8_", 37},
    Prefix{"SG.", 0},  // of two parts: below
    Prefix{"shpat_", 32, 32, Alphabet::kHex},
    Prefix{"sk-", 20},
    Prefix{"sk_live_", 16},
    Prefix{"sk_test_", 16},
    Prefix{"tk-", 64, 64, Alphabet::kHex},
    Prefix{"whsec_", 24},
    Prefix{"xai-", 40},
    Prefix{"xox", 0},  // xoxb- and others: below
    Prefix{"ya29.", 30},
};

bool is_key_byte(unsigned char c) {
  return is_alnum(c) || c == '_' || c == '-';
}
bool is_of(Alphabet alphabet, unsigned char c) {
  if (alphabet == Alphabet::kHex) return is_digit(c) || (c >= 'a' && c <= 'f');
  return alphabet == Alphabet::kCapitals ? is_upper(c) || is_digit(c) : is_key_byte(c);
}

bool begins_with(const ScanText& text, std::size_t at, std::string_view prefix) {
  for (std::size_t i = 0; i < prefix.size(); ++i)
    if (text.at(at + i) != static_cast<unsigned char>(prefix[i])) return false;
  return true;
}

// Where the run of key characters from `at` on ends; whether digits and letters are in its
// first 64.
struct Run {
  std::size_t end = 0;
  bool mixed = false;
};
Run run_from(const ScanText& text, std::size_t at, Alphabet alphabet = Alphabet::kWord) {
  bool digit = false, letter = false;
  std::size_t i = at;
  for (; is_of(alphabet, text.at(i)); ++i) {
    if (i - at >= 64) continue;
    digit = digit || is_digit(text.at(i));
    letter = letter || is_alpha(text.at(i));
  }
  return {i, digit && letter};
}

void add_run(Reading& reading, std::size_t begin, std::size_t from, std::size_t fewest) {
  const Run run = run_from(reading.text, from);
  std::size_t end = run.end;
  while (end > from && !is_alnum(reading.text.before(end))) --end;
  if (run.mixed && end - from >= fewest) reading.add(Id::kApiKey, begin, end, 1, true);
}

void read_prefix(Reading& reading, std::size_t begin, const Prefix& prefix) {
  const std::size_t from = begin + prefix.prefix.size();
  if (prefix.exactly == 0) return add_run(reading, begin, from, prefix.fewest);
  std::size_t end = from;
  while (end - from < prefix.exactly && is_of(prefix.alphabet, reading.text.at(end))) ++end;
  if (end - from == prefix.exactly && !is_alnum(reading.text.at(end)))
    reading.add(Id::kApiKey, begin, end, 1);
}

void read_sendgrid(Reading& reading, std::size_t begin) {  // SG.22.43
  std::size_t i = begin + 3;
  for (const std::size_t length : {22, 43}) {
    const std::size_t from = i;
    while (i - from < length && is_key_byte(reading.text.at(i))) ++i;
    if (i - from < length) return;
    if (length == 22 && reading.text.at(i++) != '.') return;
  }
  if (!is_key_byte(reading.text.at(i))) reading.add(Id::kApiKey, begin, i, 1);
}

// A header and claims in base64url; a signature may follow.
void read_jwt(Reading& reading, std::size_t begin) {
  const ScanText& text = reading.text;
  std::size_t i = begin;
  while (i - begin < 200 && is_key_byte(text.at(i))) ++i;
  if (i - begin < 12 || text.at(i) != '.' || !begins_with(text, i + 1, "eyJ")) return;
  const std::size_t claims = ++i;
  while (is_key_byte(text.at(i))) ++i;
  if (i - claims < 10) return;
  if (text.at(i) == '.' && is_key_byte(text.at(i + 1)))
    for (++i; is_key_byte(text.at(i));) ++i;
  reading.add(Id::kJwt, begin, i, 1, true);
}

// Twilio: AC or SK and 32 hexadecimal digits.
void read_twilio(Reading& reading, std::size_t begin) {
  std::size_t i = begin + 2;
  while (i - begin < 34 && is_of(Alphabet::kHex, reading.text.at(i))) ++i;
  if (i - begin == 34 && !is_alnum(reading.text.at(i))) reading.add(Id::kApiKey, begin, i, 0.9f);
}

bool is_base64(unsigned char c) {
  return is_alnum(c) || c == '+' || c == '/' || c == '=';
}

// White space, also as "\n" in a string; how many bytes.
std::size_t blank_at(const ScanText& text, std::size_t at) {
  if (is_space(text.at(at))) return 1;
  return text.at(at) == '\\' && (text.at(at + 1) == 'n' || text.at(at + 1) == 'r') ? 2 : 0;
}
std::size_t skip_blanks(const ScanText& text, std::size_t at) {
  const std::size_t from = at;
  for (std::size_t n = blank_at(text, at); n > 0 && at - from < 16; n = blank_at(text, at)) at += n;
  return at;
}

// The line "-----END ... KEY-----"; 0: it does not stand here.
std::size_t end_line(const ScanText& text, std::size_t at) {
  if (!begins_with(text, at, "-----END ")) return 0;
  std::size_t i = at + 9;
  while (i - at < 60 && (is_upper(text.at(i)) || is_digit(text.at(i)) || text.at(i) == ' ')) ++i;
  return begins_with(text, i, "-----") ? i + 5 : 0;
}

// "Proc-Type: 4,ENCRYPTED" and the like, to the end of its line.
std::size_t header_line(const ScanText& text, std::size_t at) {
  constexpr std::array<std::string_view, 4> kHeaders = {
      "Proc-Type:", "DEK-Info:", "Version:", "Comment:"};
  if (std::ranges::none_of(kHeaders, [&](auto h) { return begins_with(text, at, h); })) return 0;
  std::size_t i = at;
  while (i - at < 100 && text.at(i) >= ' ' && blank_at(text, i) != 2) ++i;
  return i;
}

// At the 'B' of "-----BEGIN ... PRIVATE KEY-----": the block, or what of it there is.
void read_private_key(Reading& reading, std::size_t begin) {
  const ScanText& text = reading.text;
  if (begin < 5 || text.view().substr(begin - 5, 5) != "-----") return;
  std::size_t i = begin + 6;
  while (i - begin < 50 && (is_upper(text.at(i)) || text.at(i) == ' ')) ++i;
  const std::string_view kind = text.view().substr(begin, i - begin);
  if (!kind.ends_with("PRIVATE KEY") && !kind.ends_with("PRIVATE KEY BLOCK")) return;
  if (!begins_with(text, i, "-----")) return;
  std::size_t end = i + 5;
  for (int headers = 0;;) {
    const std::size_t at = skip_blanks(text, end);
    if (const std::size_t last = end_line(text, at); last > 0) {
      end = last;
      break;
    }
    if (const std::size_t header = header_line(text, at); header > 0 && ++headers <= 4) {
      end = header;
      continue;
    }
    std::size_t token = at;
    while (is_base64(text.at(token))) ++token;
    // A word of prose is no line of a key; the last line may be short.
    if (token - at < 16 && (token == at || end_line(text, skip_blanks(text, token)) == 0)) break;
    end = token;
  }
  reading.add(Id::kPrivateKey, begin - 5, end, 1, true);
}

// What is asked for, described or filled in later is no password.
bool is_placeholder(std::string_view value) {
  constexpr std::array<std::string_view, 14> kNone = {
      "null",  "none",     "true",     "false",    "undefined", "string",   "required",
      "empty", "optional", "password", "changeme", "redacted",  "REDACTED", "hidden"};
  if (std::ranges::find(kNone, value) != kNone.end()) return true;
  if (std::string_view("<{$%[(").find(value.front()) != std::string_view::npos) return true;
  return std::ranges::all_of(value, [&](char c) { return c == value.front(); });  // "****"
}

struct Value {
  std::size_t begin = 0, end = 0;
  bool quoted = false;
};
// Up to one of `stops` or the end of the line; empty when that is far.
Value value_at(const ScanText& text, std::size_t at, std::string_view stops) {
  constexpr std::size_t kLongest = 100;
  for (std::size_t i = at; i - at <= kLongest; ++i) {
    const unsigned char c = text.at(i);
    if (c == '\\' && (blank_at(text, i) == 2 || text.at(i + 1) == '"')) return {at, i};
    if (c < ' ' || stops.find(static_cast<char>(c)) != std::string_view::npos) return {at, i};
  }
  return {at, at};
}

// Whether it is more than a word: digits or signs in it, and something besides.
bool is_mixed(std::string_view value) {
  const auto any = [&](auto is) {
    return std::ranges::any_of(value, [&](char c) { return is(static_cast<unsigned char>(c)); });
  };
  const bool digits = any(is_digit), signs = !std::ranges::all_of(value, [](char c) {
                                       return is_alnum(static_cast<unsigned char>(c));
                                     });
  return (digits || signs) && (digits + signs + any(is_lower) + any(is_upper)) >= 2;
}

// From the first byte behind a label: blanks, a quote, the value.
Value labelled_value(const ScanText& text, std::size_t at) {
  std::size_t i = at;
  while (i - at < 3 && (text.at(i) == ' ' || text.at(i) == '\t')) ++i;
  const unsigned char quote = text.at(i);
  if (quote == '"' || quote == '\'' || quote == '`') {
    const char end[] = {static_cast<char>(quote), '\n', 0};
    Value value = value_at(text, i + 1, end);
    value.quoted = text.at(value.end) == quote;
    return value;
  }
  Value value = value_at(text, i, " \t\r\n\"'`<>");
  while (value.end > value.begin &&
         std::string_view(".,;:!?)]}").find(static_cast<char>(text.before(value.end))) !=
             std::string_view::npos)
    --value.end;
  return value;
}

}  // namespace

void read_secret(Reading& reading, std::size_t begin) {
  const ScanText& text = reading.text;
  const unsigned char first = text.at(begin);
  if (first == 'B')
    return begins_with(text, begin, "BEGIN ") ? read_private_key(reading, begin) : void();
  if (first == 'e') return begins_with(text, begin, "eyJ") ? read_jwt(reading, begin) : void();
  if ((first == 'A' && text.at(begin + 1) == 'C') || (first == 'S' && text.at(begin + 1) == 'K'))
    read_twilio(reading, begin);
  for (const Prefix& prefix : kPrefixes) {
    if (static_cast<unsigned char>(prefix.prefix[0]) != first ||
        !begins_with(text, begin, prefix.prefix))
      continue;
    if (prefix.prefix == "SG.") return read_sendgrid(reading, begin);
    if (prefix.prefix == "xox" || prefix.prefix == "gh") {
      // One letter more says which kind: xoxb-, ghp_.
      const std::size_t kind = begin + prefix.prefix.size();
      const bool slack = prefix.prefix[0] == 'x';
      if (!is_lower(text.at(kind)) || text.at(kind + 1) != (slack ? '-' : '_')) continue;
      return add_run(reading, begin, kind + 2, slack ? 10 : 36);
    }
    return read_prefix(reading, begin, prefix);
  }
}

void read_assignment(Reading& reading, std::size_t at) {
  const ScanText& text = reading.text;
  const unsigned char before = text.before(at);
  if (!is_alnum(before) && before != '"' && before != '\'' && before != ' ' && before < 0x80 &&
      before != ')' && before != '*' && before != ']')
    return;
  const Topics topics = topics_of_label(text, at);
  if ((topics & (kAboutPassword | kAboutApiKey | kAboutAws)) == 0) return;
  const unsigned char sign = text.at(at);
  std::size_t from = at;
  while (from - at < 3 && (text.at(from) == ':' || text.at(from) == '=' || text.at(from) == '>'))
    ++from;
  Value value = labelled_value(text, from);
  const std::size_t size = value.end - value.begin;
  const std::string_view content = text.view().substr(value.begin, size);
  if (size < 4 || is_placeholder(content)) return;
  if ((topics & kAboutPassword) != 0) {
    const bool code = value.quoted || sign == '=';
    if (is_mixed(content) || (code && size >= 5))
      reading.add(Id::kPassword, value.begin, value.end, 0.85f);
    return;
  }
  const bool random = size >= 16 && run_from(text, value.begin).mixed;
  if ((topics & kAboutAws) != 0 && size == 40)
    return reading.add(Id::kAwsSecret, value.begin, value.end, 1);
  if (random && (topics & kAboutApiKey) != 0)
    reading.add(Id::kApiKey, value.begin, value.end, 0.8f);
}

}  // namespace tack::privacy
