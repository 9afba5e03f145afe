#include "train/chunked_head.h"

#include <algorithm>

#include "train/worker_product.h"

namespace tack {
namespace {

constexpr std::int64_t kChunkFloats = 1 << 20;  // of logits: 4 MB, and products stay large

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

ChunkedHead::ChunkedHead(const VocabularyHead& head, bool bf16, bool backward, ThreadPool& pool)
    : head_(head),
      pool_(pool),
      product_(bf16 && kernels::bf16_product() != nullptr ? *kernels::bf16_product()
                                                          : kernels::kernels().product),
      stride_((head.vocab + 15) / 16 * 16) {
  rows_ = std::clamp<std::int64_t>(kChunkFloats / stride_ / 16 * 16, 16, 512);
  logits_ = AlignedBuffer(at(rows_ * stride_) * sizeof(float));
  const std::int64_t widest = std::max({head.vocab, head.dims, rows_});
  for (int w = 0; w < pool.size(); ++w) scratch_.emplace_back(kernels::product_panel_bytes(widest));
  if (product_.packs_straight)
    packed_ = AlignedBuffer(
        kernels::product_packed_bytes(product_, rows_, std::max(head.vocab, head.dims)));
  if (backward)
    packed_transposed_ = AlignedBuffer(kernels::product_packed_bytes(product_, head.vocab, rows_));
}

std::size_t ChunkedHead::bytes() const {
  std::size_t sum = logits_.size() + packed_.size() + packed_transposed_.size();
  for (const AlignedBuffer& scratch : scratch_) sum += scratch.size();
  return sum;
}

void ChunkedHead::forward(const float* hidden, std::int64_t rows, int worker) {
  const kernels::ProductArgs product{.m = rows,
                                     .n = head_.vocab,
                                     .k = head_.dims,
                                     .a = hidden,
                                     .lda = head_.dims,
                                     .b = head_.weight,
                                     .ldb = head_.dims,
                                     .b_transposed = true,
                                     .c = logits_.as<float>(),
                                     .ldc = stride_};
  pack_part(product_, product, packed_.data(), worker, pool_.size());
  pool_.barrier().arrive_and_wait();
  multiply_part(product_, product, packed_.data(), scratch_[at(worker)].data(), worker,
                pool_.size());
}

void ChunkedHead::backward(const float* hidden, std::int64_t rows, float* hidden_gradient,
                           int worker) {
  const int workers = pool_.size();
  std::byte* const scratch = scratch_[at(worker)].data();
  const kernels::ProductArgs input{.m = rows,  // dx += dy W
                                   .n = head_.dims,
                                   .k = head_.vocab,
                                   .a = logits_.as<float>(),
                                   .lda = stride_,
                                   .b = head_.weight,
                                   .ldb = head_.dims,
                                   .accumulate = true,
                                   .c = hidden_gradient,
                                   .ldc = head_.dims};
  const kernels::ProductArgs weight{.m = head_.vocab,  // dW += dy^T x
                                    .n = head_.dims,
                                    .k = rows,
                                    .a = logits_.as<float>(),
                                    .lda = stride_,
                                    .a_transposed = true,
                                    .b = hidden,
                                    .ldb = head_.dims,
                                    .accumulate = true,
                                    .c = head_.gradient,
                                    .ldc = head_.dims};
  pack_part(product_, input, packed_.data(), worker, workers);
  if (head_.gradient != nullptr)
    pack_part(product_, weight, packed_transposed_.data(), worker, workers);
  pool_.barrier().arrive_and_wait();
  multiply_part(product_, input, packed_.data(), scratch, worker, workers);
  if (head_.gradient != nullptr)
    multiply_part(product_, weight, packed_transposed_.data(), scratch, worker, workers);
}

}  // namespace tack
