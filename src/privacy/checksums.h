// Check digits and letters of numbers that are given out to people. All take the number without
// separators; `digits` are values 0 to 9. They check what the number's own rules say, not whether
// it was given out.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tack::privacy {

using DigitSpan = std::span<const std::uint8_t>;

bool luhn(DigitSpan digits);      // ISO/IEC 7812-1
bool verhoeff(DigitSpan digits);  // Verhoeff 1969, over the dihedral group of ten
// ISO 7064 mod 97-10 after the first four characters went to the end; lengths of the SWIFT IBAN
// registry. Capital letters and digits.
bool iban(std::string_view text);

bool card(DigitSpan digits);         // issuer's prefix, its lengths, Luhn
bool us_ssn(DigitSpan digits);       // 9: areas, groups and serials that exist
bool uk_nhs(DigitSpan digits);       // 10
bool de_tax_id(DigitSpan digits);    // 11: one digit two or three times; ISO 7064 mod 11,10
bool pl_pesel(DigitSpan digits);     // 11
bool in_aadhaar(DigitSpan digits);   // 12
bool nl_bsn(DigitSpan digits);       // 9
bool br_cpf(DigitSpan digits);       // 11
bool ca_sin(DigitSpan digits);       // 9
bool au_tfn(DigitSpan digits);       // 9
bool se_personal(DigitSpan digits);  // 10: date, serial, Luhn
bool ch_ahv(DigitSpan digits);       // 13
bool be_national(DigitSpan digits);  // 11

// With letters; capital ones.
bool fr_nir(std::string_view text);       // 15; departments 2A and 2B
bool es_nif(std::string_view text);       // 8 digits, a letter
bool es_nie(std::string_view text);       // X, Y or Z, 7 digits, a letter
bool it_fiscal(std::string_view text);    // 16
bool fi_personal(std::string_view text);  // 11: DDMMYY, sign of the century, 3 digits, a character
bool cn_resident(std::string_view text);  // 18: 17 digits, a digit or X
bool sg_nric(std::string_view text);      // 9
bool mx_curp(std::string_view text);      // 18
bool uk_nino(std::string_view text);      // 9: two letters, 6 digits, A to D
bool in_pan(std::string_view text);  // 10: 5 letters, 4 digits, a letter; the 4th is a holder's

bool is_date(int year, int month, int day);  // of the Gregorian calendar, years 1800 to 2099

}  // namespace tack::privacy
