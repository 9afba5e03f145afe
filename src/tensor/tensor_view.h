// A typed, shaped view of memory owned by someone else (a mapped model file, a buffer).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace tack {

// Row-major, outermost dimension first, as PyTorch prints it: a linear layer is [out, in].
// (GGUF files list the same dimensions in reverse; formats/ turns them round.)
using Shape = std::vector<std::int64_t>;

std::int64_t element_count(const Shape& shape);  // 1 for a scalar
std::string to_string(const Shape& shape);       // "[384, 1536]"

struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  std::span<const std::byte> bytes;  // exactly storage_bytes(dtype, element_count(shape))

  std::int64_t rows() const;  // product of all but the last dimension
  std::int64_t cols() const;  // the last dimension
  std::span<const std::byte> row(std::int64_t r) const;
};

}  // namespace tack
