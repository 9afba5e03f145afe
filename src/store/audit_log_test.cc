#include "store/audit_log.h"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <set>

#include <sys/resource.h>

#include "base/atomic_file.h"
#include "base/json.h"
#include "store/made_up_audit.h"

namespace tack::store {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

class Log : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/tack_audit_XXXXXX";
    directory_ = ::mkdtemp(name);
    options_.file = directory_ / "audit.jsonl";
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::unique_ptr<AuditLog> open() {
    auto log = AuditLog::open(options_, key_);
    EXPECT_TRUE(log) << log.error().message;
    return log ? *std::move(log) : nullptr;
  }
  AuditReport verify(const AuditHead& head) {
    return verified(*read_file(options_.file), key_, {head});
  }
  template <class F>
  bool wait_for(const F& condition) {
    for (const auto end = Clock::now() + std::chrono::seconds(10); !condition();) {
      if (Clock::now() > end) return false;
      std::this_thread::sleep_for(milliseconds(2));
    }
    return true;
  }
  // While it lives, files grow no further than they are.
  struct FullDisk {
    explicit FullDisk(const fs::path& file) {
      ::signal(SIGXFSZ, SIG_IGN);
      ::getrlimit(RLIMIT_FSIZE, &old);
      rlimit small = old;
      small.rlim_cur = fs::file_size(file) + 10;
      ::setrlimit(RLIMIT_FSIZE, &small);
    }
    ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &old); }
    rlimit old{};
  };

  fs::path directory_;
  AuditOptions options_;
  const AuditKey key_ = made_up_key();
};

TEST_F(Log, KeepsAllThatManyThreadsAppend) {
  constexpr int kThreads = 8, kEach = 500;
  auto log = open();
  std::atomic<int> durable{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        AuditRecord record = made_up_audit_record(1);
        record.id = fmt::format("{}-{}", t, i);
        if (i % 50 == 0)
          log->append(record, [&](const Status& status) { durable += status ? 1 : 1000; });
        else
          log->append(record);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(log->stop(Clock::now() + std::chrono::seconds(10)));
  EXPECT_EQ(durable, kThreads * kEach / 50);
  const AuditReport report = verify(log->head());
  EXPECT_TRUE(report.right()) << all(report);
  EXPECT_EQ(report.records, 1U + kThreads * kEach);
  EXPECT_EQ(log->counters().written, std::uint64_t{kThreads * kEach});
  // Of each thread in its order.
  std::vector<int> next(kThreads, 0);
  std::istringstream lines(*read_file(options_.file));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    const std::string id = (*parse_json(line, "line"))["id"];
    const auto t = static_cast<std::size_t>(std::stoi(id));
    EXPECT_EQ(std::stoi(id.substr(id.find('-') + 1)), next[t]++);
  }
}

TEST_F(Log, WritesTogetherWhatComesTogether) {
  options_.interval = milliseconds(30);
  auto log = open();
  for (int i = 0; i < 200; ++i) log->append(made_up_audit_record(1));
  EXPECT_TRUE(wait_for([&] { return log->counters().written == 200; }));
  EXPECT_LE(log->counters().syncs, 3U);
}

TEST_F(Log, WhoWaitsIsServedAtOnce) {
  options_.interval = std::chrono::hours(1);
  options_.batch = 1000;
  auto log = open();
  log->append(made_up_audit_record(1));
  const Status status = log->append_durably(made_up_audit_record(2));
  EXPECT_TRUE(status) << status.error().message;
  EXPECT_EQ(log->head().seq, 2U);
  const AuditReport report = verify(log->head());
  EXPECT_TRUE(report.right()) << all(report);
}

TEST_F(Log, AFullDiskIsToldToWhoWaitsAndLosesNothing) {
  auto log = open();
  ASSERT_TRUE(log->append_durably(made_up_audit_record(0)));
  {
    const FullDisk full(options_.file);
    const auto begin = Clock::now();
    for (int i = 0; i < 3; ++i) {
      const Status status = log->append_durably(made_up_audit_record(1));
      ASSERT_FALSE(status);
      EXPECT_TRUE(status.error().message.contains("File too large")) << status.error().message;
    }
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(3));
    log->append(made_up_audit_record(2));
  }
  ASSERT_TRUE(log->append_durably(made_up_audit_record(3)));
  const AuditReport report = verify(log->head());
  EXPECT_TRUE(report.right()) << all(report);
  EXPECT_EQ(report.records, 7U);
  EXPECT_EQ(log->counters().dropped, 0U);
}

// Of the records "dropped" in a log: how many they say were lost.
std::uint64_t said_lost(const std::filesystem::path& file) {
  constexpr std::string_view kSays = R"("event":"dropped","outcome":"lost","counts":{"records":)";
  const std::string text = *read_file(file);
  std::uint64_t sum = 0;
  for (auto at = text.find(kSays); at != text.npos; at = text.find(kSays, at + 1))
    sum += std::stoull(text.substr(at + kSays.size()));
  return sum;
}

// In one record or more: the writer may look while records are still being refused.
TEST_F(Log, SaysHowManyWereLost) {
  std::atomic<int> refused = 0;
  options_.queue = 4;
  auto log = open();
  {
    const FullDisk full(options_.file);
    for (int i = 0; i < 10; ++i)
      log->append(made_up_audit_record(1), [&](const Status& status) { refused += !status; });
    EXPECT_TRUE(wait_for([&] { return log->counters().errors > 0; }));
    EXPECT_EQ(log->counters().dropped, 6U);
  }
  EXPECT_TRUE(wait_for([&] { return said_lost(options_.file) == 6; })) << *read_file(options_.file);
  EXPECT_GE(refused.load(), 6);
}

TEST_F(Log, StopsInTimeWhenNothingCanBeWritten) {
  auto log = open();
  const FullDisk full(options_.file);
  log->append(made_up_audit_record(1));
  EXPECT_TRUE(wait_for([&] { return log->counters().errors > 0; }));
  const auto begin = Clock::now();
  EXPECT_FALSE(log->stop(begin + milliseconds(300)));
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(2));
  EXPECT_EQ(log->counters().dropped, 1U);
  EXPECT_FALSE(log->append_durably(made_up_audit_record(1)));
  const AuditReport report = verify(log->head());
  EXPECT_TRUE(report.right()) << all(report);
}

// As docs/benchmarks.md has it: one million records of a gateway, some waited for.
TEST_F(Log, DISABLED_Speed) {
  options_.queue = 2'000'000;
  auto log = open();
  auto begin = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  for (std::size_t i = 0; i < 1'000'000; ++i) log->append(made_up_audit_record(i));
  const double handed = seconds();
  log->stop(Clock::now() + std::chrono::minutes(5));
  const double all_written = seconds();
  fmt::print("1,000,000 records: {:.2f} us each to hand over, {:.0f} a second durable ({} syncs)\n",
             handed, 1e6 / all_written, log->counters().syncs);
  log.reset();
  log = open();
  begin = Clock::now();
  for (std::size_t i = 0; i < 1'000; ++i) (void)log->append_durably(made_up_audit_record(i));
  fmt::print("one after the other, each waited for: {:.0f} us each\n", 1e3 * seconds());
}

}  // namespace
}  // namespace tack::store
