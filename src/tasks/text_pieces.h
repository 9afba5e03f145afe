// Documents as a decoder learns and is measured on them: tokens from beginning to end of each text,
// in pieces of a length.
//
// A document is what the tokenizer makes of it (with the token that begins a text, where the model
// has one) and the token that ends a text. Each token but the first is predicted once, from those
// before it in its piece.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "eval/dataset.h"
#include "models/model.h"

namespace tack {

// Nothing where the model's tokenizer has none.
std::optional<TokenId> end_of_text(const Model& model);

class TextPieces {
 public:
  // `length`: most inputs of a piece, 1 or more.
  TextPieces(const Model& model, const Dataset& documents, std::int64_t length);

  std::size_t size() const { return pieces_.size(); }
  std::span<const TokenId> inputs(std::size_t piece) const { return view(piece, 0); }
  std::span<const TokenId> targets(std::size_t piece) const { return view(piece, 1); }
  std::size_t document(std::size_t piece) const { return pieces_[piece].document; }
  std::int64_t predictions() const { return predictions_; }
  std::int64_t longest() const { return longest_; }  // inputs of a piece

 private:
  struct Piece {
    std::size_t begin, length, document;
  };
  std::span<const TokenId> view(std::size_t piece, std::size_t later) const {
    return std::span(tokens_).subspan(pieces_[piece].begin + later, pieces_[piece].length);
  }
  std::vector<TokenId> tokens_;
  std::vector<Piece> pieces_;
  std::int64_t predictions_ = 0, longest_ = 0;
};

}  // namespace tack
