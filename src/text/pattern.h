// Regular expressions to automata.
//
// The regular part of ECMA-262: characters, ., classes, \d \w \s and their complements (ASCII
// digits and letters, Unicode white space), escapes, groups, alternation, * + ? {m,n} (lazy ones
// are the same language) and the anchors ^ and $. Refused: back-references, look-around, \b, \B,
// \p.
#pragma once

#include <string_view>

#include "base/result.h"
#include "text/char_automaton.h"

namespace tack {

// The strings in which the pattern is found: without anchors, anywhere, as JSON Schema says.
// Errors (kUsage) name the place in the pattern; also patterns whose automaton is too large.
Result<CharAutomaton> compile_pattern(std::string_view pattern);

}  // namespace tack
