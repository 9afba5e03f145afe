// Letters that look like Latin ones.
#pragma once

#include <cstdint>

namespace tack::guard {

struct Lookalike {
  char latin = 0;       // 0: it looks like none
  bool always = false;  // no script's own letter: small capitals, letters in boxes
};
Lookalike lookalike(std::int32_t c);

}  // namespace tack::guard
