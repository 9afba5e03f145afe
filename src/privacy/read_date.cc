// Dates that the words around call a date of birth.
#include <algorithm>
#include <array>
#include <string_view>

#include "privacy/characters.h"
#include "privacy/checksums.h"
#include "privacy/recognisers.h"

namespace tack::privacy {
namespace {

// Beginnings of the months' names, small letters, in the languages of the countries; UTF-8 as it is
// written. A name counts when the word goes on in letters.
struct Month {
  std::string_view names;
  int month;
};
constexpr std::array<Month, 12> kMonths = {{
    {"jan|gen|ene|sty|tammi", 1},
    {"feb|f\xC3\xA9v|fev|lut|helmi", 2},
    {"mar|m\xC3\xA4r|maa|mrt|maerz", 3},
    {"apr|avr|abr|kwi|huhti", 4},
    {"may|mai|mei|mag|maj|touko|maio", 5},
    {"jun|juin|giu|cze|kes\xC3\xA4", 6},
    {"jul|juil|lug|lip|hein\xC3\xA4", 7},
    {"aug|ao\xC3\xBB|aou|ago|sie|elo", 8},
    {"sep|set|wrz|syys", 9},
    {"oct|okt|ott|out|pa\xC5\xBA|loka", 10},
    {"nov|lis|marras", 11},
    {"dec|dez|d\xC3\xA9\x63|dic|gru|joulu", 12},
}};
constexpr std::size_t kLongestMonth = 14;

int month_of(std::string_view word) {
  std::array<char, kLongestMonth> small{};
  if (word.size() < 3 || word.size() > small.size()) return 0;
  std::ranges::transform(word, small.begin(), [](char c) {
    return is_upper(static_cast<unsigned char>(c)) ? static_cast<char>(c + 32) : c;
  });
  const std::string_view folded(small.data(), word.size());
  for (const Month& month : kMonths)
    for (std::size_t at = 0; at < month.names.size();) {
      const std::size_t end = std::min(month.names.find('|', at), month.names.size());
      if (folded.starts_with(month.names.substr(at, end - at))) return month.month;
      at = end + 1;
    }
  return 0;
}

bool is_letter(unsigned char c) {
  return is_alpha(c) || c >= 0x80;
}

// Reads forward.
class Reader {
 public:
  Reader(const ScanText& text, std::size_t at) : text_(text), at_(at) {}
  std::size_t at() const { return at_; }

  // Up to `most` digits; -1: none, or more.
  int number(int most) {
    int n = 0, digits = 0;
    for (; is_digit(text_.at(at_)) && digits <= most; ++at_, ++digits)
      n = n * 10 + text_.at(at_) - '0';
    digits_ = digits;
    return digits == 0 || digits > most ? -1 : n;
  }
  int digits() const { return digits_; }  // of the last number
  unsigned char take() { return text_.at(at_++); }
  unsigned char peek() const { return text_.at(at_); }
  bool skip(std::string_view any_of) {
    if (any_of.find(static_cast<char>(text_.at(at_))) == std::string_view::npos) return false;
    ++at_;
    return true;
  }
  std::string_view word() {
    const std::size_t begin = at_;
    while (at_ - begin <= kLongestMonth && is_letter(text_.at(at_))) ++at_;
    return text_.view().substr(begin, at_ - begin);
  }

 private:
  const ScanText& text_;
  std::size_t at_;
  int digits_ = 0;
};

int full_year(int year, int digits) {
  return digits == 2 ? (year < 30 ? 2000 + year : 1900 + year) : digits == 4 ? year : 0;
}

// "3 April 1980", "3. April 1980", "3rd of April, 1980", "3 de abril de 1980".
std::size_t day_first(const ScanText& text, std::size_t digit) {
  Reader reader(text, digit);
  const int day = reader.number(2);
  if (day < 1 || day > 31) return 0;
  if (is_letter(reader.peek())) {
    const std::string_view ending = reader.word();
    if (ending != "st" && ending != "nd" && ending != "rd" && ending != "th" && ending != "er" &&
        ending != "\xC2\xBA")
      return 0;
  }
  reader.skip(".");
  if (!reader.skip(" -")) return 0;
  std::string_view word = reader.word();
  if (word == "of" || word == "de") {
    if (!reader.skip(" ")) return 0;
    word = reader.word();
  }
  const int month = month_of(word);
  if (month == 0) return 0;
  reader.skip(".,");
  if (!reader.skip(" -")) return 0;
  if (is_letter(reader.peek())) {
    if (reader.word() != "de" || !reader.skip(" ")) return 0;
  }
  const int year = reader.number(4);
  return reader.digits() == 4 && is_date(year, month, day) ? reader.at() : 0;
}

// "April 3, 1980" at its day; `begin` becomes the month's.
std::size_t month_first(const ScanText& text, std::size_t digit, std::size_t& begin) {
  if (text.before(digit) != ' ') return 0;
  std::size_t word_end = digit - 1;
  if (text.before(word_end) == '.') --word_end;
  std::size_t word = word_end;
  while (word_end - word <= kLongestMonth && is_letter(text.before(word))) --word;
  const int month = month_of(text.view().substr(word, word_end - word));
  if (month == 0) return 0;
  Reader reader(text, digit);
  const int day = reader.number(2);
  if (is_letter(reader.peek())) reader.word();  // "3rd"
  const bool comma = reader.skip(",");
  if (day < 1 || (!reader.skip(" ") && !comma)) return 0;
  const int year = reader.number(4);
  if (reader.digits() != 4 || !is_date(year, month, day)) return 0;
  begin = word;
  return reader.at();
}

}  // namespace

// "03.04.1980", "3/4/80", "1980-04-03", "19800403": where it ends.
std::size_t numeric_date_end(const ScanText& text, std::size_t digit) {
  Reader reader(text, digit);
  const int first = reader.number(8);
  const int first_digits = reader.digits();
  if (first < 0) return 0;
  if (first_digits == 8)
    return is_date(first / 10000, first / 100 % 100, first % 100) ||
                   is_date(first % 10000, first / 10000 % 100, first / 1000000)
               ? reader.at()
               : 0;
  const unsigned char separator = reader.take();
  if (separator != '.' && separator != '-' && separator != '/' && separator != ' ') return 0;
  if (separator == '.' && reader.peek() == ' ') reader.take();  // "3. 4. 1980"
  const int second = reader.number(2);
  if (second < 0 || reader.take() != separator) return 0;
  if (separator == '.' && reader.peek() == ' ') reader.take();
  const int third = reader.number(4);
  if (third < 0) return 0;
  if (first_digits == 4)
    return is_date(first, second, third) || is_date(first, third, second) ? reader.at() : 0;
  const int year = full_year(third, reader.digits());
  return is_date(year, second, first) || is_date(year, first, second) ? reader.at() : 0;
}

void read_date(Reading& reading, std::size_t digit) {
  std::size_t begin = digit;
  std::size_t end = numeric_date_end(reading.text, digit);
  if (end == 0) end = day_first(reading.text, digit);
  if (end == 0) end = month_first(reading.text, digit, begin);
  if (end == 0) return;
  const unsigned char next = reading.text.at(end);
  if (is_digit(next) || (is_alpha(next) && next != 'T')) return;
  const Context& context = reading.context(begin);
  if ((context.nearest & kAboutBirth) != 0) return reading.add(Id::kBirth, begin, end, 0.9f);
  if ((context.own & kAboutBirth) != 0) return reading.add(Id::kBirth, begin, end, 0.7f);
  if ((topics_in_brackets(reading.text, end) & kAboutBirth) != 0)
    reading.add(Id::kBirth, begin, end, 0.8f);
}

}  // namespace tack::privacy
