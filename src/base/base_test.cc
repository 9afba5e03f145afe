#include <atomic>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/cpu.h"
#include "base/duration.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/nearest.h"
#include "base/random.h"
#include "base/size.h"
#include "base/thread_pool.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_base_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(directory_), fs::directory_iterator{}));
  }
  fs::path directory_;
};

TEST_F(Files, AnAtomicFileAppearsWholeOrNotAtAll) {
  const fs::path path = directory_ / "f";
  ASSERT_TRUE(write_file(path, "old"));
  {
    auto file = AtomicFile::create(path);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->write("new, not finished"));
    EXPECT_EQ(*read_file(path), "old");
  }
  EXPECT_EQ(*read_file(path), "old");
  EXPECT_EQ(files(), 1U);
  auto file = AtomicFile::create(path);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->write("new"));
  ASSERT_TRUE(file->commit());
  EXPECT_EQ(*read_file(path), "new");
  EXPECT_EQ(files(), 1U);
}

TEST_F(Files, APrivateFileIsPrivateFromItsFirstByte) {
  const fs::path path = directory_ / "secret";
  const mode_t before = ::umask(0);
  {
    auto file = AtomicFile::create(path, 0600);
    ASSERT_TRUE(file);
    struct stat status{};
    const fs::path temporary = path.string() + "." + std::to_string(::getpid()) + ".tmp";
    ASSERT_EQ(::stat(temporary.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    ASSERT_TRUE(file->write("x"));
    ASSERT_TRUE(file->commit());
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
  }
  ::umask(before);
}

TEST_F(Files, WhatAKilledProcessLeftIsRemoved) {
  const fs::path path = directory_ / "f";
  const pid_t child = ::fork();
  if (child == 0) {
    auto file = AtomicFile::create(path);
    if (file) (void)file->write("half");
    std::_Exit(0);  // no destructor runs
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(files(), 1U);
  ASSERT_TRUE(write_file(path, "whole"));
  EXPECT_EQ(files(), 1U);
  EXPECT_EQ(*read_file(path), "whole");
}

TEST_F(Files, ErrorsSayWhatIsMissing) {
  const auto missing = MappedFile::open(directory_ / "absent");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(missing.error().message.contains("absent"));
  EXPECT_FALSE(MappedFile::open(directory_));
  EXPECT_FALSE(AtomicFile::create(directory_ / "no" / "such" / "f"));
  std::ofstream(directory_ / "empty").flush();
  EXPECT_TRUE(MappedFile::open(directory_ / "empty")->bytes().empty());
  ASSERT_TRUE(write_file(directory_ / "big", std::string(100, 'x')));
  EXPECT_FALSE(read_file(directory_ / "big", 99));
}

TEST(JsonText, ErrorsNameLineAndColumn) {
  const auto broken = parse_json("{\n  \"a\": 1,\n  \"b\": ]\n}", "f.json");
  ASSERT_FALSE(broken);
  EXPECT_TRUE(broken.error().message.contains("f.json")) << broken.error().message;
  EXPECT_TRUE(broken.error().message.contains("line 3")) << broken.error().message;
  EXPECT_FALSE(parse_json(std::string(100000, '['), "deep"));
  EXPECT_TRUE(parse_json(R"({"s": "[[[[\"{"})", "f"));
  EXPECT_EQ(to_text(Json("\xff")), "\"\xEF\xBF\xBD\"");
}

TEST(Size, IsReadAsPeopleWriteIt) {
  const std::pair<const char*, std::uint64_t> sizes[] = {
      {"4200000", 4'200'000},   {"4.2MB", 4'200'000},
      {"4.2 mb", 4'200'000},    {"1b", 1},
      {"8MiB", 8'388'608},      {"1.5GiB", 1'610'612'736},
      {"64k", 64'000},          {"64Ki", 65'536},
      {"1.005MB", 1'005'000},   {"2e3", 2000},
      {"1T", 1'000'000'000'000}};
  for (const auto& [text, bytes] : sizes) {
    const auto read = parse_size(text);
    ASSERT_TRUE(read) << text;
    EXPECT_EQ(*read, bytes) << text;
  }
  for (const char* text : {"", "much", "MB", "0", "0.4", "-1", "4.2XB", "4.2MBs", "4.2Mi iB", "nan",
                           "inf", "2E", "99999999999999999999"})
    EXPECT_FALSE(parse_size(text)) << text;
}

TEST(Size, IsWrittenSoThatItIsReadAsTheSame) {
  const std::pair<std::uint64_t, const char*> sizes[] = {{1, "1"},
                                                         {1500, "1500"},
                                                         {1024, "1KiB"},
                                                         {8'388'608, "8MiB"},
                                                         {3ULL << 30, "3GiB"},
                                                         {(1ULL << 40) + 1024, "1073741825KiB"}};
  for (const auto& [bytes, text] : sizes) {
    EXPECT_EQ(size_text(bytes), text);
    EXPECT_EQ(parse_size(text).value(), bytes);
  }
  EXPECT_EQ(size_text(0), "0");
}

TEST(Duration, IsReadAsPeopleWriteIt) {
  const std::pair<const char*, std::int64_t> spans[] = {
      {"500ms", 500},         {"10s", 10'000}, {"1.5 m", 90'000}, {"2h", 7'200'000},
      {"30d", 2'592'000'000}, {"0s", 0},       {"0.25s", 250}};
  for (const auto& [text, ms] : spans) {
    const auto read = parse_duration(text);
    ASSERT_TRUE(read) << text;
    EXPECT_EQ(read->count(), ms) << text;
    EXPECT_EQ(parse_duration(duration_text(*read)).value(), *read) << text;
  }
  EXPECT_EQ(duration_text(std::chrono::milliseconds(90'000)), "90s");
  EXPECT_EQ(duration_text(std::chrono::milliseconds(86'400'000)), "1d");
  for (const char* text : {"", "10", "s", "-1s", "10 x", "10S", "nan s", "infd", "1e300d", "10ss"})
    EXPECT_FALSE(parse_duration(text)) << text;
}

TEST(Nearest, FindsWhatWasMeant) {
  const std::vector<std::string> known = {"base_url", "key_env", "retries", "to", "port"};
  const std::pair<const char*, const char*> words[] = {{"base-url", "base_url"},
                                                       {"BASE_URL", "base_url"},
                                                       {"baseurl", "base_url"},
                                                       {"retires", "retries"},
                                                       {"prot", "port"},
                                                       {"ports", "port"},
                                                       {"timeout", ""},
                                                       {"", ""},
                                                       {"x", ""}};
  for (const auto& [word, meant] : words) EXPECT_EQ(nearest(word, known), meant) << word;
  EXPECT_EQ(nearest(std::string(1000, 'x'), known), "");
  EXPECT_EQ(did_you_mean("prot", known), "; did you mean 'port'?");
  EXPECT_EQ(did_you_mean("timeout", known), "");
}

TEST(Hash, MatchesFips180) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(content_hash("abc"), 0xba7816bf8f01cfeaULL);
}

TEST(RandomNumbers, AreTheSameEverywhere) {
  // SplitMix64 with seed 0: the first values of the reference implementation.
  Random random(0);
  EXPECT_EQ(random.next(), 0xe220a8397b1dcdafULL);
  EXPECT_EQ(random.next(), 0x6e789e6aa1b965f4ULL);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) sum += random.uniform();
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

TEST(Threads, EveryWorkerRunsOnceAndEveryIndexOnce) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 200; ++round) {
      std::atomic<int> calls{0};
      pool.run([&](int) { ++calls; });
      ASSERT_EQ(calls, threads);
      std::vector<std::atomic<int>> seen(97);
      pool.parallel_for(97, [&](std::int64_t i) { ++seen[static_cast<std::size_t>(i)]; });
      for (const auto& count : seen) ASSERT_EQ(count, 1);
    }
  }
}

TEST(Threads, TheBarrierOrdersMemory) {
  ThreadPool pool(3);
  std::vector<int> values(3);
  std::atomic<int> wrong{0};
  for (int round = 1; round < 500; ++round)
    pool.run([&](int worker) {
      values[static_cast<std::size_t>(worker)] = round;
      pool.barrier().arrive_and_wait();
      for (int v : values) wrong += v != round;
      pool.barrier().arrive_and_wait();
    });
  EXPECT_EQ(wrong, 0);
}

TEST(Cpu, KnowsItsLevels) {
  EXPECT_TRUE(cpu_info().supports(Isa::kScalar));
  EXPECT_GE(cpu_info().logical_cores, 1);
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kNeon})
    EXPECT_EQ(*parse_isa(isa_name(isa)), isa);
  EXPECT_FALSE(parse_isa("sse9"));
}

}  // namespace
}  // namespace tack
