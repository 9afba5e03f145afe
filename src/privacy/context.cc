#include "privacy/context.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "privacy/characters.h"
#include "privacy/context_words.h"

namespace tack::privacy {
namespace {

constexpr std::size_t kMostBytes = 96;       // of what is read
constexpr std::size_t kMostTextBytes = 256;  // the same in the text, where characters were left out
constexpr int kMostWords = 6;
constexpr std::size_t kLongestWord = 40;

// A word folded: small letters, Latin ones without accents.
struct Folded {
  std::array<char, 4 * kLongestWord> bytes;
  std::size_t size = 0;
  std::string_view view() const { return {bytes.data(), size}; }
};

// U+00C0 to U+017F without accents, as UTF-8's continuation bytes count them; ' ': not a letter.
constexpr std::string_view kC3 = "aaaaaaaceeeeiiiidnooooo ouuuuypsaaaaaaaceeeeiiiidnooooo ouuuuypy";
constexpr std::string_view kC4 = "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkklllllll";
constexpr std::string_view kC5 = "lllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
static_assert(kC3.size() == 64 && kC4.size() == 64 && kC5.size() == 64);

void fold_into(Folded& folded, std::string_view word) {
  for (std::size_t i = 0; i < word.size() && folded.size + 2 < folded.bytes.size(); ++i) {
    const auto c = static_cast<unsigned char>(word[i]);
    char out = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    const bool latin = c >= 0xC3 && c <= 0xC5 && i + 1 < word.size();
    if (latin) {
      const auto next = static_cast<unsigned char>(word[++i]) & 63u;
      out = (c == 0xC3 ? kC3 : c == 0xC4 ? kC4 : kC5)[next];
    }
    folded.bytes[folded.size++] = out;
    if (latin && c == 0xC3 && (static_cast<unsigned char>(word[i]) & 63u) == 0x1F)
      folded.bytes[folded.size++] = 's';  // sharp s
  }
}

bool is_word_byte(unsigned char c) {
  return is_alnum(c) || c >= 0x80;
}

// Where the last part of a word of several begins: "patientId", "userID", "MRNnumber".
std::size_t last_part(std::string_view word) {
  for (std::size_t i = word.size(); i-- > 1;) {
    const auto here = static_cast<unsigned char>(word[i]);
    const auto before = static_cast<unsigned char>(word[i - 1]);
    if (is_upper(here) && is_lower(before)) return i;
    if (is_digit(here) != is_digit(before)) return i;
  }
  return 0;
}

// Reads words backwards, and what they mean with those behind them.
class Backwards {
 public:
  Backwards(const ScanText& text, std::size_t end)
      : text_(text),
        bytes_(text.view()),
        at_(end),
        first_(end > kMostBytes ? end - kMostBytes : 0) {
    const std::size_t end_in_text = text.begin_in_text(end);
    while (first_ < end && end_in_text - text.begin_in_text(first_) > kMostTextBytes)
      first_ += (end - first_ + 1) / 2;
  }

  // The word before; empty: there is none near.
  std::string_view next() {
    int lines = 0;
    while (at_ > first_ && !is_word_byte(text_.before(at_))) {
      lines = bytes_[at_ - 1] == '\n' ? lines + 1 : bytes_[at_ - 1] == '\r' ? lines : 0;
      if (lines == 2) return {};
      --at_;
    }
    const std::size_t end = at_;
    while (at_ > first_ && is_word_byte(text_.before(at_))) --at_;
    if (end == at_ || end - at_ > kLongestWord) return {};
    // Only what was seen whole is a word.
    if (at_ == first_ && at_ > 0 && is_word_byte(text_.before(at_))) return {};
    at_ += last_part(bytes_.substr(at_, end - at_));
    return bytes_.substr(at_, end - at_);
  }

 private:
  const ScanText& text_;
  const std::string_view bytes_;
  std::size_t at_, first_;
};

// The last few words, folded, the newest (which stands first in the text) in front.
class Phrases {
 public:
  // What `word` and the words behind it speak of.
  Topics add(std::string_view word) {
    std::shift_right(words_.begin(), words_.end(), 1);
    words_[0] = Folded();
    fold_into(words_[0], word);
    Topics topics = topics_of(words_[0].view());
    if (!begins_phrase(words_[0].view())) return topics;
    Folded phrase = words_[0];
    for (std::size_t i = 1; i < words_.size() && words_[i].size > 0; ++i) {
      if (phrase.size + words_[i].size + 1 > phrase.bytes.size()) break;
      phrase.bytes[phrase.size++] = ' ';
      std::ranges::copy(words_[i].view(), phrase.bytes.begin() + static_cast<long>(phrase.size));
      phrase.size += words_[i].size;
      topics |= topics_of(phrase.view());
    }
    return topics;
  }

 private:
  std::array<Folded, kMostContextWords> words_;
};

// Words of which the last one stands first, as they were written.
Folded joined(std::span<const Folded> words) {
  Folded all;
  for (std::size_t i = words.size(); i-- > 0;) {
    if (all.size + words[i].size + 1 > all.bytes.size()) break;
    if (all.size > 0) all.bytes[all.size++] = ' ';
    std::ranges::copy(words[i].view(), all.bytes.begin() + static_cast<long>(all.size));
    all.size += words[i].size;
  }
  return all;
}

bool is_number(std::string_view word) {
  return std::ranges::all_of(word, [](char c) { return is_digit(static_cast<unsigned char>(c)); });
}

}  // namespace

Context context_before(const ScanText& text, std::size_t begin) {
  Context context;
  Backwards backwards(text, begin);
  Phrases phrases;
  bool numbers = false, anything_between = false;
  int nearest_at = -1;
  for (int words = 0; words < kMostWords;) {
    const std::string_view word = backwards.next();
    if (word.empty()) break;
    if (is_number(word)) {
      // A label belongs to the number that follows it, or to a list of them.
      numbers = numbers || (word.size() >= 3 && anything_between);
      ++words;
      continue;
    }
    const Topics topics = phrases.add(word);
    const Topics said = topics & ~(kAboutThings | kFiller);
    if ((topics & kAboutThings) != 0 && said == 0) {
      context.things = !numbers && words < 2 && context.topics == 0;
      if (!numbers) break;
    }
    if (said != 0 && (context.nearest == 0 || words == nearest_at)) {
      context.nearest |= said;
      nearest_at = words + 1;  // the words before may make a phrase with it: "medical record"
    }
    context.topics |= said;
    if (!numbers) context.own |= said;
    if ((topics & kFiller) == 0 || said != 0) {
      ++words;
      anything_between = true;
    }
  }
  return context;
}

Topics topics_in_brackets(const ScanText& text, std::size_t end) {
  std::size_t at = end;
  if (text.at(at) == ' ') ++at;
  if (text.at(at) != '(' && text.at(at) != '[') return 0;
  const std::size_t begin = ++at;
  while (at - begin < 12 && is_alnum(text.at(at))) ++at;
  if (text.end_in_text(at) - text.end_in_text(end) > 64) return 0;
  Folded folded;
  fold_into(folded, text.view().substr(begin, at - begin));
  return topics_of(folded.view()) & ~(kAboutThings | kFiller);
}

Topics topics_of_label(const ScanText& text, std::size_t end) {
  Backwards backwards(text, end);
  std::array<Folded, kMostContextWords> words;  // the last one first
  Topics topics = 0;
  for (std::size_t n = 0; n < words.size(); ++n) {
    const std::string_view word = backwards.next();
    if (word.empty()) break;
    fold_into(words[n], word);
    if (n == 0 && topics_of(words[0].view()) == 0) return 0;
    topics |= topics_of(joined(std::span(words).first(n + 1)).view());
    const bool filler = (topics_of(words[0].view()) & kFiller) != 0;  // "the password is"
    if (n > 0 && filler) topics |= topics_of(joined(std::span(words).subspan(1, n)).view());
  }
  return topics;
}

}  // namespace tack::privacy
