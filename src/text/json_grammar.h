// Pieces of JSON text for a ByteGrammar, each between two nodes that exist.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "text/byte_grammar.h"
#include "text/char_automaton.h"

namespace tack::json_grammar {

using Node = ByteGrammar::Node;

// A string of `least` to `most` (ByteGrammar::kNone: no limit) characters, any of them, with all of
// JSON's escapes; an escaped character counts as one. UTF-8 is valid, surrogates come in pairs.
Status add_string(ByteGrammar& grammar, std::uint32_t least, std::uint32_t most, Node from,
                  Node to);

// A string whose value the automaton accepts. Characters are written as themselves; those that may
// not be (", \, control characters) in their short escapes, or \u00XX.
Status add_string(ByteGrammar& grammar, const CharAutomaton& automaton, Node from, Node to);

// A number between two whole ones, if given; `exclusive` ones are not reached. Digits are bounded
// (kDigits), so that a model cannot write them for ever; an exponent, of two digits, only without
// limits.
struct Limits {
  std::optional<std::int64_t> least, most;
  bool least_exclusive = false, most_exclusive = false;
};
inline constexpr int kDigits = 18;                                 // before the point, and after it
inline constexpr std::int64_t kLargest = 999'999'999'999'999'999;  // of kDigits digits

// No fraction, no exponent, no -0. Limits as integers are inclusive here (the caller shifts).
// False: there is none.
Result<bool> add_integer(ByteGrammar& grammar, const Limits& limits, Node from, Node to);
Result<bool> add_number(ByteGrammar& grammar, const Limits& limits, Node from, Node to);

// , or : and the one space that may follow.
void add_separator(ByteGrammar& grammar, char separator, Node from, Node to);

}  // namespace tack::json_grammar
