#include "store/retention.h"

#include "store/made_up_records.h"
#include "store/sqlite_store.h"

namespace tack::store {
namespace {

constexpr std::int64_t kSecond = 1'000'000, kHour = 3600 * kSecond, kDay = 24 * kHour;
constexpr std::int64_t kYear = 365 * kDay;
constexpr std::int64_t kDays = 8;  // how long records stay

// A program that runs for a made-up time, with a record an hour, and a clock that may be wrong.
class RetentionTest : public StoreTest {
 protected:
  RetentionTest() {
    auto store = SqliteStore::open(file_, Access::kWrite);
    EXPECT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
    restart();
  }

  void restart() { retention_ = std::make_unique<Retention>(*store_, kDays); }

  // The record's id says when it was really written, whatever its time is.
  void run(std::int64_t duration_us) {
    for (const std::int64_t end = time_ + duration_us; time_ < end; time_ += kHour) {
      CallRecord record;
      record.time_us = wall();
      record.id = std::to_string(time_);
      EXPECT_TRUE(store_->append(std::span(&record, 1)));
      // Between marks too.
      for (int i = 0; i < 4; ++i) step(i * kHour / 4);
    }
  }
  void step(std::int64_t later) {
    do {
      const auto removed = retention_->step(
          {.wall_us = wall() + later, .steady_us = 77 * kSecond + steady_ + time_ + later});
      ASSERT_TRUE(removed) << removed.error().message;
    } while (retention_->busy());
  }
  // The machine is off: its monotonic clock begins anew.
  void off(std::int64_t duration_us) {
    time_ += duration_us;
    steady_ = -time_;
    restart();
  }

  std::int64_t wall() const { return kNovember + time_ + wrong_; }
  std::int64_t records() const { return number("SELECT count(*) FROM calls"); }
  // How old the oldest record is in truth.
  std::int64_t oldest_age() const {
    return time_ - number("SELECT min(CAST(request_id AS INTEGER)) FROM calls");
  }

  std::unique_ptr<SqliteStore> store_;
  std::unique_ptr<Retention> retention_;
  std::int64_t time_ = 0, steady_ = 0, wrong_ = 0;
};

TEST_F(RetentionTest, RecordsStayForTheirTimeAndGoThen) {
  run(kDays * kDay);
  EXPECT_EQ(records(), kDays * 24);
  run(20 * kDay);
  // To a quarter of an hour, and the hour between two records.
  EXPECT_GE(oldest_age(), kDays * kDay - kHour);
  EXPECT_LE(oldest_age(), kDays * kDay + 2 * kHour);
}

TEST_F(RetentionTest, AClockThatJumpsAheadRemovesLittle) {
  run(kDays * kDay);
  wrong_ = 10 * kYear;
  run(6 * kHour);
  EXPECT_GE(oldest_age(), (kDays - 1) * kDay);  // of six hours, four each at most
  restart();                                    // what it knew is still known
  step(0);
  EXPECT_GE(oldest_age(), (kDays - 1) * kDay);
  wrong_ = 0;
  run(kDay);
  EXPECT_GE(oldest_age(), (kDays - 1) * kDay);
  run(2 * kDay);  // as before the jump
  EXPECT_GE(oldest_age(), kDays * kDay - kHour);
  EXPECT_LE(oldest_age(), kDays * kDay + 2 * kHour);
}

TEST_F(RetentionTest, AClockThatJumpsBackRemovesNothing) {
  run(kDays * kDay);
  wrong_ = -50 * kYear;
  run(6 * kHour);
  EXPECT_EQ(records(), kDays * 24 + 6);
  wrong_ = 0;
  run(kDay + 6 * kHour);
  EXPECT_GE(oldest_age(), (kDays - 1) * kDay);
  EXPECT_LE(oldest_age(), (kDays + 1) * kDay);
}

TEST_F(RetentionTest, AClockThatStartsIn1970IsWaitedFor) {
  wrong_ = -kNovember;
  run(2 * kHour);
  EXPECT_EQ(number("SELECT count(*) FROM marks"), 0);
  wrong_ = 0;
  run((kDays + 2) * kDay);
  EXPECT_GE(oldest_age(), kDays * kDay - kHour);
  EXPECT_LE(oldest_age(), kDays * kDay + 2 * kHour);
}

TEST_F(RetentionTest, TheTimesThatRecordsBearDoNotMatter) {
  run(kDay);
  for (const std::int64_t time : {std::int64_t{0}, kNovember + 80 * kYear}) {
    CallRecord record;
    record.time_us = time;
    record.id = std::to_string(time_);
    ASSERT_TRUE(store_->append(std::span(&record, 1)));
  }
  run((kDays - 1) * kDay);
  EXPECT_EQ(number("SELECT count(*) FROM calls WHERE time_us = 0"), 1);
  run(2 * kDay);
  EXPECT_EQ(number("SELECT count(*) FROM calls WHERE time_us = 0"), 0);
  EXPECT_EQ(
      number("SELECT count(*) FROM calls WHERE time_us > " + std::to_string(kNovember + kYear)), 0);
}

TEST_F(RetentionTest, AfterALongPauseRecordsStayUntilItHasRunForAThirdOfIt) {
  run(5 * kDay);
  off(30 * kDay);
  const auto from_before = [&] {
    return number("SELECT count(*) FROM calls WHERE CAST(request_id AS INTEGER) < " +
                  std::to_string(5 * kDay));
  };
  step(0);
  EXPECT_EQ(from_before(), 5 * 24);
  run(kDay);  // worth four: the first day was 8 days ago, as far as is known
  EXPECT_NEAR(static_cast<double>(from_before()), 4 * 24, 2);
  run(2 * kDay);
  EXPECT_EQ(from_before(), 0);
  EXPECT_EQ(records(), 3 * 24);
  run(10 * kDay);
  EXPECT_LE(oldest_age(), kDays * kDay + 2 * kHour);
  EXPECT_GE(oldest_age(), kDays * kDay - kHour);
}

TEST_F(RetentionTest, AMachineThatRunsAThirdOfTheDayKeepsNothingForLonger) {
  for (int day = 0; day < 30; ++day) {
    run(8 * kHour);
    off(16 * kHour);
  }
  run(8 * kHour);
  EXPECT_EQ(records(), kDays * 8);
  EXPECT_LE(oldest_age(), kDays * kDay);
}

TEST_F(RetentionTest, WithoutALimitNothingGoes) {
  retention_ = std::make_unique<Retention>(*store_, 0);
  run(kDay);
  time_ += kYear;
  run(kDay);
  EXPECT_EQ(records(), 48);
  EXPECT_GT(number("SELECT count(*) FROM marks"), 100);
}

TEST_F(RetentionTest, MarksGoWithTheirRecords) {
  run(40 * kDay);
  EXPECT_LE(number("SELECT count(*) FROM marks"), (kDays * 24 + 2) * 4);
}

}  // namespace
}  // namespace tack::store
