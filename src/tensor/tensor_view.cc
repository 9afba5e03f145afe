#include "tensor/tensor_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace tack {

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (std::int64_t extent : shape) count *= extent;
  return count;
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::int64_t TensorView::cols() const {
  return shape.empty() ? 1 : shape.back();
}

std::int64_t TensorView::rows() const {
  return cols() == 0 ? 0 : element_count(shape) / cols();
}

std::span<const std::byte> TensorView::row(std::int64_t r) const {
  const std::size_t row_bytes = bytes.size() / static_cast<std::size_t>(rows());
  return bytes.subspan(static_cast<std::size_t>(r) * row_bytes, row_bytes);
}

}  // namespace tack
