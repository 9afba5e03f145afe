#include "train/vocabulary_loss.h"

#include <algorithm>
#include <cmath>

#include "train/worker_product.h"

namespace tack {
namespace {

constexpr std::int64_t kChunkFloats = 1 << 20;  // of logits: 4 MB, and products stay large

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

VocabularyLoss::VocabularyLoss(const VocabularyHead& head, bool bf16, ThreadPool& pool)
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
  packed_transposed_ = AlignedBuffer(kernels::product_packed_bytes(product_, head.vocab, rows_));
  losses_.resize(at(rows_));
}

std::size_t VocabularyLoss::bytes() const {
  std::size_t sum = logits_.size() + packed_.size() + packed_transposed_.size();
  for (const AlignedBuffer& scratch : scratch_) sum += scratch.size();
  return sum;
}

double VocabularyLoss::learn(std::span<const float> hidden, std::span<const std::int32_t> targets,
                             double scale, std::span<float> hidden_gradient) {
  return scale * each_chunk(hidden, targets, static_cast<float>(scale), hidden_gradient.data());
}

double VocabularyLoss::measure(std::span<const float> hidden,
                               std::span<const std::int32_t> targets) {
  return each_chunk(hidden, targets, 0, nullptr);
}

double VocabularyLoss::each_chunk(std::span<const float> hidden,
                                  std::span<const std::int32_t> targets, float scale,
                                  float* hidden_gradient) {
  double sum = 0;
  const auto rows = static_cast<std::int64_t>(targets.size());
  for (std::int64_t first = 0; first < rows; first += rows_) {
    const std::int64_t count = std::min(rows_, rows - first);
    const auto part = hidden.subspan(at(first * head_.dims), at(count * head_.dims));
    pool_.run([&](int worker) {
      compute(part, targets.subspan(at(first), at(count)), scale,
              hidden_gradient == nullptr ? nullptr : hidden_gradient + first * head_.dims, worker);
    });
    for (std::int64_t r = 0; r < count; ++r) sum += losses_[at(r)];
  }
  return sum;
}

void VocabularyLoss::compute(std::span<const float> hidden, std::span<const std::int32_t> targets,
                             float scale, float* hidden_gradient, int worker) {
  const auto rows = static_cast<std::int64_t>(targets.size());
  const int workers = pool_.size();
  std::byte* const scratch = scratch_[at(worker)].data();
  float* const logits = logits_.as<float>();
  kernels::ProductArgs forward{.m = rows,
                               .n = head_.vocab,
                               .k = head_.dims,
                               .a = hidden.data(),
                               .lda = head_.dims,
                               .b = head_.weight,
                               .ldb = head_.dims,
                               .b_transposed = true,
                               .c = logits,
                               .ldc = stride_};
  pack_part(product_, forward, packed_.data(), worker, workers);
  pool_.barrier().arrive_and_wait();
  multiply_part(product_, forward, packed_.data(), scratch, worker, workers);
  pool_.barrier().arrive_and_wait();

  const Range mine = part_of(rows, worker, workers);
  for (std::int64_t r = mine.begin; r < mine.end; ++r) {
    float* const row = logits + r * stride_;
    const std::int32_t target = targets[at(r)];
    losses_[at(r)] = 0;
    if (target < 0) {
      std::fill_n(row, stride_, 0.0F);
      continue;
    }
    const auto logit = static_cast<double>(row[target]);
    float stats[2];
    kernels::kernels().backward.softmax(row, 1, head_.vocab, stride_, 1, row, stats);
    losses_[at(r)] =
        static_cast<double>(stats[0]) + std::log(static_cast<double>(stats[1])) - logit;
    if (hidden_gradient == nullptr) continue;
    row[target] -= 1;
    for (std::int64_t c = 0; c < head_.vocab; ++c) row[c] *= scale;
  }
  if (hidden_gradient == nullptr) return;
  pool_.barrier().arrive_and_wait();

  kernels::ProductArgs input{.m = rows,  // dx += dy W
                             .n = head_.dims,
                             .k = head_.vocab,
                             .a = logits,
                             .lda = stride_,
                             .b = head_.weight,
                             .ldb = head_.dims,
                             .accumulate = true,
                             .c = hidden_gradient,
                             .ldc = head_.dims};
  kernels::ProductArgs weight{.m = head_.vocab,  // dW += dy^T x
                              .n = head_.dims,
                              .k = rows,
                              .a = logits,
                              .lda = stride_,
                              .a_transposed = true,
                              .b = hidden.data(),
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
