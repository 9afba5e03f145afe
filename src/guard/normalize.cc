#include "guard/normalize.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include <utf8proc.h>

#include "guard/homoglyphs.h"
#include "text/unicode.h"

namespace tack::guard {
namespace {

constexpr std::int32_t kReplacement = 0xFFFD;

bool is_plain(char c) {
  return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t' || c == '\r';
}

bool is_mark(utf8proc_category_t category) {
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
         category == UTF8PROC_CATEGORY_ME;
}

bool is_letter(utf8proc_category_t category) {
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_variation_selector(std::int32_t c) {
  return (c >= 0xFE00 && c <= 0xFE0F) || (c >= 0xE0100 && c <= 0xE01EF);
}

// Takes no room and changes no meaning: joiners, marks of direction, fillers, control characters.
bool is_invisible(std::int32_t c) {
  if (c < 0x20) return c != '\n' && c != '\t' && c != '\r';
  if (c < 0x7f) return false;
  if (c < 0xA0 || c == 0xAD || c == 0x34F || c == 0x115F || c == 0x1160 || c == 0x17B4 ||
      c == 0x17B5 || c == 0x180E || c == 0x3164 || c == 0xFFA0)
    return c != 0x85;
  return utf8proc_category(c) == UTF8PROC_CATEGORY_CF || is_variation_selector(c) ||
         (c >= 0xE0000 && c <= 0xE0FFF);
}

// What one invisible character spells, if anything.
void spell(std::int32_t c, std::string& out) {
  if (c >= 0xE0020 && c <= 0xE007E)
    out += static_cast<char>(c - 0xE0000);
  else if (c >= 0xE0100 && c <= 0xE01EF)
    out += static_cast<char>(c - 0xE0100 + 16);
}

class Normalizer {
 public:
  Normalizer(std::string_view in, Lookalikes mode) : in_(in), mode_(mode) {}

  NormalText run() {
    result_.text.reserve(in_.size());
    result_.origin.reserve(in_.size() + 1);
    while (at_ < in_.size()) {
      if (is_plain(in_[at_]) && (at_ + 1 == in_.size() || is_plain(in_[at_ + 1]))) {
        put(in_[at_], at_);
        ++at_;
      } else {
        cluster();
      }
    }
    result_.origin.push_back(static_cast<std::uint32_t>(in_.size()));
    if (lookalikes_ && mode_ != Lookalikes::kNone) replace_lookalikes();
    return std::move(result_);
  }

 private:
  static constexpr std::size_t kMostMarks = 4;  // of one character; Vietnamese and Hindi need two

  struct Next {
    std::int32_t c = kReplacement;
    std::size_t bytes = 1;
  };
  Next peek() const {
    const CodePoint c = first_code_point(in_.substr(at_));
    return {c.value < 0 ? kReplacement : c.value, c.bytes};
  }

  // One character with the marks that follow it, as NFKC writes them.
  void cluster() {
    const std::size_t begin = at_;
    std::array<std::int32_t, 128> points{};
    std::size_t count = 0, marks = 0;
    bool first = true;
    while (at_ < in_.size()) {
      const Next next = peek();
      if (is_invisible(next.c)) {
        spell(next.c, result_.invisible);
        at_ += next.bytes;
        if (first) return;
        continue;
      }
      const utf8proc_category_t category = utf8proc_category(next.c);
      const bool joins = is_mark(category) || (next.c >= 0x1160 && next.c <= 0x11FF);
      if (!first && !joins) break;
      at_ += next.bytes;
      if (!first && ++marks > kMostMarks) continue;
      count += decompose(next.c, std::span(points).subspan(count));
      first = false;
    }
    if (count > 0) compose(std::span(points).first(count), begin);
  }

  static std::size_t decompose(std::int32_t c, std::span<std::int32_t> out) {
    int boundclass = UTF8PROC_BOUNDCLASS_START;
    const auto n = utf8proc_decompose_char(
        c, out.data(), static_cast<utf8proc_ssize_t>(out.size()),
        static_cast<utf8proc_option_t>(UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE), &boundclass);
    if (n >= 0 && static_cast<std::size_t>(n) <= out.size()) return static_cast<std::size_t>(n);
    if (out.empty()) return 0;
    out[0] = c;
    return 1;
  }

  void compose(std::span<std::int32_t> points, std::size_t begin) {
    if (points.size() > 1) {
      // Marks in their canonical order, which composition needs (Unicode, D108 and D109).
      const auto order = [](std::int32_t c) { return utf8proc_get_property(c)->combining_class; };
      for (std::size_t i = 1; i < points.size(); ++i)
        for (std::size_t k = i; k > 0 && order(points[k]) != 0; --k) {
          if (order(points[k - 1]) <= order(points[k])) break;
          std::swap(points[k - 1], points[k]);
        }
      const auto n = utf8proc_normalize_utf32(
          points.data(), static_cast<utf8proc_ssize_t>(points.size()),
          static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
      if (n > 0) points = points.first(static_cast<std::size_t>(n));
    }
    bool european = false;  // Latin, Greek or Cyrillic: marks that do not compose are decoration
    for (const std::int32_t c : points) {
      if (european && is_mark(utf8proc_category(c))) continue;
      european = c < 0x530;
      put(c, begin);
    }
  }

  void put(char c, std::size_t origin) {
    result_.text += c;
    result_.origin.push_back(static_cast<std::uint32_t>(origin));
  }

  void put(std::int32_t c, std::size_t origin) {
    if (c >= 0x80 && !lookalikes_) lookalikes_ = lookalike(c).latin != 0;
    std::array<std::uint8_t, 4> bytes{};
    const auto n = utf8proc_encode_char(c, bytes.data());
    for (utf8proc_ssize_t i = 0; i < n; ++i)
      put(static_cast<char>(bytes[static_cast<std::size_t>(i)]), origin);
  }

  struct WordLetters {
    std::size_t latin = 0, like = 0, always = 0, foreign = 0;
  };
  // The word that begins at `at`; its end.
  static std::size_t word_at(std::string_view text, std::size_t at, WordLetters& letters) {
    while (at < text.size()) {
      const CodePoint c = first_code_point(text.substr(at));
      if (!is_word_character(c.value) && lookalike(c.value).latin == 0) break;
      if (const Lookalike like = lookalike(c.value); like.latin != 0)
        ++(like.always ? letters.always : letters.like);
      else if (c.value < 0x250 && is_letter(utf8proc_category(c.value)))
        ++letters.latin;
      else if (c.value >= 0x370 && is_letter(utf8proc_category(c.value)))
        ++letters.foreign;
      at += c.bytes;
    }
    return at;
  }

  // Whether some word is of another script, with letters that look like no Latin ones.
  static bool has_foreign_words(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
      WordLetters letters;
      const std::size_t end = word_at(text, at, letters);
      if (letters.foreign > 0 && letters.latin == 0) return true;
      at = end > at ? end : at + first_code_point(text.substr(at)).bytes;
    }
    return false;
  }

  void replace_lookalikes() {
    const NormalText before = std::move(result_);
    result_ = {};
    result_.invisible = before.invisible;
    const bool all = mode_ == Lookalikes::kAll;
    const bool foreign_text = !all && has_foreign_words(before.text);
    const std::string_view text = before.text;
    for (std::size_t at = 0; at < text.size();) {
      WordLetters letters;
      const std::size_t end = word_at(text, at, letters);
      const bool scripts =
          all || letters.latin + letters.always > 0 || (letters.foreign == 0 && !foreign_text);
      if (end == at) copy(before, at, first_code_point(text.substr(at)).bytes);
      for (std::size_t i = at; i < end;) {
        const CodePoint c = first_code_point(text.substr(i));
        const Lookalike like = lookalike(c.value);
        if (like.latin != 0 && (like.always || scripts))
          put(like.latin, before.origin[i]);
        else
          copy(before, i, c.bytes);
        i += c.bytes;
      }
      at = std::max(end, at + (end == at ? first_code_point(text.substr(at)).bytes : 0));
    }
    result_.origin.push_back(static_cast<std::uint32_t>(in_.size()));
  }

  void copy(const NormalText& from, std::size_t at, std::size_t bytes) {
    for (std::size_t i = at; i < at + bytes; ++i) put(from.text[i], from.origin[i]);
  }

  std::string_view in_;
  Lookalikes mode_;
  std::size_t at_ = 0;
  NormalText result_;
  bool lookalikes_ = false;
};

}  // namespace

NormalText normalize(std::string_view text, Lookalikes lookalikes) {
  if (std::ranges::all_of(text, is_plain)) return {.text = std::string(text)};
  return Normalizer(text, lookalikes).run();
}

NormalText fold(const NormalText& text) {
  NormalText out;
  out.text.reserve(text.text.size());
  out.origin.reserve(text.text.size() + 1);
  const std::string_view in = text.text;
  const auto put = [&](char c, std::size_t i) {
    out.text += c;
    out.origin.push_back(static_cast<std::uint32_t>(text.original(i)));
  };
  for (std::size_t i = 0; i < in.size();) {
    const char first = in[i];
    if (first > 0x20 && first < 0x7f) {
      put(first >= 'A' && first <= 'Z' ? static_cast<char>(first + 32) : first, i);
      ++i;
      continue;
    }
    const CodePoint c = first_code_point(in.substr(i));
    if (c.value < 0 || is_white_space(c.value)) {
      if (out.text.empty() || out.text.back() != ' ') put(' ', i);
    } else {
      std::array<std::uint8_t, 4> bytes{};
      const auto n = utf8proc_encode_char(utf8proc_tolower(c.value), bytes.data());
      for (utf8proc_ssize_t k = 0; k < n; ++k)
        put(static_cast<char>(bytes[static_cast<std::size_t>(k)]), i);
    }
    i += c.bytes;
  }
  out.origin.push_back(static_cast<std::uint32_t>(text.original(in.size())));
  return out;
}

bool is_word_character(std::int32_t c) {
  if (c < 0x80)
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  const utf8proc_category_t category = utf8proc_category(c);
  return is_letter(category) || is_mark(category) ||
         (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

bool is_unspaced_script(std::int32_t c) {
  return (c >= 0x0E00 && c <= 0x0EFF) || (c >= 0x1000 && c <= 0x109F) ||
         (c >= 0x1780 && c <= 0x17FF) || (c >= 0x3040 && c <= 0x30FF) ||
         (c >= 0x3400 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x20000 && c <= 0x3FFFF);
}

}  // namespace tack::guard
