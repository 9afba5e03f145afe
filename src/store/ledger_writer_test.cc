#include "store/ledger_writer.h"

#include <algorithm>
#include <csignal>

#include <sys/mount.h>
#include <sys/resource.h>

#include "store/made_up_records.h"
#include "store/sqlite_store.h"
#include "store/summary.h"

namespace tack::store {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

Clock::time_point in(int ms) {
  return Clock::now() + milliseconds(ms);
}

// Keeps ids; fails or waits as it is told.
class FakeStore : public StateStore {
 public:
  struct Control {
    std::mutex mutex;
    std::condition_variable changed;
    bool held = false, failing = false;
    std::vector<CallRecord> records;
    std::size_t calls = 0, largest = 0;

    void set(bool& flag, bool value) {
      const std::lock_guard lock(mutex);
      flag = value;
      changed.notify_all();
    }
    std::size_t count() {
      const std::lock_guard lock(mutex);
      return records.size();
    }
    std::size_t attempts() {
      const std::lock_guard lock(mutex);
      return calls;
    }
  };
  explicit FakeStore(Control& control) : c_(&control) {}

  Status append(std::span<const CallRecord> records) override {
    std::unique_lock lock(c_->mutex);
    ++c_->calls;
    c_->largest = std::max(c_->largest, records.size());
    c_->changed.wait(lock, [&] { return !c_->held; });
    if (c_->failing) return fail("made-up: cannot write");
    c_->records.insert(c_->records.end(), records.begin(), records.end());
    return {};
  }
  Status each(const Period&, Contents, const Visit&) override { return {}; }
  Result<Counts> counts() override { return Counts(); }
  Result<std::int64_t> remove_before(std::int64_t, std::int64_t) override { return 0; }
  Status mark(const Mark&) override { return {}; }
  Result<std::optional<Mark>> last_mark() override { return std::nullopt; }
  Result<std::int64_t> remove_marked(std::int64_t, std::int64_t) override { return 0; }
  Status shrink() override { return {}; }

 private:
  Control* c_;
};

CallRecord numbered(std::size_t i) {
  CallRecord record;
  record.id = std::to_string(i);
  return record;
}

template <class F>
bool wait_for(const F& condition, int ms = 10'000) {
  for (const auto end = in(ms); !condition();) {
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return true;
}

constexpr WriterOptions kQuick{
    .interval = milliseconds(5), .first_pause = milliseconds(5), .most_pause = milliseconds(20)};

class LedgerWriterTest : public StoreTest {
 protected:
  std::unique_ptr<LedgerWriter> fake(const WriterOptions& options) {
    return std::make_unique<LedgerWriter>(std::make_unique<FakeStore>(control_), options);
  }
  std::unique_ptr<LedgerWriter> real(const WriterOptions& options) {
    auto store = SqliteStore::open(file_, Access::kWrite, milliseconds(20));
    EXPECT_TRUE(store) << store.error().message;
    return std::make_unique<LedgerWriter>(std::move(*store), options);
  }
  // Every record once, in order.
  void expect_all(std::size_t count) {
    ASSERT_EQ(control_.records.size(), count);
    for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(control_.records[i].id, std::to_string(i));
  }

  FakeStore::Control control_;
};

TEST_F(LedgerWriterTest, WritesEverythingInOrderAndInBatches) {
  const auto writer = fake(kQuick);
  for (std::size_t i = 0; i < 5000; ++i) writer->submit(numbered(i));
  EXPECT_TRUE(writer->stop(in(5000)));
  expect_all(5000);
  EXPECT_LE(control_.largest, 512u);
  const WriterCounters counters = writer->counters();
  EXPECT_EQ(counters.written, 5000u);
  EXPECT_EQ(counters.dropped + counters.waiting + counters.errors, 0u);
  writer->submit(numbered(1));  // too late
  EXPECT_EQ(writer->counters().dropped, 1u);
}

TEST_F(LedgerWriterTest, WritesWithoutBeingStopped) {
  const auto writer = fake(kQuick);
  writer->submit(numbered(0));
  EXPECT_TRUE(wait_for([&] { return control_.count() == 1; }));
  // Idle for so long that the thread sleeps: the next one wakes it.
  std::this_thread::sleep_for(milliseconds(1300));
  writer->submit(numbered(1));
  EXPECT_TRUE(wait_for([&] { return control_.count() == 2; }, 1000));
}

TEST_F(LedgerWriterTest, ManyThreadsSubmit) {
  const auto writer = fake(kQuick);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 2000; ++i) writer->submit(numbered(t * 10'000 + i));
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(writer->stop(in(5000)));
  std::map<std::size_t, std::size_t> next;  // of each thread: its own order holds
  for (const CallRecord& record : control_.records) {
    const std::size_t id = std::stoul(record.id);
    EXPECT_EQ(id % 10'000, next[id / 10'000]++);
  }
  EXPECT_EQ(control_.records.size(), 16'000u);
}

TEST_F(LedgerWriterTest, AFullQueueDropsAndCounts) {
  WriterOptions options = kQuick;
  options.queue = 100;
  control_.held = true;
  const auto writer = fake(options);
  const auto begin = Clock::now();
  for (std::size_t i = 0; i < 250; ++i) writer->submit(numbered(i));
  EXPECT_LT(Clock::now() - begin, milliseconds(500));  // nobody waited for the store
  EXPECT_EQ(writer->counters().waiting, 100u);
  EXPECT_EQ(writer->counters().dropped, 150u);
  control_.set(control_.held, false);
  ASSERT_TRUE(wait_for([&] { return writer->counters().waiting == 0; }));
  writer->submit(numbered(100));  // there is room again
  EXPECT_TRUE(writer->stop(in(5000)));
  expect_all(101);
}

TEST_F(LedgerWriterTest, WhatWaitsSurvivesErrors) {
  control_.failing = true;
  const auto writer = fake(kQuick);
  for (std::size_t i = 0; i < 1500; ++i) writer->submit(numbered(i));
  ASSERT_TRUE(wait_for([&] { return control_.attempts() >= 3; }));
  EXPECT_GE(writer->counters().errors, 2u);
  EXPECT_EQ(writer->counters().waiting, 1500u);
  EXPECT_EQ(writer->counters().dropped, 0u);
  control_.set(control_.failing, false);
  EXPECT_TRUE(wait_for([&] { return writer->counters().written == 1500; }));
  EXPECT_TRUE(writer->stop(in(5000)));
  expect_all(1500);
}

TEST_F(LedgerWriterTest, StopGivesUpAtItsDeadline) {
  control_.failing = true;
  const auto writer = fake(kQuick);
  for (std::size_t i = 0; i < 700; ++i) writer->submit(numbered(i));
  const auto begin = Clock::now();
  EXPECT_FALSE(writer->stop(in(300)));
  EXPECT_GE(Clock::now() - begin, milliseconds(290));
  EXPECT_LT(Clock::now() - begin, milliseconds(1500));
  EXPECT_EQ(writer->counters().dropped, 700u);
  EXPECT_EQ(writer->counters().waiting, 0u);
  EXPECT_GE(control_.calls, 2u);  // it tried again meanwhile
}

TEST_F(LedgerWriterTest, StopWaitsForAStoreThatRecovers) {
  control_.failing = true;
  const auto writer = fake(kQuick);
  for (std::size_t i = 0; i < 700; ++i) writer->submit(numbered(i));
  std::thread repair([&] {
    std::this_thread::sleep_for(milliseconds(100));
    control_.set(control_.failing, false);
  });
  EXPECT_TRUE(writer->stop(in(10'000)));
  repair.join();
  expect_all(700);
}

TEST_F(LedgerWriterTest, LargeContentsAreLeftOutBeforeRecordsAre) {
  WriterOptions options = kQuick;
  options.queue_bytes = 10'000;
  control_.held = true;
  const auto writer = fake(options);
  for (std::size_t i = 0; i < 10; ++i) {
    CallRecord record = numbered(i);
    record.request = std::string(1000, 'q');
    record.response = std::string(1000, 'r');
    writer->submit(std::move(record));
  }
  control_.set(control_.held, false);
  EXPECT_TRUE(writer->stop(in(5000)));
  expect_all(10);
  EXPECT_EQ(writer->counters().contents_dropped, 5u);
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(control_.records[i].request.has_value(), i < 5) << i;
    EXPECT_EQ(control_.records[i].response.has_value(), i < 5) << i;
  }
}

// --- With the file

TEST_F(LedgerWriterTest, RemovesOldRecords) {
  {
    auto store = SqliteStore::open(file_, Access::kWrite);
    ASSERT_TRUE((*store)->append(made_up_records(2500)));
    const std::int64_t now = Retention::now().wall_us, day = std::int64_t{86'400} * 1'000'000;
    ASSERT_TRUE((*store)->mark({.time_us = now - 10 * day, .trusted_us = now - 10 * day}));
    ASSERT_TRUE((*store)->append(made_up_records(7, 2)));
    ASSERT_TRUE((*store)->mark({.time_us = now - 1 * day, .trusted_us = now - 1 * day}));
  }
  WriterOptions options = kQuick;
  options.retention_days = 3;
  const auto writer = real(options);
  EXPECT_TRUE(wait_for([&] { return writer->counters().removed == 2500; }));
  EXPECT_TRUE(writer->stop(in(5000)));
  EXPECT_EQ(number("SELECT count(*) FROM calls"), 7);
}

TEST_F(LedgerWriterTest, ALockedFileIsWrittenLater) {
  const auto writer = real(kQuick);
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(file_.c_str(), &other), SQLITE_OK);
  sqlite3_busy_timeout(other, 1000);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  for (std::size_t i = 0; i < 100; ++i) writer->submit(numbered(i));
  ASSERT_TRUE(wait_for([&] { return writer->counters().errors >= 2; }));
  EXPECT_EQ(writer->counters().waiting, 100u);
  ASSERT_EQ(sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  EXPECT_TRUE(writer->stop(in(5000)));
  EXPECT_EQ(number("SELECT count(*) FROM calls"), 100);
}

class FullDisk : public LedgerWriterTest {
 protected:
  // Submits until the disk is full, makes room, and wants every record once, in order.
  template <class F>
  void fill_and_free(const F& make_room) {
    WriterOptions options = kQuick;
    options.queue = 20'000;
    const auto writer = real(options);
    std::size_t sent = 0;
    auto slowest = Clock::duration::zero();
    const auto send = [&] {
      CallRecord record = numbered(sent++);
      record.response = std::string(500, 'r');
      const auto begin = Clock::now();
      writer->submit(std::move(record));
      slowest = std::max(slowest, Clock::now() - begin);
    };
    ASSERT_TRUE(wait_for([&] {
      for (int i = 0; i < 100; ++i) send();
      return writer->counters().errors > 0;
    }));
    for (int i = 0; i < 500; ++i) send();
    EXPECT_LT(slowest, milliseconds(500));  // the store's own waiting would be much more
    EXPECT_GT(writer->counters().waiting, 0u);
    EXPECT_EQ(writer->counters().dropped, 0u);
    make_room();
    EXPECT_TRUE(writer->stop(in(20'000)));
    EXPECT_EQ(writer->counters().written, sent);
    EXPECT_EQ(number("SELECT count(*) FROM calls WHERE request_id = id - 1"),
              static_cast<std::int64_t>(sent));
    EXPECT_EQ(one("PRAGMA integrity_check"), "ok");
  }
};

TEST_F(FullDisk, NeverWaitsAndRecovers) {
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlim_t whole = std::exchange(limit.rlim_cur, 1'000'000);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  limit.rlim_cur = whole;
  fill_and_free([&] { EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0); });
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, before);
}

TEST_F(FullDisk, OnAFileSystemOfItsOwn) {
  if (::mount("tmpfs", directory_.c_str(), "tmpfs", 0, "size=1m") != 0)
    GTEST_SKIP() << "cannot mount a small file system here";
  fill_and_free(
      [&] { EXPECT_EQ(::mount("tmpfs", directory_.c_str(), "tmpfs", MS_REMOUNT, "size=64m"), 0); });
  ::umount2(directory_.c_str(), MNT_DETACH);
}

// --- Speed: tack_store_test --gtest_also_run_disabled_tests --gtest_filter='*Speed*'

void print_percentiles(const char* what, std::vector<double> us) {
  std::ranges::sort(us);
  const auto at = [&](double share) {
    return us[static_cast<std::size_t>(share * static_cast<double>(us.size() - 1))];
  };
  std::printf("%s: p50 %.2f us, p99 %.2f us, p99.9 %.2f us, largest %.0f us\n", what, at(0.5),
              at(0.99), at(0.999), us.back());
}

TEST_F(LedgerWriterTest, DISABLED_Speed) {
  using Us = std::chrono::duration<double, std::micro>;
  const auto records = made_up_records(10'000);
  const auto writer = real({});
  // Open loop. Waiting asleep, caches are cold and the processor slow when the next one comes;
  // awake, it is the call itself that is measured.
  enum class Wait { kAsleep, kAwake, kNot };
  const auto submit_all = [&](std::size_t count, int per_second, Wait wait) {
    std::vector<double> us;
    const auto start = Clock::now();
    for (std::size_t i = 0; i < count; ++i) {
      CallRecord record = records[i % records.size()];
      const auto begin = Clock::now();
      writer->submit(std::move(record));
      us.push_back(Us(Clock::now() - begin).count());
      const auto next = start + std::chrono::microseconds(1'000'000 * i / per_second);
      if (wait == Wait::kAsleep) std::this_thread::sleep_until(next);
      while (wait == Wait::kAwake && Clock::now() < next) {
      }
    }
    return us;
  };
  print_percentiles("submit at 500/s, asleep", submit_all(2'500, 500, Wait::kAsleep));
  print_percentiles("submit at 500/s, awake", submit_all(2'500, 500, Wait::kAwake));
  print_percentiles("submit at 5000/s, awake", submit_all(25'000, 5'000, Wait::kAwake));
  ASSERT_TRUE(wait_for([&] { return writer->counters().waiting == 0; }));
  const auto before = writer->counters().written;
  const auto begin = Clock::now();
  print_percentiles("submit without pause", submit_all(60'000, 1, Wait::kNot));
  ASSERT_TRUE(wait_for([&] { return writer->counters().waiting == 0; }));
  const double seconds = Us(Clock::now() - begin).count() / 1e6;
  const auto written = writer->counters().written - before;
  std::printf(
      "%llu records in %.2f s: %.0f a second, %lld bytes each in the file, %llu dropped\n",
      static_cast<unsigned long long>(written), seconds, static_cast<double>(written) / seconds,
      static_cast<long long>(std::filesystem::file_size(file_) / writer->counters().written),
      static_cast<unsigned long long>(writer->counters().dropped));
  EXPECT_TRUE(writer->stop(in(10'000)));
  auto store = SqliteStore::open(file_, Access::kRead);
  ASSERT_TRUE(store);
  const Grouping all[] = {Grouping::kModel, Grouping::kRoute, Grouping::kClient, Grouping::kDay};
  for (const std::size_t tables : {std::size_t{0}, std::size_t{4}}) {
    const auto start = Clock::now();
    const auto report = summarise(**store, {}, std::span(all).first(tables));
    ASSERT_TRUE(report);
    std::printf("%lld records summed up with %zu tables in %.2f s\n",
                static_cast<long long>(report->total.requests), tables,
                Us(Clock::now() - start).count() / 1e6);
  }
}

}  // namespace
}  // namespace tack::store
