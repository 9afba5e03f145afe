// Reads a text once, calls recognisers where something can begin, and settles what overlaps.
#pragma once

#include <cstddef>
#include <vector>

#include "privacy/recognisers.h"
#include "privacy/scan_text.h"

namespace tack::privacy {

struct Scan {
  // By where they begin; those that overlap: the surer one, then the one that begins first, then
  // the longer one. Which of them stay depends on nothing that begins behind the next one.
  std::vector<Candidate> found;
  // What begins before stays as it is whatever text follows; the text's size: all of it.
  std::size_t cut = 0;
  // Where the stretch of overlapping candidates begins that the cut depends on.
  std::size_t last_cluster = 0;
};

// From scan position `from` on; what begins before `keep_from` is dropped before anything is
// settled.
Scan scan(const ScanText& text, std::size_t from, std::size_t keep_from);

}  // namespace tack::privacy
