// A text as recognisers read it: digits, letters and separators that only look different become
// ASCII, what is not seen is left out, and places lead back to the bytes of the text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tack::privacy {

// Full-width and other scripts' digits and full-width ASCII become ASCII; hyphens and spaces of
// every kind '-' and ' '; up to two characters of no width in a row (soft hyphens, joiners, byte
// order marks) vanish. All else stays, also what is not UTF-8. Text without any of it is not
// copied: `text` must outlive this.
class ScanText {
 public:
  explicit ScanText(std::string_view text);
  ScanText(const ScanText&) = delete;
  ScanText& operator=(const ScanText&) = delete;

  std::string_view view() const { return view_; }
  std::size_t size() const { return view_.size(); }
  // The byte at `i`; 0 past the end, which touched() then knows: what was asked depends on text
  // that may still come.
  unsigned char at(std::size_t i) const {
    if (i < view_.size()) return static_cast<unsigned char>(view_[i]);
    touched_ = true;
    return 0;
  }
  // The byte before `i`; 0 at the beginning. The letter of an escape ("\n" in JSON or code) is a
  // space: it belongs to no word.
  unsigned char before(std::size_t i) const {
    if (i == 0) return 0;
    const char c = view_[i - 1];
    if ((c == 'n' || c == 't' || c == 'r') && i > 1 && view_[i - 2] == '\\') return ' ';
    return static_cast<unsigned char>(c);
  }
  bool touched() const { return touched_; }
  void forget_touch() const { touched_ = false; }

  // Where the character at scan position `i` begins in the text, and where the one before `i` ends.
  std::size_t begin_in_text(std::size_t i) const;
  std::size_t end_in_text(std::size_t i) const;
  // The first scan position that stands at or after a place of the text.
  std::size_t position_of(std::size_t in_text) const;

 private:
  // From scan position `scan` on, until the next one, bytes stand side by side from `text` on.
  struct Stretch {
    std::size_t scan, text;
  };
  void rewrite(std::size_t from);

  std::string_view text_;
  std::string_view view_;
  std::string copy_;
  std::vector<Stretch> stretches_;  // empty: the text itself
  mutable bool touched_ = false;
};

// Bytes at the end of `text` that begin a character whose rest is missing.
std::size_t cut_character(std::string_view text);

}  // namespace tack::privacy
