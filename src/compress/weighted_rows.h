// Rows of weights in types of blocks, errors weighed by what the columns are worth.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/importance.h"
#include "tensor/convert_rows.h"

namespace tack {

// Mean squares of what a weight reads, ready to weigh errors: columns that the text hardly touched
// count a little too. Empty when the weight was not measured, or reads nothing but zeros.
std::vector<float> column_weights(const ImportanceMatrix& matrix, std::string_view weight);

// One row as `dtype`, which has block writers or none (tensor/convert.h). Without importance as
// from_f32().
Status write_weighted_row(DType dtype, std::span<const float> values,
                          std::span<const float> importance, std::span<std::byte> to);

// As convert_rows(), with importance [cols] or none.
Status convert_rows_weighted(const TensorView& from, DType dtype, std::span<const float> importance,
                             ThreadPool& pool, const ByteSink& sink);
Result<std::vector<std::byte>> converted_weighted(const TensorView& from, DType dtype,
                                                  std::span<const float> importance,
                                                  ThreadPool& pool);

// The sum over all weights of importance * (weight - its value as `dtype`)^2: the squared error of
// an output, summed over outputs. Of a tensor with more than `most_values` values it is estimated
// from evenly spread rows.
Result<double> weighted_error(const TensorView& from, DType dtype,
                              std::span<const float> importance, std::int64_t most_values,
                              ThreadPool& pool);

}  // namespace tack
