#include "text/stop_matcher.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace tack {
namespace {

struct Seen {
  std::string out;
  std::int64_t stop = -1;
  bool operator==(const Seen&) const = default;
};

// By definition: the first end of any stop string, the longest of those that end there.
Seen expected(std::string_view text, const std::vector<std::string>& stops) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::int64_t found = -1;
    for (std::size_t s = 0; s < stops.size(); ++s)
      if (text.substr(0, end).ends_with(stops[s]) &&
          (found < 0 || stops[s].size() > stops[static_cast<std::size_t>(found)].size()))
        found = static_cast<std::int64_t>(s);
    if (found >= 0)
      return {std::string(text.substr(0, end - stops[static_cast<std::size_t>(found)].size())),
              found};
  }
  return {std::string(text), -1};
}

StopMatcher matcher(const std::vector<std::string>& stops) {
  auto made = StopMatcher::create(stops);
  EXPECT_TRUE(made) << made.error().message;
  return *std::move(made);
}

TEST(StopMatcher, FindsStopsAtEverySplit) {
  const std::vector<std::string> stops{"</s>", "aab", "\n\nUser:", "\xc3\xa9!"};
  const StopMatcher fresh = matcher(stops);
  for (const std::string text :
       {"one</s>two", "aaaab", "a</aab", "\n\nUse\n\nUser: x", "caf\xc3\xa9!", "nothing <", ""}) {
    for (std::size_t a = 0; a <= text.size(); ++a)
      for (std::size_t b = a; b <= text.size(); ++b) {
        StopMatcher m = fresh;
        Seen seen;
        m.feed(text.substr(0, a), seen.out);
        m.feed(text.substr(a, b - a), seen.out);
        m.feed(text.substr(b), seen.out);
        if (!m.stopped()) m.finish(seen.out);
        seen.stop = m.stop();
        EXPECT_EQ(seen, expected(text, stops)) << text << " at " << a << ", " << b;
      }
  }
}

TEST(StopMatcher, RandomTextsAgainstTheDefinition) {
  Random random(5);
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops(1 + random.below(4));
    for (std::string& stop : stops)
      for (std::uint64_t n = 1 + random.below(5); n > 0; --n)
        stop += static_cast<char>('a' + random.below(2));
    std::string text;
    for (std::uint64_t n = random.below(30); n > 0; --n)
      text += static_cast<char>('a' + random.below(random.below(2) + 2));
    const Seen want = expected(text, stops);
    StopMatcher m = matcher(stops);
    Seen seen;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t n = 1 + random.below(4);
      m.feed(std::string_view(text).substr(at, n), seen.out);
      // What is out is never taken back, and no more is held than may begin a stop string.
      EXPECT_TRUE(want.out.starts_with(seen.out));
      at += n;
    }
    if (!m.stopped()) m.finish(seen.out);
    seen.stop = m.stop();
    const bool same_text =
        seen.stop >= 0 && want.stop >= 0 &&
        stops[static_cast<std::size_t>(seen.stop)] == stops[static_cast<std::size_t>(want.stop)];
    EXPECT_TRUE(seen.out == want.out && (seen.stop == want.stop || same_text)) << text;
  }
}

TEST(StopMatcher, HoldsBackNoMoreThanNeeded) {
  StopMatcher m = matcher({"abcd"});
  std::string out;
  EXPECT_FALSE(m.feed("xxabc", out));
  EXPECT_EQ(out, "xx");
  EXPECT_FALSE(m.feed("x", out));
  EXPECT_EQ(out, "xxabcx");
  EXPECT_TRUE(m.feed("yabcdz", out));
  EXPECT_EQ(out, "xxabcxy");
  EXPECT_TRUE(m.feed("more", out));
  EXPECT_EQ(out, "xxabcxy");
}

TEST(StopMatcher, RefusesAnEmptyString) {
  const std::vector<std::string> stops{"a", ""};
  const auto made = StopMatcher::create(stops);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().message, "stop string 2 is empty");
}

}  // namespace
}  // namespace tack
