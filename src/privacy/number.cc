#include "privacy/number.h"

#include "privacy/characters.h"

namespace tack::privacy {

bool Number::written(std::initializer_list<std::uint8_t> lengths,
                     std::string_view separators) const {
  if (lengths.size() > group_count) return false;
  std::size_t i = 0;
  for (const std::uint8_t length : lengths) {
    if (groups[i].digits != length) return false;
    if (i > 0 && groups[i].separator != separators[separators.size() == 1 ? 0 : i - 1])
      return false;
    ++i;
  }
  return true;
}

Number parse_number(const ScanText& text, std::size_t digit) {
  Number number;
  number.begin = digit;
  std::size_t at = digit;
  char separator = 0;
  while (number.group_count < Number::kMostGroups) {
    Number::Group group{0, separator, 0};
    std::size_t count = number.digit_count;
    while (is_digit(text.at(at)) && count < Number::kMostDigits) {
      number.digits[count++] = static_cast<std::uint8_t>(text.at(at++) - '0');
      ++group.digits;
    }
    if (is_digit(text.at(at))) break;  // too long: this group is none
    group.end = at;
    number.digit_count = count;
    number.groups[number.group_count++] = group;
    const unsigned char c = text.at(at);
    if (c != ' ' && c != '-' && c != '.' && c != '/') break;
    if (!is_digit(text.at(at + 1))) break;
    separator = static_cast<char>(c);
    ++at;
  }
  return number;
}

}  // namespace tack::privacy
