#include "privacy/checksums.h"

#include <algorithm>
#include <array>

namespace tack::privacy {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_capital(char c) {
  return c >= 'A' && c <= 'Z';
}
int value(char c) {
  return c - '0';
}

// Sum of digits times weights; as many as there are weights.
template <std::size_t N>
int weighted(DigitSpan digits, const std::array<int, N>& weights) {
  int sum = 0;
  for (std::size_t i = 0; i < N; ++i) sum += digits[i] * weights[i];
  return sum;
}

// The number that digits from `from` on write, `count` of them.
int number(DigitSpan digits, std::size_t from, std::size_t count) {
  int n = 0;
  for (std::size_t i = from; i < from + count; ++i) n = n * 10 + digits[i];
  return n;
}
bool all_same(DigitSpan digits) {
  return std::ranges::all_of(digits, [&](std::uint8_t d) { return d == digits[0]; });
}
// As `pattern` says: '9' a digit, 'A' a capital, '*' either.
bool looks_like(std::string_view text, std::string_view pattern) {
  if (text.size() != pattern.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool digit = is_digit(text[i]), capital = is_capital(text[i]);
    if (pattern[i] == '9' ? !digit : pattern[i] == 'A' ? !capital : !digit && !capital)
      return false;
  }
  return true;
}
long long number(std::string_view digits) {
  long long n = 0;
  for (const char c : digits) n = n * 10 + value(c);
  return n;
}

struct IbanCountry {
  char name[3];
  std::uint8_t length;
};
// Sorted by name.
constexpr std::array<IbanCountry, 88> kIbanCountries = {{
    {"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22},
    {"BH", 22}, {"BI", 27}, {"BR", 29}, {"BY", 28}, {"CH", 21}, {"CR", 22}, {"CY", 28}, {"CZ", 24},
    {"DE", 22}, {"DJ", 27}, {"DK", 18}, {"DO", 28}, {"EE", 20}, {"EG", 29}, {"ES", 24}, {"FI", 18},
    {"FK", 18}, {"FO", 18}, {"FR", 27}, {"GB", 22}, {"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27},
    {"GT", 28}, {"HR", 21}, {"HU", 28}, {"IE", 22}, {"IL", 23}, {"IQ", 23}, {"IS", 26}, {"IT", 27},
    {"JO", 30}, {"KW", 30}, {"KZ", 20}, {"LB", 28}, {"LC", 32}, {"LI", 21}, {"LT", 20}, {"LU", 20},
    {"LV", 21}, {"LY", 25}, {"MC", 27}, {"MD", 24}, {"ME", 22}, {"MK", 19}, {"MN", 20}, {"MR", 27},
    {"MT", 31}, {"MU", 30}, {"NI", 28}, {"NL", 18}, {"NO", 15}, {"OM", 23}, {"PK", 24}, {"PL", 28},
    {"PS", 29}, {"PT", 25}, {"QA", 29}, {"RO", 24}, {"RS", 22}, {"RU", 33}, {"SA", 24}, {"SC", 31},
    {"SD", 18}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27}, {"SO", 23}, {"ST", 25}, {"SV", 28},
    {"TL", 23}, {"TN", 24}, {"TR", 26}, {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20}, {"YE", 30},
}};
static_assert(std::ranges::is_sorted(kIbanCountries, {}, [](const IbanCountry& country) {
  return std::string_view(country.name, 2);
}));

}  // namespace

bool is_date(int year, int month, int day) {
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (year < 1800 || year > 2099 || month < 1 || month > 12 || day < 1) return false;
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return day <= kDays[static_cast<std::size_t>(month - 1)] + (month == 2 && leap ? 1 : 0);
}

bool luhn(DigitSpan digits) {
  int sum = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const int d = digits[digits.size() - 1 - i];
    sum += i % 2 == 0 ? d : d < 5 ? 2 * d : 2 * d - 9;
  }
  return !digits.empty() && sum % 10 == 0;
}

bool verhoeff(DigitSpan digits) {
  constexpr std::array<std::array<std::uint8_t, 10>, 10> kProduct = {
      {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
       {1, 2, 3, 4, 0, 6, 7, 8, 9, 5},
       {2, 3, 4, 0, 1, 7, 8, 9, 5, 6},
       {3, 4, 0, 1, 2, 8, 9, 5, 6, 7},
       {4, 0, 1, 2, 3, 9, 5, 6, 7, 8},
       {5, 9, 8, 7, 6, 0, 4, 3, 2, 1},
       {6, 5, 9, 8, 7, 1, 0, 4, 3, 2},
       {7, 6, 5, 9, 8, 2, 1, 0, 4, 3},
       {8, 7, 6, 5, 9, 3, 2, 1, 0, 4},
       {9, 8, 7, 6, 5, 4, 3, 2, 1, 0}}};
  constexpr std::array<std::uint8_t, 10> kPermutation = {1, 5, 7, 6, 2, 8, 3, 0, 9, 4};
  std::uint8_t check = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    std::uint8_t d = digits[digits.size() - 1 - i];
    for (std::size_t times = i % 8; times > 0; --times) d = kPermutation[d];
    check = kProduct[check][d];
  }
  return !digits.empty() && check == 0;
}

bool iban(std::string_view text) {
  if (text.size() < 15 || !looks_like(text.substr(0, 4), "AA99")) return false;
  const auto country =
      std::ranges::lower_bound(kIbanCountries, text.substr(0, 2), {},
                               [](const IbanCountry& c) { return std::string_view(c.name, 2); });
  if (country == kIbanCountries.end() || text.substr(0, 2) != std::string_view(country->name, 2) ||
      text.size() != country->length)
    return false;
  int remainder = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[(i + 4) % text.size()];
    if (is_digit(c)) {
      remainder = (remainder * 10 + value(c)) % 97;
    } else if (is_capital(c)) {
      remainder = (remainder * 100 + c - 'A' + 10) % 97;
    } else {
      return false;
    }
  }
  return remainder == 1;
}

bool card(DigitSpan digits) {
  const std::size_t n = digits.size();
  if (n < 14 || n > 19) return false;
  const int two = number(digits, 0, 2), three = number(digits, 0, 3), four = number(digits, 0, 4);
  const bool visa = digits[0] == 4 && (n == 16 || n == 19);
  const bool mastercard = ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720)) && n == 16;
  const bool amex = (two == 34 || two == 37) && n == 15;
  const bool diners = ((three >= 300 && three <= 305) || two == 36 || two == 38 || two == 39) &&
                      (n == 14 || n == 16);
  const bool discover =
      (four == 6011 || (three >= 644 && three <= 649) || two == 65) && (n == 16 || n == 19);
  const bool jcb = four >= 3528 && four <= 3589 && (n == 16 || n == 19);
  const bool unionpay = two == 62 && n >= 16;
  const bool maestro = (four == 5018 || four == 5020 || four == 5038 || four == 5893 ||
                        four == 6304 || four == 6759 || (four >= 6761 && four <= 6763)) &&
                       n >= 16;
  return (visa || mastercard || amex || diners || discover || jcb || unionpay || maestro) &&
         luhn(digits);
}

bool us_ssn(DigitSpan digits) {
  if (digits.size() != 9 || all_same(digits)) return false;
  const int area = number(digits, 0, 3);
  return area != 0 && area != 666 && area < 900 && number(digits, 3, 2) != 0 &&
         number(digits, 5, 4) != 0 && number(digits, 0, 9) != 123456789;
}

bool uk_nhs(DigitSpan digits) {
  if (digits.size() != 10 || all_same(digits)) return false;
  const int check = 11 - weighted<9>(digits, {10, 9, 8, 7, 6, 5, 4, 3, 2}) % 11;
  return check != 10 && check % 11 == digits[9];
}

bool de_tax_id(DigitSpan digits) {
  if (digits.size() != 11 || digits[0] == 0) return false;
  std::array<int, 10> times{};
  for (std::size_t i = 0; i < 10; ++i) ++times[digits[i]];
  const auto repeated = std::ranges::count_if(times, [](int t) { return t > 1; });
  if (repeated != 1 || std::ranges::max(times) > 3) return false;
  int product = 10;
  for (std::size_t i = 0; i < 10; ++i) {
    const int sum = (digits[i] + product) % 10;
    product = (sum == 0 ? 10 : sum) * 2 % 11;
  }
  return (11 - product) % 10 == digits[10];
}

bool pl_pesel(DigitSpan digits) {
  if (digits.size() != 11) return false;
  const int coded = number(digits, 2, 2);
  constexpr std::array<int, 5> kCenturies = {1900, 2000, 2100, 2200, 1800};
  const int year = kCenturies[static_cast<std::size_t>(coded / 20)] + number(digits, 0, 2);
  if (!is_date(year, coded % 20, number(digits, 4, 2))) return false;
  return weighted<11>(digits, {1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1}) % 10 == 0;
}

bool in_aadhaar(DigitSpan digits) {
  return digits.size() == 12 && digits[0] >= 2 && !all_same(digits) && verhoeff(digits);
}

bool nl_bsn(DigitSpan digits) {
  return digits.size() == 9 && !all_same(digits) &&
         weighted<9>(digits, {9, 8, 7, 6, 5, 4, 3, 2, -1}) % 11 == 0;
}

bool br_cpf(DigitSpan digits) {
  if (digits.size() != 11 || all_same(digits)) return false;
  const int first = weighted<9>(digits, {10, 9, 8, 7, 6, 5, 4, 3, 2}) * 10 % 11 % 10;
  const int second = weighted<10>(digits, {11, 10, 9, 8, 7, 6, 5, 4, 3, 2}) * 10 % 11 % 10;
  return first == digits[9] && second == digits[10];
}

bool ca_sin(DigitSpan digits) {
  return digits.size() == 9 && digits[0] != 0 && digits[0] != 8 && !all_same(digits) &&
         luhn(digits);
}

bool au_tfn(DigitSpan digits) {
  return digits.size() == 9 && !all_same(digits) &&
         weighted<9>(digits, {1, 4, 3, 7, 5, 8, 6, 9, 10}) % 11 == 0;
}

bool se_personal(DigitSpan digits) {
  if (digits.size() != 10) return false;
  int day = number(digits, 4, 2);
  if (day > 60) day -= 60;  // coordination numbers
  return is_date(2000 + number(digits, 0, 2), number(digits, 2, 2), day) && luhn(digits);
}

bool ch_ahv(DigitSpan digits) {
  return digits.size() == 13 && number(digits, 0, 3) == 756 &&
         weighted<13>(digits, {1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1}) % 10 == 0;
}

bool be_national(DigitSpan digits) {
  if (digits.size() != 11) return false;
  const int month = number(digits, 2, 2), day = number(digits, 4, 2);
  if (month > 12 || day > 31) return false;
  const int nine = number(digits, 0, 9), check = number(digits, 9, 2);
  const int born_2000 = static_cast<int>((2'000'000'000LL + nine) % 97);
  return check == 97 - nine % 97 || check == 97 - born_2000;
}

bool fr_nir(std::string_view text) {
  if (text.size() != 15) return false;
  std::string_view department = text.substr(5, 2);
  const bool corsica = department == "2A" || department == "2B";
  for (std::size_t i = 0; i < text.size(); ++i)
    if (!is_digit(text[i]) && !(corsica && i == 6)) return false;
  const long long month = number(text.substr(3, 2));
  const bool real = (month >= 1 && month <= 12) || (month >= 20 && month <= 42) || month >= 50;
  if ((text[0] != '1' && text[0] != '2') || !real) return false;
  long long body = number(text.substr(0, 5));
  body = body * 100 + (corsica ? (department == "2A" ? 19 : 18) : number(department));
  body = body * 1'000'000 + number(text.substr(7, 6));
  return number(text.substr(13)) == 97 - body % 97;
}

bool es_nif(std::string_view text) {
  return looks_like(text, "99999999A") &&
         text[8] == "TRWAGMYFPDXBNJZSQVHLCKE"[number(text.substr(0, 8)) % 23];
}

bool es_nie(std::string_view text) {
  if (!looks_like(text, "A9999999A") || text[0] < 'X') return false;
  const long long n = (text[0] - 'X') * 10'000'000LL + number(text.substr(1, 7));
  return text[8] == "TRWAGMYFPDXBNJZSQVHLCKE"[n % 23];
}

bool it_fiscal(std::string_view text) {
  // Digits may be written as letters where names agree (omocodia), so they count as either.
  if (!looks_like(text, "AAAAAA**A**A***A")) return false;
  if (std::string_view("ABCDEHLMPRST").find(text[8]) == std::string_view::npos) return false;
  constexpr std::string_view kOmocodia = "LMNPQRSTUV";
  for (const std::size_t i : {6, 7, 9, 10, 12, 13, 14})
    if (is_capital(text[i]) && kOmocodia.find(text[i]) == std::string_view::npos) return false;
  constexpr std::array<int, 26> kOdd = {1,  0,  5, 7, 9, 13, 15, 17, 19, 21, 2,  4,  18,
                                        20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23};
  int sum = 0;
  for (std::size_t i = 0; i < 15; ++i) {
    const int n = is_digit(text[i]) ? value(text[i]) : text[i] - 'A';
    sum += i % 2 == 0 ? kOdd[static_cast<std::size_t>(n)] : n;  // the first is the first odd one
  }
  return text[15] == 'A' + sum % 26;
}

bool fi_personal(std::string_view text) {
  if (text.size() != 11) return false;
  for (const std::size_t i : {0, 1, 2, 3, 4, 5, 7, 8, 9})
    if (!is_digit(text[i])) return false;
  const char sign = text[6];
  int century = 1900;
  if (sign == '+') {
    century = 1800;
  } else if (sign >= 'A' && sign <= 'F') {
    century = 2000;
  } else if (sign != '-' && !(sign >= 'U' && sign <= 'Y')) {
    return false;
  }
  const auto two = [&](std::size_t at) { return static_cast<int>(number(text.substr(at, 2))); };
  if (!is_date(century + two(4), two(2), two(0))) return false;
  const long long n = number(text.substr(0, 6)) * 1000 + number(text.substr(7, 3));
  return text[10] == "0123456789ABCDEFHJKLMNPRSTUVWXY"[n % 31];
}

bool cn_resident(std::string_view text) {
  if (text.size() != 18 || text[0] == '0' || (!is_digit(text[17]) && text[17] != 'X')) return false;
  constexpr std::array<int, 17> kWeights = {7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2};
  int sum = 0;
  for (std::size_t i = 0; i < 17; ++i) {
    if (!is_digit(text[i])) return false;
    sum += value(text[i]) * kWeights[i];
  }
  const auto part = [&](std::size_t at, std::size_t n) {
    return static_cast<int>(number(text.substr(at, n)));
  };
  return is_date(part(6, 4), part(10, 2), part(12, 2)) && text[17] == "10X98765432"[sum % 11];
}

bool sg_nric(std::string_view text) {
  if (!looks_like(text, "A9999999A")) return false;
  constexpr std::array<int, 7> kWeights = {2, 7, 6, 5, 4, 3, 2};
  int sum = text[0] == 'T' || text[0] == 'G' ? 4 : text[0] == 'M' ? 3 : 0;
  for (std::size_t i = 0; i < 7; ++i) sum += value(text[i + 1]) * kWeights[i];
  const auto rest = static_cast<std::size_t>(sum % 11);
  if (text[0] == 'S' || text[0] == 'T') return text[8] == "JZIHGFEDCBA"[rest];
  if (text[0] == 'F' || text[0] == 'G') return text[8] == "XWUTRQPNMLK"[rest];
  return text[0] == 'M' && text[8] == "XWUTRQPNJLK"[rest];
}

bool mx_curp(std::string_view text) {
  if (!looks_like(text, "AAAA999999AAAAAA*9")) return false;
  if (text[10] != 'H' && text[10] != 'M' && text[10] != 'X') return false;
  const auto two = [&](std::size_t at) { return static_cast<int>(number(text.substr(at, 2))); };
  const int century = is_digit(text[16]) ? 1900 : 2000;
  if (!is_date(century + two(4), two(6), two(8))) return false;
  long long sum = 0;
  for (std::size_t i = 0; i < 17; ++i) {
    // Ñ would stand between N and O.
    const int n = is_digit(text[i]) ? value(text[i]) : text[i] - 'A' + 10 + (text[i] > 'N' ? 1 : 0);
    sum += n * static_cast<long long>(18 - i);
  }
  return value(text[17]) == (10 - sum % 10) % 10;
}

bool uk_nino(std::string_view text) {
  if (!looks_like(text, "AA999999A") || text[8] > 'D') return false;
  constexpr std::string_view kNever = "DFIQUV";
  if (kNever.find(text[0]) != std::string_view::npos || text[1] == 'O' ||
      kNever.find(text[1]) != std::string_view::npos)
    return false;
  const std::string_view two = text.substr(0, 2);
  return two != "BG" && two != "GB" && two != "KN" && two != "NK" && two != "NT" && two != "TN" &&
         two != "ZZ";
}

bool in_pan(std::string_view text) {
  return looks_like(text, "AAAAA9999A") &&
         std::string_view("ABCFGHJLPT").find(text[3]) != std::string_view::npos;
}

}  // namespace tack::privacy
