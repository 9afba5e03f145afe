#include "store/period.h"

#include <gtest/gtest.h>

namespace tack::store {
namespace {

constexpr std::int64_t kSecond = 1'000'000, kDay = 86'400 * kSecond;
constexpr std::int64_t kNow = 1'793'577'600 * kSecond;  // 2026-11-02 00:00 UTC, by `date -u`

TEST(Moment, ReadsWhatPeopleWrite) {
  const auto parsed = [](std::string_view text) { return parse_moment(text, kNow).value_or(-1); };
  EXPECT_EQ(parsed("2026-11-02"), kNow);
  EXPECT_EQ(parsed("2026-11-02T01:30"), kNow + 5400 * kSecond);
  EXPECT_EQ(parsed("2026-11-02 01:30:15"), kNow + 5415 * kSecond);
  EXPECT_EQ(parsed("2026-11-02T01:30:15Z"), kNow + 5415 * kSecond);
  EXPECT_EQ(parsed("2026-11-02T01:30+02:00"), kNow - 1800 * kSecond);
  EXPECT_EQ(parsed("2026-11-02T01:30-01:00"), kNow + 9000 * kSecond);
  EXPECT_EQ(parsed("1970-01-01"), 0);
  EXPECT_EQ(parsed("2024-02-29"), 1'709'164'800 * kSecond);
  EXPECT_EQ(parsed("7d"), kNow - 7 * kDay);
  EXPECT_EQ(parsed("2w"), kNow - 14 * kDay);
  EXPECT_EQ(parsed("36h"), kNow - kDay * 3 / 2);
  EXPECT_EQ(parsed("90m"), kNow - 5400 * kSecond);
  EXPECT_EQ(parsed("0d"), kNow);
}

TEST(Moment, RefusesWhatIsNone) {
  for (const std::string_view text : {"",
                                      "d",
                                      "7",
                                      "7x",
                                      "-7d",
                                      "7dd",
                                      "1e3d",
                                      "9999999d",
                                      "99999999999999999999d",
                                      "yesterday",
                                      "2026-11",
                                      "2026-13-01",
                                      "2026-02-29",
                                      "2026-11-00",
                                      "26-11-01",
                                      "2026-11-01T",
                                      "2026-11-01T25:00",
                                      "2026-11-01T12:60",
                                      "2026-11-01T12:00:60",
                                      "2026-11-01T12:00x",
                                      "2026-11-01T12:00+2",
                                      "2026-11-01T12:00ZZ",
                                      "2026-11-01Z",
                                      "2026-1--1",
                                      "+026-11-01",
                                      "-026-11-01"}) {
    const auto moment = parse_moment(text, kNow);
    ASSERT_FALSE(moment) << text;
    EXPECT_EQ(moment.error().code, ErrorCode::kUsage);
  }
}

TEST(Moment, IsWrittenInUtc) {
  EXPECT_EQ(moment_text(kNow + 5415 * kSecond), "2026-11-02 01:30");
  EXPECT_EQ(day_text(kNow - 1), "2026-11-01");
  EXPECT_EQ(day_text(-1), "1969-12-31");
}

}  // namespace
}  // namespace tack::store
