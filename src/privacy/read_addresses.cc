// Addresses of machines, of mail, and URLs that carry a password.
#include <algorithm>
#include <string_view>

#include "privacy/characters.h"
#include "privacy/recognisers.h"

namespace tack::privacy {
namespace {

// Letters of two bytes, Latin to Arabic: words that stand beside ASCII ones without a space between
// (Chinese, Japanese, Thai) have three.
bool is_two_byte(unsigned char c) {
  return c >= 0xC3 && c <= 0xDF;
}

bool is_local(unsigned char c) {
  return is_alnum(c) || c == '.' || c == '_' || c == '-' || c == '+' || c == '%' || c == '\'';
}

// Where the part before '@' begins.
std::size_t local_begin(const ScanText& text, std::size_t at) {
  constexpr std::size_t kLongest = 64;
  std::size_t begin = at;
  while (at - begin < kLongest) {
    const unsigned char c = text.before(begin);
    if (is_local(c)) {
      --begin;
    } else if (begin >= 2 && c >= 0x80 && c < 0xC0 && is_two_byte(text.before(begin - 1))) {
      begin -= 2;
    } else {
      break;
    }
  }
  if (is_alnum(text.before(begin))) return at;  // longer than any
  while (begin < at && (text.at(begin) == '.' || text.at(begin) == '\'' || text.at(begin) == '-' ||
                        text.at(begin) == '%'))
    ++begin;
  return begin;
}

// The end of a domain that begins at `at`; `at` when there is none. It needs a dot, and letters
// last.
std::size_t domain_end(const ScanText& text, std::size_t at) {
  std::size_t end = at, label = at;
  bool letters = true, any_digits = false;
  std::size_t number_labels = 0, dots = 0;
  for (std::size_t i = at; i - at <= 190; ++i) {
    const unsigned char c = text.at(i);
    const bool in_label = is_alnum(c) || (c == '-' && i > label) || is_two_byte(c) ||
                          (c >= 0x80 && c < 0xC0 && i > label);
    if (in_label) {
      letters = letters && !is_digit(c);
      any_digits = any_digits || is_digit(c);
      continue;
    }
    const std::size_t length = i - label;
    if (length == 0 || length > 63) break;
    const bool last = letters && length >= 2 && dots > 0;
    if (!letters && std::ranges::all_of(text.view().substr(label, length), [](char d) {
          return is_digit(static_cast<unsigned char>(d));
        }))
      ++number_labels;
    if (last) end = i;
    if (c != '.') break;
    ++dots;
    label = i + 1;
    letters = true;
  }
  return number_labels > 1 ? at : end;  // left-pad@1.3.0.tgz
}

bool is_user_info(unsigned char c) {
  return c > ' ' && c != '/' && c != '?' && c != '#' && c != '"' && c != '<' && c != '>' &&
         c != '\\' && c != '`' && c != 0x7F;
}

}  // namespace

void read_email(Reading& reading, std::size_t at) {
  const ScanText& text = reading.text;
  const std::size_t begin = local_begin(text, at);
  if (begin == at) return;
  const std::size_t end = domain_end(text, at + 1);
  if (end == at + 1) return;
  if (text.view().substr(begin, at - begin) == "git") return;  // git@host:path
  reading.add(Id::kEmail, begin, end, 1);
}

void read_url(Reading& reading, std::size_t colon) {
  const ScanText& text = reading.text;
  std::size_t begin = colon;
  while (colon - begin < 20 && (is_alnum(text.before(begin)) || text.before(begin) == '+')) --begin;
  if (colon - begin < 2 || is_alnum(text.before(begin))) return;
  const std::size_t user = colon + 3;
  std::size_t i = user, password = 0;
  while (i - user < 180 && is_user_info(text.at(i)) && text.at(i) != '@') {
    if (text.at(i) == ':' && password == 0) password = i + 1;
    ++i;
  }
  if (text.at(i) != '@' || password == 0 || password == i) return;
  std::size_t end = i + 1;
  while (end - i < 100 && (is_alnum(text.at(end)) || text.at(end) == '.' || text.at(end) == '-' ||
                           text.at(end) == ':' || text.at(end) == '[' || text.at(end) == ']'))
    ++end;
  while (end > i + 1 && !is_alnum(text.before(end)) && text.before(end) != ']') --end;
  if (end > i + 1) reading.add(Id::kUrl, begin, end, 1);
}

void read_ipv4(Reading& reading, std::size_t digit) {
  const ScanText& text = reading.text;
  std::size_t i = digit;
  int first = 0;
  for (int part = 0; part < 4; ++part) {
    if (part > 0 && text.at(i++) != '.') return;
    const std::size_t from = i;
    int n = 0;
    while (i - from < 3 && is_digit(text.at(i))) n = n * 10 + text.at(i++) - '0';
    if (i == from || n > 255 || (i - from > 1 && text.at(from) == '0')) return;
    if (part == 0) first = n;
  }
  const unsigned char next = text.at(i);
  if (is_alnum(next) || ((next == '.' || next == '-') && is_alnum(text.at(i + 1)))) return;
  const Context& context = reading.context(digit);
  if (context.things) return;
  const bool said = (context.nearest & kAboutIp) != 0;
  reading.add(Id::kIp, digit, i, first == 0 || first == 127 ? 0.5f : said ? 0.95f : 0.8f);
}

namespace {

// Six pairs of hexadecimal digits with one separator.
void read_mac(Reading& reading, std::size_t begin, unsigned char separator) {
  const ScanText& text = reading.text;
  std::size_t i = begin;
  for (int pair = 0; pair < 6; ++pair, i += 2) {
    if (pair > 0 && text.at(i++) != separator) return;
    if (!is_hex(text.at(i)) || !is_hex(text.at(i + 1))) return;
  }
  if (is_alnum(text.at(i)) || (text.at(i) == separator && is_hex(text.at(i + 1)))) return;
  reading.add(Id::kMac, begin, i, 0.95f);
}

void read_ipv6(Reading& reading, std::size_t begin) {
  const ScanText& text = reading.text;
  std::size_t i = begin;
  int groups = 0, digits = 0;
  bool gap = false, number = false;
  while (groups < 8) {
    if (text.at(i) == ':' && text.at(i + 1) == ':') {
      if (gap) return;
      gap = true;
      i += 2;
      if (!is_hex(text.at(i))) break;
    } else if (groups > 0) {
      if (text.at(i) != ':' || !is_hex(text.at(i + 1))) break;
      ++i;
    }
    const std::size_t from = i;
    while (i - from < 4 && is_hex(text.at(i))) number = is_digit(text.at(i++)) || number;
    if (i == from) return;
    digits += static_cast<int>(i - from);
    ++groups;
  }
  const unsigned char next = text.at(i);
  if (is_alnum(next) || next == '_' || (next == ':' && is_alnum(text.at(i + 1)))) return;
  if (gap ? groups > 7 || digits < 4 || groups < 2 || !number : groups != 8) return;
  reading.add(Id::kIp, begin, i, 0.9f);
}

}  // namespace

void read_hex_groups(Reading& reading, std::size_t at) {
  const ScanText& text = reading.text;
  std::size_t begin = at;
  while (at - begin < 4 && is_hex(text.before(begin))) --begin;
  const unsigned char before = text.before(begin);
  if (is_alnum(before) || before == ':' || before == '_' || before >= 0x80) return;
  const unsigned char separator = text.at(at);
  if (before == '-' && separator == '-') return;
  if (at - begin == 2) read_mac(reading, begin, separator);
  if (separator == ':' && (at > begin || text.at(at + 1) == ':')) read_ipv6(reading, begin);
}

}  // namespace tack::privacy
