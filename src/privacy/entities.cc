// The table of what can be found.
#include <algorithm>
#include <array>

#include "privacy/entity_ids.h"
#include "privacy/finder.h"

namespace tack::privacy {
namespace {

constexpr bool kSecret = true, kNoSecret = false, kByModel = true, kChecksum = true;

// In the order of Id.
constexpr std::array<EntityInfo, static_cast<std::size_t>(Id::kCount)> kEntities = {{
    {"EMAIL_ADDRESS", "EMAIL", "e-mail address"},
    {"PHONE_NUMBER", "PHONE", "telephone number"},
    {"CREDIT_CARD", "CARD", "number of a payment card (Luhn, issuer)", kNoSecret, !kByModel,
     kChecksum},
    {"IBAN_CODE", "IBAN", "bank account (mod 97, length of the country)", kNoSecret, !kByModel,
     kChecksum},
    {"IP_ADDRESS", "IP", "IPv4 or IPv6 address"},
    {"MAC_ADDRESS", "MAC", "address of a network card"},
    {"URL_WITH_CREDENTIALS", "URL", "user and password inside of a URL", kSecret},
    {"US_SSN", "US_SSN", "United States: Social Security number"},
    {"UK_NHS", "UK_NHS", "United Kingdom: NHS number (mod 11)", kNoSecret, !kByModel, kChecksum},
    {"UK_NINO", "UK_NINO", "United Kingdom: National Insurance number"},
    {"DE_TAX_ID", "DE_TAX_ID", "Germany: Steuer-Identifikationsnummer (ISO 7064)", kNoSecret,
     !kByModel, kChecksum},
    {"FR_NIR", "FR_NIR", "France: numéro de sécurité sociale (mod 97)", kNoSecret, !kByModel,
     kChecksum},
    {"ES_NIF", "ES_NIF", "Spain: DNI/NIF (letter mod 23)", kNoSecret, !kByModel, kChecksum},
    {"ES_NIE", "ES_NIE", "Spain: NIE (letter mod 23)", kNoSecret, !kByModel, kChecksum},
    {"IT_FISCAL_CODE", "IT_FISCAL_CODE", "Italy: codice fiscale (check letter)", kNoSecret,
     !kByModel, kChecksum},
    {"PL_PESEL", "PL_PESEL", "Poland: PESEL (date, weighted sum)", kNoSecret, !kByModel, kChecksum},
    {"IN_AADHAAR", "IN_AADHAAR", "India: Aadhaar (Verhoeff)", kNoSecret, !kByModel, kChecksum},
    {"IN_PAN", "IN_PAN", "India: permanent account number"},
    {"NL_BSN", "NL_BSN", "Netherlands: burgerservicenummer (mod 11)", kNoSecret, !kByModel,
     kChecksum},
    {"BR_CPF", "BR_CPF", "Brazil: CPF (two digits mod 11)", kNoSecret, !kByModel, kChecksum},
    {"CA_SIN", "CA_SIN", "Canada: Social Insurance number (Luhn)", kNoSecret, !kByModel, kChecksum},
    {"AU_TFN", "AU_TFN", "Australia: tax file number (mod 11)", kNoSecret, !kByModel, kChecksum},
    {"SE_PERSONNUMMER", "SE_PERSONNUMMER", "Sweden: personnummer (date, Luhn)", kNoSecret,
     !kByModel, kChecksum},
    {"FI_PERSONAL_IDENTITY_CODE", "FI_IDENTITY", "Finland: henkilötunnus (date, mod 31)", kNoSecret,
     !kByModel, kChecksum},
    {"CH_AHV", "CH_AHV", "Switzerland: AHV number (EAN-13)", kNoSecret, !kByModel, kChecksum},
    {"BE_NATIONAL_NUMBER", "BE_NATIONAL_NUMBER", "Belgium: rijksregisternummer (mod 97)", kNoSecret,
     !kByModel, kChecksum},
    {"CN_RESIDENT_ID", "CN_RESIDENT_ID", "China: resident identity number (date, mod 11)",
     kNoSecret, !kByModel, kChecksum},
    {"SG_NRIC_FIN", "SG_NRIC", "Singapore: NRIC/FIN (check letter)", kNoSecret, !kByModel,
     kChecksum},
    {"MX_CURP", "MX_CURP", "Mexico: CURP (date, check digit)", kNoSecret, !kByModel, kChecksum},
    {"PASSPORT_NUMBER", "PASSPORT", "number of a passport, by the words around"},
    {"MEDICAL_RECORD_NUMBER", "MEDICAL_RECORD",
     "number of a patient or record, by the words around"},
    {"INSURANCE_NUMBER", "INSURANCE", "number of an insured person or policy, by the words around"},
    {"DATE_OF_BIRTH", "BIRTH_DATE", "date of birth, by the words around"},
    {"API_KEY", "API_KEY", "key of a service (OpenAI, AWS, GitHub, Stripe, ...)", kSecret},
    {"AWS_SECRET_KEY", "AWS_SECRET", "secret access key of AWS, by the words around", kSecret},
    {"JSON_WEB_TOKEN", "JWT", "JSON web token", kSecret},
    {"PRIVATE_KEY", "PRIVATE_KEY", "private key as a PEM block", kSecret},
    {"PASSWORD", "PASSWORD", "password, by the words before", kSecret},
    {"PERSON", "PERSON", "name of a person", kNoSecret, kByModel},
    {"ORGANIZATION", "ORGANIZATION", "name of an organisation", kNoSecret, kByModel},
    {"LOCATION", "LOCATION", "place or postal address", kNoSecret, kByModel},
}};

}  // namespace

std::span<const EntityInfo> entities() {
  return kEntities;
}

const EntityInfo* entity(std::string_view name) {
  const auto at = std::ranges::find(kEntities, name, &EntityInfo::name);
  return at == kEntities.end() ? nullptr : &*at;
}

}  // namespace tack::privacy
