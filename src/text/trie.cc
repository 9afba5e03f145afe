#include "text/trie.h"

#include <utility>

#include "text/flat_table.h"

namespace tack {

std::size_t Trie::slot(std::uint64_t from) const {
  std::size_t i = mix(from, 0x9E3779B97F4A7C15) & (edges_.size() - 1);
  while (edges_[i].from != 0 && edges_[i].from != from) i = (i + 1) & (edges_.size() - 1);
  return i;
}

std::uint32_t Trie::child(std::uint32_t node, char byte) const {
  return edges_[slot(key(node, byte))].to;
}

void Trie::grow() {
  const std::vector<Edge> old = std::exchange(edges_, std::vector<Edge>(edges_.size() * 2));
  for (const Edge& edge : old)
    if (edge.from != 0) edges_[slot(edge.from)] = edge;
}

void Trie::add(std::string_view text, TokenId id) {
  if (text.empty()) return;
  first_[static_cast<unsigned char>(text[0])] = true;
  std::uint32_t node = 0;
  for (const char c : text) {
    if (ids_.size() * 2 > edges_.size()) grow();
    Edge& edge = edges_[slot(key(node, c))];
    if (edge.from == 0) {
      edge = {key(node, c), static_cast<std::uint32_t>(ids_.size())};
      ids_.push_back(-1);
    }
    node = edge.to;
  }
  if (ids_[node] < 0) ids_[node] = id;
}

Trie::Match Trie::longest(std::string_view text) const {
  Match match;
  all(text, [&](TokenId id, std::size_t bytes) { match = {id, bytes}; });
  return match;
}

}  // namespace tack
