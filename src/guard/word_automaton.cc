#include "guard/word_automaton.h"

#include <algorithm>
#include <map>

#include "guard/normalize.h"
#include "text/unicode.h"

namespace tack::guard {
namespace {

// The character that ends at `end`.
std::int32_t character_before(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while (begin > 0 && end - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80U)
    --begin;
  return first_code_point(text.substr(begin, end - begin)).value;
}

// Whether two characters side by side are of one word.
bool joined(std::int32_t a, std::int32_t b) {
  return is_word_character(a) && is_word_character(b) && !is_unspaced_script(a) &&
         !is_unspaced_script(b);
}

}  // namespace

WordAutomaton::WordAutomaton(std::span<const std::string> words) {
  std::vector<std::map<std::uint8_t, std::uint32_t>> children(1);
  nodes_.resize(1);
  for (std::size_t w = 0; w < words.size(); ++w) {
    std::uint32_t at = 0;
    for (const char c : words[w]) {
      const auto byte = static_cast<std::uint8_t>(c);
      const auto [found, added] =
          children[at].try_emplace(byte, static_cast<std::uint32_t>(nodes_.size()));
      if (added) {
        const std::uint32_t depth = nodes_[at].depth + 1;
        nodes_.push_back({.depth = depth});
        at = found->second;
        children.emplace_back();
      } else {
        at = found->second;
      }
    }
    if (at != 0 && nodes_[at].word == kNone) nodes_[at].word = static_cast<std::uint32_t>(w);
  }
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    nodes_[n].first = static_cast<std::uint32_t>(edges_.size());
    nodes_[n].count = static_cast<std::uint32_t>(children[n].size());
    for (const auto& [byte, to] : children[n]) edges_.push_back({byte, to});
  }
  for (const auto& [byte, to] : children[0]) root_[byte] = to;
  // Breadth first: a node's suffix is shorter, so it is done before.
  std::vector<std::uint32_t> queue{0};
  for (std::size_t i = 0; i < queue.size(); ++i) {
    const std::uint32_t at = queue[i];
    Node& node = nodes_[at];
    node.output = node.word != kNone ? at : nodes_[node.fail].output;
    for (const auto& [byte, to] : children[at]) {
      nodes_[to].fail = at == 0 ? 0 : step(node.fail, byte);
      queue.push_back(to);
    }
  }
}

std::uint32_t WordAutomaton::child(std::uint32_t node, std::uint8_t byte) const {
  if (node == 0) return root_[byte];
  const std::span edges(edges_.data() + nodes_[node].first, nodes_[node].count);
  const auto found = std::ranges::lower_bound(edges, byte, {}, &Edge::byte);
  return found != edges.end() && found->byte == byte ? found->to : 0;
}

std::uint32_t WordAutomaton::step(std::uint32_t node, std::uint8_t byte) const {
  while (node != 0) {
    if (const std::uint32_t to = child(node, byte); to != 0) return to;
    node = nodes_[node].fail;
  }
  return root_[byte];
}

bool WordAutomaton::stands_alone(std::string_view text, const Match& match) const {
  if (match.begin > 0 &&
      joined(character_before(text, match.begin), first_code_point(text.substr(match.begin)).value))
    return false;
  return match.end == text.size() ||
         !joined(character_before(text, match.end), first_code_point(text.substr(match.end)).value);
}

std::optional<WordAutomaton::Match> WordAutomaton::find(std::string_view text, bool goes_on) const {
  std::uint32_t at = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    at = step(at, static_cast<std::uint8_t>(text[i]));
    for (std::uint32_t hit = nodes_[at].output; hit != kNone;
         hit = nodes_[nodes_[hit].fail].output) {
      const Match match{nodes_[hit].word, i + 1 - nodes_[hit].depth, i + 1};
      if (goes_on && match.end == text.size()) continue;
      if (stands_alone(text, match)) return match;
    }
  }
  return {};
}

std::size_t WordAutomaton::open_bytes(std::string_view text) const {
  std::uint32_t at = 0;
  for (const char c : text) at = step(at, static_cast<std::uint8_t>(c));
  return nodes_[at].depth;
}

}  // namespace tack::guard
