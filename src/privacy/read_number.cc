// Numbers that begin with a digit, and national ones among them.
#include <algorithm>
#include <initializer_list>
#include <string>

#include "privacy/characters.h"
#include "privacy/checksums.h"
#include "privacy/number.h"
#include "privacy/recognisers.h"

namespace tack::privacy {

bool Reading::ends(std::size_t end) const {
  const unsigned char c = text.at(end);
  if (is_alnum(c) || c == '@') return false;
  if (c != '-' && c != '.' && c != '/' && c != ',' && c != ':' && c != '_') return true;
  const unsigned char next = text.at(end + 1);
  if (c == '-' || c == '_') return !is_alnum(next);
  if (c != ',') return !is_digit(next);
  // A comma between groups of thousands; in a line of CSV it separates.
  const auto before = [&](std::size_t n) { return end >= n && is_digit(text.before(end - n + 1)); };
  return before(4) || !is_digit(next) || !is_digit(text.at(end + 2)) ||
         !is_digit(text.at(end + 3)) || is_digit(text.at(end + 4));
}

namespace {

constexpr Topics kAnyId = kAboutNationalId | kAboutTaxId;

// A number that its checksum makes likely, but not enough: the words around have to say it too.
void add_by_words(Reading& reading, Id id, Topics topics, std::size_t begin, std::size_t end) {
  if (!reading.ends(end)) return;
  const float sure = reading.by_words(topics, begin, end);
  if (sure == 0) return;
  // Words that speak of ids in general find what has no words of its own.
  const bool general = (reading.context(begin).own & topics & ~kAnyId) == 0;
  reading.add(id, begin, end, sure >= 0.85f ? (general ? 0.9f : 1.0f) : 0.7f);
}
// One whose form and checksum are enough, unless it is said to be something else.
void add_by_form(Reading& reading, Id id, Topics topics, std::size_t begin, std::size_t end,
                 float without_words) {
  if (!reading.ends(end)) return;
  const Context& context = reading.context(begin);
  if ((context.own & topics) != 0) return reading.add(id, begin, end, 1);
  if (!context.things) reading.add(id, begin, end, without_words);
}

void read_card(Reading& reading, const Number& n) {
  const auto try_groups = [&](std::initializer_list<std::uint8_t> lengths) {
    if (!n.written(lengths, " ") && !n.written(lengths, "-") && !n.written(lengths, ".")) return;
    std::size_t digits = 0;
    for (const std::uint8_t length : lengths) digits += length;
    if (card(n.first(digits)))
      add_by_form(reading, Id::kCard, kAboutCard, n.begin, n.groups[lengths.size() - 1].end,
                  lengths.size() == 1 ? 0.9f : 0.95f);
  };
  const std::uint8_t first = n.groups[0].digits;
  if (first >= 14 && first <= 19) return try_groups({first});
  if (first != 4) return;
  try_groups({4, 4, 4, 4});
  try_groups({4, 4, 4, 4, 3});
  try_groups({4, 6, 5});
  try_groups({4, 6, 4});
}

// Letters and digits that stand together, without the separators.
std::string written_at(const ScanText& text, std::size_t begin, std::size_t end) {
  std::string out;
  for (std::size_t i = begin; i < end; ++i) {
    const unsigned char c = text.at(i);
    if (is_alnum(c)) out += static_cast<char>(is_lower(c) ? c - 32 : c);
  }
  return out;
}

void read_nine_digits(Reading& reading, const Number& n, std::size_t end, bool three_two_four,
                      bool dashes) {
  const auto nine = n.first(9);
  if ((three_two_four || n.groups[0].digits == 9) && us_ssn(nine)) {
    if (dashes)
      add_by_form(reading, Id::kUsSsn, kAboutUsSsn, n.begin, end, 0.8f);
    else
      add_by_words(reading, Id::kUsSsn, kAboutUsSsn, n.begin, end);
  }
  if (three_two_four) return;
  if (ca_sin(nine)) add_by_words(reading, Id::kCaSin, kAboutSin, n.begin, end);
  if (au_tfn(nine)) add_by_words(reading, Id::kAuTfn, kAboutTfn, n.begin, end);
  if (nl_bsn(nine)) add_by_words(reading, Id::kNlBsn, kAboutBsn | kAnyId, n.begin, end);
}

void read_eleven_digits(Reading& reading, const Number& n, std::size_t end) {
  const auto eleven = n.first(11);
  if (pl_pesel(eleven)) add_by_words(reading, Id::kPlPesel, kAboutPesel | kAnyId, n.begin, end);
  if (br_cpf(eleven)) add_by_words(reading, Id::kBrCpf, kAboutCpf | kAnyId, n.begin, end);
  if (be_national(eleven)) add_by_words(reading, Id::kBeNational, kAboutBelgium, n.begin, end);
  if (de_tax_id(eleven)) add_by_words(reading, Id::kDeTax, kAboutDeTax | kAnyId, n.begin, end);
}

void read_single_group(Reading& reading, const Number& n) {
  const std::size_t end = n.groups[0].end;
  const std::size_t count = n.groups[0].digits;
  const auto digits = n.first(count);
  switch (count) {
    case 9:
      return read_nine_digits(reading, n, end, false, false);
    case 10:
      if (uk_nhs(digits)) add_by_words(reading, Id::kUkNhs, kAboutUkNhs, n.begin, end);
      if (se_personal(digits)) add_by_words(reading, Id::kSePersonal, kAboutSweden, n.begin, end);
      return;
    case 11:
      return read_eleven_digits(reading, n, end);
    case 12:
      if (in_aadhaar(digits))
        add_by_words(reading, Id::kInAadhaar, kAboutAadhaar | kAnyId, n.begin, end);
      if (se_personal(digits.subspan(2)))
        add_by_words(reading, Id::kSePersonal, kAboutSweden, n.begin, end);
      return;
    case 13:
      if (ch_ahv(digits)) add_by_form(reading, Id::kChAhv, kAboutAhv, n.begin, end, 0.8f);
      return;
    default:
      return;
  }
}

void read_groups(Reading& reading, const Number& n) {
  const auto end_of = [&](std::size_t groups) { return n.groups[groups - 1].end; };
  const auto any = [&](std::initializer_list<std::uint8_t> lengths) {
    return n.written(lengths, " ") || n.written(lengths, "-") || n.written(lengths, ".");
  };
  if (n.written({3, 2, 4}, "-")) read_nine_digits(reading, n, end_of(3), true, true);
  if (n.written({3, 2, 4}, " ")) read_nine_digits(reading, n, end_of(3), true, false);
  if (any({3, 3, 3})) read_nine_digits(reading, n, end_of(3), false, false);
  if (any({4, 2, 3}) && nl_bsn(n.first(9)))
    add_by_words(reading, Id::kNlBsn, kAboutBsn | kAnyId, n.begin, end_of(3));
  if (any({3, 3, 4}) && uk_nhs(n.first(10)))
    add_by_words(reading, Id::kUkNhs, kAboutUkNhs, n.begin, end_of(3));
  if (n.written({6, 4}, "-") && se_personal(n.first(10)))
    add_by_form(reading, Id::kSePersonal, kAboutSweden, n.begin, end_of(2), 0.7f);
  if (n.written({8, 4}, "-") && se_personal(n.first(12).subspan(2)))
    add_by_form(reading, Id::kSePersonal, kAboutSweden, n.begin, end_of(2), 0.9f);
  if (n.written({2, 3, 3, 3}, " ") && de_tax_id(n.first(11)))
    add_by_words(reading, Id::kDeTax, kAboutDeTax | kAnyId, n.begin, end_of(4));
  if (n.written({3, 3, 3, 2}, "..-") && br_cpf(n.first(11)))
    add_by_form(reading, Id::kBrCpf, kAboutCpf, n.begin, end_of(4), 0.95f);
  if (any({4, 4, 4}) && in_aadhaar(n.first(12)))
    add_by_words(reading, Id::kInAadhaar, kAboutAadhaar | kAnyId, n.begin, end_of(3));
  if (any({3, 4, 4, 2}) && ch_ahv(n.first(13)))
    add_by_form(reading, Id::kChAhv, kAboutAhv, n.begin, end_of(4), 0.95f);
  if ((n.written({2, 2, 2, 3, 2}, "..-.") || n.written({2, 2, 2, 3, 2}, ".")) &&
      be_national(n.first(11)))
    add_by_form(reading, Id::kBeNational, kAboutBelgium, n.begin, end_of(5), 0.95f);
}

// France: 15 digits, or 2A and 2B for the department.
void read_fr_nir(Reading& reading, const Number& n) {
  const std::uint8_t first = n.groups[0].digits;
  std::size_t end = n.begin;
  if (first == 1 || first == 5 || first == 6 || first == 13 || first == 15) {
    std::size_t count = 0;
    for (; count < 15; ++end) {
      const unsigned char c = reading.text.at(end);
      if (is_digit(c) || (count == 6 && (c == 'A' || c == 'B'))) {
        ++count;
      } else if ((c != ' ' && c != '.' && c != '-') || !is_alnum(reading.text.before(end))) {
        return;
      }
    }
  }
  if (end == n.begin || !fr_nir(written_at(reading.text, n.begin, end))) return;
  add_by_form(reading, Id::kFrNir, kAboutFrNir | kAboutNationalId, n.begin, end, 0.95f);
}

bool is_quoted(const ScanText& text, std::size_t begin, std::size_t end) {
  const unsigned char quote = text.before(begin);
  return (quote == '"' || quote == '\'') && text.at(end) == quote;
}

// Those whose last character is a letter: Spain, Finland, China.
void read_with_letter(Reading& reading, const Number& n) {
  const std::size_t first = n.groups[0].digits, end = n.groups[0].end;
  const ScanText& text = reading.text;
  if (first == 8) {
    const std::size_t letter = text.at(end) == '-' || text.at(end) == ' ' ? end + 1 : end;
    if (is_alpha(text.at(letter)) && es_nif(written_at(text, n.begin, letter + 1))) {
      add_by_words(reading, Id::kEsNif, kAboutSpain | kAnyId, n.begin, letter + 1);
      // One code in twenty-three has the right letter: alone it is too little, as a value by
      // itself it counts.
      if (is_quoted(text, n.begin, letter + 1))
        add_by_form(reading, Id::kEsNif, kAboutSpain | kAnyId, n.begin, letter + 1, 0.6f);
    }
  }
  if (first == 6 && n.digit_count >= 6) {
    std::string code = written_at(text, n.begin, end);
    for (std::size_t i = 0; i < 5; ++i) {
      const unsigned char c = text.at(end + i);
      if (!is_alnum(c) && !(i == 0 && (c == '-' || c == '+'))) return;
      code += static_cast<char>(is_lower(c) ? c - 32 : c);
    }
    if (fi_personal(code))
      add_by_form(reading, Id::kFiPersonal, kAboutFinland, n.begin, end + 5, 0.95f);
  }
  if (first == 17 && (text.at(end) | 32) == 'x' && cn_resident(written_at(text, n.begin, end + 1)))
    add_by_form(reading, Id::kCnResident, kAboutChina, n.begin, end + 1, 0.95f);
  if (first == 18 && cn_resident(written_at(text, n.begin, end)))
    add_by_form(reading, Id::kCnResident, kAboutChina, n.begin, end, 0.9f);
}

// Those that letters stand before, apart: "AB 12 34 56 C", "X-1234567-L".
void read_after_letters(Reading& reading, const Number& n) {
  const ScanText& text = reading.text;
  if (n.begin < 2) return;
  if (n.written({2, 2, 2}, " ") && n.begin >= 3 && text.before(n.begin) == ' ' &&
      is_upper(text.before(n.begin - 1)) && is_upper(text.before(n.begin - 2)) &&
      !is_alnum(text.before(n.begin - 3))) {
    const std::size_t begin = n.begin - 3, end = n.groups[2].end + 2;
    if (text.at(end - 2) == ' ' && is_upper(text.at(end - 1)) &&
        uk_nino(written_at(text, begin, end)))
      add_by_form(reading, Id::kUkNino, kAboutUkNino | kAnyId, begin, end, 0.85f);
  }
  if (n.groups[0].digits == 7 && text.before(n.begin) == '-' &&
      is_upper(text.before(n.begin - 1)) && !is_alnum(text.before(n.begin - 2))) {
    const std::size_t begin = n.begin - 2;
    const std::size_t end = n.groups[0].end + (text.at(n.groups[0].end) == '-' ? 2 : 1);
    if (is_upper(text.at(end - 1)) && es_nie(written_at(text, begin, end)))
      add_by_form(reading, Id::kEsNie, kAboutSpain | kAnyId, begin, end, 0.9f);
  }
}

}  // namespace

void read_identity(Reading& reading, const Number& n) {
  read_card(reading, n);
  read_single_group(reading, n);
  if (n.group_count > 1) read_groups(reading, n);
  read_fr_nir(reading, n);
  read_with_letter(reading, n);
  read_after_letters(reading, n);
}

void read_number(Reading& reading, std::size_t digit) {
  const Number number = parse_number(reading.text, digit);
  if (number.group_count == 0) return;
  if (number.digit_count >= 5) {
    read_identity(reading, number);
    read_labelled_code(reading, digit);
  }
  if (number.groups[0].digits <= 8) read_date(reading, digit);
  if (number.groups[0].digits <= 3) read_ipv4(reading, digit);
  if (number.groups[0].digits <= 15) read_phone(reading, digit);
}

}  // namespace tack::privacy
