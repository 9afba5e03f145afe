// Which type each tensor gets under a budget of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace tack {

struct TypeChoice {
  DType dtype = DType::kF32;
  std::uint64_t bytes = 0;  // in the file
  double loss = 0;          // that is expected of it
};
struct TensorChoices {
  std::string name;
  std::vector<TypeChoice> types;  // at least one
};

// The least bytes that all tensors together can take.
std::uint64_t least_bytes(std::span<const TensorChoices> tensors);

// A type for each tensor (its index in `types`) with a sum of bytes of at most `budget` and a sum
// of losses that is least, or close to it: loss + lambda * bytes is minimised for the smallest
// lambda that fits, then what is left is filled and single and paired changes that gain are made.
// Empty when least_bytes() is above the budget.
std::optional<std::vector<std::size_t>> allocate(std::span<const TensorChoices> tensors,
                                                 std::uint64_t budget);

}  // namespace tack
