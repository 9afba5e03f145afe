// Deterministic automata over Unicode characters: what a string's value may be.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tack {

struct CharRange {
  char32_t first = 0, last = 0;  // both included
};

inline constexpr char32_t kLastChar = 0x10FFFF;

// Sorted ranges that neither overlap nor touch.
class CharSet {
 public:
  CharSet() = default;
  explicit CharSet(std::vector<CharRange> ranges);
  CharSet complement() const;
  std::span<const CharRange> ranges() const { return ranges_; }

 private:
  std::vector<CharRange> ranges_;
};

struct CharAutomaton {
  struct Edge {
    CharRange range;
    std::uint32_t target = 0;
  };
  struct State {
    std::vector<Edge> edges;  // sorted, without overlap
    bool accepts = false;
  };
  std::vector<State> states;  // 0 is the start

  bool accepts(std::u32string_view text) const;
  bool accepts_nothing() const;
  // Removes what leads to states from which nothing is accepted.
  void drop_dead_ends();
  // By state: whether any characters may follow, without end. After drop_dead_ends().
  std::vector<bool> free_states() const;
};

// Every string but these.
CharAutomaton all_but(std::span<const std::u32string> names);

// Those strings of `automaton` that have `least` to `most` characters.
CharAutomaton of_length(const CharAutomaton& automaton, std::uint32_t least, std::uint32_t most);

// Errors: not UTF-8.
Result<std::u32string> characters_of(std::string_view utf8);

}  // namespace tack
