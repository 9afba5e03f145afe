// What stands at a place of the text where something can begin. Each reads forward from its anchor
// as far as it needs, at most a few hundred bytes, and only backwards what never depends on more
// than 96 bytes: so a text can be read from any place on.
#pragma once

#include <cstddef>
#include <vector>

#include "privacy/context.h"
#include "privacy/entity_ids.h"
#include "privacy/scan_text.h"

namespace tack::privacy {

struct Candidate {
  std::size_t begin = 0, end = 0;  // scan positions
  float score = 0;
  Id id = Id::kCount;
  bool open = false;  // may be long: only grows when more text comes
};

// A text being read, and what was found in it.
class Reading {
 public:
  explicit Reading(const ScanText& scanned) : text(scanned) {}

  const ScanText& text;
  std::vector<Candidate> found;

  void add(Id id, std::size_t begin, std::size_t end, float score, bool open = false) {
    found.push_back({begin, end, score, id, open});
  }
  // context_before(), the last one kept.
  const Context& context(std::size_t begin) {
    if (begin != context_at_) {
      context_ = context_before(text, begin);
      context_at_ = begin;
    }
    return context_;
  }
  // How sure what is only known by the words around is: 0: they say nothing of these topics.
  float by_words(Topics topics, std::size_t begin, std::size_t end) {
    const Context& around = context(begin);
    if ((around.nearest & around.own & topics) != 0) return 0.85f;
    if ((around.own & topics) != 0) return 0.6f;
    return !around.things && (topics_in_brackets(text, end) & topics) != 0 ? 0.85f : 0;
  }
  // Nothing goes on behind `end`: neither a word nor a number.
  bool ends(std::size_t end) const;

 private:
  Context context_;
  std::size_t context_at_ = static_cast<std::size_t>(-1);
};

constexpr std::size_t kMostScanned = 256;  // of what is no open one

void read_email(Reading& reading, std::size_t at);       // at '@'
void read_url(Reading& reading, std::size_t colon);      // at the ':' of "://"
void read_hex_groups(Reading& reading, std::size_t at);  // at the first ':', or '-' in "aa-bb-"
void read_assignment(Reading& reading, std::size_t at);  // at ':' or '='; or behind "password is"
void read_secret(Reading& reading, std::size_t begin);   // at a word's first letter
void read_code(Reading& reading, std::size_t begin, std::size_t digit);  // letters, then a digit
void read_number(Reading& reading, std::size_t digit);  // at a digit no letter stands before

// Parts of read_number().
struct Number;
void read_identity(Reading& reading, const Number& number);
void read_phone(Reading& reading, std::size_t digit);
void read_date(Reading& reading, std::size_t digit);
// Where a date in digits that begins at `digit` ends; 0: there is none.
std::size_t numeric_date_end(const ScanText& text, std::size_t digit);
void read_ipv4(Reading& reading, std::size_t digit);
// By the words around: records, insurances, passports. `at`: a digit of it.
void read_labelled_code(Reading& reading, std::size_t at);

}  // namespace tack::privacy
