#include "text/token_vocabulary.h"

#include <algorithm>
#include <optional>

#include <utf8proc.h>

namespace tack {
namespace {

// How many characters, if all are valid and need no escape in a JSON string.
std::optional<std::uint32_t> plain_characters(std::string_view bytes) {
  std::uint32_t count = 0;
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(bytes.data());
  auto left = static_cast<utf8proc_ssize_t>(bytes.size());
  for (; left > 0; ++count) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t n = utf8proc_iterate(at, left, &c);
    if (n <= 0 || c < 0x20 || c == '"' || c == '\\') return std::nullopt;
    at += n;
    left -= n;
  }
  return count;
}

TokenVocabulary::Trie make_trie(const std::vector<std::string>& tokens, std::vector<TokenId> ids) {
  const auto text = [&](TokenId id) -> const std::string& {
    return tokens[static_cast<std::size_t>(id)];
  };
  std::ranges::sort(ids, [&](TokenId a, TokenId b) {
    const int order = text(a).compare(text(b));
    return order != 0 ? order < 0 : a < b;
  });
  TokenVocabulary::Trie trie;
  std::vector<std::uint32_t> open;  // the nodes of the previous token, root first
  const auto close_to = [&](std::size_t depth) {
    for (; open.size() > depth; open.pop_back()) {
      TokenVocabulary::Node& node = trie.nodes[open.back()];
      node.end = static_cast<std::uint32_t>(trie.nodes.size());
      if (open.size() < 2) continue;
      std::uint16_t& above = trie.nodes[open[open.size() - 2]].below;
      above = std::max(above, static_cast<std::uint16_t>(node.below + 1));
    }
  };
  std::string_view previous;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::string_view bytes = text(ids[i]);
    const auto common =
        static_cast<std::size_t>(std::ranges::mismatch(previous, bytes).in1 - previous.begin());
    close_to(common);
    for (std::size_t d = common; d < bytes.size(); ++d) {
      open.push_back(static_cast<std::uint32_t>(trie.nodes.size()));
      trie.nodes.push_back({.tokens = static_cast<std::uint32_t>(i),
                            .depth = static_cast<std::uint16_t>(d + 1),
                            .byte = static_cast<std::uint8_t>(bytes[d])});
    }
    previous = bytes;
  }
  close_to(0);
  trie.nodes.push_back({.tokens = static_cast<std::uint32_t>(ids.size())});
  trie.ids = std::move(ids);
  return trie;
}

}  // namespace

Result<std::shared_ptr<const TokenVocabulary>> TokenVocabulary::create(
    std::vector<std::string> tokens, std::vector<TokenId> ends) {
  if (tokens.empty()) return fail(ErrorCode::kUsage, "a vocabulary without tokens");
  auto made = std::make_shared<TokenVocabulary>();
  std::ranges::sort(ends);
  for (const TokenId id : ends)
    if (id < 0 || static_cast<std::size_t>(id) >= tokens.size())
      return fail(ErrorCode::kUsage, "end token {} is not in the vocabulary of {}", id,
                  tokens.size());
  made->tokens_ = std::move(tokens);
  made->ends_ = std::move(ends);
  made->plain_mask_.resize(made->mask_words());
  std::vector<TokenId> plain, rest;
  for (std::size_t i = 0; i < made->tokens_.size(); ++i) {
    const std::string& bytes = made->tokens_[i];
    const auto id = static_cast<TokenId>(i);
    if (bytes.size() > kLongestToken)
      return fail(ErrorCode::kUsage, "token {} has {} bytes; at most {} are supported", id,
                  bytes.size(), kLongestToken);
    if (bytes.empty() || made->is_end(id)) continue;
    made->longest_ = std::max(made->longest_, bytes.size());
    if (const auto characters = plain_characters(bytes)) {
      plain.push_back(id);
      made->plain_mask_[i / 32] |= 1U << (i % 32);
      made->plain_lengths_.push_back({*characters, id});
    } else {
      rest.push_back(id);
    }
  }
  std::ranges::stable_sort(made->plain_lengths_, std::greater<>{}, &Length::characters);
  made->plain_ = make_trie(made->tokens_, std::move(plain));
  for (const TokenId id : made->plain_.ids)
    made->plain_.characters.push_back(
        static_cast<std::uint16_t>(*plain_characters(made->tokens_[static_cast<std::size_t>(id)])));
  made->rest_ = make_trie(made->tokens_, std::move(rest));
  return made;
}

bool TokenVocabulary::is_end(TokenId id) const {
  return std::ranges::binary_search(ends_, id);
}

std::span<const TokenVocabulary::Length> TokenVocabulary::plain_longer_than(
    std::uint32_t characters) const {
  const auto end = std::ranges::partition_point(
      plain_lengths_, [&](const Length& l) { return l.characters > characters; });
  return {plain_lengths_.begin(), end};
}

}  // namespace tack
