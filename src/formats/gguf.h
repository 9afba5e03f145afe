// GGUF v3 (and v2) files: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
//
// Reading maps the file and checks everything before use: counts, lengths, types, alignment, that
// tensors lie inside the file and do not overlap. Errors name the byte offset or the key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "tensor/tensor_view.h"

namespace tack {

// A metadata value. Integers keep the width they had in the file only as far as the writer needs
// it: unsigned kinds are uint64, signed ones int64, f32 and f64 double.
struct GgufValue {
  enum class Type : std::uint32_t {
    kU8 = 0,
    kI8 = 1,
    kU16 = 2,
    kI16 = 3,
    kU32 = 4,
    kI32 = 5,
    kF32 = 6,
    kBool = 7,
    kString = 8,
    kArray = 9,
    kU64 = 10,
    kI64 = 11,
    kF64 = 12,
  };
  // Arrays of strings view the mapped file when read; see GgufFile. Nested arrays are refused.
  using Strings = std::vector<std::string>;
  Type type = Type::kU32;
  Type element_type = Type::kU32;  // of arrays
  std::variant<std::uint64_t, std::int64_t, double, bool, std::string, Strings,
               std::vector<std::int64_t>, std::vector<double>>
      value;

  static GgufValue u32(std::uint32_t v);
  static GgufValue i32(std::int32_t v);
  static GgufValue u64(std::uint64_t v);
  static GgufValue f32(float v);
  static GgufValue boolean(bool v);
  static GgufValue string(std::string v);
  static GgufValue strings(Strings v);
  static GgufValue i8s(std::vector<std::int64_t> v);
  static GgufValue i32s(std::vector<std::int64_t> v);
  static GgufValue f32s(std::vector<double> v);
};

struct GgufTensor {
  std::string name;
  TensorView view;  // shape outermost first
};

class GgufFile {
 public:
  static Result<GgufFile> open(const std::filesystem::path& path);
  // `bytes` must outlive the object. `name` stands in error messages.
  static Result<GgufFile> parse(std::span<const std::byte> bytes, std::string_view name);

  const std::string& name() const { return name_; }
  std::uint32_t version() const { return version_; }
  std::size_t file_bytes() const;

  // Metadata in file order.
  const std::vector<std::pair<std::string, GgufValue>>& metadata() const { return metadata_; }
  const GgufValue* find(std::string_view key) const;

  // Typed access. Missing key or wrong type: an error naming file and key. Integer kinds convert
  // into each other when the value fits.
  Result<std::int64_t> integer(std::string_view key) const;
  Result<double> number(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;
  Result<std::string> string(std::string_view key) const;
  Result<std::span<const std::string>> strings(std::string_view key) const;
  // The value, or `otherwise` when the key is missing; a wrong type is still an error.
  Result<std::int64_t> integer_or(std::string_view key, std::int64_t otherwise) const;
  Result<double> number_or(std::string_view key, double otherwise) const;
  Result<bool> boolean_or(std::string_view key, bool otherwise) const;
  Result<std::string> string_or(std::string_view key, std::string otherwise) const;

  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* find_tensor(std::string_view name) const;

 private:
  friend class GgufParser;
  MappedFile file_;
  std::span<const std::byte> bytes_;
  std::string name_;
  std::uint32_t version_ = 3;
  std::vector<std::pair<std::string, GgufValue>> metadata_;
  std::map<std::string, std::size_t, std::less<>> metadata_index_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, std::size_t, std::less<>> tensor_index_;
};

// Writes a GGUF v3 file, atomically. Keys and tensors are written in the order they were added.
class GgufWriter {
 public:
  // Replaces the value when the key is there already.
  void set(std::string key, GgufValue value);
  bool has(std::string_view key) const;

  // The bytes are copied or viewed: a view must outlive write().
  void add_tensor(std::string name, DType dtype, Shape shape, std::vector<std::byte> bytes);
  void add_tensor_view(std::string name, const TensorView& view);
  // The bytes are made while the file is written: `source` gives them to its argument, in order
  // and in pieces of any size. It is called once for every write.
  using Sink = std::function<Status(std::span<const std::byte>)>;
  using Source = std::function<Status(const Sink&)>;
  void add_tensor_source(std::string name, DType dtype, Shape shape, Source source);

  Status write(const std::filesystem::path& path) const;
  // How many bytes write() writes.
  Result<std::uint64_t> file_bytes() const;
  // The same bytes in memory.
  Result<std::string> to_bytes() const;

 private:
  struct Tensor {
    std::string name;
    TensorView view;
    std::vector<std::byte> owned;
    Source source;  // or null
  };
  // All before the tensors, and the bytes of each of those.
  struct Header {
    std::string text;
    std::vector<std::size_t> sizes;
    std::uint64_t data_bytes = 0;
  };
  Result<Header> header() const;
  static Status emit_tensor(const Tensor& tensor, std::size_t bytes,
                            const std::function<Status(std::string_view)>& sink);
  Status emit(const std::function<Status(std::string_view)>& sink) const;
  std::vector<std::pair<std::string, GgufValue>> metadata_;
  std::vector<Tensor> tensors_;
};

}  // namespace tack
