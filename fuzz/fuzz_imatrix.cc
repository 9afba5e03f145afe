// An importance matrix from any bytes: an error, or sums that are numbers.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "compress/imatrix_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto matrix = tack::parse_imatrix(std::as_bytes(std::span(data, size)), "fuzz");
  if (!matrix) return 0;
  if (matrix->tensors.empty()) std::abort();
  for (const auto& [name, column] : matrix->tensors) {
    if (column.squares.empty() || column.rows < 0) std::abort();
    for (const float sum : column.squares)
      if (!(std::isfinite(sum) && sum >= 0)) std::abort();
    (void)matrix->means(name);
  }
  return 0;
}
