#include "privacy/scan_text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "text/unicode.h"

namespace tack::privacy {
namespace {

// What a character is for recognisers: an ASCII one, none at all, or itself.
constexpr int kItself = -1, kNothing = -2;
constexpr int kMostInvisible = 2;  // in a row

// The zeros of Unicode's decimal digits (category Nd); each has nine more behind it.
constexpr std::array<std::int32_t, 33> kZeros = {
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6,
    0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0,
    0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xAA50};

int other_digit(std::int32_t c) {
  if (c >= 0x1D7CE && c <= 0x1D7FF) return '0' + (c - 0x1D7CE) % 10;  // mathematical
  const auto after = std::ranges::upper_bound(kZeros, c);
  if (after == kZeros.begin() || c > *std::prev(after) + 9) return kItself;
  return '0' + (c - *std::prev(after));
}

int read_as(std::int32_t c) {
  if (c < 0x0660) return c == 0xA0 ? ' ' : c == 0xAD ? kNothing : kItself;
  if (c >= 0x2000 && c <= 0x2064) {
    if (c <= 0x200A || c == 0x202F || c == 0x205F) return ' ';
    if (c <= 0x200F || c >= 0x2060) return kNothing;
    if (c <= 0x2015) return '-';
    return c == 0x2018 || c == 0x2019 ? '\'' : c >= 0x201C && c <= 0x201F ? '"' : kItself;
  }
  if (c == 0x2212 || c == 0xFE63) return '-';
  if (c == 0x3000) return ' ';
  if (c == 0xFEFF || (c >= 0xFE00 && c <= 0xFE0F)) return kNothing;
  if (c >= 0xFF01 && c <= 0xFF5E) return c - 0xFF01 + '!';
  return other_digit(c);
}

// Which lead bytes begin characters that are read as others.
constexpr std::array<bool, 256> kLeads = [] {
  std::array<bool, 256> leads{};
  for (const int lead : {0xC2, 0xD9, 0xDB, 0xDF, 0xE0, 0xE1, 0xE2, 0xE3, 0xEA, 0xEF, 0xF0})
    leads[static_cast<std::size_t>(lead)] = true;
  return leads;
}();

// The next byte at or after `at` that may begin such a character.
std::size_t next_lead(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    if (at + 8 <= text.size()) {
      std::uint64_t eight;
      std::memcpy(&eight, text.data() + at, 8);
      if ((eight & 0x8080808080808080ULL) == 0) {
        at += 8;
        continue;
      }
    }
    const std::size_t end = std::min(at + 8, text.size());
    for (; at < end; ++at)
      if (kLeads[static_cast<unsigned char>(text[at])]) return at;
  }
  return at;
}

std::size_t character_length(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

}  // namespace

ScanText::ScanText(std::string_view text) : text_(text), view_(text) {
  for (std::size_t at = next_lead(text, 0); at < text.size(); at = next_lead(text, at)) {
    const CodePoint c = first_code_point(text.substr(at));
    if (c.value >= 0 && read_as(c.value) != kItself) {
      rewrite(at);
      return;
    }
    at += c.bytes;
  }
}

void ScanText::rewrite(std::size_t from) {
  copy_.reserve(text_.size());
  stretches_.push_back({0, 0});
  std::size_t copied = 0;
  std::size_t after_invisible = 0;  // where the last of them ended
  int invisible = 0;
  for (std::size_t at = from; at < text_.size(); at = next_lead(text_, at)) {
    const CodePoint c = first_code_point(text_.substr(at));
    const int as = c.value < 0 ? kItself : read_as(c.value);
    if (as == kNothing) {
      invisible = after_invisible == at ? invisible + 1 : 1;
      after_invisible = at + c.bytes;
    }
    if (as != kItself && (as != kNothing || invisible <= kMostInvisible)) {
      copy_.append(text_, copied, at - copied);
      if (as != kNothing) {
        stretches_.push_back({copy_.size(), at});
        copy_ += static_cast<char>(as);
      }
      copied = at + c.bytes;
      stretches_.push_back({copy_.size(), copied});
    }
    at += c.bytes;
  }
  copy_.append(text_, copied);
  view_ = copy_;
}

std::size_t ScanText::begin_in_text(std::size_t i) const {
  if (stretches_.empty()) return i;
  const auto after = std::ranges::upper_bound(stretches_, i, {}, &Stretch::scan);
  return std::prev(after)->text + (i - std::prev(after)->scan);
}

std::size_t ScanText::end_in_text(std::size_t i) const {
  if (stretches_.empty() || i == 0) return i;
  const std::size_t last = begin_in_text(i - 1);
  const bool replaced = static_cast<unsigned char>(view_[i - 1]) < 0x80;
  return last + (replaced ? character_length(static_cast<unsigned char>(text_[last])) : 1);
}

std::size_t ScanText::position_of(std::size_t in_text) const {
  if (stretches_.empty()) return in_text;
  const auto after = std::ranges::upper_bound(stretches_, in_text, {}, &Stretch::text);
  const Stretch& in = *std::prev(after);
  const std::size_t end = after == stretches_.end() ? view_.size() : after->scan;
  return std::min(in.scan + (in_text - in.text), end);
}

std::size_t cut_character(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto c = static_cast<unsigned char>(text[text.size() - back]);
    if (c < 0x80) return 0;
    if (c >= 0xC0) return character_length(c) > back && c < 0xF5 ? back : 0;
  }
  return 0;
}

}  // namespace tack::privacy
