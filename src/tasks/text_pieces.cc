#include "tasks/text_pieces.h"

#include <algorithm>

namespace tack {

std::optional<TokenId> end_of_text(const Model& model) {
  return model.tokenizer().special().eos;
}

TextPieces::TextPieces(const Model& model, const Dataset& documents, std::int64_t length) {
  const auto end = end_of_text(model);
  const auto most = static_cast<std::size_t>(length);
  for (std::size_t d = 0; d < documents.size(); ++d) {
    const auto ids = model.tokenizer().encode(documents.texts[d], 0).ids;
    const std::size_t first = tokens_.size();
    tokens_.insert(tokens_.end(), ids.begin(), ids.end());
    if (end && (ids.empty() || ids.back() != *end)) tokens_.push_back(*end);
    const std::size_t inputs = std::max<std::size_t>(tokens_.size() - first, 1) - 1;
    for (std::size_t at = 0; at < inputs; at += most) {
      pieces_.push_back({first + at, std::min(most, inputs - at), d});
      longest_ = std::max(longest_, static_cast<std::int64_t>(pieces_.back().length));
    }
    predictions_ += static_cast<std::int64_t>(inputs);
  }
}

}  // namespace tack
