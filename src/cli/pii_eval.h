// How well personal data is found in labelled texts.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "privacy/finder.h"

namespace tack {

struct PiiEvalOptions {
  std::vector<std::string> files;
  double min_score = 0;
  bool json = false;
  std::string mistakes;  // JSON lines of what was missed and wrongly found; "": not written
};

// Rows {"text": "...", "spans": [{"start", "end", "label"}]}, where start and end count characters.
// Prints precision, recall and F2 of exact spans for each entity, and false findings of numbers
// with a checksum per 100,000 words.
Status evaluate_pii(const privacy::Finder& finder, const PiiEvalOptions& options);

}  // namespace tack
