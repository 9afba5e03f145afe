#include "privacy/finding.h"

#include <algorithm>
#include <chrono>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/random.h"

namespace tack::privacy {
namespace {

bool overlap(const Finding& a, const Finding& b) {
  return a.begin < b.end && b.begin < a.end;
}
bool better(const Finding& a, const Finding& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.end - a.begin != b.end - b.begin) return a.end - a.begin > b.end - b.begin;
  return a.begin < b.begin;
}

std::vector<Finding> made_up(Random& random, std::size_t count, std::size_t bytes) {
  std::vector<Finding> findings;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t begin = random.below(bytes);
    findings.push_back({std::to_string(i), begin, begin + 1 + random.below(9),
                        static_cast<float>(random.below(3)) / 2});
  }
  return findings;
}

// Taken one after another, the best first, when it overlaps nothing that was taken.
TEST(WithoutOverlaps, TakesTheBest) {
  EXPECT_TRUE(rc::check([] {
    Random random(*rc::gen::arbitrary<std::uint64_t>());
    std::vector<Finding> all = made_up(random, random.below(30), 60);
    const auto kept = without_overlaps(all);
    std::ranges::stable_sort(all, better);
    std::vector<Finding> wanted;
    for (const Finding& f : all)
      if (std::ranges::none_of(wanted, [&](const Finding& w) { return overlap(w, f); }))
        wanted.push_back(f);
    std::ranges::sort(wanted, {}, &Finding::begin);
    RC_ASSERT(kept.size() == wanted.size());
    for (std::size_t i = 0; i < kept.size(); ++i) {
      RC_ASSERT(kept[i].begin == wanted[i].begin && kept[i].end == wanted[i].end);
      RC_ASSERT(kept[i].score == wanted[i].score);
    }
  }));
}

TEST(WithoutOverlaps, ManyFindings) {
  // From the last to the first, which a list kept in order would shift each time.
  std::vector<Finding> findings;
  for (std::size_t i = 300'000; i-- > 0;)
    findings.push_back({"X", 4 * i, 4 * i + 2, static_cast<float>(i)});
  std::ranges::reverse(findings);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(without_overlaps(std::move(findings)).size(), 300'000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace tack::privacy
