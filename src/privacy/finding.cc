#include "privacy/finding.h"

#include <algorithm>

namespace tack::privacy {

std::vector<Finding> without_overlaps(std::vector<Finding> findings) {
  std::ranges::sort(findings, [](const Finding& a, const Finding& b) {
    if (a.score != b.score) return a.score > b.score;
    if (a.end - a.begin != b.end - b.begin) return a.end - a.begin > b.end - b.begin;
    return a.begin < b.begin;
  });
  std::vector<Finding> kept;  // in the text's order
  for (Finding& finding : findings) {
    const auto next = std::ranges::lower_bound(kept, finding.begin, {}, &Finding::begin);
    if (next != kept.end() && next->begin < finding.end) continue;
    if (next != kept.begin() && std::prev(next)->end > finding.begin) continue;
    kept.insert(next, std::move(finding));
  }
  return kept;
}

}  // namespace tack::privacy
