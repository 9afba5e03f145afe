// GGUF and safetensors: what is written is read back; what is broken is refused, never followed.

#include <cstring>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/random.h"
#include "formats/gguf.h"
#include "formats/huggingface.h"
#include "formats/safetensors.h"

namespace tack {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::vector<std::byte> floats(std::initializer_list<float> values) {
  std::vector<std::byte> out(values.size() * 4);
  std::memcpy(out.data(), std::data(values), out.size());
  return out;
}

GgufWriter small_file() {
  GgufWriter writer;
  writer.set("general.architecture", GgufValue::string("test"));
  writer.set("a.u32", GgufValue::u32(7));
  writer.set("a.i32", GgufValue::i32(-7));
  writer.set("a.u64", GgufValue::u64(std::uint64_t{1} << 40));
  writer.set("a.f32", GgufValue::f32(1.5F));
  writer.set("a.bool", GgufValue::boolean(true));
  writer.set("a.strings", GgufValue::strings({"x", "", "zwölf"}));
  writer.set("a.i32s", GgufValue::i32s({1, -2, 3}));
  writer.set("a.i8s", GgufValue::i8s({-127, 0, 127}));
  writer.set("a.f32s", GgufValue::f32s({0.5, -0.25}));
  writer.add_tensor("m", DType::kF32, {2, 3}, floats({1, 2, 3, 4, 5, 6}));
  writer.add_tensor("v", DType::kF32, {3}, floats({7, 8, 9}));
  return writer;
}

TEST(Gguf, ReadsBackWhatItWrote) {
  const auto written = small_file().to_bytes();
  ASSERT_TRUE(written) << written.error().message;
  const auto file = GgufFile::parse(bytes_of(*written), "t.gguf");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->version(), 3U);
  EXPECT_EQ(*file->integer("a.u32"), 7);
  EXPECT_EQ(*file->integer("a.i32"), -7);
  EXPECT_EQ(*file->integer("a.u64"), std::int64_t{1} << 40);
  EXPECT_EQ(*file->number("a.f32"), 1.5);
  EXPECT_TRUE(*file->boolean("a.bool"));
  EXPECT_EQ((*file->strings("a.strings"))[2], "zwölf");
  EXPECT_EQ(std::get<std::vector<std::int64_t>>(file->find("a.i8s")->value),
            (std::vector<std::int64_t>{-127, 0, 127}));
  EXPECT_EQ(std::get<std::vector<double>>(file->find("a.f32s")->value),
            (std::vector<double>{0.5, -0.25}));
  const GgufTensor* m = file->find_tensor("m");
  ASSERT_NE(m, nullptr);
  EXPECT_EQ(m->view.shape, (Shape{2, 3}));
  float last = 0;
  std::memcpy(&last, m->view.row(1).data() + 8, 4);
  EXPECT_EQ(last, 6);
  // Tensors begin at multiples of the alignment, as llama.cpp maps them.
  EXPECT_EQ((m->view.bytes.data() - bytes_of(*written).data()) % 32, 0);
}

TEST(Gguf, ErrorsNameFileAndKey) {
  const auto written = small_file().to_bytes();
  const auto file = GgufFile::parse(bytes_of(*written), "t.gguf");
  ASSERT_TRUE(file);
  const auto missing = file->integer("no.such");
  ASSERT_FALSE(missing);
  EXPECT_TRUE(missing.error().message.contains("t.gguf"));
  EXPECT_TRUE(missing.error().message.contains("no.such"));
  EXPECT_FALSE(file->integer("general.architecture"));
  EXPECT_EQ(*file->integer_or("no.such", 3), 3);
  EXPECT_FALSE(file->integer_or("a.bool", 3));
}

TEST(Gguf, RefusesEveryTruncation) {
  const auto written = small_file().to_bytes();
  ASSERT_TRUE(written);
  for (std::size_t size = 0; size < written->size(); ++size) {
    // A copy of exactly this size, so that a read past the end is a read past an allocation.
    const std::string part = written->substr(0, size);
    const auto file = GgufFile::parse(bytes_of(part), "t.gguf");
    // Only the padding after the last tensor may be missing.
    if (file)
      for (const GgufTensor& tensor : file->tensors())
        EXPECT_LE(tensor.view.bytes.data() + tensor.view.bytes.size(),
                  bytes_of(part).data() + part.size());
    else
      EXPECT_TRUE(file.error().message.contains("t.gguf"));
  }
}

TEST(Gguf, SurvivesFlippedBytes) {
  const auto written = small_file().to_bytes();
  Random random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string broken = *written;
    for (int i = 0; i < 1 + round % 4; ++i)
      broken[random.below(broken.size())] = static_cast<char>(random.below(256));
    const auto file = GgufFile::parse(bytes_of(broken), "t.gguf");
    if (!file) continue;
    for (const GgufTensor& tensor : file->tensors()) {
      ASSERT_GE(tensor.view.bytes.data(), bytes_of(broken).data());
      ASSERT_LE(tensor.view.bytes.data() + tensor.view.bytes.size(),
                bytes_of(broken).data() + broken.size());
    }
  }
}

// A header by hand: one tensor with the given dimensions, type and offset, and some data.
std::string by_hand(std::vector<std::uint64_t> dims, std::uint32_t type, std::uint64_t offset,
                    std::uint64_t tensors = 1, std::uint64_t keys = 0) {
  std::string out = "GGUF";
  append<std::uint32_t>(out, 3);
  append<std::uint64_t>(out, tensors);
  append<std::uint64_t>(out, keys);
  append<std::uint64_t>(out, 1);
  out += "t";
  append<std::uint32_t>(out, static_cast<std::uint32_t>(dims.size()));
  for (std::uint64_t d : dims) append(out, d);
  append(out, type);
  append(out, offset);
  out.resize((out.size() + 31) / 32 * 32);
  return out + std::string(64, 'x');
}

TEST(Gguf, RefusesHostileSizes) {
  constexpr std::uint64_t kHuge = ~std::uint64_t{0};
  ASSERT_TRUE(GgufFile::parse(bytes_of(by_hand({4, 4}, 0, 0)), "f"));
  const std::vector<std::string> hostile = {
      by_hand({4, 4}, 0, 0, kHuge),                // more tensors than bytes
      by_hand({4, 4}, 0, 0, 1, kHuge),             // more keys than bytes
      by_hand({1ULL << 33, 1ULL << 33}, 0, 0),     // the product overflows
      by_hand({kHuge, 4}, 0, 0),                   // negative as a signed number
      by_hand({4, 4}, 0, 32),                      // ends beyond the file
      by_hand({4, 4}, 0, kHuge - 31),              // the end wraps round
      by_hand({4, 4}, 0, 1),                       // not aligned
      by_hand({4, 4}, 999, 0),                     // an unknown type
      by_hand({5, 4}, 8, 0),                       // Q8_0 rows that are no whole blocks
      by_hand({1, 1, 1, 1, 1, 1, 1, 1, 1}, 0, 0),  // too many dimensions
      "GGUX" + by_hand({4, 4}, 0, 0).substr(4),    // magic
      std::string("GGUF\x63\0\0\0", 8) + std::string(32, '\0'),  // version
  };
  for (const std::string& file : hostile)
    EXPECT_FALSE(GgufFile::parse(bytes_of(file), "f")) << &file - hostile.data();
}

TEST(Gguf, TensorsMadeWhileWritingAreTheSameFile) {
  GgufWriter whole, piecewise, lacking;
  const auto values = floats({1, 2, 3, 4, 5, 6});
  const auto source = [&](std::size_t count) {
    return [&values, count](const GgufWriter::Sink& sink) -> Status {
      for (std::size_t i = 0; i < count; ++i)
        TACK_RETURN_IF_ERROR(sink(std::span(values).subspan(4 * i, 4)));
      return {};
    };
  };
  whole.add_tensor("m", DType::kF32, {2, 3}, values);
  piecewise.add_tensor_source("m", DType::kF32, {2, 3}, source(6));
  lacking.add_tensor_source("m", DType::kF32, {2, 3}, source(5));
  EXPECT_EQ(*whole.to_bytes(), *piecewise.to_bytes());
  const auto refused = lacking.to_bytes();
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message.contains("has 20 bytes, its type f32 needs 24"))
      << refused.error().message;
}

TEST(Gguf, RefusesTensorsThatOverlap) {
  GgufWriter writer;
  writer.add_tensor("a", DType::kF32, {16}, std::vector<std::byte>(64));
  writer.add_tensor("b", DType::kF32, {16}, std::vector<std::byte>(64));
  auto written = writer.to_bytes();
  ASSERT_TRUE(written);
  ASSERT_TRUE(GgufFile::parse(bytes_of(*written), "f"));
  // The offset of b, 64, becomes 32.
  const std::size_t at = written->find(std::string("\x40\0\0\0\0\0\0\0", 8));
  ASSERT_NE(at, std::string::npos);
  (*written)[at] = 0x20;
  const auto file = GgufFile::parse(bytes_of(*written), "f");
  ASSERT_FALSE(file);
  EXPECT_TRUE(file.error().message.contains("overlap")) << file.error().message;
}

TEST(Gguf, RefusesTheSameNameTwice) {
  GgufWriter writer;
  writer.add_tensor("a", DType::kF32, {1}, floats({1}));
  writer.add_tensor("a", DType::kF32, {1}, floats({2}));
  const auto written = writer.to_bytes();
  EXPECT_TRUE(!written || !GgufFile::parse(bytes_of(*written), "f"));
}

std::string safetensors(std::string_view header, std::size_t data) {
  std::string out;
  append<std::uint64_t>(out, header.size());
  out += header;
  return out + std::string(data, '\1');
}

TEST(Safetensors, ReadsBackWhatItWrote) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("tack_formats_test_" + std::to_string(::getpid()) + ".safetensors");
  const auto values = floats({1, 2, 3, 4, 5, 6});
  const std::map<std::string, TensorView> tensors = {
      {"b", {DType::kF32, {2, 3}, values}}, {"a", {DType::kF32, {2}, std::span(values).first(8)}}};
  ASSERT_TRUE(write_safetensors(path, tensors, {{"format", "pt"}}));
  const auto file = SafetensorsFile::open(path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->metadata().at("format"), "pt");
  ASSERT_NE(file->find("b"), nullptr);
  EXPECT_EQ(file->find("b")->shape, (Shape{2, 3}));
  EXPECT_TRUE(std::ranges::equal(file->find("b")->bytes, values));
  EXPECT_EQ(file->find("c"), nullptr);
  std::filesystem::remove(path);
}

TEST(Safetensors, RefusesWhatIsBroken) {
  const std::string good =
      safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  ASSERT_TRUE(SafetensorsFile::parse(bytes_of(good), "f"));
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(SafetensorsFile::parse(bytes_of(good.substr(0, size)), "f")) << size;
  const std::vector<std::string> broken = {
      safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}})", 8),
      safetensors(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
      safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8),
      safetensors(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8),
      safetensors(R"({"a":{"dtype":"F9","shape":[2],"data_offsets":[0,8]}})", 8),
      safetensors(R"({"a":{"dtype":"F32","shape":[4611686018427387905,4],"data_offsets":[0,16]}})",
                  16),
      safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                  R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                  12),
      safetensors(R"({"a":{"dtype":"F32"}})", 8),
      safetensors(R"([])", 8),
      safetensors(R"({"a":)", 8),
      safetensors("", 0),
  };
  for (const std::string& file : broken)
    EXPECT_FALSE(SafetensorsFile::parse(bytes_of(file), "f")) << file.substr(8);
}

TEST(HuggingFace, NamesTheFileThatIsMissing) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("tack_formats_test_hf_" + std::to_string(::getpid()));
  std::filesystem::create_directories(path);
  const auto directory = HuggingFaceDirectory::open(path);
  ASSERT_FALSE(directory);
  EXPECT_TRUE(directory.error().message.contains("config.json")) << directory.error().message;
  std::ofstream(path / "config.json") << "{";
  const auto broken = HuggingFaceDirectory::open(path);
  ASSERT_FALSE(broken);
  EXPECT_TRUE(broken.error().message.contains("config.json")) << broken.error().message;
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace tack
