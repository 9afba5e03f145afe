#include "text/vocabulary_needs.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>
#include <unordered_set>

#include "text/flat_table.h"
#include "text/merging.h"
#include "text/unicode.h"

namespace tack {
namespace {

constexpr TokenPair kNoParts{-1, -1};

VocabularyNeeds empty_needs(std::size_t tokens) {
  VocabularyNeeds needs;
  needs.always.resize(tokens);
  needs.parts.assign(tokens, kNoParts);
  needs.by_frequency.resize(tokens);
  std::iota(needs.by_frequency.begin(), needs.by_frequency.end(), 0);
  return needs;
}

template <class Visit>
void for_each_character(std::string_view text, const Visit& visit) {
  while (!text.empty()) {
    const std::size_t bytes = first_code_point(text).bytes;
    visit(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
}

std::size_t characters(std::string_view text) {
  std::size_t count = 0;
  for_each_character(text, [&](std::string_view) { ++count; });
  return count;
}

// Ids by ascending keys, equal ones by id, and unused ones last.
template <class Unused, class Key>
void order_by(std::vector<TokenId>& ids, const Unused& unused, const Key& key) {
  std::ranges::stable_sort(ids, [&](TokenId a, TokenId b) {
    return unused(a) != unused(b) ? unused(b) : key(a) < key(b);
  });
}
bool is_unused(const std::vector<VocabularyToken>& tokens, TokenId id) {
  return tokens[static_cast<std::size_t>(id)].kind == TokenKind::kUnused;
}

// The two that `id` is made from when `parts`, those of its text, merge; find() gives what two
// parts become. Inside a longer text they merge in the same order: whatever crosses the token's
// ends came later, or the token would not be there.
template <class Find>
TokenPair last_merge(std::span<Part> parts, TokenId id, const Find& find) {
  const std::size_t count = merge_parts(parts, [&](const Part& a, const Part& b) {
    const Merged merged = find(a, b);
    return merged.id == id ? Merged{} : merged;
  });
  if (count != 2 || find(parts[0], parts[1]).id != id) return kNoParts;
  return {parts[0].id, parts[1].id};
}

bool is_text_like(TokenKind kind) {
  return kind == TokenKind::kText || kind == TokenKind::kUnused;
}

}  // namespace

VocabularyNeeds vocabulary_needs(const WordPieceConfig& config) {
  VocabularyNeeds needs = empty_needs(config.vocab.size());
  const std::string_view prefix = config.continuing_prefix;
  const auto continues = [&](std::string_view piece) {
    return piece.size() > prefix.size() && piece.starts_with(prefix);
  };
  const auto is_special = [&](std::string_view piece) {
    const bool bracketed = piece.size() > 2 && piece.front() == '[' && piece.back() == ']';
    return piece == config.unknown || piece == config.cls || piece == config.sep ||
           piece == config.pad || piece == config.mask ||
           (bracketed && !piece.starts_with("[unused"));
  };
  // Characters that begin words, and that go on in them.
  std::unordered_set<std::string_view> beginning, inside;
  for (const std::string_view piece : config.vocab) {
    if (!continues(piece) && characters(piece) == 1) beginning.insert(piece);
    if (continues(piece) && characters(piece.substr(prefix.size())) == 1)
      inside.insert(piece.substr(prefix.size()));
  }
  for (std::size_t id = 0; id < config.vocab.size(); ++id) {
    std::string_view piece = config.vocab[id];
    bool first = !continues(piece), covered = true;
    if (!first) piece.remove_prefix(prefix.size());
    std::size_t count = 0;
    for_each_character(piece, [&](std::string_view character) {
      covered = covered && (first ? beginning : inside).contains(character);
      first = false;
      ++count;
    });
    needs.always[id] = count == 1 || is_special(config.vocab[id]) ||
                       (!covered && !config.vocab[id].starts_with("[unused"));
  }
  order_by(
      needs.by_frequency,
      [&](TokenId id) { return config.vocab[static_cast<std::size_t>(id)].starts_with("[unused"); },
      [](TokenId id) { return id; });
  return needs;
}

VocabularyNeeds vocabulary_needs(const ByteBpeConfig& config) {
  const std::vector<VocabularyToken>& tokens = config.tokens;
  VocabularyNeeds needs = empty_needs(tokens.size());
  // As the tokenizer looks them up (byte_bpe.cc).
  TextTable by_bytes(tokens.size());
  std::array<TokenId, 256> single{};
  for (const TokenKind kind : {TokenKind::kText, TokenKind::kUserDefined})
    for (std::size_t id = 0; id < tokens.size(); ++id) {
      if (tokens[id].kind != kind) continue;
      by_bytes.add(tokens[id].text, static_cast<TokenId>(id));
      if (kind == TokenKind::kText && tokens[id].text.size() == 1)
        single[static_cast<unsigned char>(tokens[id].text[0])] = static_cast<TokenId>(id);
    }
  const std::vector<TokenPair> by_id =
      config.merge_by_id ? merges_by_id(tokens) : std::vector<TokenPair>();
  const std::vector<TokenPair>& merges = config.merge_by_id ? by_id : config.merges;
  PairTable table(merges.size());
  std::vector<std::int32_t> ranks(tokens.size(), INT32_MAX);
  std::string joined;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const auto [left, right] = merges[i];
    joined.assign(tokens[static_cast<std::size_t>(left)].text)
        .append(tokens[static_cast<std::size_t>(right)].text);
    const TokenId id = by_bytes.find(joined);
    if (id < 0) continue;
    const std::int32_t rank = config.merge_by_id ? id : static_cast<std::int32_t>(i);
    table.add(left, right, {rank, id});
    ranks[static_cast<std::size_t>(id)] = std::min(ranks[static_cast<std::size_t>(id)], rank);
  }
  std::vector<Part> parts;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const std::string& bytes = tokens[id].text;
    needs.always[id] = !is_text_like(tokens[id].kind) ||
                       (tokens[id].kind == TokenKind::kText && bytes.size() == 1);
    if (bytes.size() < 2 || by_bytes.find(bytes) != static_cast<TokenId>(id)) continue;
    parts.clear();
    for (std::size_t i = 0; i < bytes.size(); ++i)
      parts.push_back({single[static_cast<unsigned char>(bytes[i])], i, 1});
    needs.parts[id] =
        last_merge(parts, static_cast<TokenId>(id),
                   [&](const Part& a, const Part& b) { return table.find(a.id, b.id); });
  }
  order_by(
      needs.by_frequency, [&](TokenId id) { return is_unused(tokens, id); },
      [&](TokenId id) { return ranks[static_cast<std::size_t>(id)]; });
  return needs;
}

namespace {

using Model = SentencePieceConfig::Model;

// What merges of SentencePiece's BPE look up (sentencepiece.cc).
class PieceMerges {
 public:
  explicit PieceMerges(const SentencePieceConfig& config)
      : pieces_(config.pieces), by_text_(pieces_.size()), ranks_(pieces_.size(), INT32_MAX) {
    for (std::size_t id = 0; id < pieces_.size(); ++id)
      if (merges(pieces_[id]) && !pieces_[id].text.empty())
        by_text_.add(pieces_[id].text, static_cast<TokenId>(id));
    if (config.merges.empty())
      rank_scores();
    else
      rank_pairs(config.merges);
  }

  TokenId find(std::string_view text) const { return by_text_.find(text); }
  std::int32_t rank(TokenId id) const { return ranks_[static_cast<std::size_t>(id)]; }

  TokenPair parts_of(TokenId id) const {
    const std::string_view text = pieces_[static_cast<std::size_t>(id)].text;
    std::vector<Part> parts;
    for_each_character(text, [&](std::string_view character) {
      parts.push_back({find(character), static_cast<std::size_t>(character.data() - text.data()),
                       character.size()});
    });
    if (parts.size() < 2 || find(text) != id) return kNoParts;
    return last_merge(parts, id, [&](const Part& a, const Part& b) {
      if (by_pairs_) return pairs_.find(a.id, b.id);
      const TokenId joined = find(text.substr(a.begin, a.bytes + b.bytes));
      return joined < 0 ? Merged{} : Merged{rank(joined), joined};
    });
  }

 private:
  static bool merges(const VocabularyToken& piece) {
    return is_text_like(piece.kind) || piece.kind == TokenKind::kUserDefined;
  }
  void rank_scores() {
    std::vector<TokenId> order(pieces_.size());
    std::iota(order.begin(), order.end(), 0);
    const auto score = [&](TokenId id) { return pieces_[static_cast<std::size_t>(id)].score; };
    std::ranges::stable_sort(order, std::ranges::greater(), score);
    std::int32_t next = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (i > 0 && score(order[i]) < score(order[i - 1])) ++next;
      ranks_[static_cast<std::size_t>(order[i])] = next;
    }
  }
  void rank_pairs(const std::vector<TokenPair>& merges) {
    by_pairs_ = true;
    pairs_ = PairTable(merges.size());
    for (std::size_t i = 0; i < merges.size(); ++i) {
      const auto [left, right] = merges[i];
      const TokenId id = find(pieces_[static_cast<std::size_t>(left)].text +
                              pieces_[static_cast<std::size_t>(right)].text);
      if (id < 0) continue;
      const auto order = static_cast<std::int32_t>(i);
      pairs_.add(left, right, {order, id});
      ranks_[static_cast<std::size_t>(id)] = std::min(rank(id), order);
    }
  }

  const std::vector<VocabularyToken>& pieces_;
  TextTable by_text_;
  std::vector<std::int32_t> ranks_;
  bool by_pairs_ = false;
  PairTable pairs_;
};

// What of a unigram's paths hangs on the whole vocabulary: an unknown character costs more than the
// worst piece, and a user-defined piece counts as the best.
void keep_extreme_scores(const SentencePieceConfig& config, VocabularyNeeds& needs) {
  std::size_t least = config.pieces.size(), best = least;
  for (std::size_t id = 0; id < config.pieces.size(); ++id) {
    if (config.pieces[id].kind != TokenKind::kText) continue;
    const float score = config.pieces[id].score;
    if (least == config.pieces.size() || score < config.pieces[least].score) least = id;
    if (best == config.pieces.size() || score > config.pieces[best].score) best = id;
  }
  for (const std::size_t id : {least, best})
    if (id < config.pieces.size()) needs.always[id] = true;
}

}  // namespace

VocabularyNeeds vocabulary_needs(const SentencePieceConfig& config) {
  const std::vector<VocabularyToken>& pieces = config.pieces;
  VocabularyNeeds needs = empty_needs(pieces.size());
  const PieceMerges merges(config);
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    const VocabularyToken& piece = pieces[id];
    const bool text = piece.kind == TokenKind::kText;
    std::size_t count = 0;
    bool covered = true;
    for_each_character(piece.text, [&](std::string_view character) {
      covered = covered && merges.find(character) >= 0;
      ++count;
    });
    needs.always[id] = !is_text_like(piece.kind) || (text && (count == 1 || !covered));
    if (config.model != Model::kBpe) continue;
    needs.parts[id] = merges.parts_of(static_cast<TokenId>(id));
    // A piece that may not be used is taken apart again, into what it was merged from.
    if (piece.kind == TokenKind::kUnused && needs.parts[id].right >= 0) needs.always[id] = true;
  }
  const auto unused = [&](TokenId id) { return is_unused(pieces, id); };
  if (config.model == Model::kUnigram) {
    keep_extreme_scores(config, needs);
    order_by(needs.by_frequency, unused,
             [&](TokenId id) { return -pieces[static_cast<std::size_t>(id)].score; });
  } else {
    order_by(needs.by_frequency, unused, [&](TokenId id) { return merges.rank(id); });
  }
  return needs;
}

}  // namespace tack
