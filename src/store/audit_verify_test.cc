#include "store/audit_verify.h"

#include <chrono>
#include <random>

#include "base/json.h"
#include "store/made_up_audit.h"

namespace tack::store {
namespace {

using enum AuditDamageKind;

class Verify : public ::testing::Test {
 protected:
  AuditReport check(const std::vector<std::string>& lines) { return verified(joined(lines), key_); }

  // Exactly one damage, of that kind and at that line.
  void expect_one(const AuditReport& report, AuditDamageKind kind, std::uint64_t line,
                  std::optional<std::uint64_t> seq) {
    ASSERT_EQ(report.damage_count, 1U) << all(report);
    EXPECT_EQ(audit_damage_name(report.damages[0].kind), audit_damage_name(kind)) << all(report);
    EXPECT_EQ(report.damages[0].line, line) << all(report);
    EXPECT_EQ(report.damages[0].seq, seq) << all(report);
  }

  const AuditKey key_ = made_up_key();
  AuditHead last_;
  const std::vector<std::string> lines_ = made_up_lines(40, key_, &last_);
};

TEST_F(Verify, WhatWasWritten) {
  const AuditReport report = check(lines_);
  EXPECT_TRUE(report.right()) << all(report);
  EXPECT_EQ(report.records, 40U);
  EXPECT_EQ(report.lines, 40U);
  ASSERT_TRUE(report.last);
  EXPECT_EQ(report.last->text(), last_.text());
  EXPECT_FALSE(report.proven);
  for (const std::string& line : lines_) {
    const auto json = parse_json(line, "line");
    ASSERT_TRUE(json) << json.error().message;
  }
}

TEST_F(Verify, EveryFlippedByteIsFoundInItsLine) {
  const std::vector<std::string> few(lines_.begin(), lines_.begin() + 6);
  std::mt19937 random(1);
  for (std::size_t i = 0; i < few.size(); ++i)
    for (std::size_t at = 0; at < few[i].size(); ++at)
      for (int times = 0; times < 3; ++times) {
        auto lines = few;
        lines[i][at] = static_cast<char>(lines[i][at] ^ (1 + random() % 255));
        const AuditReport report = check(lines);
        ASSERT_FALSE(report.right()) << i << " " << at;
        // A line end that was changed joins two lines: at the end it is one that is missing.
        ASSERT_EQ(report.damages[0].line, i + 1) << at << "\n" << all(report);
        if (at + 1 < few[i].size() && lines[i][at] != '\n') {
          ASSERT_EQ(report.damage_count, 1U) << all(report);
          ASSERT_EQ(report.damages[0].kind, kChanged) << all(report);
          ASSERT_EQ(report.damages[0].seq, i) << all(report);
        }
      }
}

TEST_F(Verify, DeletedLines) {
  for (std::size_t i = 0; i + 1 < lines_.size(); ++i) {
    auto lines = lines_;
    lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(i));
    expect_one(check(lines), kDeleted, i + 1, i);
  }
  auto lines = lines_;
  lines.erase(lines.begin() + 10, lines.begin() + 17);
  const AuditReport report = check(lines);
  expect_one(report, kDeleted, 11, 10);
  EXPECT_EQ(report.damages[0].count, 7U);
}

TEST_F(Verify, CutLinesAndCutEnds) {
  const std::string text = joined(lines_);
  std::size_t begin = 0;
  for (std::size_t i = 0; i < lines_.size(); begin += lines_[i++].size())
    for (std::size_t cut = 1; cut < lines_[i].size(); cut += i == 3 ? 1 : 37)
      expect_one(verified(text.substr(0, begin + cut), key_), kTorn, i + 1, std::nullopt);
}

TEST_F(Verify, ACutEndIsKnownOnlyWithAHead) {
  for (std::size_t kept = 1; kept < lines_.size(); ++kept) {
    const std::vector<std::string> lines(lines_.begin(),
                                         lines_.begin() + static_cast<std::ptrdiff_t>(kept));
    EXPECT_TRUE(check(lines).right());
    expect_one(verified(joined(lines), key_, {last_}), kTruncated, kept, kept);
  }
  const AuditReport whole = verified(joined(lines_), key_, {last_});
  EXPECT_TRUE(whole.right()) << all(whole);
  ASSERT_TRUE(whole.proven);
  EXPECT_EQ(whole.proven->seq, 39U);
}

TEST_F(Verify, SwappedAndMovedLines) {
  for (std::size_t i = 0; i + 1 < lines_.size(); ++i) {
    auto lines = lines_;
    std::swap(lines[i], lines[i + 1]);
    const AuditReport report = check(lines);
    ASSERT_EQ(report.damage_count, 1U) << i << "\n" << all(report);
    EXPECT_EQ(report.damages[0].kind, kMoved) << all(report);
    EXPECT_TRUE(report.damages[0].line == i + 1 || report.damages[0].line == i + 2) << all(report);
  }
  for (const auto& [from, to] : {std::pair(5, 30), std::pair(30, 5), std::pair(1, 39)}) {
    auto lines = lines_;
    const std::string line = lines[static_cast<std::size_t>(from)];
    lines.erase(lines.begin() + from);
    lines.insert(lines.begin() + to, line);
    expect_one(check(lines), kMoved, static_cast<std::uint64_t>(to) + 1,
               static_cast<std::uint64_t>(from));
  }
}

TEST_F(Verify, RepeatedAndForeignLines) {
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    auto lines = lines_;
    lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(i) + 1, lines_[i]);
    expect_one(check(lines), kInserted, i + 2, i);
  }
  const auto foreign = made_up_lines(40, key_);
  auto lines = lines_;
  lines.insert(lines.begin() + 7, foreign[20]);  // right by itself, of the same key
  expect_one(check(lines), kInserted, 8, 20);
  lines = lines_;
  lines.insert(lines.begin() + 7, "anything\n");
  expect_one(check(lines), kInserted, 8, std::nullopt);
  lines = lines_;
  lines[7] = foreign[7];
  const AuditReport replaced = check(lines);
  ASSERT_FALSE(replaced.right());
  EXPECT_EQ(replaced.damages[0].line, 8U) << all(replaced);
}

// A log that was restored from a copy, and went on: both histories are right by themselves.
TEST_F(Verify, AnotherHistory) {
  AuditHead head{.log = last_.log, .mac = std::string(kNoPrevious)};
  std::vector<std::string> other;
  for (std::size_t i = 0; i < 40; ++i) {
    AuditRecord record = made_up_audit_record(i + (i >= 20 ? 1000 : 0));
    if (i == 0) record.event = "begin";
    write_audit_line(record, key_, i, head, other.emplace_back());
  }
  auto lines = lines_;
  std::copy(other.begin() + 30, other.end(), lines.begin() + 30);
  expect_one(check(lines), kReplaced, 31, 30);
  const AuditReport report = verified(joined(other), key_, {last_});
  expect_one(report, kOtherHead, 40, 39);
}

TEST_F(Verify, AllOfSeveralDamages) {
  auto lines = lines_;
  lines[3][120] ^= 1;
  lines[25][200] ^= 1;
  lines.erase(lines.begin() + 31);
  lines.erase(lines.begin() + 12);
  const AuditReport report = check(lines);
  ASSERT_EQ(report.damage_count, 4U) << all(report);
  const std::pair<AuditDamageKind, std::uint64_t> wanted[] = {
      {kChanged, 4}, {kDeleted, 13}, {kChanged, 25}, {kDeleted, 31}};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(report.damages[i].kind, wanted[i].first) << all(report);
    EXPECT_EQ(report.damages[i].line, wanted[i].second) << all(report);
  }
  for (std::string& line : lines) line[150] ^= 1;
  const AuditReport bad = check(lines);
  EXPECT_EQ(bad.damages.size(), AuditReport::kMostDamages);
  EXPECT_EQ(bad.damage_count, 38U);
  EXPECT_EQ(bad.records, 0U);
}

TEST_F(Verify, SeveralDamagesAreFoundWhateverTheyAre) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    auto lines = lines_;
    for (std::uint32_t n = 1 + random() % 4; n > 0; --n) {
      const std::size_t i = random() % (lines.size() - 1), j = random() % (lines.size() - 1);
      const auto at = lines.begin() + static_cast<std::ptrdiff_t>(i);
      switch (random() % 5) {
        case 0:
          lines[i][random() % lines[i].size()] ^= static_cast<char>(1 << random() % 7);
          break;
        case 1:
          lines.erase(at);
          break;
        case 2:
          lines.insert(at, lines[j]);
          break;
        case 3:
          std::swap(lines[i], lines[j]);
          break;
        default:
          lines[i].resize(random() % lines[i].size());
      }
    }
    const std::string text = joined(lines);
    if (text == joined(lines_)) continue;
    const AuditReport report = verified(text, key_);
    ASSERT_FALSE(report.right()) << text;
    for (const AuditDamage& damage : report.damages) {
      ASSERT_GE(damage.line, 1U);
      ASSERT_LE(damage.line, report.lines);
    }
    ASSERT_LE(report.records, 40U);
  }
}

TEST_F(Verify, AnotherKeyFindsNothingRight) {
  const AuditReport report = verified(joined(lines_), made_up_key('8'));
  EXPECT_EQ(report.records, 0U);
  EXPECT_EQ(report.damage_count, 40U);
  EXPECT_FALSE(report.last);
}

TEST_F(Verify, HeadsOfOtherLogs) {
  AuditHead other = last_;
  other.log = "0000000000000000";
  const AuditReport report = verified(joined(lines_), key_, {other, last_});
  ASSERT_EQ(report.damage_count, 1U) << all(report);
  EXPECT_EQ(report.damages[0].kind, kOtherHead);
  EXPECT_TRUE(report.proven);
  EXPECT_FALSE(verified("", key_, {last_}).right());
  EXPECT_FALSE(verified("", key_).right());
}

TEST(AuditRecord, TextsThatAreNoNamesAreDigests) {
  const AuditKey key = made_up_key();
  AuditHead head{.log = new_log_id(), .mac = std::string(kNoPrevious)};
  std::string line;
  AuditRecord record = made_up_audit_record(1);
  record.id = "\"},\n{Jane Doe & sons";
  record.client = std::string(129, 'a');
  record.labels = {{"na\xc3\xafve", "caf\xc3\xa9"}};
  for (int i = 0; i < 40; ++i) record.counts.emplace_back("c" + std::to_string(i), -i);
  write_audit_line(record, key, 0, head, line);
  EXPECT_FALSE(line.contains("Jane")) << line;
  EXPECT_FALSE(line.contains("aaaa")) << line;
  EXPECT_FALSE(line.contains("\xc3")) << line;
  EXPECT_TRUE(line.contains("\"left_out\":9")) << line;
  EXPECT_EQ(std::ranges::count(line, '\n'), 1);
  const auto back = parse_audit_record(line);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->id, "digest:" + key.digest(record.id));
  EXPECT_EQ(back->time_us, record.time_us);
  EXPECT_EQ(back->counts.size(), 32U);
  EXPECT_EQ(back->counts[2].second, -1);
  EXPECT_EQ(back->hashes, record.hashes);
  EXPECT_TRUE(check_audit_line(line.substr(0, line.size() - 1), key));
  EXPECT_LT(line.size(), kMostAuditLineBytes);
}

TEST(AuditRecord, TimesAndHeads) {
  EXPECT_EQ(audit_time(1'796'000'000'123'456), "2026-11-30T00:53:20.123456Z");
  const AuditHead head{"0123456789abcdef", 17, std::string(64, 'c'), 1'796'000'000'123'456};
  const auto back = parse_audit_head(head.text());
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->text(), head.text());
  for (const std::string& wrong :
       {std::string(), std::string("x"), head.text() + "0", head.text().substr(1),
        head.text().substr(0, 60), std::string("tack-audit-1:0123456789abcdef:-1:1:") + head.mac})
    EXPECT_FALSE(parse_audit_head(wrong)) << wrong;
}

// Values from Python's hashlib.blake2b, with the derivation that libsodium documents.
TEST(AuditKey, DigestsAreKeyed) {
  const AuditKey key = made_up_key(), other = made_up_key('8');
  EXPECT_EQ(key.digest("a"), "8b913282e66b23710dcbdfb5d003fae5");
  const AuditKey::Mac mac = key.mac("a");
  EXPECT_EQ(std::string_view(mac.data(), mac.size()),
            "20c9996fc2bec3810c8c2d767cae8d4b3ffe0fc47c7778bc206f2770ee998d37");
  EXPECT_EQ(key.id(), "d799eab8fcb25197");
  EXPECT_NE(key.digest("a"), other.digest("a"));
  EXPECT_NE(key.digest("a"), key.digest("b"));
  EXPECT_NE(key.id(), other.id());
}

// One million records, as docs/benchmarks.md has it.
TEST(AuditSpeed, DISABLED_Verify) {
  const AuditKey key = made_up_key();
  const std::string text = joined(made_up_lines(1'000'000, key));
  const auto begin = std::chrono::steady_clock::now();
  const AuditReport report = verified(text, key);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  ASSERT_TRUE(report.right());
  fmt::print("1,000,000 records, {} MB: {:.2f} s\n", text.size() / 1'000'000, took.count());
}

}  // namespace
}  // namespace tack::store
