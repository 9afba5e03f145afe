#include "text/sentencepiece.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <unordered_map>

#include "text/charsmap.h"
#include "text/flat_table.h"
#include "text/merging.h"
#include "text/unicode.h"

namespace tack {
namespace {

using Model = SentencePieceConfig::Model;
using Space = SentencePieceConfig::Space;
constexpr std::string_view kSpace = "\u2581";
constexpr std::string_view kReplacement = "\uFFFD";

std::optional<unsigned char> byte_of(std::string_view piece) {
  unsigned value = 0;
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return std::nullopt;
  const auto [end, error] = std::from_chars(piece.data() + 3, piece.data() + 5, value, 16);
  if (error != std::errc() || end != piece.data() + 5) return std::nullopt;
  return static_cast<unsigned char>(value);
}

// Whether a piece goes on behind a space that follows something else.
bool spans_words(std::string_view piece) {
  std::size_t i = 0;
  while (piece.substr(i).starts_with(kSpace)) i += kSpace.size();
  return piece.find(kSpace, i) != piece.npos;
}

void append_with_spaces(std::string_view piece, std::string& text) {
  for (std::size_t i = 0; i < piece.size();) {
    const bool space = piece.substr(i).starts_with(kSpace);
    text += space ? ' ' : piece[i];
    i += space ? kSpace.size() : 1;
  }
}

class SentencePiece final : public DecoderTokenizer {
 public:
  Status init(SentencePieceConfig config);

  std::string decode(std::span<const TokenId> ids) const override;
  std::string token_bytes(TokenId id) const override {
    std::string text;
    if (has(id)) append_text(id, text);
    return text;
  }

 protected:
  void append(std::string_view text, bool first, std::vector<TokenId>& ids) const override;
  void append_words(std::string_view text, bool first, std::vector<TokenId>& ids,
                    std::vector<Word>& words) const override;

 private:
  Status index();
  Status add_merges(const SentencePieceConfig& config);
  void rank_scores();
  void append_text(TokenId id, std::string& text) const;

  bool space_in_front(bool first) const {
    return space_ == Space::kAlways || (space_ == Space::kFirst && first);
  }
  // The text with U+2581 for spaces.
  std::string normalized(std::string_view text, bool space_in_front) const;
  template <class Add>
  void normalize_characters(std::string_view text, const Add& add) const;

  void append_normalized(std::string_view text, std::vector<TokenId>& ids) const;
  void append_word(std::string_view word, std::vector<TokenId>& ids) const;
  void merge(std::string_view word, std::vector<TokenId>& ids) const;
  static constexpr TokenId kFixed = -2;  // of a user-defined part, which merges with nothing
  std::size_t cut(std::string_view word, std::span<Part> parts) const;
  Merged merged(std::string_view word, const Part& a, const Part& b) const;
  // Of pieces that may not be used, the bytes of the first of the two they came from.
  using Splits = std::unordered_map<std::string_view, std::size_t>;
  void append_piece(std::string_view text, const Splits& splits, std::vector<TokenId>& ids) const;
  void best_path(std::string_view text, std::vector<TokenId>& ids) const;
  void append_unknown(std::string_view character, std::vector<TokenId>& ids) const;

  Model model_ = Model::kBpe;
  Space space_ = Space::kAlways;
  bool space_once_ = false, split_words_ = false, squeeze_spaces_ = false, byte_fallback_ = true,
       fuse_unknown_ = true, cuts_user_defined_ = false;
  Charsmap charsmap_;
  TextTable by_text_;
  Trie user_defined_;
  std::array<TokenId, 256> bytes_{};
  TokenId unknown_ = -1;

  // BPE.
  bool by_pairs_ = false;     // merges_ says what merges, else ranks_
  bool words_apart_ = false;  // no piece spans words, so each can be merged by itself
  bool has_unused_ = false;
  PairTable merges_;
  std::vector<std::int32_t> ranks_;  // of the pieces, by score
  WholeWords whole_;

  // Unigram.
  Trie pieces_;
  float unknown_score_ = 0, best_score_ = 0;
};

Status SentencePiece::init(SentencePieceConfig config) {
  model_ = config.model;
  space_ = config.space;
  space_once_ = config.space_once;
  split_words_ = config.split_words;
  squeeze_spaces_ = config.squeeze_spaces;
  byte_fallback_ = config.byte_fallback;
  fuse_unknown_ = config.fuse_unknown;
  TACK_TRY(charsmap_, Charsmap::parse(config.precompiled_charsmap));
  TACK_RETURN_IF_ERROR(adopt(std::move(config.pieces), config.special, config.cut_user_defined));
  cuts_user_defined_ = config.cut_user_defined;
  TACK_RETURN_IF_ERROR(index());
  if (model_ == Model::kUnigram) return {};
  whole_ = WholeWords(tokens().size());
  if (config.merges.empty())
    rank_scores();
  else
    TACK_RETURN_IF_ERROR(add_merges(config));
  return {};
}

Status SentencePiece::index() {
  by_text_ = TextTable(tokens().size());
  bytes_.fill(-1);
  bool spans = false;
  float least = std::numeric_limits<float>::max();
  best_score_ = std::numeric_limits<float>::lowest();
  for (TokenId id = 0; id < vocab_size(); ++id) {
    const VocabularyToken& piece = at(id);
    switch (piece.kind) {
      case TokenKind::kByte: {
        const auto byte = byte_of(piece.text);
        if (!byte) return fail("piece {}, '{}', is no byte", id, piece.text);
        bytes_[*byte] = id;
        continue;
      }
      case TokenKind::kUnknown:
        if (unknown_ < 0) unknown_ = id;
        continue;
      case TokenKind::kControl:
        continue;
      case TokenKind::kUnused:
        has_unused_ = true;
        break;
      case TokenKind::kUserDefined:
        // Gemma's runs of spaces are found in the raw text only if it has U+2581; else merges make
        // them.
        if (!cuts_user_defined_) user_defined_.add(piece.text, id);
        break;
      case TokenKind::kText:
        least = std::min(least, piece.score);
        best_score_ = std::max(best_score_, piece.score);
        break;
    }
    if (piece.text.empty()) continue;  // Llama 2's tokenizer.json has one
    if (const TokenId other = by_text_.add(piece.text, id); other >= 0)
      return fail("pieces {} and {} are the same text", other, id);
    if (piece.kind == TokenKind::kText ||
        (piece.kind == TokenKind::kUserDefined && !cuts_user_defined_))
      pieces_.add(piece.text, id);
    spans = spans || spans_words(piece.text);
  }
  const bool all_bytes = std::ranges::find(bytes_, -1) == bytes_.end();
  byte_fallback_ = byte_fallback_ && all_bytes;
  if (unknown_ < 0 && !byte_fallback_)
    return fail("neither an unknown piece nor one for every byte");
  words_apart_ = !spans;
  unknown_score_ = least - 10.0F;
  if (model_ == Model::kBpe) pieces_ = {};
  return {};
}

// Pieces of equal scores have equal ranks: the first in the text then goes first.
void SentencePiece::rank_scores() {
  std::vector<TokenId> order(tokens().size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<TokenId>(i);
  std::ranges::stable_sort(order, [&](TokenId a, TokenId b) { return at(a).score > at(b).score; });
  ranks_.resize(tokens().size());
  std::int32_t rank = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && at(order[i]).score < at(order[i - 1]).score) ++rank;
    ranks_[static_cast<std::size_t>(order[i])] = rank;
  }
}

Status SentencePiece::add_merges(const SentencePieceConfig& config) {
  by_pairs_ = true;
  merges_ = PairTable(config.merges.size());
  std::string joined;
  for (std::size_t i = 0; i < config.merges.size(); ++i) {
    const auto [left, right] = config.merges[i];
    joined.assign(token(left)).append(token(right));
    const TokenId id = by_text_.find(joined);
    if (id < 0)
      return fail("merge {} joins pieces {} and {} into what is no piece", i, left, right);
    merges_.add(left, right, {static_cast<std::int32_t>(i), id});
  }
  return {};
}

void SentencePiece::append_text(TokenId id, std::string& text) const {
  switch (at(id).kind) {
    case TokenKind::kByte:
      text += static_cast<char>(*byte_of(at(id).text));
      return;
    case TokenKind::kText:
    case TokenKind::kUserDefined:
      append_with_spaces(at(id).text, text);
      return;
    case TokenKind::kUnknown:
      text += kReplacement;
      return;
    case TokenKind::kControl:
    case TokenKind::kUnused:
      return;
  }
}

std::string SentencePiece::decode(std::span<const TokenId> ids) const {
  std::string text;
  bool first = space_ != Space::kNone;
  for (const TokenId id : ids) {
    if (!has(id)) continue;
    const std::size_t begin = text.size();
    append_text(id, text);
    if (!first || text.size() == begin) continue;
    first = false;
    // The space that was put in front of the text.
    if (at(id).kind != TokenKind::kByte && text[begin] == ' ') text.erase(begin, 1);
  }
  return text;
}

template <class Add>
void SentencePiece::normalize_characters(std::string_view text, const Add& add) const {
  while (!text.empty()) {
    std::size_t bytes = user_defined_.empty() ? 0 : user_defined_.longest(text).bytes;
    std::string_view becomes = text.substr(0, bytes);
    if (bytes == 0) {
      const Charsmap::Match mapped = charsmap_.longest(text);
      bytes = mapped.bytes > 0 ? mapped.bytes : first_code_point(text).bytes;
      becomes = mapped.bytes > 0 ? mapped.text : text.substr(0, bytes);
    }
    add(becomes);
    text.remove_prefix(bytes);
  }
}

std::string SentencePiece::normalized(std::string_view text, bool space_in_front) const {
  std::string out;
  out.reserve(text.size() + text.size() / 4 + 8);
  if (space_in_front && !(space_once_ && (text.starts_with(' ') || text.starts_with(kSpace))))
    out += kSpace;
  const auto add = [&](std::string_view part) {
    for (std::size_t i = 0; i < part.size();) {
      const std::size_t space = std::min(part.find(' ', i), part.size());
      out += part.substr(i, space - i);
      if (space < part.size()) out += kSpace;
      i = space + 1;
    }
  };
  if (charsmap_.empty() && !squeeze_spaces_) {
    add(text);
    return out;
  }
  if (!squeeze_spaces_) {
    normalize_characters(text, add);
    return out;
  }
  bool after_space = true, any = false;  // spaces at the beginning are left out
  normalize_characters(text, [&](std::string_view part) {
    while (after_space && part.starts_with(' ')) part.remove_prefix(1);
    if (part.empty()) return;
    add(part);
    any = true;
    after_space = part.ends_with(' ');
  });
  if (!any) return {};
  while (out.ends_with(kSpace)) out.resize(out.size() - kSpace.size());
  return out;
}

void SentencePiece::append(std::string_view text, bool first, std::vector<TokenId>& ids) const {
  if (text.empty()) return;
  append_normalized(normalized(text, space_in_front(first)), ids);
}

void SentencePiece::append_normalized(std::string_view text, std::vector<TokenId>& ids) const {
  if (model_ == Model::kUnigram && !split_words_) return best_path(text, ids);
  if (!words_apart_ && !split_words_) return merge(text, ids);
  while (!text.empty()) {
    std::size_t begin = 0;
    if (split_words_)
      begin = text.starts_with(kSpace) ? kSpace.size() : 0;
    else
      while (text.substr(begin).starts_with(kSpace)) begin += kSpace.size();
    const std::size_t bytes = std::min(text.find(kSpace, begin), text.size());
    if (model_ == Model::kUnigram)
      best_path(text.substr(0, bytes), ids);
    else
      append_word(text.substr(0, bytes), ids);
    text.remove_prefix(bytes);
  }
}

void SentencePiece::append_words(std::string_view text, bool first, std::vector<TokenId>& ids,
                                 std::vector<Word>& words) const {
  const auto add = [&](std::size_t begin, std::size_t end) {
    words.push_back({static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end),
                     static_cast<std::int64_t>(ids.size())});
  };
  if (text.empty()) return;
  // Where pieces may span words or the text changes, the whole text is one.
  if (!words_apart_ || model_ != Model::kBpe || !charsmap_.empty() || squeeze_spaces_) {
    add(0, text.size());
    return append(text, first, ids);
  }
  const auto is_space = [&](std::size_t i) {
    return text[i] == ' ' ? std::size_t{1} : text.substr(i).starts_with(kSpace) ? kSpace.size() : 0;
  };
  const bool in_front = space_in_front(first);
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = begin;
    if (begin > 0 || !in_front || is_space(0) > 0)
      while (end < text.size() && is_space(end) > 0) end += is_space(end);
    while (end < text.size() && is_space(end) == 0) ++end;
    add(begin, end);
    append_normalized(normalized(text.substr(begin, end - begin), begin == 0 && in_front), ids);
    begin = end;
  }
}

void SentencePiece::append_word(std::string_view word, std::vector<TokenId>& ids) const {
  const TokenId id = by_text_.find(word);
  if (id < 0) return merge(word, ids);
  whole_.append(id, ids, [&](std::vector<TokenId>& to) { merge(word, to); });
}

Merged SentencePiece::merged(std::string_view word, const Part& a, const Part& b) const {
  if (by_pairs_) return merges_.find(a.id, b.id);
  const TokenId id = by_text_.find(word.substr(a.begin, a.bytes + b.bytes));
  return id < 0 ? Merged{} : Merged{ranks_[static_cast<std::size_t>(id)], id};
}

void SentencePiece::merge(std::string_view word, std::vector<TokenId>& ids) const {
  std::array<Part, 2 * kShortWord> few;
  std::vector<Part> many;
  if (word.size() > few.size()) many.resize(word.size());
  const std::span<Part> room = many.empty() ? std::span<Part>(few) : std::span(many);
  const std::span<Part> parts = room.first(cut(word, room));
  Splits splits;
  const std::size_t count = merge_parts(parts, [&](const Part& a, const Part& b) {
    if (a.id == kFixed || b.id == kFixed) return Merged{};
    const Merged found = merged(word, a, b);
    if (has_unused_ && found.id >= 0 && at(found.id).kind == TokenKind::kUnused)
      splits[at(found.id).text] = a.bytes;
    return found;
  });
  for (const Part& part : parts.first(count))
    if (part.id >= 0 && !has_unused_)
      ids.push_back(part.id);
    else
      append_piece(word.substr(part.begin, part.bytes), splits, ids);
}

// The user-defined pieces and the characters of a word; how many.
std::size_t SentencePiece::cut(std::string_view word, std::span<Part> parts) const {
  std::size_t count = 0;
  for (std::size_t i = 0; i < word.size(); i += parts[count++].bytes) {
    const std::string_view rest = word.substr(i);
    if (user_defined_.begins(rest[0]))
      if (const Trie::Match user = user_defined_.longest(rest); user.bytes > 0) {
        parts[count] = {kFixed, i, user.bytes};
        continue;
      }
    const std::size_t bytes = first_code_point(rest).bytes;
    parts[count] = {by_text_.find(rest.substr(0, bytes)), i, bytes};
  }
  return count;
}

// A piece, the two that it came from when it may not be used, or what stands for unknown text.
void SentencePiece::append_piece(std::string_view text, const Splits& splits,
                                 std::vector<TokenId>& ids) const {
  const TokenId id = by_text_.find(text);
  if (id < 0) return append_unknown(text, ids);
  const auto split = at(id).kind == TokenKind::kUnused ? splits.find(text) : splits.end();
  if (split == splits.end()) return ids.push_back(id);
  append_piece(text.substr(0, split->second), splits, ids);
  append_piece(text.substr(split->second), splits, ids);
}

void SentencePiece::append_unknown(std::string_view character, std::vector<TokenId>& ids) const {
  if (byte_fallback_) {
    for (const char c : character) ids.push_back(bytes_[static_cast<unsigned char>(c)]);
  } else if (!fuse_unknown_ || ids.empty() || ids.back() != unknown_) {
    ids.push_back(unknown_);
  }
}

// The pieces with the best sum of scores (Kudo 2018, "Subword regularization"): of all that end at
// a place, the best is kept. Sums are f32, as SentencePiece's.
void SentencePiece::best_path(std::string_view text, std::vector<TokenId>& ids) const {
  struct Arrival {
    float score = 0;
    TokenId id = -1;
    std::size_t from = SIZE_MAX;  // nothing ends here
  };
  std::vector<Arrival> ends(text.size() + 1);
  ends[0].from = 0;
  const auto offer = [&](std::size_t from, std::size_t to, float score, TokenId id) {
    const float sum = ends[from].score + score;
    if (ends[to].from == SIZE_MAX || sum > ends[to].score) ends[to] = {sum, id, from};
  };
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t character = first_code_point(text.substr(i)).bytes;
    bool covered = false;
    pieces_.all(text.substr(i), [&](TokenId id, std::size_t bytes) {
      if (ends[i].from == SIZE_MAX) return;
      // User-defined pieces beat whatever else the same text could be.
      const float score = at(id).kind == TokenKind::kUserDefined
                              ? static_cast<float>(bytes) * best_score_ - 0.1F
                              : at(id).score;
      offer(i, i + bytes, score, id);
      covered = covered || bytes == character;
    });
    if (!covered) offer(i, i + character, unknown_score_, -1);
    i += character;
  }
  std::vector<std::pair<std::size_t, std::size_t>> path;  // from, to
  for (std::size_t to = text.size(); to > 0; to = ends[to].from)
    path.emplace_back(ends[to].from, to);
  for (std::size_t i = path.size(); i-- > 0;) {
    const auto [from, to] = path[i];
    if (ends[to].id >= 0)
      ids.push_back(ends[to].id);
    else
      append_unknown(text.substr(from, to - from), ids);
  }
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_sentencepiece(SentencePieceConfig config) {
  auto made = std::make_unique<SentencePiece>();
  TACK_RETURN_IF_ERROR(made->init(std::move(config)));
  return made;
}

}  // namespace tack
