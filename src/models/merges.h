// Pairs of tokens that merge, as files name them: by the texts of both.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "text/decoder_tokenizer.h"

namespace tack {

class MergeReader {
 public:
  // `where` stands in errors, and must outlive this.
  MergeReader(std::string_view where, std::size_t tokens) : where_(where) { ids_.reserve(tokens); }

  // A token that merges may name; `text` as the file writes it.
  void add(std::string_view text, TokenId id, TokenKind kind) {
    if (kind == TokenKind::kText || kind == TokenKind::kUserDefined) ids_.emplace(text, id);
  }

  Status read(std::string_view left, std::string_view right, std::vector<TokenPair>& merges) const {
    const auto a = ids_.find(left), b = ids_.find(right);
    if (a == ids_.end() || b == ids_.end())
      return fail("{}: merge {}, '{}' and '{}', does not join two tokens", where_, merges.size(),
                  left, right);
    merges.push_back({a->second, b->second});
    return {};
  }
  // "left right"; tokens have no spaces, but for one that begins with it.
  Status read(std::string_view both, std::vector<TokenPair>& merges) const {
    const std::size_t space = both.find(' ', 1);
    if (space == both.npos)
      return fail("{}: merge {}, '{}', is not two tokens", where_, merges.size(), both);
    return read(both.substr(0, space), both.substr(space + 1), merges);
  }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  std::string_view where_;
  std::unordered_map<std::string, TokenId, Hash, std::equal_to<>> ids_;
};

}  // namespace tack
