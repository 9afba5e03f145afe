// Codes of letters and digits: bank accounts, national ids, and what the words around name.
#include <string>

#include "privacy/characters.h"
#include "privacy/checksums.h"
#include "privacy/recognisers.h"

namespace tack::privacy {
namespace {

constexpr Topics kAnyId = kAboutNationalId | kAboutTaxId;

char capital(unsigned char c) {
  return static_cast<char>(is_lower(c) ? c - 32 : c);
}

// Up to `most` letters and digits side by side, as capitals.
std::string run_at(const ScanText& text, std::size_t begin, std::size_t most) {
  std::string out;
  for (std::size_t i = begin; out.size() < most && is_alnum(text.at(i)); ++i)
    out += capital(text.at(i));
  return out;
}

void read_iban(Reading& reading, std::size_t begin) {
  const ScanText& text = reading.text;
  std::string code;
  std::size_t i = begin;
  while (code.size() < 34) {
    const unsigned char c = text.at(i);
    if (is_alnum(c)) {
      code += capital(c);
    } else if ((c != ' ' && c != '-') || !is_alnum(text.before(i))) {
      break;
    }
    ++i;
    if (code.size() >= 15 && is_alnum(c) && !is_alnum(text.at(i)) && iban(code))
      return reading.add(Id::kIban, begin, i, 1);
  }
}

// A code of fixed length; `sure` without words, 0: only with them.
void add(Reading& reading, Id id, Topics topics, std::size_t begin, std::size_t end, float sure) {
  if (!reading.ends(end)) return;
  const Context& context = reading.context(begin);
  if ((context.own & topics) != 0) return reading.add(id, begin, end, 1);
  if (sure > 0 && !context.things) return reading.add(id, begin, end, sure);
  if ((topics_in_brackets(reading.text, end) & topics) != 0) reading.add(id, begin, end, 0.9f);
}

}  // namespace

void read_code(Reading& reading, std::size_t begin, std::size_t digit) {
  const ScanText& text = reading.text;
  const std::size_t letters = digit - begin;
  const bool capitals = is_upper(text.at(begin));
  const auto code = [&](std::size_t size) { return run_at(text, begin, size + 1); };
  switch (letters) {
    case 1: {
      const std::string nine = code(9);
      if (es_nie(nine)) add(reading, Id::kEsNie, kAboutSpain | kAnyId, begin, begin + 9, 0.9f);
      if (capitals && sg_nric(nine))
        add(reading, Id::kSgNric, kAboutSingapore | kAnyId, begin, begin + 9, 0);
      break;
    }
    case 2:
      read_iban(reading, begin);
      if (capitals && uk_nino(code(9)))
        add(reading, Id::kUkNino, kAboutUkNino | kAnyId, begin, begin + 9, 0.75f);
      break;
    case 4:
      if (mx_curp(code(18))) add(reading, Id::kMxCurp, kAboutMexico, begin, begin + 18, 0.95f);
      break;
    case 5:
      if (capitals && in_pan(code(10)))
        add(reading, Id::kInPan, kAboutPan | kAboutTaxId, begin, begin + 10, 0.6f);
      break;
    case 6:
    case 7:  // a digit of the year written as a letter
    case 8:
      if (it_fiscal(code(16))) add(reading, Id::kItFiscal, kAboutItaly, begin, begin + 16, 0.95f);
      break;
    default:
      break;
  }
  read_labelled_code(reading, digit);
}

void read_labelled_code(Reading& reading, std::size_t at) {
  constexpr std::size_t kLongest = 20;
  const ScanText& text = reading.text;
  std::size_t begin = at;
  while (at - begin < kLongest) {
    const unsigned char c = text.before(begin);
    const bool joint = (c == '-' || c == '/') && is_alnum(text.before(begin - 1));
    if (!is_upper(c) && !is_digit(c) && !joint) break;
    --begin;
  }
  if (is_alnum(text.before(begin))) return;
  std::size_t end = begin, digits = 0, all = 0;
  for (; end - begin <= kLongest; ++end) {
    const unsigned char c = text.at(end);
    const bool joint = (c == '-' || c == '/' || c == ' ') && is_digit(text.before(end)) &&
                       is_digit(text.at(end + 1));
    const bool dash = c == '-' && (is_upper(text.at(end + 1)) || is_digit(text.at(end + 1)));
    if (is_digit(c) || is_upper(c)) {
      ++all;
      if (is_digit(c)) ++digits;
    } else if (!joint && !dash) {
      break;
    }
  }
  const std::size_t letters = all - digits;
  if (digits < 4 || all < 5 || all > 18 || end - begin > kLongest || !reading.ends(end)) return;
  if (letters == 0 && numeric_date_end(text, begin) == end) return;
  if (const float sure = reading.by_words(kAboutRecord, begin, end); sure > 0)
    reading.add(Id::kMedicalRecord, begin, end, sure);
  if (const float sure = reading.by_words(kAboutInsurance, begin, end); sure > 0 && all >= 6)
    reading.add(Id::kInsurance, begin, end, sure);
  if (all >= 6 && all <= 10 && letters <= 4 && digits >= 5)
    if (const float sure = reading.by_words(kAboutPassport, begin, end); sure > 0)
      reading.add(Id::kPassport, begin, end, sure);
}

}  // namespace tack::privacy
