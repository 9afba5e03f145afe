// GPTQ: rounds the columns of a weight one after another, and lets the later columns repair what
// the earlier ones did to the layer's outputs (Frantar et al., arXiv 2210.17323).
//
// Scales and offsets of a block are searched for (tensor/block_search.h) when its first column is
// reached, on the weights as repaired so far; within a block of 256 the codes of a group's scale
// and offset are chosen anew at its first column. Columns keep their order: blocks stay blocks of
// the file format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/hessian.h"
#include "tensor/dtype.h"

namespace tack {

struct GptqOptions {
  double damping = 0.01;  // of the Hessian's mean diagonal, added to its diagonal
};

// The rows of weight [out, in] as blocks of `dtype`. The same bytes for any number of threads.
// Errors: a type without parts (tensor/block_parts.h), rows that are no whole number of blocks, a
// weight that is not finite or beyond kBlockLimit; those of HessianFactor::make.
Result<std::vector<std::byte>> gptq_quantize(DType dtype, std::span<const float> weight,
                                             std::int64_t out, std::int64_t in,
                                             std::span<const float> hessian,
                                             const GptqOptions& options, ThreadPool& pool);

// With a factor that several weights share which read the same values (query, key and value).
Result<std::vector<std::byte>> gptq_quantize(DType dtype, std::span<const float> weight,
                                             std::int64_t out, const HessianFactor& factor,
                                             ThreadPool& pool);

}  // namespace tack
