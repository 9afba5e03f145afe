// The loss of the next token: cross-entropy over a whole vocabulary, of logits that are a linear
// head on hidden vectors.
//
// Logits of all rows of a batch would be the largest thing in memory (1,024 rows of 32,000 tokens:
// 131 MB, and their gradient as much again), so head, loss and gradients are computed for some rows
// at a time and the logits are overwritten by their gradient. The bits do not depend on how many
// workers there are.
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

class VocabularyLoss {
 public:
  // `bf16`: products in bf16 where the processor has it. Head and pool must outlive this.
  VocabularyLoss(const VocabularyHead& head, bool bf16, ThreadPool& pool);

  // hidden [rows, dims], the token that follows each row (below 0: the row counts for nothing).
  // Adds scale times the gradient of the summed -log p to the head's and to `hidden_gradient`
  // [rows, dims], and returns scale times that sum.
  double learn(std::span<const float> hidden, std::span<const std::int32_t> targets, double scale,
               std::span<float> hidden_gradient);

  // The sum of -log p, nats.
  double measure(std::span<const float> hidden, std::span<const std::int32_t> targets);

  std::size_t bytes() const;

 private:
  double each_chunk(std::span<const float> hidden, std::span<const std::int32_t> targets,
                    float scale, float* hidden_gradient);
  // One worker's part of some rows.
  void compute(std::span<const float> hidden, std::span<const std::int32_t> targets, float scale,
               float* hidden_gradient, int worker);

  VocabularyHead head_;
  ThreadPool& pool_;
  kernels::Product product_;
  std::int64_t rows_, stride_;          // of a chunk; floats from one row of logits to the next
  AlignedBuffer logits_;                // [rows_, stride_], then probabilities, then their gradient
  std::vector<AlignedBuffer> scratch_;  // per worker
  AlignedBuffer packed_, packed_transposed_;
  std::vector<double> losses_;  // [rows_]
};

}  // namespace tack
