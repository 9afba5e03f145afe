// The rows of entities(), by number: what recognisers say they found.
#pragma once

#include <cstdint>

namespace tack::privacy {

enum class Id : std::uint8_t {
  kEmail,
  kPhone,
  kCard,
  kIban,
  kIp,
  kMac,
  kUrl,
  kUsSsn,
  kUkNhs,
  kUkNino,
  kDeTax,
  kFrNir,
  kEsNif,
  kEsNie,
  kItFiscal,
  kPlPesel,
  kInAadhaar,
  kInPan,
  kNlBsn,
  kBrCpf,
  kCaSin,
  kAuTfn,
  kSePersonal,
  kFiPersonal,
  kChAhv,
  kBeNational,
  kCnResident,
  kSgNric,
  kMxCurp,
  kPassport,
  kMedicalRecord,
  kInsurance,
  kBirth,
  kApiKey,
  kAwsSecret,
  kJwt,
  kPrivateKey,
  kPassword,
  kPerson,
  kOrganization,
  kLocation,
  kCount
};

}  // namespace tack::privacy
