#include "store/audit_file.h"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "store/made_up_audit.h"

namespace tack::store {
namespace {

namespace fs = std::filesystem;

class Files : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/tack_audit_XXXXXX";
    directory_ = ::mkdtemp(name);
    file_ = directory_ / "audit.jsonl";
  }
  void TearDown() override { fs::remove_all(directory_); }

  Result<AuditFile> open(AuditFile::Options options = {}) {
    return AuditFile::open(file_, key_, options);
  }
  // Opens, appends so many records one after the other, closes.
  AuditHead grow(std::size_t records, AuditFile::Options options = {}) {
    auto log = open(options);
    EXPECT_TRUE(log) << log.error().message;
    if (!log) return {};
    for (std::size_t i = 0; i < records; ++i) {
      const AuditRecord record = made_up_audit_record(i);
      const Status status = log->append(std::span(&record, 1));
      EXPECT_TRUE(status) << status.error().message;
    }
    return log->head();
  }
  std::string text() { return *read_file(file_); }
  void write(std::string_view text) {
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << text;
  }
  AuditReport verify(const std::vector<AuditHead>& heads = {}) {
    std::vector<std::string> contents;
    std::vector<AuditText> texts;
    for (const fs::path& path : audit_files(file_)) contents.push_back(*read_file(path));
    for (std::size_t i = 0; i < contents.size(); ++i)
      texts.push_back({audit_files(file_)[i].filename().string(), contents[i]});
    return verify_audit(texts, key_, heads);
  }
  void expect_refused(const Result<AuditFile>& log, std::string_view why) {
    ASSERT_FALSE(log);
    EXPECT_EQ(log.error().code, ErrorCode::kRefused) << log.error().message;
    EXPECT_TRUE(log.error().message.contains(why)) << log.error().message;
    EXPECT_FALSE(log.error().message.contains('\n'));
  }

  fs::path directory_, file_;
  const AuditKey key_ = made_up_key();
};

TEST_F(Files, GoOnWhereTheyEnded) {
  grow(3);
  struct stat status{};
  ASSERT_EQ(::stat(file_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  const AuditHead head = grow(4, {.verify_all = true});
  EXPECT_EQ(head.seq, 7U);  // the first one is "begin"
  const AuditReport report = verify({head});
  EXPECT_TRUE(report.right()) << all(report);
  EXPECT_EQ(report.records, 8U);
  const auto read = read_audit_head(file_, key_);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->text(), head.text());
  EXPECT_EQ(read_audit_head(directory_ / "none", key_).error().code, ErrorCode::kNotFound);
}

TEST_F(Files, HaveOneWriter) {
  const auto log = open();
  ASSERT_TRUE(log);
  expect_refused(open(), fmt::format("is being written by process {}", ::getpid()));
  expect_refused(AuditFile::rotate(file_, key_, {}), "is being written");
}

TEST_F(Files, AreContinuedBySize) {
  const AuditHead head = grow(100, {.max_bytes = 8192});
  const std::vector<fs::path> files = audit_files(file_);
  ASSERT_GE(files.size(), 4U);
  EXPECT_EQ(files[0].filename(), "audit.jsonl.000001");
  EXPECT_EQ(files.back(), file_);
  const AuditReport report = verify({head});
  EXPECT_TRUE(report.right()) << all(report);
  EXPECT_TRUE(report.proven);
  // One alone: right, and it says that others were before it.
  const AuditReport alone = verified(*read_file(files[1]), key_);
  EXPECT_TRUE(alone.right()) << all(alone);
  EXPECT_GT(alone.first_seq, 0U);
  // A file that is gone.
  fs::remove(files[1]);
  const AuditReport gap = verify();
  ASSERT_EQ(gap.damage_count, 1U) << all(gap);
  EXPECT_EQ(gap.damages[0].kind, AuditDamageKind::kDeleted);
  EXPECT_EQ(gap.damages[0].file, "audit.jsonl.000003");
  EXPECT_EQ(gap.damages[0].line, 1U);
}

TEST_F(Files, AnUnfinishedRotationIsFinished) {
  grow(5);
  fs::rename(file_, directory_ / "audit.jsonl.000001");
  std::ofstream(directory_ / "audit.jsonl.new") << "half";
  const AuditHead head = grow(2);
  EXPECT_EQ(head.seq, 8U);
  const AuditReport report = verify({head});
  EXPECT_TRUE(report.right()) << all(report);
  EXPECT_EQ(report.records, 9U);
}

TEST_F(Files, ATornLastLineIsKeptAside) {
  grow(3);
  const std::string whole = text();
  const std::size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  for (std::size_t cut = last + 1; cut < whole.size(); cut += 29) {
    write(whole.substr(0, cut));
    fs::remove(directory_ / "audit.jsonl.torn");
    auto log = open();
    ASSERT_TRUE(log) << log.error().message;
    EXPECT_EQ(log->torn_bytes(), cut - last);
    EXPECT_EQ(*read_file(directory_ / "audit.jsonl.torn"), whole.substr(last, cut - last) + "\n");
    const AuditReport report = verify();
    EXPECT_TRUE(report.right()) << all(report);
    EXPECT_TRUE(text().contains("\"event\":\"recovered\"")) << text();
  }
}

TEST_F(Files, DamagedOnesAreRefusedAndContinuedOnRequest) {
  const AuditHead before = grow(5);
  const std::string whole = text();
  const std::size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  std::string changed = whole;
  changed[last + 150] ^= 1;
  write(changed);
  expect_refused(open(), "its last record is not what was written");
  expect_refused(open(), "tack audit verify");
  EXPECT_EQ(text(), changed);  // untouched
  write(whole.substr(0, 100));
  expect_refused(open(), "no whole record");
  write("");
  expect_refused(open(), "no whole record");
  changed = whole;
  changed[30] ^= 1;
  write(changed);
  expect_refused(open(), "its first record");
  changed = whole;
  changed[whole.find('\n') + 200] ^= 1;
  write(changed);
  EXPECT_TRUE(open());
  expect_refused(open({.verify_all = true}), "line 2: record 1 is not what was written");
  ASSERT_FALSE(AuditFile::open(file_, made_up_key('8'), {}));

  changed = whole;
  changed[last + 150] ^= 1;
  write(changed);
  {
    auto log = AuditFile::rotate(file_, key_, {});
    ASSERT_TRUE(log) << log.error().message;
    EXPECT_EQ(log->head().seq, before.seq);  // in the place of the damaged one
    EXPECT_EQ(log->head().log, before.log);
  }
  EXPECT_EQ(*read_file(directory_ / "audit.jsonl.000001"), changed);
  EXPECT_TRUE(text().contains(key_.digest(changed)));
  grow(2);
  const AuditReport report = verify();
  ASSERT_EQ(report.damage_count, 1U) << all(report);
  EXPECT_EQ(report.damages[0].kind, AuditDamageKind::kChanged);
  EXPECT_EQ(report.damages[0].line, 6U);
  EXPECT_EQ(report.damages[0].file, "audit.jsonl.000001");
}

TEST_F(Files, AnotherKeyBeginsAnotherLog) {
  const AuditHead before = grow(5);
  const auto log = AuditFile::rotate(file_, made_up_key('8'), {});
  ASSERT_TRUE(log) << log.error().message;
  EXPECT_NE(log->head().log, before.log);
  EXPECT_EQ(log->head().seq, 0U);
}

TEST_F(Files, WhatOthersDoToAnOpenFileIsSeen) {
  const AuditRecord record = made_up_audit_record(1);
  {
    auto log = open();
    ASSERT_TRUE(log->append(std::span(&record, 1)));
    std::ofstream(file_, std::ios::app) << "x\n";
    const Status status = log->append(std::span(&record, 1));
    ASSERT_FALSE(status);
    EXPECT_TRUE(status.error().message.contains("another program")) << status.error().message;
  }
  fs::remove(file_);
  {
    auto log = open();
    ASSERT_TRUE(log->append(std::span(&record, 1)));
    fs::rename(file_, directory_ / "kept");
    ASSERT_TRUE(log->append(std::span(&record, 1)));  // goes on in a new file
    const std::string kept = *read_file(directory_ / "kept"), rest = text();
    const AuditText texts[] = {{"kept", kept}, {"rest", rest}};
    const AuditReport report = verify_audit(texts, key_);
    EXPECT_TRUE(report.right()) << all(report);
    EXPECT_EQ(report.records, 4U);
    fs::copy_file(file_, directory_ / "copy");
    fs::rename(directory_ / "copy", file_);
    const Status status = log->append(std::span(&record, 1));
    ASSERT_FALSE(status);
    EXPECT_TRUE(status.error().message.contains("in its place")) << status.error().message;
  }
}

TEST_F(Files, AFullDiskLeavesThemAsTheyWere) {
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  auto log = open();
  ASSERT_TRUE(log);
  const std::vector<AuditRecord> records(5, made_up_audit_record(1));
  ASSERT_TRUE(log->append(records));
  const std::string before = text();
  const AuditHead head = log->head();
  rlimit small = old;
  small.rlim_cur = before.size() + 700;  // one record and a part of the next
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status status = log->append(records);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  ASSERT_FALSE(status);
  EXPECT_TRUE(status.error().message.contains("File too large")) << status.error().message;
  EXPECT_EQ(text(), before);
  EXPECT_EQ(log->head().text(), head.text());
  ASSERT_TRUE(log->append(records));
  const AuditReport report = verify({log->head()});
  EXPECT_TRUE(report.right()) << all(report);
  EXPECT_EQ(report.records, 11U);
}

TEST_F(Files, AFullFileSystemToo) {
  const fs::path small = directory_ / "small";
  fs::create_directory(small);
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=128k") != 0)
    GTEST_SKIP() << "needs the right to mount";
  file_ = small / "audit.jsonl";
  {
    auto log = open();
    ASSERT_TRUE(log) << log.error().message;
    const std::vector<AuditRecord> records(10, made_up_audit_record(1));
    Status status;
    for (int i = 0; i < 100 && status; ++i) status = log->append(records);
    ASSERT_FALSE(status);
    EXPECT_TRUE(status.error().message.contains("No space left")) << status.error().message;
    EXPECT_FALSE(log->rotate());
    const AuditReport report = verify({log->head()});
    EXPECT_TRUE(report.right()) << all(report);
  }
  ::umount(small.c_str());
}

// A process that is killed while it appends leaves a file that opens, with all that was durable.
TEST_F(Files, AKilledProcessLosesNothingDurable) {
  std::mt19937 random(3);
  for (int round = 0; round < 15; ++round) {
    int durable[2];
    ASSERT_EQ(::pipe(durable), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      auto log = open({.max_bytes = 60'000});
      const std::vector<AuditRecord> records(20, made_up_audit_record(1));
      while (log && log->append(records)) {
        const std::uint64_t seq = log->head().seq;
        if (::write(durable[1], &seq, sizeof seq) < 0) break;
      }
      ::_exit(1);
    }
    ::close(durable[1]);
    ::usleep(2'000 + random() % 30'000);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    std::uint64_t seq = 0, last = 0;
    while (::read(durable[0], &seq, sizeof seq) == sizeof seq) last = seq;
    ::close(durable[0]);
    const AuditHead head = grow(1);
    EXPECT_GT(head.seq, last);
    const AuditReport report = verify({head});
    ASSERT_TRUE(report.right()) << all(report);
  }
}

TEST_F(Files, KeysAreMadeOnceAndKeptFromOthers) {
  const fs::path path = directory_ / "keys/audit.key";
  const auto none = AuditKey::read(path);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  const auto key = open_audit_key(file_, path);  // the first use
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(AuditKey::make(path)->id(), key->id());
  EXPECT_EQ(AuditKey::read(path)->id(), key->id());
  EXPECT_EQ(std::distance(fs::directory_iterator(path.parent_path()), {}), 1);
  ::setenv(AuditKey::kVariable, std::string(64, '7').c_str(), 1);
  EXPECT_EQ(AuditKey::find(path)->id(), key_.id());
  ::setenv(AuditKey::kVariable, "0123", 1);
  const auto wrong = AuditKey::find(path);
  ASSERT_FALSE(wrong);
  EXPECT_FALSE(wrong.error().message.contains("0123")) << wrong.error().message;
  ::unsetenv(AuditKey::kVariable);
  grow(1);
  const auto lost = open_audit_key(file_, directory_ / "other.key");
  ASSERT_FALSE(lost);
  EXPECT_TRUE(lost.error().message.contains("bring it back")) << lost.error().message;
  EXPECT_FALSE(fs::exists(directory_ / "other.key"));
  fs::permissions(path, fs::perms::others_read, fs::perm_options::add);
  const auto open_to_all = AuditKey::read(path);
  ASSERT_FALSE(open_to_all);
  EXPECT_EQ(open_to_all.error().code, ErrorCode::kRefused);
  EXPECT_TRUE(open_to_all.error().message.contains("chmod 600")) << open_to_all.error().message;
}

}  // namespace
}  // namespace tack::store
