#include "store/sqlite_store.h"

#include <csignal>
#include <fstream>

#include <sys/stat.h>
#include <sys/wait.h>

#include "base/atomic_file.h"
#include "store/made_up_records.h"

namespace tack::store {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class SqliteStoreTest : public StoreTest {
 protected:
  std::unique_ptr<SqliteStore> open(Access access = Access::kWrite,
                                    milliseconds patience = milliseconds(5000)) {
    auto store = SqliteStore::open(file_, access, patience);
    EXPECT_TRUE(store) << store.error().message;
    return store ? std::move(*store) : nullptr;
  }
  std::string error_of(Access access, milliseconds patience = milliseconds(50)) {
    const auto store = SqliteStore::open(file_, access, patience);
    return store ? "" : store.error().message;
  }
  static std::vector<CallRecord> all(StateStore& store, const Period& period = {},
                                     Contents contents = Contents::kWith) {
    std::vector<CallRecord> records;
    const Status status = store.each(period, contents, [&](const CallRecord& record) -> Status {
      records.push_back(record);
      return {};
    });
    EXPECT_TRUE(status) << status.error().message;
    return records;
  }
};

TEST_F(SqliteStoreTest, GivesBackWhatWasAppended) {
  const auto records = made_up_records(500);
  {
    const auto store = open();
    ASSERT_TRUE(store->append(std::span(records).first(200)));
    ASSERT_TRUE(store->append(std::span(records).subspan(200)));
  }
  const auto store = open(Access::kRead);
  const auto read = all(*store);
  ASSERT_EQ(read.size(), records.size());
  for (std::size_t i = 0; i < read.size(); ++i) expect_equal(read[i], records[i]);

  const auto counts = store->counts();
  ASSERT_TRUE(counts);
  EXPECT_EQ(counts->records, 500);
  EXPECT_EQ(counts->oldest_us, records.front().time_us);
  EXPECT_EQ(counts->newest_us, records.back().time_us);
  EXPECT_GT(counts->bytes, 50'000);
  for (const CallRecord& record : all(*store, {}, Contents::kWithout))
    EXPECT_FALSE(record.request || record.response);
}

TEST_F(SqliteStoreTest, KeepsOddTexts) {
  CallRecord odd;
  odd.id = std::string("a\0b", 3);
  odd.reason = "\xff\xfe not UTF-8";
  odd.client = "'); DROP TABLE calls; --";
  odd.request = std::string(2'000'000, 'x');
  odd.response = "";
  odd.total_ms = std::numeric_limits<double>::quiet_NaN();
  odd.baseline_cost = std::numeric_limits<Nano>::min();
  const auto store = open();
  ASSERT_TRUE(store->append(std::span(&odd, 1)));
  auto read = all(*store);
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(read[0].total_ms, 0);
  odd.total_ms = 0;
  expect_equal(read[0], odd);
}

TEST_F(SqliteStoreTest, APeriodBeginsWithItsFirstMomentAndEndsBeforeItsLast) {
  auto records = made_up_records(10);
  std::swap(records[2], records[7]);  // written in another order than their requests came
  const auto store = open();
  ASSERT_TRUE(store->append(records));
  const std::int64_t minute = 60'000'000;
  const auto read =
      all(*store, {.since_us = kNovember + 2 * minute, .until_us = kNovember + 8 * minute});
  ASSERT_EQ(read.size(), 6u);
  for (std::size_t i = 0; i < 6; ++i)
    EXPECT_EQ(read[i].time_us, kNovember + static_cast<std::int64_t>(i + 2) * minute);
  EXPECT_TRUE(all(*store, {.since_us = kNovember + 10 * minute}).empty());
}

TEST_F(SqliteStoreTest, TheVisitorEndsTheReading) {
  const auto store = open();
  ASSERT_TRUE(store->append(made_up_records(10)));
  int seen = 0;
  const Status status = store->each({}, Contents::kWith, [&](const CallRecord&) -> Status {
    return ++seen == 3 ? Status(fail("enough")) : Status();
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "enough");
  EXPECT_EQ(seen, 3);
  EXPECT_TRUE(store->append(made_up_records(1)));  // nothing is held
}

TEST_F(SqliteStoreTest, RemovesTheOldestInPieces) {
  const auto store = open();
  ASSERT_TRUE(store->append(made_up_records(100)));
  const std::int64_t half = kNovember + std::int64_t{50} * 60'000'000;
  EXPECT_EQ(store->remove_before(half, 30).value_or(-1), 30);
  EXPECT_EQ(all(*store).front().time_us, kNovember + std::int64_t{30} * 60'000'000);
  EXPECT_EQ(store->remove_before(half, 30).value_or(-1), 20);
  EXPECT_EQ(store->remove_before(half, 30).value_or(-1), 0);
  EXPECT_EQ(all(*store).size(), 50u);
  EXPECT_EQ(number("SELECT count(*) FROM attempts WHERE call NOT IN (SELECT id FROM calls)"), 0);
}

TEST_F(SqliteStoreTest, RemovalGivesTheDiskItsSpaceBack) {
  const auto store = open();
  auto records = made_up_records(200);
  for (CallRecord& record : records) record.response = std::string(20'000, 'r');
  ASSERT_TRUE(store->append(records));
  const auto full = store->counts();
  EXPECT_EQ(store->remove_before(kNovember * 2, 1000).value_or(-1), 200);
  ASSERT_TRUE(store->shrink());
  EXPECT_GT(full->bytes, 4'000'000);
  EXPECT_LT(store->counts()->bytes, 200'000);
  EXPECT_LT(fs::file_size(file_), 200'000u);
  EXPECT_EQ(one("PRAGMA integrity_check"), "ok");
}

TEST_F(SqliteStoreTest, TheFileIsForItsUserAlone) {
  file_ = directory_ / "new" / "deeper" / "ledger.db";
  const auto store = open();
  ASSERT_TRUE(store->append(made_up_records(1)));
  const auto mode = [](const fs::path& path) {
    struct stat info{};
    EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  };
  EXPECT_EQ(mode(file_), 0600u);
  EXPECT_EQ(mode(file_.string() + "-wal"), 0600u);
  EXPECT_EQ(mode(file_.parent_path()), 0700u);
  EXPECT_EQ(mode(file_.parent_path().parent_path()), 0700u);
}

// --- Files that are not a ledger

TEST_F(SqliteStoreTest, WhatIsNoLedgerIsNamedAndLeftAsItIs) {
  const auto refused = [&](const char* why) {
    const std::string before = read_file(file_).value_or("");
    for (const Access access : {Access::kRead, Access::kWrite}) {
      const std::string message = error_of(access);
      EXPECT_NE(message.find(file_.string()), std::string::npos) << message;
      EXPECT_NE(message.find(why), std::string::npos) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos);
    }
    EXPECT_EQ(read_file(file_).value_or(""), before);
    fs::remove(file_);
  };
  std::ofstream(file_) << std::string(5000, 'x');
  refused("is no SQLite database");
  sql("CREATE TABLE other (x)");
  refused("is a database of another program");
  sql("PRAGMA application_id = 7");
  refused("is a database of another program");
  open().reset();
  sql("PRAGMA user_version = 99");
  refused("newer version of tack (schema 99");
  file_ = directory_;
  EXPECT_NE(error_of(Access::kWrite).find("is a directory"), std::string::npos);
}

TEST_F(SqliteStoreTest, ReadersNeedALedger) {
  auto none = SqliteStore::open(file_, Access::kRead);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(fs::exists(file_));
  std::ofstream(file_).flush();
  none = SqliteStore::open(file_, Access::kRead);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  const auto store = open();
  EXPECT_TRUE(all(*store).empty());
  EXPECT_EQ(store->counts()->records, 0);
}

TEST_F(SqliteStoreTest, ADamagedFileIsAnError) {
  {
    const auto store = open();
    ASSERT_TRUE(store->append(made_up_records(2000)));
  }
  {
    std::fstream damage(file_, std::ios::in | std::ios::out | std::ios::binary);
    for (std::streamoff at = 3 * 4096; at < 60 * 4096; at += 4096)
      damage.seekp(at).write("\xff\xff\xff\xff\xff\xff\xff\xff", 8);
  }
  const auto store = SqliteStore::open(file_, Access::kRead);
  ASSERT_TRUE(store) << store.error().message;
  const Status status =
      (*store)->each({}, Contents::kWith, [](const CallRecord&) -> Status { return {}; });
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("is damaged"), std::string::npos) << status.error().message;
}

TEST_F(SqliteStoreTest, SaysThatItIsLocked) {
  open().reset();
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(file_.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const auto store = open(Access::kWrite, milliseconds(50));
  const auto records = made_up_records(3);
  const Status status = store->append(records);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("is locked by another process"), std::string::npos);
  EXPECT_TRUE(all(*store).empty());  // reading works
  sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr);
  EXPECT_TRUE(store->append(records));

  ASSERT_EQ(sqlite3_exec(other, "PRAGMA locking_mode = EXCLUSIVE", nullptr, nullptr, nullptr), 0);
  sqlite3_close(other);
  fs::path alone = directory_ / "alone.db";
  ASSERT_EQ(sqlite3_open(alone.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN EXCLUSIVE", nullptr, nullptr, nullptr), SQLITE_OK);
  file_ = alone;
  EXPECT_NE(error_of(Access::kWrite).find("is locked by another process"), std::string::npos);
  sqlite3_close(other);
}

// Runs `child` in a process of its own, as another user where this one may do everything; its
// exit code.
template <class F>
int as_nobody(const F& child) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(99);
    ::_exit(child());
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(SqliteStoreTest, ReadsWhatItMayNotWriteAndSaysSo) {
  {
    const auto store = open();
    ASSERT_TRUE(store->append(made_up_records(20)));
  }
  fs::permissions(file_, fs::perms(0444));
  fs::permissions(directory_, fs::perms(0555));
  const int code = as_nobody([&] {
    if (error_of(Access::kWrite).find("cannot be written") == std::string::npos) return 1;
    const auto store = SqliteStore::open(file_, Access::kRead);
    if (!store) return 2;
    return all(**store).size() == 20 ? 0 : 3;
  });
  const int new_file = as_nobody([&] {
    file_ = directory_ / "another.db";
    return error_of(Access::kWrite).find("cannot create it: Permission denied") ==
           std::string::npos;
  });
  fs::permissions(directory_, fs::perms(0700));
  EXPECT_EQ(code, 0);
  EXPECT_EQ(new_file, 0);
}

TEST_F(SqliteStoreTest, BeginsAnewWhereTheFileWasMovedAway) {
  const auto store = open();
  const auto records = made_up_records(6);
  ASSERT_TRUE(store->append(std::span(records).first(2)));
  fs::remove(file_);  // its -wal stays
  ASSERT_TRUE(store->append(std::span(records).subspan(2, 3)));
  EXPECT_EQ(number("SELECT count(*) FROM calls"), 3);
  for (const char* end : {"", "-wal", "-shm"})
    fs::rename(file_.string() + end, file_.string() + ".old" + end);
  ASSERT_TRUE(store->append(std::span(records).subspan(5)));
  EXPECT_EQ(number("SELECT count(*) FROM calls"), 1);
  EXPECT_EQ(sql(file_.string() + ".old", "SELECT count(*) FROM calls")[0], "3");
}

TEST_F(SqliteStoreTest, BringsAnOlderSchemaUpToDate) {
  const char* const first[] = {"CREATE TABLE t (x); INSERT INTO t VALUES (1)"};
  const char* const both[] = {first[0], "ALTER TABLE t ADD y DEFAULT 5"};
  const Schema old{.application = 77, .steps = first}, now{.application = 77, .steps = both};
  const milliseconds patience(100);
  ASSERT_TRUE(Database::open(file_, Access::kWrite, old, patience));
  auto reader = Database::open(file_, Access::kRead, now, patience);
  ASSERT_FALSE(reader);
  EXPECT_NE(reader.error().message.find("older version of tack (schema 1)"), std::string::npos);
  ASSERT_TRUE(Database::open(file_, Access::kWrite, now, patience));
  EXPECT_EQ(one("SELECT x || y FROM t"), "15");
  EXPECT_EQ(one("PRAGMA user_version"), "2");
  EXPECT_TRUE(Database::open(file_, Access::kRead, now, patience));
  EXPECT_FALSE(Database::open(file_, Access::kWrite, old, patience));

  // A step that fails changes nothing.
  const char* const broken[] = {both[0], both[1], "CREATE TABLE u (x); NONSENSE"};
  EXPECT_FALSE(
      Database::open(file_, Access::kWrite, {.application = 77, .steps = broken}, patience));
  EXPECT_EQ(one("PRAGMA user_version"), "2");
  EXPECT_EQ(number("SELECT count(*) FROM sqlite_schema"), 1);
}

// --- Several processes

constexpr std::size_t kBatch = 50;

// Writes batches whose records bear their number, and says so after each, until it is killed.
[[noreturn]] void write_for_ever(const fs::path& file, int out) {
  auto store = SqliteStore::open(file, Access::kWrite);
  if (!store) ::_exit(1);
  for (std::uint64_t batch = 0;; ++batch) {
    auto records = made_up_records(kBatch, batch + 1);
    for (CallRecord& record : records)
      record.workload = std::to_string(::getpid()) + "-" + std::to_string(batch);
    if (!(*store)->append(records)) ::_exit(2);
    if (::write(out, "x", 1) != 1) ::_exit(3);
  }
}

TEST_F(SqliteStoreTest, KilledInTheMiddleOfWritingItOpensAgainWhole) {
  std::int64_t promised = 0;
  for (int round = 0; round < 5; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) write_for_ever(file_, ends[1]);
    ::close(ends[1]);
    char c = 0;
    for (int i = 0; i < 20 + 7 * round; ++i) ASSERT_EQ(::read(ends[0], &c, 1), 1);
    ::usleep(static_cast<useconds_t>(700 * round));  // at different places of a transaction
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    for (promised += 20 + 7 * round; ::read(ends[0], &c, 1) == 1;) ++promised;
    ::close(ends[0]);

    const auto store = open();
    std::map<std::string, std::size_t> sizes;
    for (const CallRecord& record : all(*store)) ++sizes[record.workload];
    for (const auto& [batch, size] : sizes) EXPECT_EQ(size, kBatch) << batch;
    EXPECT_GE(static_cast<std::int64_t>(sizes.size()), promised);
    EXPECT_LE(static_cast<std::int64_t>(sizes.size()), promised + round + 1);
    EXPECT_EQ(one("PRAGMA integrity_check"), "ok");
    EXPECT_EQ(number("SELECT count(*) FROM attempts WHERE call NOT IN (SELECT id FROM calls)"), 0);
  }
}

// Reads until there are so many records; only whole batches must be seen, and never fewer.
int read_until(const fs::path& file, std::size_t records) {
  const auto store = SqliteStore::open(file, Access::kRead);
  if (!store) return 1;
  for (std::size_t before = 0; before < records;) {
    std::size_t seen = 0;
    const Status status =
        (*store)->each({}, Contents::kWith, [&](const CallRecord& record) -> Status {
          ++seen;
          return record.id.empty() ? Status(fail("empty")) : Status();
        });
    if (!status) return 2;
    if (seen % kBatch != 0 || seen < before) return 3;
    before = seen;
  }
  return 0;
}

TEST_F(SqliteStoreTest, TwoProcessesReadWhileOneWrites) {
  const auto store = open();
  pid_t readers[2];
  for (pid_t& reader : readers) {
    reader = ::fork();
    if (reader == 0) ::_exit(read_until(file_, 100 * kBatch));
  }
  for (std::uint64_t batch = 0; batch < 100; ++batch) {
    const Status status = store->append(made_up_records(kBatch, batch + 1));
    ASSERT_TRUE(status) << status.error().message;
  }
  for (const pid_t reader : readers) {
    int status = 0;
    ::waitpid(reader, &status, 0);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }
}

}  // namespace
}  // namespace tack::store
