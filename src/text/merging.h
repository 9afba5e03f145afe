// Byte-pair merging: of all neighbours that may become one, those of the lowest rank do, the first
// in the text before others, until none is left. What neighbours become is the caller's.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <queue>
#include <span>
#include <string_view>
#include <vector>

#include "text/flat_table.h"

namespace tack {

struct Part {
  TokenId id = -1;
  std::size_t begin = 0, bytes = 0;  // of the word
};

constexpr std::size_t kShortWord = 32;  // parts up to which looking at all of them beats a queue

// parts: at most kShortWord. Returns how many are left.
template <class Find>
std::size_t merge_short(std::span<Part> parts, const Find& find) {
  std::array<Merged, kShortWord> next;  // of a part and the one behind it
  std::size_t count = parts.size();
  for (std::size_t i = 0; i + 1 < count; ++i) next[i] = find(parts[i], parts[i + 1]);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i)
      if (next[i].rank < next[best].rank) best = i;
    if (next[best].id < 0) break;
    parts[best].id = next[best].id;
    parts[best].bytes += parts[best + 1].bytes;
    --count;
    for (std::size_t i = best + 1; i < count; ++i) parts[i] = parts[i + 1];
    for (std::size_t i = best; i + 1 < count; ++i) next[i] = next[i + 1];
    if (best > 0) next[best - 1] = find(parts[best - 1], parts[best]);
    if (best + 1 < count) next[best] = find(parts[best], parts[best + 1]);
  }
  return count;
}

// The same with a queue of pairs over a linked list: n log n.
template <class Find>
std::size_t merge_long(std::span<Part> parts, const Find& find) {
  constexpr std::size_t kEnd = SIZE_MAX;
  struct Link {
    std::size_t before, after;
  };
  struct Candidate {
    Merged merged;
    std::size_t at, bytes;  // of the pair
    bool operator>(const Candidate& other) const {
      return merged.rank != other.merged.rank ? merged.rank > other.merged.rank : at > other.at;
    }
  };
  const std::size_t n = parts.size();
  std::vector<Link> links(n);
  for (std::size_t i = 0; i < n; ++i) links[i] = {i > 0 ? i - 1 : kEnd, i + 1 < n ? i + 1 : kEnd};
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto offer = [&](std::size_t i) {
    if (i == kEnd || links[i].after == kEnd) return;
    const Part &left = parts[i], &right = parts[links[i].after];
    if (const Merged merged = find(left, right); merged.id >= 0)
      queue.push({merged, i, left.bytes + right.bytes});
  };
  for (std::size_t i = 0; i + 1 < n; ++i) offer(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Part& left = parts[best.at];
    // Stale when one of the two was merged since: then the pair is longer, or gone.
    const std::size_t behind = links[best.at].after;
    if (left.bytes == 0 || behind == kEnd || left.bytes + parts[behind].bytes != best.bytes)
      continue;
    left.id = best.merged.id;
    left.bytes = best.bytes;
    parts[behind].bytes = 0;
    links[best.at].after = links[behind].after;
    if (links[behind].after != kEnd) links[links[behind].after].before = best.at;
    offer(links[best.at].before);
    offer(best.at);
  }
  std::size_t count = 0;
  for (std::size_t i = 0; i != kEnd && i < n; i = links[i].after) parts[count++] = parts[i];
  return count;
}

// find(left, right) gives the Merged of two parts. Parts have bytes. Returns how many are left.
template <class Find>
std::size_t merge_parts(std::span<Part> parts, const Find& find) {
  return parts.size() <= kShortWord ? merge_short(parts, find) : merge_long(parts, find);
}

// Which tokens their own bytes merge to: found out when one is first asked, by any thread. Most
// words of a text are such tokens, and a look-up is all they need.
class WholeWords {
 public:
  WholeWords() = default;
  explicit WholeWords(std::size_t tokens)
      : known_(std::make_unique<std::atomic<Known>[]>(tokens)) {}

  // merge(ids) appends what the token's bytes merge to.
  template <class Merge>
  void append(TokenId id, std::vector<TokenId>& ids, const Merge& merge) const {
    auto& known = known_[static_cast<std::size_t>(id)];
    Known whole = known.load(std::memory_order_relaxed);
    if (whole == Known::kNotAsked) {
      std::vector<TokenId> merged;
      merge(merged);
      whole = merged.size() == 1 && merged[0] == id ? Known::kWhole : Known::kParts;
      known.store(whole, std::memory_order_relaxed);
    }
    if (whole == Known::kWhole)
      ids.push_back(id);
    else
      merge(ids);
  }

 private:
  enum class Known : std::uint8_t { kNotAsked, kWhole, kParts };
  std::unique_ptr<std::atomic<Known>[]> known_;
};

}  // namespace tack
