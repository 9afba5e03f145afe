// Telephone numbers: international ones, the usual national forms, and any digits that words call
// so.
#include <algorithm>
#include <array>

#include "privacy/characters.h"
#include "privacy/checksums.h"
#include "privacy/recognisers.h"

namespace tack::privacy {
namespace {

// ITU E.164 country codes whose national numbers have these lengths.
struct Country {
  std::uint16_t code;
  std::uint8_t fewest, most;
};
constexpr std::array kCountries = {
    Country{1, 10, 10},  Country{7, 10, 10},  Country{20, 8, 10},  Country{27, 9, 9},
    Country{30, 10, 10}, Country{31, 9, 9},   Country{32, 8, 9},   Country{33, 9, 9},
    Country{34, 9, 9},   Country{36, 8, 9},   Country{39, 6, 11},  Country{40, 9, 9},
    Country{41, 9, 9},   Country{43, 6, 12},  Country{44, 9, 10},  Country{45, 8, 8},
    Country{46, 7, 9},   Country{47, 8, 8},   Country{48, 9, 9},   Country{49, 6, 11},
    Country{51, 8, 9},   Country{52, 10, 10}, Country{53, 8, 8},   Country{54, 10, 11},
    Country{55, 10, 11}, Country{56, 9, 9},   Country{57, 10, 10}, Country{58, 10, 10},
    Country{60, 8, 10},  Country{61, 9, 9},   Country{62, 8, 12},  Country{63, 8, 10},
    Country{64, 8, 10},  Country{65, 8, 8},   Country{66, 8, 9},   Country{81, 9, 10},
    Country{82, 8, 10},  Country{84, 9, 10},  Country{86, 10, 11}, Country{90, 10, 10},
    Country{91, 10, 10}, Country{92, 9, 10},  Country{93, 9, 9},   Country{94, 9, 9},
    Country{95, 7, 10},  Country{98, 10, 10}};

// Fewest and most digits behind '+', the country's code included; {0, 0}: no such code.
struct Range {
  std::size_t fewest, most;
};
Range international(const std::array<std::uint8_t, 20>& digits, std::size_t count) {
  if (count < 8 || digits[0] == 0) return {0, 0};
  const int two = digits[0] * 10 + digits[1];
  for (const Country& country : kCountries) {
    const std::size_t length = country.code < 10 ? 1 : 2;
    if ((length == 1 ? digits[0] : two) != country.code) continue;
    // A zero in brackets, as in +49 (0)30, is written but not dialled.
    return {country.fewest + length, country.most + length + 1};
  }
  return {9, 15};  // codes of three digits
}

// Digits with what people put between them.
struct Written {
  std::size_t begin = 0;
  bool plus = false, bracket = false;  // a '(' at the beginning
  std::array<std::uint8_t, 20> digits{};
  std::size_t count = 0;
  struct Group {
    std::uint8_t digits;
    char before;  // the separator: ' ', '-', '.', '/', '(' or ')'
    std::size_t end;
  };
  std::array<Group, 8> groups{};
  std::size_t group_count = 0;
  std::size_t end() const { return groups[group_count - 1].end; }
  bool dots() const { return group_count > 1 && groups[1].before == '.'; }
  bool begins(std::initializer_list<int> lengths) const {
    if (lengths.size() >= group_count) return false;
    std::size_t i = 0;
    for (const int length : lengths)
      if (groups[i++].digits != length) return false;
    return true;
  }
  bool shaped(std::initializer_list<int> lengths) const {
    if (lengths.size() != group_count) return false;
    std::size_t i = 0;
    for (const int length : lengths)
      if (groups[i++].digits != length) return false;
    return true;
  }
};

// How far the separators at `at` go, when digits follow; 0: none do.
std::size_t separators(const ScanText& text, std::size_t at, char& which) {
  std::size_t n = 0;
  which = 0;
  bool open = false;
  for (; n < 3; ++n) {
    const unsigned char c = text.at(at + n);
    if (c == '(') open = true;
    if (c != ' ' && c != '-' && c != '.' && c != '/' && c != '(' && c != ')') break;
    if (which == 0 || which == ' ') which = static_cast<char>(c);
  }
  const bool spaces = n > 1 && text.at(at) == ' ' && text.at(at + 1) == ' ';
  return n == 0 || spaces || !is_digit(text.at(at + n)) || (open && n > 2) ? 0 : n;
}

Written parse(const ScanText& text, std::size_t digit) {
  Written w;
  w.begin = digit;
  if (text.before(digit) == '+') {
    w.plus = true;
    --w.begin;
  }
  if (text.before(w.begin) == '(') {
    w.bracket = true;
    --w.begin;
  }
  std::size_t at = digit;
  char before = 0;
  while (w.group_count < w.groups.size()) {
    std::uint8_t digits = 0;
    std::size_t count = w.count;
    while (is_digit(text.at(at)) && count < 16) {
      w.digits[count++] = static_cast<std::uint8_t>(text.at(at++) - '0');
      ++digits;
    }
    if (is_digit(text.at(at))) {
      if (w.group_count == 0) w.count = 0;
      break;
    }
    w.groups[w.group_count++] = {digits, before, at};
    w.count = count;
    const std::size_t n = separators(text, at, before);
    if (n == 0) break;
    at += n;
  }
  return w;
}

void drop_last_group(Written& w) {
  w.count -= w.groups[--w.group_count].digits;
}

void read_international(Reading& reading, Written w) {
  // Groups behind a space may be something else: as many as the country's numbers have.
  const Range range = international(w.digits, w.count);
  while (w.group_count > 1 && w.count > range.most) drop_last_group(w);
  while (w.group_count > 2 && w.count > range.fewest && w.groups[w.group_count - 1].digits == 1)
    drop_last_group(w);
  if (range.most == 0 || w.count < range.fewest || w.count > range.most) return;
  if (!reading.ends(w.end())) return;
  if (w.bracket && reading.text.at(w.end()) != ')') {
    // "(+49) 30 1234": the bracket belongs to it; "(+49 30 1234, mornings)": it does not.
    if (w.groups[1].before != ')') ++w.begin;
  } else if (w.bracket) {
    ++w.begin;
  }
  reading.add(Id::kPhone, w.begin, w.end(), 0.95f);
}

bool is_north_american(const Written& w) {
  const std::size_t from = w.count == 11 && w.digits[0] == 1 ? 1 : 0;
  return w.count - from == 10 && w.digits[from] >= 2 && w.digits[from + 3] >= 2;
}

// A date or an address is no telephone number, whatever the words.
bool is_something_else(const Written& w) {
  const auto& g = w.groups;
  if (w.group_count >= 4 && w.dots() && g[2].before == '.' && g[3].before == '.' &&
      (w.group_count == 4 || g[4].before != '.'))
    return g[0].digits <= 3 && g[1].digits <= 3 && g[2].digits <= 3 && g[3].digits <= 3;
  if (w.group_count != 3 || w.bracket) return false;
  return (g[0].digits <= 2 && g[1].digits <= 2 && (g[2].digits == 4 || g[2].digits == 2)) ||
         (g[0].digits == 4 && g[1].digits <= 2 && g[2].digits <= 2);
}

// How likely the form alone makes it; 0: not enough.
float by_form(const Written& w) {
  if (is_north_american(w) && (w.shaped({3, 3, 4}) || w.shaped({1, 3, 3, 4})))
    return w.bracket || w.groups[1].before != ' ' ? 0.75f : 0.55f;
  if (w.digits[0] != 0 || w.group_count < 2 || w.count < 9 || w.count > 12) return 0;
  if (w.digits[1] == 0) return w.count >= 11 ? 0.6f : 0;  // 00: international
  const int first = w.groups[0].digits;
  if (w.shaped({2, 2, 2, 2, 2})) return 0.75f;
  return first >= 2 && first <= 5 && w.groups[w.group_count - 1].digits >= 2 ? 0.6f : 0;
}

}  // namespace

void read_phone(Reading& reading, std::size_t digit) {
  Written w = parse(reading.text, digit);
  if (w.count < 6) return;
  if (w.plus) return read_international(reading, w);
  if (w.bracket && (w.group_count < 2 || w.groups[1].before != ')')) {
    w.bracket = false;  // of a sentence
    ++w.begin;
  }
  if (is_something_else(w)) return;
  if (reading.text.before(w.begin) == '$' || is_alnum(reading.text.before(w.begin))) return;
  // Without words, a piece of a longer number is none.
  const bool inside =
      reading.text.before(w.begin) == ' ' && is_digit(reading.text.before(w.begin - 1));
  // Behind a number that is complete another one may follow.
  const std::size_t complete = w.begins({3, 3, 4}) ? 3 : w.begins({1, 3, 3, 4}) ? 4 : w.group_count;
  if (complete < w.group_count && w.groups[complete].before == ' ')
    while (w.group_count > complete) drop_last_group(w);
  const float form = inside ? 0 : by_form(w);
  const float words =
      w.count < 7 && form == 0 ? 0 : reading.by_words(kAboutPhone, w.begin, w.end());
  while (form == 0 && words > 0 && w.count > 12 && w.group_count > 1) drop_last_group(w);
  if (w.count > 15 || !reading.ends(w.end())) return;
  if (words > 0) {
    reading.add(Id::kPhone, w.begin, w.end(), std::max(words, form));
  } else if (form > 0 && !reading.context(w.begin).things) {
    reading.add(Id::kPhone, w.begin, w.end(), form);
  }
}

}  // namespace tack::privacy
