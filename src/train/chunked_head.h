// A linear head over a vocabulary, for some rows at a time: the logits of all rows of a batch would
// be the largest thing in memory (1,024 rows of 32,000 tokens: 131 MB, and their gradient as much
// again). The bits do not depend on how many workers there are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace tack {

struct VocabularyHead {
  const float* weight = nullptr;  // [vocab, dims]
  float* gradient = nullptr;      // added to; null: the head is frozen
  std::int64_t vocab = 0, dims = 0;
};

class ChunkedHead {
 public:
  // `bf16`: products in bf16 where the processor has it. Head and pool must outlive this.
  // `backward`: whether there will be one.
  ChunkedHead(const VocabularyHead& head, bool bf16, bool backward, ThreadPool& pool);

  std::int64_t rows() const { return rows_; }  // most of a chunk
  std::int64_t vocab() const { return head_.vocab; }
  std::int64_t dims() const { return head_.dims; }
  // The logits of row r of the chunk, [stride()]; their gradient takes their place.
  float* row(std::int64_t r) { return logits_.as<float>() + r * stride_; }
  std::int64_t stride() const { return stride_; }  // a multiple of 16

  // These two are called by all workers of the pool together. hidden [rows, dims]; after a barrier
  // the logits are there.
  void forward(const float* hidden, std::int64_t rows, int worker);
  // After a barrier: from the gradient of the logits adds to the head's and to `hidden_gradient`.
  void backward(const float* hidden, std::int64_t rows, float* hidden_gradient, int worker);

  std::size_t bytes() const;

 private:
  VocabularyHead head_;
  ThreadPool& pool_;
  kernels::Product product_;
  std::int64_t rows_, stride_;
  AlignedBuffer logits_;                // [rows_, stride_]
  std::vector<AlignedBuffer> scratch_;  // per worker
  AlignedBuffer packed_, packed_transposed_;
};

}  // namespace tack
