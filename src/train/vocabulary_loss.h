// Losses over a whole vocabulary, of logits that are a linear head on hidden vectors, computed for
// some rows at a time (train/chunked_head.h). The bits do not depend on how many workers there are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "train/chunked_head.h"

namespace tack {

// The loss of the next token: cross-entropy.
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

  std::size_t bytes() const { return head_.bytes(); }

 private:
  double each_chunk(std::span<const float> hidden, std::span<const std::int32_t> targets,
                    float scale, float* hidden_gradient);
  // One worker's part of some rows.
  void compute(std::span<const float> hidden, std::span<const std::int32_t> targets, float scale,
               float* hidden_gradient, int worker);

  ThreadPool& pool_;
  ChunkedHead head_;
  std::vector<double> losses_;  // [rows of a chunk]
};

// The distance to what a teacher of the same vocabulary says: KL(teacher || student) of the next
// token.
class VocabularyDistillation {
 public:
  // As above; the teacher's head has no gradient and may have other dims.
  VocabularyDistillation(const VocabularyHead& student, const VocabularyHead& teacher, bool bf16,
                         ThreadPool& pool);

  // hidden [rows, dims] and the teacher's, [rows, its dims]. Adds scale times the gradient of the
  // summed divergence to the head's and to `hidden_gradient`, and returns scale times that sum.
  double learn(std::span<const float> hidden, std::span<const float> taught, double scale,
               std::span<float> hidden_gradient);

  // The sum of divergences, nats.
  double measure(std::span<const float> hidden, std::span<const float> taught);

  std::size_t bytes() const;

 private:
  double each_chunk(std::span<const float> hidden, std::span<const float> taught, float scale,
                    float* hidden_gradient);
  // The divergence of two rows of logits; scale times its gradient takes the student's place.
  double compare(float* student, float* teacher, float scale, int worker);

  ThreadPool& pool_;
  ChunkedHead student_, teacher_;
  std::int64_t rows_;                         // of a chunk
  std::vector<double> losses_;                // [rows_]
  std::vector<AlignedBuffer> probabilities_;  // per worker: of the teacher, a row
};

}  // namespace tack
