#include "compress/imatrix_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "formats/gguf.h"

namespace tack {
namespace {

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";
constexpr const char* kDatasets = "imatrix.datasets";
constexpr const char* kChunkCount = "imatrix.chunk_count";
constexpr const char* kChunkSize = "imatrix.chunk_size";
constexpr float kMostRows = 1e15F;  // far from the ends of s64

Result<std::vector<float>> floats_of(const GgufTensor& tensor) {
  if (tensor.view.dtype != DType::kF32)
    return fail("tensor '{}' is {}, not f32", tensor.name, info(tensor.view.dtype).name);
  std::vector<float> values(tensor.view.bytes.size() / sizeof(float));
  if (!values.empty())
    std::memcpy(values.data(), tensor.view.bytes.data(), tensor.view.bytes.size());
  return values;
}

// Sums of squares.
Status check_sums(std::string_view name, std::span<const float> sums) {
  if (sums.empty()) return fail("'{}' has no columns", name);
  const auto good = [](float x) { return std::isfinite(x) && x >= 0; };
  if (const auto bad = std::ranges::find_if_not(sums, good); bad != sums.end())
    return fail("'{}': column {} has a sum of squares of {}", name, bad - sums.begin(), *bad);
  return {};
}

Result<ImportanceMatrix::Column> column_of(const GgufFile& file, std::string_view weight,
                                           const GgufTensor& sums) {
  ImportanceMatrix::Column column;
  TACK_TRY(column.squares, floats_of(sums));
  TACK_RETURN_IF_ERROR(check_sums(weight, column.squares));
  const GgufTensor* counts = file.find_tensor(std::string(weight) + std::string(kCounts));
  if (counts == nullptr) return fail("'{}' has sums without counts", weight);
  TACK_TRY(const std::vector<float> rows, floats_of(*counts));
  if (rows.size() != 1)
    return fail("'{}' has sums of {} experts: such models cannot be read", weight, rows.size());
  if (!(rows[0] >= 0 && rows[0] <= kMostRows))
    return fail("'{}': a count of {} rows", weight, rows[0]);
  column.rows = std::llround(rows[0]);
  return column;
}

Result<ImportanceMatrix> from_gguf(const GgufFile& file) {
  TACK_TRY(const std::string type, file.string_or("general.type", ""));
  if (type != "imatrix") return fail("general.type is '{}': this is no importance matrix", type);
  ImportanceMatrix matrix;
  if (file.find(kDatasets) != nullptr) {
    TACK_TRY(const auto datasets, file.strings(kDatasets));
    matrix.datasets.assign(datasets.begin(), datasets.end());
  }
  TACK_TRY(matrix.chunks, file.integer_or(kChunkCount, 0));
  TACK_TRY(matrix.chunk_size, file.integer_or(kChunkSize, 0));
  for (const GgufTensor& tensor : file.tensors()) {
    if (!tensor.name.ends_with(kSums)) continue;
    const std::string weight = tensor.name.substr(0, tensor.name.size() - kSums.size());
    TACK_TRY(matrix.tensors[weight], column_of(file, weight, tensor));
  }
  return matrix;
}

// The older format, read in order.
class OldFile {
 public:
  explicit OldFile(std::span<const std::byte> bytes) : rest_(bytes) {}

  Result<ImportanceMatrix> parse() {
    ImportanceMatrix matrix;
    TACK_TRY(const std::int32_t weights, integer("the number of weights"));
    if (weights < 1) return fail("neither a GGUF nor an importance matrix of the older format");
    for (std::int32_t i = 0; i < weights; ++i) TACK_RETURN_IF_ERROR(add_weight(matrix));
    if (rest_.empty()) return matrix;
    TACK_TRY(const std::int32_t chunks, integer("the number of chunks"));
    matrix.chunks = std::max(chunks, 0);
    if (rest_.empty()) return matrix;
    TACK_TRY(std::string dataset, text("the dataset"));
    if (!dataset.empty()) matrix.datasets.push_back(std::move(dataset));
    return matrix;
  }

 private:
  Status add_weight(ImportanceMatrix& matrix) {
    TACK_TRY(const std::string name, text("a weight's name"));
    TACK_TRY(const std::int32_t chunks, integer("a weight's chunks"));
    TACK_TRY(const std::int32_t columns, integer("a weight's columns"));
    if (chunks < 0) return fail("'{}': {} chunks", name, chunks);
    TACK_TRY(const auto bytes, take(std::int64_t{columns} * 4, "a weight's sums"));
    ImportanceMatrix::Column column;
    column.rows = chunks;  // the sums are mean squares times this number
    column.squares.resize(bytes.size() / sizeof(float));
    if (!bytes.empty()) std::memcpy(column.squares.data(), bytes.data(), bytes.size());
    TACK_RETURN_IF_ERROR(check_sums(name, column.squares));
    matrix.tensors[name] = std::move(column);
    return {};
  }

  Result<std::span<const std::byte>> take(std::int64_t bytes, std::string_view what) {
    if (bytes < 0 || static_cast<std::uint64_t>(bytes) > rest_.size())
      return fail("it ends inside {}: no importance matrix, or an incomplete one", what);
    const auto part = rest_.first(static_cast<std::size_t>(bytes));
    rest_ = rest_.subspan(part.size());
    return part;
  }
  Result<std::int32_t> integer(std::string_view what) {
    TACK_TRY(const auto bytes, take(4, what));
    std::int32_t value = 0;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  Result<std::string> text(std::string_view what) {
    TACK_TRY(const std::int32_t length, integer(what));
    TACK_TRY(const auto bytes, take(length, what));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  std::span<const std::byte> rest_;
};

constexpr std::string_view kGgufMagic = "GGUF";

}  // namespace

Result<ImportanceMatrix> parse_imatrix(std::span<const std::byte> bytes, std::string_view name) {
  const bool gguf = bytes.size() >= kGgufMagic.size() &&
                    std::memcmp(bytes.data(), kGgufMagic.data(), kGgufMagic.size()) == 0;
  auto matrix = [&]() -> Result<ImportanceMatrix> {
    if (!gguf) return OldFile(bytes).parse();
    TACK_TRY(const GgufFile file, GgufFile::parse(bytes, name));
    return from_gguf(file);
  }();
  if (matrix && matrix->tensors.empty()) matrix = fail("it has no weights");
  if (!matrix) {
    Error error = std::move(matrix).error();
    if (error.message.contains(name)) return std::unexpected(std::move(error));
    return std::unexpected(std::move(error).in(name));
  }
  return matrix;
}

Result<ImportanceMatrix> read_imatrix(const std::filesystem::path& path) {
  TACK_TRY(const auto file, MappedFile::open(path));
  return parse_imatrix(file.bytes(), path.string());
}

Status write_imatrix(const ImportanceMatrix& matrix, const std::filesystem::path& path) {
  GgufWriter writer;
  writer.set("general.type", GgufValue::string("imatrix"));
  writer.set(kDatasets, GgufValue::strings(matrix.datasets));
  writer.set(kChunkCount, GgufValue::u32(static_cast<std::uint32_t>(matrix.chunks)));
  writer.set(kChunkSize, GgufValue::u32(static_cast<std::uint32_t>(matrix.chunk_size)));
  for (const auto& [name, column] : matrix.tensors) {
    const auto floats = std::as_bytes(std::span(column.squares));
    writer.add_tensor(name + std::string(kSums), DType::kF32,
                      {static_cast<std::int64_t>(column.squares.size())},
                      {floats.begin(), floats.end()});
    const auto rows = static_cast<float>(column.rows);
    const auto count = std::as_bytes(std::span(&rows, 1));
    writer.add_tensor(name + std::string(kCounts), DType::kF32, {1}, {count.begin(), count.end()});
  }
  return writer.write(path);
}

}  // namespace tack
