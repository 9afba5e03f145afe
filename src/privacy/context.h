// The words before a number, in the languages of the countries whose numbers are found: what it is
// called decides what it is.
#pragma once

#include <cstddef>
#include <cstdint>

#include "privacy/scan_text.h"

namespace tack::privacy {

// What words speak of, as bits.
using Topics = std::uint64_t;
enum Topic : Topics {
  kAboutPhone = 1ull << 0,
  kAboutCard = 1ull << 1,
  kAboutNationalId = 1ull << 2,  // of some country
  kAboutTaxId = 1ull << 3,
  kAboutUsSsn = 1ull << 4,
  kAboutUkNhs = 1ull << 5,
  kAboutUkNino = 1ull << 6,
  kAboutDeTax = 1ull << 7,
  kAboutFrNir = 1ull << 8,
  kAboutSpain = 1ull << 9,
  kAboutItaly = 1ull << 10,
  kAboutPesel = 1ull << 11,
  kAboutAadhaar = 1ull << 12,
  kAboutPan = 1ull << 13,
  kAboutBsn = 1ull << 14,
  kAboutCpf = 1ull << 15,
  kAboutSin = 1ull << 16,
  kAboutTfn = 1ull << 17,
  kAboutSweden = 1ull << 18,
  kAboutFinland = 1ull << 19,
  kAboutAhv = 1ull << 20,
  kAboutBelgium = 1ull << 21,
  kAboutChina = 1ull << 22,
  kAboutSingapore = 1ull << 23,
  kAboutMexico = 1ull << 24,
  kAboutPassport = 1ull << 25,
  kAboutRecord = 1ull << 26,
  kAboutInsurance = 1ull << 27,
  kAboutBirth = 1ull << 28,
  kAboutPassword = 1ull << 29,
  kAboutApiKey = 1ull << 30,
  kAboutAws = 1ull << 31,
  kAboutTwilio = 1ull << 32,
  kAboutIp = 1ull << 33,
  kAboutIban = 1ull << 34,
  // What makes a number something else: an order, an ISBN, a version.
  kAboutThings = 1ull << 35,
  // Says nothing about what follows: "number", "is". Not counted as a word between.
  kFiller = 1ull << 36,
};

struct Context {
  Topics topics = 0;    // of the words before, back to the first that is about things
  Topics nearest = 0;   // of the nearest word or phrase that has any
  Topics own = 0;       // of the words up to the number before; those of a list are one
  bool things = false;  // one of the two words before names a thing: "order no. 4539..."
};

// Of the words before `begin`: at most six that say something, at most 96 bytes, and not beyond an
// empty line.
Context context_before(const ScanText& text, std::size_t begin);
// Of a word in brackets directly behind `end`: "12345678 (MRN)".
Topics topics_in_brackets(const ScanText& text, std::size_t end);
// Of the words that end at `end`, as a key or label is written: `"db_password"`, `API key`.
Topics topics_of_label(const ScanText& text, std::size_t end);

}  // namespace tack::privacy
