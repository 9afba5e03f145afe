#include "compress/imatrix_file.h"

#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "formats/gguf.h"

namespace tack {
namespace {

ImportanceMatrix example() {
  ImportanceMatrix matrix;
  matrix.tensors["blk.0.attn_q.weight"] = {{1.5F, 0, 2e10F}, 1024};
  matrix.tensors["output.weight"] = {{3, 4}, 1000};
  matrix.datasets = {"a.txt", "b.txt"};
  matrix.chunks = 2;
  matrix.chunk_size = 512;
  return matrix;
}

TEST(ImatrixFile, ComesBackAsItWas) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("tack_imatrix_test_" + std::to_string(::getpid()) + ".gguf");
  const ImportanceMatrix matrix = example();
  ASSERT_TRUE(write_imatrix(matrix, path));
  const auto read = read_imatrix(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->tensors.size(), 2U);
  for (const auto& [name, column] : matrix.tensors) {
    EXPECT_EQ(read->tensors.at(name).squares, column.squares);
    EXPECT_EQ(read->tensors.at(name).rows, column.rows);
  }
  EXPECT_EQ(read->datasets, matrix.datasets);
  EXPECT_EQ(read->chunks, 2);
  EXPECT_EQ(read->chunk_size, 512);
  EXPECT_EQ(read->means("output.weight"), (std::vector<float>{0.003F, 0.004F}));
  EXPECT_TRUE(read->means("blk.1.attn_q.weight").empty());
}

std::string s32(std::int32_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::string f32(float value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
Result<ImportanceMatrix> parse(const std::string& bytes) {
  return parse_imatrix(std::as_bytes(std::span(bytes)), "file");
}

TEST(ImatrixFile, TheOlderFormatIsReadToo) {
  const std::string weight = s32(3) + "a.w" + s32(4) + s32(2) + f32(8) + f32(2);
  const auto whole = parse(s32(1) + weight + s32(4) + s32(5) + "a.txt");
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(whole->means("a.w"), (std::vector<float>{2, 0.5F}));
  EXPECT_EQ(whole->datasets, std::vector<std::string>{"a.txt"});
  EXPECT_EQ(whole->chunks, 4);
  EXPECT_TRUE(parse(s32(1) + weight));  // the end may be missing
  for (std::size_t cut = 0; cut < 4 + weight.size(); ++cut)
    EXPECT_FALSE(parse((s32(1) + weight).substr(0, cut))) << cut;
}

TEST(ImatrixFile, WhatIsWrongIsSaid) {
  const auto refused = [](const std::string& bytes, std::string_view says) {
    const auto read = parse(bytes);
    ASSERT_FALSE(read);
    EXPECT_TRUE(read.error().message.contains(says)) << read.error().message;
  };
  const auto file = [](auto&& change) {
    GgufWriter writer;
    writer.set("general.type", GgufValue::string("imatrix"));
    change(writer);
    return writer.to_bytes().value();
  };
  const auto add = [](GgufWriter& writer, const char* name, const std::vector<float>& values) {
    const auto bytes = std::as_bytes(std::span(values));
    writer.add_tensor(name, DType::kF32, {static_cast<std::int64_t>(values.size())},
                      {bytes.begin(), bytes.end()});
  };
  refused(file([](GgufWriter&) {}), "no weights");
  refused(file([](GgufWriter& w) { w.set("general.type", GgufValue::string("model")); }),
          "no importance matrix");
  refused(file([&](GgufWriter& w) { add(w, "a.in_sum2", {1}); }), "without counts");
  refused(file([&](GgufWriter& w) { add(w, "a.in_sum2", {1, -1}), add(w, "a.counts", {1}); }),
          "column 1");
  refused(file([&](GgufWriter& w) { add(w, "a.in_sum2", {NAN}), add(w, "a.counts", {1}); }),
          "column 0");
  refused(file([&](GgufWriter& w) { add(w, "a.in_sum2", {1}), add(w, "a.counts", {1, 2}); }),
          "experts");
  refused(file([&](GgufWriter& w) { add(w, "a.in_sum2", {1}), add(w, "a.counts", {1e30F}); }),
          "count of");
  refused("GGUF", "file");
  refused("hello", "file");
}

}  // namespace
}  // namespace tack
