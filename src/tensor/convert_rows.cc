#include "tensor/convert_rows.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <mutex>
#include <vector>

#include "tensor/convert.h"

namespace tack {
namespace {

// Values in a piece: enough for all workers, and a few MB of buffer.
constexpr std::int64_t kPieceValues = 1 << 20;

Status read_row(const TensorView& from, std::int64_t row, std::span<float> values) {
  TACK_RETURN_IF_ERROR(to_f32(from.dtype, from.row(row), values));
  const auto broken = std::ranges::find_if_not(values, [](float v) { return std::isfinite(v); });
  if (broken != values.end())
    return fail("value {} is {}: the weights are broken", broken - values.begin(), *broken);
  return {};
}

// The error of the first row that has one, whichever worker came across it.
class FirstError {
 public:
  void report(std::int64_t row, Error error) {
    const std::lock_guard lock(mutex_);
    if (row_ >= 0 && row_ <= row) return;
    row_ = row;
    error_ = std::move(error);
  }
  Status status() && {
    if (row_ < 0) return {};
    return std::unexpected(std::move(error_).in("row " + std::to_string(row_)));
  }

 private:
  std::mutex mutex_;
  std::int64_t row_ = -1;
  Error error_;
};

}  // namespace

Status convert_rows(const TensorView& from, DType dtype, ThreadPool& pool, const ByteSink& sink) {
  if (from.dtype == dtype) return sink(from.bytes);
  const auto write = [dtype](std::int64_t, std::span<const float> values, std::span<std::byte> to) {
    return from_f32(dtype, values, to);
  };
  return convert_rows(from, dtype, pool, write, sink);
}

Status convert_rows(const TensorView& from, DType dtype, ThreadPool& pool, const RowWriter& write,
                    const ByteSink& sink) {
  const std::int64_t rows = from.rows(), cols = from.cols();
  const auto row_bytes = storage_bytes(dtype, static_cast<std::uint64_t>(cols));
  if (!row_bytes)
    return fail("rows of {} values are no whole number of {}'s blocks of {}", cols,
                info(dtype).name, info(dtype).block_elements);
  const std::int64_t step = std::clamp<std::int64_t>(kPieceValues / std::max<std::int64_t>(cols, 1),
                                                     1, std::max<std::int64_t>(rows, 1));
  std::vector<std::byte> piece(static_cast<std::size_t>(step) * *row_bytes);
  for (std::int64_t first = 0; first < rows; first += step) {
    const std::int64_t count = std::min(step, rows - first);
    FirstError error;
    pool.run([&](int worker) {
      std::vector<float> values(static_cast<std::size_t>(cols));
      for (std::int64_t r = worker; r < count; r += pool.size()) {
        const auto out =
            std::span(piece).subspan(static_cast<std::size_t>(r) * *row_bytes, *row_bytes);
        Status status = read_row(from, first + r, values);
        if (status) status = write(first + r, values, out);
        if (!status) return error.report(first + r, std::move(status).error());
      }
    });
    TACK_RETURN_IF_ERROR(std::move(error).status());
    TACK_RETURN_IF_ERROR(
        sink(std::span(piece).first(static_cast<std::size_t>(count) * *row_bytes)));
  }
  return {};
}

}  // namespace tack
