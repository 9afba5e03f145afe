#include "compress/weighted_rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/blocks.h"
#include "tensor/convert.h"

namespace tack {
namespace {

// Of the mean: the least that a column is worth.
constexpr float kLeastWorth = 1e-4F;

}  // namespace

std::vector<float> column_weights(const ImportanceMatrix& matrix, std::string_view weight) {
  std::vector<float> means = matrix.means(weight);
  if (means.empty()) return {};
  const double mean =
      std::accumulate(means.begin(), means.end(), 0.0) / static_cast<double>(means.size());
  if (!(mean > 0)) return {};
  const float least = kLeastWorth * static_cast<float>(mean);
  for (float& m : means) m = std::max(m, least);
  return means;
}

Status write_weighted_row(DType dtype, std::span<const float> values,
                          std::span<const float> importance, std::span<std::byte> to) {
  const WriteWeightedFn write = weighted_block_writer(dtype);
  if (importance.empty() || write == nullptr) return from_f32(dtype, values, to);
  const auto too_large = [](float v) { return !(std::fabs(v) <= kBlockLimit); };
  if (const auto bad = std::ranges::find_if(values, too_large); bad != values.end())
    return fail("value {} is {}, too large for {}: use bf16 or f32", bad - values.begin(), *bad,
                info(dtype).name);
  const DTypeInfo& type = info(dtype);
  for (std::size_t b = 0; b < values.size() / type.block_elements; ++b)
    write(values.data() + b * type.block_elements, importance.data() + b * type.block_elements,
          to.data() + b * type.block_bytes);
  return {};
}

Status convert_rows_weighted(const TensorView& from, DType dtype, std::span<const float> importance,
                             ThreadPool& pool, const ByteSink& sink) {
  if (from.dtype == dtype) return sink(from.bytes);
  const auto write = [&](std::int64_t, std::span<const float> values, std::span<std::byte> to) {
    return write_weighted_row(dtype, values, importance, to);
  };
  return convert_rows(from, dtype, pool, write, sink);
}

Result<std::vector<std::byte>> converted_weighted(const TensorView& from, DType dtype,
                                                  std::span<const float> importance,
                                                  ThreadPool& pool) {
  std::vector<std::byte> bytes;
  TACK_RETURN_IF_ERROR(convert_rows_weighted(
      from, dtype, importance, pool, [&](std::span<const std::byte> piece) -> Status {
        bytes.insert(bytes.end(), piece.begin(), piece.end());
        return {};
      }));
  return bytes;
}

Result<double> weighted_error(const TensorView& from, DType dtype,
                              std::span<const float> importance, std::int64_t most_values,
                              ThreadPool& pool) {
  const std::int64_t rows = from.rows(), cols = from.cols();
  const auto row_bytes = storage_bytes(dtype, static_cast<std::uint64_t>(cols));
  if (!row_bytes)
    return fail("rows of {} values are no whole blocks of {}", cols, info(dtype).name);
  const std::int64_t count =
      std::clamp<std::int64_t>(most_values / std::max<std::int64_t>(cols, 1), 1, rows);
  std::vector<double> errors(static_cast<std::size_t>(count));
  std::vector<Status> states(static_cast<std::size_t>(pool.size()));
  pool.run([&](int worker) {
    const auto width = static_cast<std::size_t>(cols);
    std::vector<float> values(width), back(width);
    std::vector<std::byte> bytes(*row_bytes);
    Status& state = states[static_cast<std::size_t>(worker)];
    for (std::int64_t i = worker; i < count && state; i += pool.size()) {
      const std::int64_t row = i * rows / count;
      state = to_f32(from.dtype, from.row(row), values);
      if (state) state = write_weighted_row(dtype, values, importance, bytes);
      if (state) state = to_f32(dtype, bytes, back);
      double sum = 0;
      for (std::size_t k = 0; k < width; ++k) {
        const double off = static_cast<double>(values[k]) - static_cast<double>(back[k]);
        sum += off * off * (importance.empty() ? 1.0 : static_cast<double>(importance[k]));
      }
      errors[static_cast<std::size_t>(i)] = sum;
    }
  });
  for (Status& state : states) TACK_RETURN_IF_ERROR(std::move(state));
  return std::accumulate(errors.begin(), errors.end(), 0.0) * static_cast<double>(rows) /
         static_cast<double>(count);
}

}  // namespace tack
