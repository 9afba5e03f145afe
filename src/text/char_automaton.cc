#include "text/char_automaton.h"

#include <algorithm>
#include <map>

#include <utf8proc.h>

namespace tack {

CharSet::CharSet(std::vector<CharRange> ranges) {
  std::ranges::sort(ranges, {}, &CharRange::first);
  for (const CharRange& r : ranges) {
    if (!ranges_.empty() && r.first <= ranges_.back().last + 1)
      ranges_.back().last = std::max(ranges_.back().last, r.last);
    else
      ranges_.push_back(r);
  }
}

CharSet CharSet::complement() const {
  CharSet out;
  char32_t next = 0;
  for (const CharRange& r : ranges_) {
    if (next < r.first) out.ranges_.push_back({next, r.first - 1});
    next = r.last + 1;
  }
  if (next <= kLastChar) out.ranges_.push_back({next, kLastChar});
  return out;
}

bool CharAutomaton::accepts(std::u32string_view text) const {
  std::uint32_t at = 0;
  for (const char32_t c : text) {
    const auto edge = std::ranges::find_if(
        states[at].edges, [&](const Edge& e) { return e.range.first <= c && c <= e.range.last; });
    if (edge == states[at].edges.end()) return false;
    at = edge->target;
  }
  return states[at].accepts;
}

bool CharAutomaton::accepts_nothing() const {
  std::vector<bool> seen(states.size());
  std::vector<std::uint32_t> queue{0};
  seen[0] = true;
  for (std::size_t i = 0; i < queue.size(); ++i) {
    if (states[queue[i]].accepts) return false;
    for (const Edge& e : states[queue[i]].edges)
      if (!seen[e.target]) {
        seen[e.target] = true;
        queue.push_back(e.target);
      }
  }
  return true;
}

void CharAutomaton::drop_dead_ends() {
  std::vector<std::vector<std::uint32_t>> sources(states.size());
  std::vector<bool> alive(states.size());
  std::vector<std::uint32_t> queue;
  for (std::uint32_t s = 0; s < states.size(); ++s) {
    for (const Edge& e : states[s].edges) sources[e.target].push_back(s);
    if (states[s].accepts) queue.push_back(s);
    alive[s] = states[s].accepts;
  }
  for (std::size_t i = 0; i < queue.size(); ++i)
    for (const std::uint32_t source : sources[queue[i]]) {
      if (alive[source]) continue;
      alive[source] = true;
      queue.push_back(source);
    }
  for (State& state : states)
    std::erase_if(state.edges, [&](const Edge& e) { return !alive[e.target]; });
}

std::vector<bool> CharAutomaton::free_states() const {
  // All that go on at every character, less those that lead to one that is not.
  std::vector<bool> free(states.size());
  std::vector<std::vector<std::uint32_t>> sources(states.size());
  std::vector<std::uint32_t> lost;
  for (std::uint32_t s = 0; s < states.size(); ++s) {
    char32_t next = 0;
    for (const Edge& e : states[s].edges) {
      if (e.range.first == next) next = e.range.last + 1;
      sources[e.target].push_back(s);
    }
    free[s] = next == kLastChar + 1;
    if (!free[s]) lost.push_back(s);
  }
  while (!lost.empty()) {
    const std::uint32_t s = lost.back();
    lost.pop_back();
    for (const std::uint32_t source : sources[s]) {
      if (!free[source]) continue;
      free[source] = false;
      lost.push_back(source);
    }
  }
  return free;
}

CharAutomaton all_but(std::span<const std::u32string> names) {
  // The tree of the names, and state 1 for everything that has left it.
  std::vector<std::map<char32_t, std::uint32_t>> children(2);
  CharAutomaton out;
  out.states.resize(2);
  for (CharAutomaton::State& s : out.states) s.accepts = true;
  for (const std::u32string& name : names) {
    std::uint32_t at = 0;
    for (const char32_t c : name) {
      const auto [child, added] =
          children[at].try_emplace(c, static_cast<std::uint32_t>(out.states.size()));
      at = child->second;
      if (!added) continue;
      out.states.push_back({.edges = {}, .accepts = true});
      children.emplace_back();
    }
    out.states[at].accepts = false;
  }
  for (std::size_t s = 0; s < out.states.size(); ++s) {
    char32_t next = 0;
    for (const auto& [c, child] : children[s]) {
      if (next < c) out.states[s].edges.push_back({{next, c - 1}, 1});
      out.states[s].edges.push_back({{c, c}, child});
      next = c + 1;
    }
    if (next <= kLastChar) out.states[s].edges.push_back({{next, kLastChar}, 1});
  }
  return out;
}

CharAutomaton of_length(const CharAutomaton& automaton, std::uint32_t least, std::uint32_t most) {
  // State s after k characters; without an upper limit, all k from `least` on are one.
  const bool open = most == UINT32_MAX;
  const std::uint32_t layers = (open ? least : most) + 1;
  const auto n = static_cast<std::uint32_t>(automaton.states.size());
  CharAutomaton out;
  out.states.resize(std::size_t{layers} * n);
  for (std::uint32_t k = 0; k < layers; ++k)
    for (std::uint32_t s = 0; s < n; ++s) {
      CharAutomaton::State& state = out.states[std::size_t{k} * n + s];
      state.accepts = automaton.states[s].accepts && k >= least;
      const std::uint32_t next = k + 1 < layers ? k + 1 : k;
      if (k + 1 == layers && !open) continue;
      for (const CharAutomaton::Edge& e : automaton.states[s].edges)
        state.edges.push_back({e.range, next * n + e.target});
    }
  out.drop_dead_ends();
  return out;
}

Result<std::u32string> characters_of(std::string_view utf8) {
  std::u32string out;
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(utf8.data());
  auto left = static_cast<utf8proc_ssize_t>(utf8.size());
  while (left > 0) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t n = utf8proc_iterate(at, left, &c);
    if (n <= 0) return fail(ErrorCode::kUsage, "not valid UTF-8");
    out += static_cast<char32_t>(c);
    at += n;
    left -= n;
  }
  return out;
}

}  // namespace tack
