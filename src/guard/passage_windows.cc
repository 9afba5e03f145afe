#include "guard/passage_windows.h"

#include <algorithm>

#include "text/unicode.h"

namespace tack::guard {
namespace {

// A run of letters and digits, or one other character.
struct Piece {
  std::size_t begin = 0, end = 0;
  std::int64_t tokens = 0;
};

bool is_ascii_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Common words are one token; longer ones have a piece for every two or three letters; numbers, and
// what is no word at all, up to one for each character.
std::int64_t word_tokens(std::string_view word) {
  const auto size = static_cast<std::int64_t>(word.size());
  bool odd = word.size() > 18;
  for (std::size_t i = 0; i < word.size() && !odd; ++i)
    odd = (word[i] >= '0' && word[i] <= '9') || (i > 0 && word[i] >= 'A' && word[i] <= 'Z' &&
                                                 !(word[i - 1] >= 'A' && word[i - 1] <= 'Z'));
  if (odd) return size;
  return size <= 4 ? 1 : (2 * size + 4) / 5;
}

// The next piece from `at` on; none: begin is the text's end. No piece is longer than `most`.
Piece next_piece(std::string_view text, std::size_t at, std::int64_t most) {
  while (at < text.size()) {
    if (is_ascii_word(text[at])) {
      std::size_t end = at;
      while (end < text.size() && is_ascii_word(text[end]) &&
             end - at < static_cast<std::size_t>(most))
        ++end;
      return {at, end, word_tokens(text.substr(at, end - at))};
    }
    const CodePoint c = first_code_point(text.substr(at));
    if (c.value < 0 || !is_white_space(c.value)) return {at, at + c.bytes, 1};
    at += c.bytes;
  }
  return {text.size(), text.size(), 0};
}

}  // namespace

std::int64_t estimate_tokens(std::string_view text) {
  constexpr std::int64_t kLongestWord = 100;
  std::int64_t tokens = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Piece piece = next_piece(text, at, kLongestWord);
    tokens += piece.tokens;
    at = piece.end;
  }
  return tokens;
}

std::vector<std::string_view> cut_windows(std::string_view text, std::int64_t context) {
  const std::int64_t room = std::max<std::int64_t>(context - 2, 8);
  std::vector<std::string_view> windows;
  std::vector<Piece> pieces;  // of the window
  std::int64_t tokens = 0;
  bool fresh = false;  // holds a piece that no window before has
  const auto close = [&] {
    windows.push_back(text.substr(pieces.front().begin, pieces.back().end - pieces.front().begin));
    // What the next one begins with.
    std::size_t keep = pieces.size();
    std::int64_t kept = 0;
    while (keep > 0 && kept + pieces[keep - 1].tokens <= room / 5) kept += pieces[--keep].tokens;
    pieces.erase(pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(keep));
    tokens = kept;
    fresh = false;
  };
  for (std::size_t at = 0; at < text.size();) {
    const Piece piece = next_piece(text, at, room - room / 5);
    if (piece.begin == text.size()) break;
    if (tokens + piece.tokens > room && !pieces.empty()) close();
    pieces.push_back(piece);
    tokens += piece.tokens;
    fresh = true;
    at = piece.end;
  }
  if (fresh) close();
  return windows;
}

}  // namespace tack::guard
