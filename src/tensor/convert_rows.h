// A whole tensor from one storage type to another, in pieces of rows that all workers share, so
// that a tensor larger than memory passes through.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "base/result.h"
#include "base/thread_pool.h"
#include "tensor/tensor_view.h"

namespace tack {

using ByteSink = std::function<Status(std::span<const std::byte>)>;

// Gives `sink` the rows of `from` as `dtype`, in order; the same bytes for any number of workers.
// A tensor of that type already is passed on as it is. Errors: rows that are no whole number of
// blocks; a value that is not finite or that `dtype` cannot hold, with its row; those of the sink.
Status convert_rows(const TensorView& from, DType dtype, ThreadPool& pool, const ByteSink& sink);

// The same with `write` for the bytes of a row, whose values are finite. Called by all workers.
using RowWriter =
    std::function<Status(std::int64_t row, std::span<const float> from, std::span<std::byte> to)>;
Status convert_rows(const TensorView& from, DType dtype, ThreadPool& pool, const RowWriter& write,
                    const ByteSink& sink);

}  // namespace tack
