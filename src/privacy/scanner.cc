#include "privacy/scanner.h"

#include <algorithm>
#include <array>

#include "privacy/characters.h"

namespace tack::privacy {
namespace {

enum class Anchor : std::uint8_t { kNone, kLetter, kDigit, kAt, kColon, kEquals, kDash };

constexpr std::array<Anchor, 256> kAnchors = [] {
  std::array<Anchor, 256> anchors{};
  for (unsigned c = 0; c < 256; ++c)
    anchors[c] = is_alpha(static_cast<unsigned char>(c))   ? Anchor::kLetter
                 : is_digit(static_cast<unsigned char>(c)) ? Anchor::kDigit
                                                           : Anchor::kNone;
  anchors['@'] = Anchor::kAt;
  anchors[':'] = Anchor::kColon;
  anchors['='] = Anchor::kEquals;
  anchors['-'] = Anchor::kDash;
  return anchors;
}();

// First letters of read_secret()'s prefixes.
constexpr std::array<bool, 256> kSecretLetters = [] {
  std::array<bool, 256> letters{};
  for (const char c :
       {'A', 'B', 'S', 'd', 'e', 'g', 'h', 'l', 'n', 'p', 'r', 's', 't', 'w', 'x', 'y'})
    letters[static_cast<unsigned char>(c)] = true;
  return letters;
}();

// Bytes of findings in the text: more is none, which bounds what a stream holds back.
constexpr std::size_t kMostNumberBytes = 192, kMostAddressBytes = 256;

class Scanner {
 public:
  Scanner(const ScanText& text, std::size_t from)
      : text_(text), bytes_(text.view()), reading_(text), undecided_(text.size()), at_(from) {}

  Scan run(std::size_t keep_from);

 private:
  unsigned char byte(std::size_t i) const { return static_cast<unsigned char>(bytes_[i]); }
  bool digit_at(std::size_t i) const { return i < bytes_.size() && is_digit(byte(i)); }
  // Calls one recogniser; what it could not decide is held from `begin` on.
  template <class Read>
  void ask(std::size_t begin, Read read) {
    text_.forget_touch();
    read();
    if (text_.touched()) undecided_ = std::min(undecided_, begin);
  }
  void letters();
  void digits();
  void colon();
  void dash();
  bool is_number_start(std::size_t begin, std::size_t end) const;
  std::size_t token_before(std::size_t at, int most = 32) const;
  std::size_t last_token() const;
  bool fits(const Candidate& candidate) const;
  Scan settle(std::size_t keep_from);

  const ScanText& text_;
  const std::string_view bytes_;
  Reading reading_;
  std::size_t undecided_;
  std::size_t at_;
};

void Scanner::letters() {
  const std::size_t begin = at_;
  const unsigned char before = text_.before(begin);
  // Behind the letter of an escape a word begins: "\nsk-...".
  if (before == '\\' && text_.before(begin + 1) == ' ') {
    ++at_;
    return;
  }
  while (at_ < bytes_.size() && is_alpha(byte(at_))) ++at_;
  if (is_alnum(before)) return;
  const unsigned char first = byte(begin);
  // One word of key characters is read once: so a run of prefixes takes no more time.
  if (kSecretLetters[first] && (first == 'B' || (before != '-' && before != '_')))
    ask(begin - (first == 'B' ? std::min<std::size_t>(begin, 5) : 0),
        [&] { read_secret(reading_, begin); });
  if (digit_at(at_)) {
    if (at_ - begin <= 8) ask(token_before(begin), [&] { read_code(reading_, begin, at_); });
    while (at_ < bytes_.size() && is_alnum(byte(at_))) ++at_;
    return;
  }
  const std::string_view word = bytes_.substr(begin, at_ - begin);
  if (word == "is" || word == "ist" || word == "est" || word == "es" || word == "lautet")
    ask(at_, [&] { read_assignment(reading_, at_); });
}

bool Scanner::is_number_start(std::size_t begin, std::size_t end) const {
  const unsigned char before = text_.before(begin);
  if (before == 0) return true;
  if (is_alnum(before)) return false;
  if (!is_digit(text_.before(begin - 1))) return true;
  if (before == '-' || before == '.' || before == '/') return false;
  if (before == ',') return end - begin != 3;
  return before != ':' || end - begin > 2;
}

void Scanner::digits() {
  const std::size_t begin = at_;
  while (at_ < bytes_.size() && is_digit(byte(at_))) ++at_;
  if (!is_number_start(begin, at_)) return;
  ask(token_before(begin), [&] { read_number(reading_, begin); });
}

void Scanner::colon() {
  const std::size_t at = at_++;
  if (bytes_.substr(at).starts_with("://")) {
    ask(token_before(at), [&] { read_url(reading_, at); });
    return;
  }
  // Numbers before it are clocks and the like; addresses go on in hexadecimal digits.
  if (at_ < bytes_.size() && (is_hex(byte(at_)) || byte(at_) == ':'))
    ask(token_before(at), [&] { read_hex_groups(reading_, at); });
  ask(at_, [&] { read_assignment(reading_, at); });
}

void Scanner::dash() {
  const std::size_t at = at_++;
  if (at < 2 || at + 3 >= bytes_.size() || byte(at + 3) != '-' || !is_hex(byte(at - 1)) ||
      !is_hex(byte(at - 2)) || !is_hex(byte(at + 1)) || !is_hex(byte(at + 2)))
    return;
  ask(token_before(at), [&] { read_hex_groups(reading_, at); });
}

// Numbers may begin with the word before: "AB 12 34 56 C", "March 3, 1980", "(030) 1234567".
std::size_t Scanner::token_before(std::size_t at, int most) const {
  std::size_t begin = at;
  for (int spaces = 0; spaces < 2 && text_.before(begin) == ' '; ++spaces) --begin;
  for (int bytes = 0; bytes < most && text_.before(begin) > ' '; ++bytes) --begin;
  return begin;
}

// Of a text that goes on: what has no space in it may begin with its last word, and a number with
// the word before.
std::size_t Scanner::last_token() const {
  std::size_t begin = bytes_.size();
  for (int spaces = 0; spaces < 2 && text_.before(begin) == ' '; ++spaces) --begin;
  const std::size_t end = begin;
  while (end - begin < kMostScanned) {
    const unsigned char c = text_.before(begin);
    if (c <= ' ') break;
    if (c < 0x80) {
      --begin;
      continue;
    }
    // Characters of three bytes and more end words: nothing that is held here has them inside.
    const unsigned char lead = text_.before(begin - 1);
    if (c >= 0xC0 || lead < 0xC2 || lead > 0xDF) break;
    begin -= 2;
  }
  return begin;
}

Scan Scanner::run(std::size_t keep_from) {
  while (at_ < bytes_.size()) {
    switch (kAnchors[byte(at_)]) {
      case Anchor::kNone:
        ++at_;
        break;
      case Anchor::kLetter:
        letters();
        break;
      case Anchor::kDigit:
        digits();
        break;
      case Anchor::kAt: {
        const std::size_t at = at_++;
        ask(token_before(at, 64), [&] { read_email(reading_, at); });
        break;
      }
      case Anchor::kColon:
        colon();
        break;
      case Anchor::kEquals: {
        const std::size_t at = at_++;
        ask(at_, [&] { read_assignment(reading_, at); });
        break;
      }
      case Anchor::kDash:
        dash();
        break;
    }
  }
  return settle(keep_from);
}

bool Scanner::fits(const Candidate& candidate) const {
  if (candidate.open) return true;
  const bool address = candidate.id == Id::kEmail || candidate.id == Id::kUrl;
  return text_.end_in_text(candidate.end) - text_.begin_in_text(candidate.begin) <=
         (address ? kMostAddressBytes : kMostNumberBytes);
}

Scan Scanner::settle(std::size_t keep_from) {
  std::vector<Candidate>& all = reading_.found;
  std::erase_if(all, [&](const Candidate& c) { return c.begin < keep_from || !fits(c); });
  std::ranges::stable_sort(all, [](const Candidate& a, const Candidate& b) {
    if (a.begin != b.begin) return a.begin < b.begin;
    if (a.score != b.score) return a.score > b.score;
    return a.end > b.end;
  });
  Scan scanned;
  const std::size_t undecided = std::min(undecided_, last_token());
  scanned.cut = scanned.last_cluster = undecided;
  std::size_t cluster_begin = 0, cluster_end = 0;
  for (const Candidate& candidate : all) {
    if (candidate.begin >= cluster_end) cluster_begin = candidate.begin;
    cluster_end = std::max(cluster_end, candidate.end);
    const bool before = candidate.begin < undecided;
    if (before && cluster_end > undecided)
      scanned.last_cluster = std::min(scanned.last_cluster, cluster_begin);
    if (scanned.found.empty() || candidate.begin >= scanned.found.back().end) {
      scanned.found.push_back(candidate);
    } else if (candidate.score > scanned.found.back().score) {
      scanned.found.back() = candidate;
    }
    // Of those before, the last one that stays may give way to what is undecided.
    if (before)
      scanned.cut = scanned.found.back().end > undecided ? scanned.found.back().begin : undecided;
  }
  return scanned;
}

}  // namespace

Scan scan(const ScanText& text, std::size_t from, std::size_t keep_from) {
  return Scanner(text, from).run(keep_from);
}

}  // namespace tack::privacy
