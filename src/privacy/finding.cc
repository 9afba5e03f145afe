#include "privacy/finding.h"

#include <algorithm>
#include <map>

namespace tack::privacy {

std::vector<Finding> without_overlaps(std::vector<Finding> findings) {
  std::ranges::sort(findings, [](const Finding& a, const Finding& b) {
    if (a.score != b.score) return a.score > b.score;
    if (a.end - a.begin != b.end - b.begin) return a.end - a.begin > b.end - b.begin;
    return a.begin < b.begin;
  });
  std::map<std::size_t, Finding> kept;  // by where they begin
  for (Finding& finding : findings) {
    const auto next = kept.lower_bound(finding.begin);
    if (next != kept.end() && (next->first < finding.end || next->first == finding.begin)) continue;
    if (next != kept.begin() && std::prev(next)->second.end > finding.begin) continue;
    kept.emplace_hint(next, finding.begin, std::move(finding));
  }
  std::vector<Finding> in_order;
  in_order.reserve(kept.size());
  for (auto& [begin, finding] : kept) in_order.push_back(std::move(finding));
  return in_order;
}

}  // namespace tack::privacy
