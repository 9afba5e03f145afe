// What a finder found in a text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tack::privacy {

// One stretch of a text that says something about a person, or opens a door.
struct Finding {
  std::string entity;              // "EMAIL_ADDRESS": a name of entities()
  std::size_t begin = 0, end = 0;  // bytes of the text, at boundaries of characters
  float score = 1;                 // in [0, 1]: how sure; a checksum that is right counts 1
};

// Findings that do not overlap, in the order of the text: of two that overlap the surer one stays,
// then the longer one.
std::vector<Finding> without_overlaps(std::vector<Finding> findings);

}  // namespace tack::privacy
