#include "privacy/finder.h"

#include <algorithm>
#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "base/random.h"

namespace tack::privacy {
namespace {

const Finder& finder() {
  static const std::shared_ptr<const Finder> kFinder = *Finder::create();
  return *kFinder;
}

// "EMAIL_ADDRESS=a@b.de PHONE_NUMBER=..." of what is found.
std::string found(std::string_view text) {
  std::string out;
  for (const Finding& f : finder().find(text)) {
    if (!out.empty()) out += " | ";
    out += f.entity + "=" + std::string(text.substr(f.begin, f.end - f.begin));
  }
  return out;
}

struct Case {
  std::string_view text, found;
};
void expect_all(std::initializer_list<Case> cases) {
  for (const Case& c : cases) EXPECT_EQ(found(c.text), c.found) << c.text;
}

TEST(Finder, Addresses) {
  expect_all({
      {"Write to jo.doe+x@mail.example.co.uk.", "EMAIL_ADDRESS=jo.doe+x@mail.example.co.uk"},
      {"<mailto:a@b.de>, 'c@d.org'", "EMAIL_ADDRESS=a@b.de | EMAIL_ADDRESS=c@d.org"},
      {"müller@münchen.de", "EMAIL_ADDRESS=müller@münchen.de"},
      {"邮箱zhang@qq.com谢谢", "EMAIL_ADDRESS=zhang@qq.com"},
      {"left-pad@1.3.0.tgz, user@host, @name, a@b, git@github.com:x/y", ""},
      {"from 192.168.17.4:8080 to 2001:db8::ff00:42:8329",
       "IP_ADDRESS=192.168.17.4 | "
       "IP_ADDRESS=2001:db8::ff00:42:8329"},
      {"version 10.1.2.3, 1.2.3, 256.1.1.1, 1.2.3.4.5, std::vector, ab::cd, 12:30:45", ""},
      {"MAC 00:1B:44:11:3A:B7, aa-bb-cc-dd-ee-0f",
       "MAC_ADDRESS=00:1B:44:11:3A:B7 | "
       "MAC_ADDRESS=aa-bb-cc-dd-ee-0f"},
      {"DB=postgres://app:s3cr3t@db.local:5432/x?y",
       "URL_WITH_CREDENTIALS=postgres://app:s3cr3t@db.local:5432"},
      {"see https://example.com:8080/a@b", ""},
      {R"({"t":"a\njo@example.com\n4111111111111111\tpassword: hunter2!x\nsk-ab12ab12ab12ab12ab12"})",
       "EMAIL_ADDRESS=jo@example.com | CREDIT_CARD=4111111111111111 | PASSWORD=hunter2!x | "
       "API_KEY=sk-ab12ab12ab12ab12ab12"},
  });
}

TEST(Finder, Cards) {
  expect_all({
      {"4111 1111 1111 1111", "CREDIT_CARD=4111 1111 1111 1111"},
      {"card: 5500005555555559, 378282246310005",
       "CREDIT_CARD=5500005555555559 | CREDIT_CARD=378282246310005"},
      {"3782-822463-10005 exp 12/27", "CREDIT_CARD=3782-822463-10005"},
      {"4111 1111 1111 1112", ""},
      {"order number 4111111111111111", ""},
      {"order 17 was paid with 4111111111111111", "CREDIT_CARD=4111111111111111"},
      {"4111111111111111a, 0.4111111111111111, 41111111111111110", ""},
      {"４１１１ １１１１ １１１１ １１１１", "CREDIT_CARD=４１１１ １１１１ １１１１ １１１１"},
      {"4111\u200b1111\u200b1111\u200b1111", "CREDIT_CARD=4111\u200b1111\u200b1111\u200b1111"},
      {"4111\u20111111\u20111111\u20111111", "CREDIT_CARD=4111\u20111111\u20111111\u20111111"},
      {"a,4111111111111111,12", "CREDIT_CARD=4111111111111111"},
  });
}

TEST(Finder, Banks) {
  expect_all({
      {"DE89 3704 0044 0532 0130 00.", "IBAN_CODE=DE89 3704 0044 0532 0130 00"},
      {"IBAN:GB82WEST12345698765432", "IBAN_CODE=GB82WEST12345698765432"},
      {"fr14 2004 1010 0505 0001 3m02 606 ok", "IBAN_CODE=fr14 2004 1010 0505 0001 3m02 606"},
      {"DE89 3704 0044 0532 0130 01, XX89370400440532013000", ""},
  });
}

TEST(Finder, NationalNumbers) {
  expect_all({
      {"SSN 536-22-1234, order 536221234", "US_SSN=536-22-1234"},
      {"{\"ssn\": \"536221234\"}", "US_SSN=536221234"},
      {"000-12-3456 666-12-3456 912-12-3456", ""},
      {"NHS number: 943 476 5919", "UK_NHS=943 476 5919"},
      {"943-476-5919 943 476 5918", "PHONE_NUMBER=943-476-5919"},
      {"NI number AB 12 34 56 C or AB123456C", "UK_NINO=AB 12 34 56 C | UK_NINO=AB123456C"},
      {"Steuer-ID: 86 095 742 719", "DE_TAX_ID=86 095 742 719"},
      {"steuerliche Identifikationsnummer 86095742719", "DE_TAX_ID=86095742719"},
      {"2 55 08 14 168 025 38", "FR_NIR=2 55 08 14 168 025 38"},
      {"DNI 12345678Z", "ES_NIF=12345678Z"},
      {"12345678A 12345678Z X1234567L", "ES_NIE=X1234567L"},
      {"NHS numbers 943 476 5919, 987 654 3210", "UK_NHS=943 476 5919 | UK_NHS=987 654 3210"},
      {"Tax file number 123456782. Matter no. 44051401359", "AU_TFN=123456782"},
      {"Social Insurance Number: 764821526", "CA_SIN=764821526"},
      {"Codice fiscale RSSMRA85T10A562S", "IT_FISCAL_CODE=RSSMRA85T10A562S"},
      {"RSSMRA85T10A562T", ""},
      {"PESEL: 44051401359", "PL_PESEL=44051401359"},
      {"44051401359", ""},
      {"Aadhaar 2341 2341 2346", "IN_AADHAAR=2341 2341 2346"},
      {"BSN 111222333", "NL_BSN=111222333"},
      {"CPF 529.982.247-25 529.982.247-26", "BR_CPF=529.982.247-25"},
      {"SIN: 130 692 544", "CA_SIN=130 692 544"},
      {"Tax file number 123 456 782", "AU_TFN=123 456 782"},
      {"personnummer 811218-9876", "SE_PERSONNUMMER=811218-9876"},
      {"131052-308T", "FI_PERSONAL_IDENTITY_CODE=131052-308T"},
      {"756.9217.0769.85", "CH_AHV=756.9217.0769.85"},
      {"85.07.30-033.28", "BE_NATIONAL_NUMBER=85.07.30-033.28"},
      {"身份证号码11010519491231002X", "CN_RESIDENT_ID=11010519491231002X"},
      {"NRIC S1234567D", "SG_NRIC_FIN=S1234567D"},
      {"PAN ABCPD1234F", "IN_PAN=ABCPD1234F"},
  });
}

TEST(Finder, WhatWordsCallSo) {
  expect_all({
      {"MRN: 00482913", "MEDICAL_RECORD_NUMBER=00482913"},
      {"patientId=48291377;", "MEDICAL_RECORD_NUMBER=48291377"},
      {"Admitted 482913 (MRN) today", "MEDICAL_RECORD_NUMBER=482913"},
      {"policy number ABC-4829137", "INSURANCE_NUMBER=ABC-4829137"},
      {"Versichertennummer A123456780", "INSURANCE_NUMBER=A123456780"},
      {"Passport No. C01X00T47", "PASSPORT_NUMBER=C01X00T47"},
      {"invoice 482913, order 00482913", ""},
      {"born on 3 April 1980 in Rome", "DATE_OF_BIRTH=3 April 1980"},
      {"DOB: 04/03/1980", "DATE_OF_BIRTH=04/03/1980"},
      {"geb. am 03.04.1980", "DATE_OF_BIRTH=03.04.1980"},
      {"Née le 3 avril 1980", "DATE_OF_BIRTH=3 avril 1980"},
      {"\"date_of_birth\":\"1980-04-03\"", "DATE_OF_BIRTH=1980-04-03"},
      {"Date of birth: April 3rd, 1980.", "DATE_OF_BIRTH=April 3rd, 1980"},
      {"seen on 03.04.2019, born 1980", ""},
  });
}

TEST(Finder, Phones) {
  expect_all({
      {"+49 (0)30 1234567", "PHONE_NUMBER=+49 (0)30 1234567"},
      {"call +1 415 555 0100 2 times", "PHONE_NUMBER=+1 415 555 0100"},
      {"(415) 555-0132", "PHONE_NUMBER=(415) 555-0132"},
      {"Tel. 030/1234567", "PHONE_NUMBER=030/1234567"},
      {"tel: 01 23 45 67 89,", "PHONE_NUMBER=01 23 45 67 89"},
      {"call 03.04.2019, ISBN 0-306-40615-2, 1,234,567", ""},
      {"Téléphone : 06.58.42.90.72.", "PHONE_NUMBER=06.58.42.90.72"},
      {"reachable: 192.156.159.124 13:58", "IP_ADDRESS=192.156.159.124"},
      {"(+44 20 7946 0958)", "PHONE_NUMBER=+44 20 7946 0958"},
  });
}

TEST(Finder, Secrets) {
  const std::string run = "abcdefghij0123456789ABCDEFGHIJ0123456789";
  expect_all({
      {"key AKIAIOSFODNN7EXAMPLE.", "API_KEY=AKIAIOSFODNN7EXAMPLE"},
      {"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
       "AWS_SECRET_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"},
      {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl.",
       "JSON_WEB_TOKEN=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"},
      {"password: hunter2!", "PASSWORD=hunter2"},
      {"Password=letmein", "PASSWORD=letmein"},
      {"\"db_password\": \"correct horse\"", "PASSWORD=correct horse"},
      {"the password is Tr0ub4dor&3, ok", "PASSWORD=Tr0ub4dor&3"},
      {"Mot de passe : Ete2024x", "PASSWORD=Ete2024x"},
      {"password: required; the password is wrong; password=<none>", ""},
      {"sk-learn-is-a-library-for-machine-learning", ""},
  });
  for (const char* prefix : {"sk-", "sk-ant-api03-", "sk-proj-", "ghp_", "github_pat_", "glpat-",
                             "xoxb-", "sk_live_", "hf_", "npm_"})
    EXPECT_EQ(found("x " + (prefix + run) + ", y"), "API_KEY=" + (prefix + run));
  EXPECT_EQ(found("tk-" + std::string(32, 'a') + std::string(32, '7')),
            "API_KEY=tk-" + std::string(32, 'a') + std::string(32, '7'));
  std::string pem = "-----BEGIN RSA PRIVATE KEY-----\n";
  for (int i = 0; i < 25; ++i) pem += std::string(64, static_cast<char>('A' + i)) + "\n";
  pem += "Ab+/==\n-----END RSA PRIVATE KEY-----";
  EXPECT_EQ(found("a " + pem + " b"), "PRIVATE_KEY=" + pem);
}

TEST(Finder, NamesOfEntities) {
  for (const EntityInfo& each : entities()) {
    EXPECT_EQ(entity(each.name), &each);
    EXPECT_EQ(std::ranges::count(entities(), each.pseudonym, &EntityInfo::pseudonym), 1);
  }
  const std::vector<std::string> wrong = {"EMAIL_ADRESS"};
  const auto none = Finder::create(wrong);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kUsage);
  EXPECT_NE(none.error().message.find("EMAIL_ADDRESS"), std::string::npos);
  const std::vector<std::string> some = {"PHONE_NUMBER"};
  const auto phones = (*Finder::create(some))->find("a@b.de, tel 030 1234567");
  ASSERT_EQ(phones.size(), 1u);
  EXPECT_EQ(phones[0].entity, "PHONE_NUMBER");
}

}  // namespace
}  // namespace tack::privacy
