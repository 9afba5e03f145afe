#include "text/json_grammar.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace tack::json_grammar {
namespace {

constexpr Node kNone = ByteGrammar::kNone;

int encode(char32_t c, std::array<std::uint8_t, 4>& out) {
  const auto low = [](char32_t v) { return static_cast<std::uint8_t>(0x80U | (v & 0x3FU)); };
  const auto byte = [](char32_t v) { return static_cast<std::uint8_t>(v); };
  if (c < 0x80) return out[0] = byte(c), 1;
  if (c < 0x800) return out[0] = byte(0xC0U | c >> 6U), out[1] = low(c), 2;
  if (c < 0x10000)
    return out[0] = byte(0xE0U | c >> 12U), out[1] = low(c >> 6U), out[2] = low(c), 3;
  out[0] = byte(0xF0U | c >> 18U), out[1] = low(c >> 12U);
  return out[2] = low(c >> 6U), out[3] = low(c), 4;
}

// What leads to one node, shared by all that go there.
class Target {
 public:
  Target(ByteGrammar& grammar, Node to) : grammar_(grammar), to_(to) {}

  Node node() const { return to_; }
  // Where n continuation bytes, any, are left to read.
  Node continuation(int n) {
    if (n == 0) return to_;
    Node& node = continuation_[static_cast<std::size_t>(n)];
    if (node == kNone) {
      node = grammar_.add_node();
      grammar_.read(node, 0x80, 0xBF, continuation(n - 1));
    }
    return node;
  }

  // Characters of a range, neither surrogates nor ASCII that needs an escape.
  void read(Node from, CharRange range) {
    constexpr std::array<char32_t, 4> kEnds{0x7F, 0x7FF, 0xFFFF, kLastChar};
    for (const char32_t end : kEnds) {
      if (range.first > range.last) return;
      if (range.first > end) continue;
      const char32_t last = std::min(range.last, end);
      std::array<std::uint8_t, 4> low{}, high{};
      const int n = encode(range.first, low);
      encode(last, high);
      read_bytes(from, low.data(), high.data(), n);
      range.first = last + 1;
    }
  }

 private:
  void read_bytes(Node from, const std::uint8_t* low, const std::uint8_t* high, int n) {
    if (n == 1) return grammar_.read(from, low[0], high[0], to_);
    constexpr std::array<std::uint8_t, 3> kLow{0x80, 0x80, 0x80}, kHigh{0xBF, 0xBF, 0xBF};
    const auto rest = static_cast<std::size_t>(n - 1);
    const bool whole_low = std::equal(low + 1, low + n, kLow.begin());
    const bool whole_high = std::equal(high + 1, high + n, kHigh.begin());
    if (low[0] == high[0] && !(whole_low && whole_high)) {
      const Node next = grammar_.add_node();
      grammar_.read(from, low[0], low[0], next);
      return read_bytes(next, low + 1, high + 1, n - 1);
    }
    int first = low[0], last = high[0];
    if (!whole_low) {
      const Node next = grammar_.add_node();
      grammar_.read(from, low[0], low[0], next);
      read_bytes(next, low + 1, kHigh.data(), n - 1);
      ++first;
    }
    if (!whole_high) {
      const Node next = grammar_.add_node();
      grammar_.read(from, high[0], high[0], next);
      read_bytes(next, kLow.data(), high + 1, n - 1);
      --last;
    }
    if (first <= last)
      grammar_.read(from, static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(last),
                    continuation(static_cast<int>(rest)));
  }

  ByteGrammar& grammar_;
  Node to_;
  std::array<Node, 4> continuation_{kNone, kNone, kNone, kNone};
};

void read_hex(ByteGrammar& grammar, Node from, Node to) {
  grammar.read(from, '0', '9', to);
  grammar.read(from, 'a', 'f', to);
  grammar.read(from, 'A', 'F', to);
}
// A letter in both cases.
void read_letters(ByteGrammar& grammar, Node from, char first, char last, Node to) {
  grammar.read(from, static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(last), to);
  grammar.read(from, static_cast<std::uint8_t>(first - 32), static_cast<std::uint8_t>(last - 32),
               to);
}

// Every escape that stands for one character, after its backslash.
void read_any_escape(ByteGrammar& grammar, Node from, Node to) {
  for (const char c : std::string_view("\"\\/bfnrt"))
    grammar.read(from, static_cast<std::uint8_t>(c), static_cast<std::uint8_t>(c), to);
  const Node u = grammar.add_node(), three = grammar.add_node(), two = grammar.add_node(),
             one = grammar.add_node(), d = grammar.add_node();
  grammar.read(from, 'u', 'u', u);
  grammar.read(u, '0', '9', three);
  read_letters(grammar, u, 'a', 'c', three);
  read_letters(grammar, u, 'e', 'f', three);
  read_letters(grammar, u, 'd', 'd', d);
  read_hex(grammar, three, two);
  read_hex(grammar, two, one);
  read_hex(grammar, one, to);
  grammar.read(d, '0', '7', two);
  // The first half of a surrogate pair, and the second: \uD8.. to \uDB.., \uDC.. to \uDF...
  const Node high_two = grammar.add_node(), high_one = grammar.add_node(),
             slash = grammar.add_node(), low_u = grammar.add_node(), low_d = grammar.add_node(),
             low = grammar.add_node();
  grammar.read(d, '8', '9', high_two);
  read_letters(grammar, d, 'a', 'b', high_two);
  read_hex(grammar, high_two, high_one);
  read_hex(grammar, high_one, slash);
  grammar.read(slash, '\\', '\\', low_u);
  grammar.read(low_u, 'u', 'u', low_d);
  read_letters(grammar, low_d, 'd', 'd', low);
  read_letters(grammar, low, 'c', 'f', two);
}

// Of the characters of a range, those that stand for themselves.
template <class Visit>
void for_unescaped(CharRange range, const Visit& visit) {
  constexpr std::array<CharRange, 4> kThemselves{
      {{0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, 0xD7FF}, {0xE000, kLastChar}}};
  for (const CharRange& allowed : kThemselves) {
    const CharRange both{std::max(range.first, allowed.first), std::min(range.last, allowed.last)};
    if (both.first <= both.last) visit(both);
  }
}

char short_escape(char32_t c) {
  switch (c) {
    case '"':
      return '"';
    case '\\':
      return '\\';
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 0;
  }
}

// The escapes of one state of an automaton; nodes are made when they are needed.
class Escapes {
 public:
  Escapes(ByteGrammar& grammar, Node from) : grammar_(grammar), from_(from) {}

  void read(char32_t c, Node to) {
    if (const char letter = short_escape(c); letter != 0)
      grammar_.read(slash(), static_cast<std::uint8_t>(letter), static_cast<std::uint8_t>(letter),
                    to);
    if (c >= 0x20) return;
    Node& digit = digit_[c >> 4U];
    if (digit == kNone) {
      if (zeros_ == kNone) {
        zeros_ = grammar_.add_node();
        grammar_.read(slash(), "u00", zeros_);
      }
      digit = grammar_.add_node();
      const auto byte = static_cast<std::uint8_t>('0' + (c >> 4U));
      grammar_.read(zeros_, byte, byte, digit);
    }
    const auto low = static_cast<std::uint8_t>(c & 0xFU);
    if (low < 10) return grammar_.read(digit, '0' + low, '0' + low, to);
    const char letter = static_cast<char>('a' + low - 10);
    read_letters(grammar_, digit, letter, letter, to);
  }

 private:
  Node slash() {
    if (slash_ == kNone) {
      slash_ = grammar_.add_node();
      grammar_.read(from_, '\\', '\\', slash_);
    }
    return slash_;
  }

  ByteGrammar& grammar_;
  Node from_, slash_ = kNone, zeros_ = kNone;
  std::array<Node, 2> digit_{kNone, kNone};
};

}  // namespace

Status add_string(ByteGrammar& grammar, std::uint32_t least, std::uint32_t most, Node from,
                  Node to) {
  const std::uint32_t positions = (most == kNone ? least : most) + 1;
  constexpr std::size_t kNodesPerPosition = 24;
  TACK_RETURN_IF_ERROR(grammar.room(std::size_t{positions} * kNodesPerPosition));
  // Every position has the same nodes in the same order: where it stands, and the way there.
  struct Position {
    Node here, character;  // before a character, and where the one that leads here begins
  };
  std::vector<Position> at;
  for (std::uint32_t k = 0; k < positions; ++k) {
    at.push_back({grammar.add_node(), grammar.add_node()});
    const auto [here, character] = at.back();
    Target target(grammar, here);
    for_unescaped({0, kLastChar}, [&](CharRange range) { target.read(character, range); });
    const Node escape = grammar.add_node();
    grammar.read(character, '\\', '\\', escape);
    read_any_escape(grammar, escape, here);
    if (k >= least) grammar.read(here, '"', '"', to);
  }
  grammar.read(from, '"', '"', at[0].here);
  for (std::uint32_t k = 0; k < positions; ++k) {
    if (k + 1 < positions) grammar.skip(at[k].here, at[k + 1].character);
    if (k + 1 == positions && most == kNone) grammar.skip(at[k].here, at[k].character);
  }
  const std::uint32_t stride = positions > 1 ? at[1].here - at[0].here : 0;
  grammar.add_counted({at[0].here, stride, positions, least, most});
  return {};
}

Status add_string(ByteGrammar& grammar, const CharAutomaton& automaton, Node from, Node to) {
  std::size_t edges = 0;
  for (const CharAutomaton::State& state : automaton.states) edges += state.edges.size();
  TACK_RETURN_IF_ERROR(grammar.room(automaton.states.size() + 2 * edges));
  std::vector<Target> targets;
  targets.reserve(automaton.states.size());
  for (std::size_t s = 0; s < automaton.states.size(); ++s)
    targets.emplace_back(grammar, grammar.add_node());
  grammar.read(from, '"', '"', targets[0].node());
  const std::vector<bool> free = automaton.free_states();
  for (std::size_t s = 0; s < automaton.states.size(); ++s) {
    if (s % 256 == 0) TACK_RETURN_IF_ERROR(grammar.room(0));
    if (free[s]) grammar.add_free(targets[s].node());
    const CharAutomaton::State& state = automaton.states[s];
    const Node here = targets[s].node();
    Escapes escapes(grammar, here);
    for (const CharAutomaton::Edge& e : state.edges) {
      Target& target = targets[e.target];
      for_unescaped(e.range, [&](CharRange range) { target.read(here, range); });
      for (char32_t c = e.range.first; c <= std::min<char32_t>(e.range.last, '\\'); ++c)
        if (c < 0x20 || c == '"' || c == '\\') escapes.read(c, target.node());
    }
    if (state.accepts) grammar.read(here, '"', '"', to);
  }
  return {};
}

namespace {

// Whole numbers from low to high that have as many digits as both, without a sign.
void read_same_length(ByteGrammar& grammar, const std::string& low, const std::string& high,
                      Node from, Node to) {
  const std::size_t n = low.size();
  // After i digits: equal to the beginning of both, of low, of high, or in between.
  Node both = from, at_low = kNone, at_high = kNone, between = kNone;
  const auto byte = [](int v) { return static_cast<std::uint8_t>(v); };
  for (std::size_t i = 0; i < n; ++i) {
    const bool last = i + 1 == n;
    const auto next = [&](Node& node) {
      if (node == kNone) node = last ? to : grammar.add_node();
      return node;
    };
    Node next_both = kNone, next_low = kNone, next_high = kNone, next_between = kNone;
    const int l = low[i], h = high[i];
    if (both != kNone) {
      if (l == h) {
        grammar.read(both, byte(l), byte(l), next(next_both));
      } else {
        grammar.read(both, byte(l), byte(l), next(next_low));
        grammar.read(both, byte(h), byte(h), next(next_high));
        if (l + 1 < h) grammar.read(both, byte(l + 1), byte(h - 1), next(next_between));
      }
    }
    if (at_low != kNone) {
      grammar.read(at_low, byte(l), byte(l), next(next_low));
      if (l < '9') grammar.read(at_low, byte(l + 1), '9', next(next_between));
    }
    if (at_high != kNone) {
      grammar.read(at_high, byte(h), byte(h), next(next_high));
      if (h > '0') grammar.read(at_high, '0', byte(h - 1), next(next_between));
    }
    if (between != kNone) grammar.read(between, '0', '9', next(next_between));
    both = next_both, at_low = next_low, at_high = next_high, between = next_between;
  }
}

// 0 <= low <= high
void read_whole(ByteGrammar& grammar, std::int64_t low, std::int64_t high, Node from, Node to) {
  for (std::int64_t first = 0, last = 9;; first = last + 1, last = last * 10 + 9) {
    if (low <= last && first <= high)
      read_same_length(grammar, std::to_string(std::max(low, first)),
                       std::to_string(std::min(high, last)), from, to);
    if (last >= kLargest || last >= high) return;
  }
}

// A point and digits; `zero`: only zeros; `positive`: not all of them zeros.
void read_fraction(ByteGrammar& grammar, bool zero, bool positive, Node from, Node to) {
  Node low = grammar.add_node(), high = kNone;  // only zeros so far; not only zeros
  grammar.read(from, '.', '.', low);
  for (int i = 0; i < kDigits; ++i) {
    const Node next_low = grammar.add_node();
    grammar.read(low, '0', '0', next_low);
    if (!positive) grammar.skip(next_low, to);
    if (!zero) {
      const Node next_high = grammar.add_node();
      grammar.read(low, '1', '9', next_high);
      if (high != kNone) grammar.read(high, '0', '9', next_high);
      grammar.skip(next_high, to);
      high = next_high;
    }
    low = next_low;
  }
}

// Sizes of one sign: from low to high, both whole and at least 0.
bool read_sizes(ByteGrammar& grammar, std::int64_t low, bool low_out, std::int64_t high,
                bool high_out, Node from, Node to) {
  if (low > high || (low == high && (low_out || high_out))) return false;
  if (low == high) {
    const Node end = grammar.add_node();
    read_whole(grammar, low, high, from, end);
    grammar.skip(end, to);
    read_fraction(grammar, true, false, end, to);
    return true;
  }
  const auto piece = [&](std::int64_t first, std::int64_t last, bool whole, bool zero,
                         bool positive) {
    if (first > last) return;
    const Node end = grammar.add_node();
    read_whole(grammar, first, last, from, end);
    if (whole) grammar.skip(end, to);
    read_fraction(grammar, zero, positive, end, to);
  };
  piece(low, low, !low_out, false, low_out);
  piece(low + 1, high - 1, true, false, false);
  if (!high_out) piece(high, high, true, true, false);
  return true;
}

void read_any_number(ByteGrammar& grammar, Node from, Node to) {
  const Node digits = grammar.add_node(), whole = grammar.add_node(), mantissa = grammar.add_node();
  grammar.read(from, '-', '-', digits);
  read_whole(grammar, 0, kLargest, from, whole);
  read_whole(grammar, 0, kLargest, digits, whole);
  grammar.skip(whole, mantissa);
  read_fraction(grammar, false, false, whole, mantissa);
  grammar.skip(mantissa, to);
  const Node sign = grammar.add_node(), first = grammar.add_node(), second = grammar.add_node();
  read_letters(grammar, mantissa, 'e', 'e', sign);
  grammar.read(sign, '+', '+', first);
  grammar.read(sign, '-', '-', first);
  grammar.read(sign, '0', '9', second);
  grammar.read(first, '0', '9', second);
  grammar.skip(second, to);
  grammar.read(second, '0', '9', to);
}

}  // namespace

Result<bool> add_integer(ByteGrammar& grammar, const Limits& limits, Node from, Node to) {
  TACK_RETURN_IF_ERROR(grammar.room(4000));
  const std::int64_t low = std::max(limits.least.value_or(-kLargest), -kLargest);
  const std::int64_t high = std::min(limits.most.value_or(kLargest), kLargest);
  if (low > high) return false;
  if (high >= 0) read_whole(grammar, std::max<std::int64_t>(low, 0), high, from, to);
  if (low < 0) {
    const Node minus = grammar.add_node();
    grammar.read(from, '-', '-', minus);
    read_whole(grammar, high < 0 ? -high : 1, -low, minus, to);
  }
  return true;
}

Result<bool> add_number(ByteGrammar& grammar, const Limits& limits, Node from, Node to) {
  TACK_RETURN_IF_ERROR(grammar.room(8000));
  if (!limits.least && !limits.most) {
    read_any_number(grammar, from, to);
    return true;
  }
  const std::int64_t low = limits.least.value_or(-kLargest), high = limits.most.value_or(kLargest);
  if (low > kLargest || high < -kLargest || low > high) return false;
  bool any = false;
  // From 0 up.
  if (high >= 0)
    any |= low >= 0 ? read_sizes(grammar, low, limits.least_exclusive, high, limits.most_exclusive,
                                 from, to)
                    : read_sizes(grammar, 0, false, high, limits.most_exclusive, from, to);
  // Below 0: sizes from -high, or from 0 and not 0, to -low.
  if (low < 0) {
    const Node minus = grammar.add_node();
    grammar.read(from, '-', '-', minus);
    any |= high < 0 ? read_sizes(grammar, -high, limits.most_exclusive, -low,
                                 limits.least_exclusive, minus, to)
                    : read_sizes(grammar, 0, true, -low, limits.least_exclusive, minus, to);
  }
  return any;
}

void add_separator(ByteGrammar& grammar, char separator, Node from, Node to) {
  const Node read = grammar.add_node();
  grammar.read(from, static_cast<std::uint8_t>(separator), static_cast<std::uint8_t>(separator),
               read);
  grammar.skip(read, to);
  grammar.read(read, ' ', ' ', to);
}

}  // namespace tack::json_grammar
