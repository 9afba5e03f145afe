#include "train/vocabulary_loss.h"

#include <algorithm>
#include <cmath>

#include "base/range.h"

namespace tack {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// log of the sum of e^x, of what kernels' softmax says about a row.
double log_sum(const float* stats) {
  return static_cast<double>(stats[0]) + std::log(static_cast<double>(stats[1]));
}

// The sum of p[c] * (a[c] - b[c]) in f64: lanes of their own, so that the order is fixed and the
// compiler may keep them in one register. n is a multiple of 16.
double weighted_difference(const float* p, const float* a, const float* b, std::int64_t n) {
  constexpr int kLanes = 16;
  double sums[kLanes] = {};
  for (std::int64_t c = 0; c < n; c += kLanes)
    for (int i = 0; i < kLanes; ++i)
      sums[i] += static_cast<double>(p[c + i]) *
                 (static_cast<double>(a[c + i]) - static_cast<double>(b[c + i]));
  double sum = 0;
  for (const double lane : sums) sum += lane;
  return sum;
}

}  // namespace

VocabularyLoss::VocabularyLoss(const VocabularyHead& head, bool bf16, ThreadPool& pool)
    : pool_(pool), head_(head, bf16, true, pool), losses_(at(head_.rows())) {}

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
  for (std::int64_t first = 0; first < rows; first += head_.rows()) {
    const std::int64_t count = std::min(head_.rows(), rows - first);
    const auto part = hidden.subspan(at(first * head_.dims()), at(count * head_.dims()));
    pool_.run([&](int worker) {
      compute(part, targets.subspan(at(first), at(count)), scale,
              hidden_gradient == nullptr ? nullptr : hidden_gradient + first * head_.dims(),
              worker);
    });
    for (std::int64_t r = 0; r < count; ++r) sum += losses_[at(r)];
  }
  return sum;
}

void VocabularyLoss::compute(std::span<const float> hidden, std::span<const std::int32_t> targets,
                             float scale, float* hidden_gradient, int worker) {
  const auto rows = static_cast<std::int64_t>(targets.size());
  head_.forward(hidden.data(), rows, worker);
  pool_.barrier().arrive_and_wait();
  const Range mine = part_of(rows, worker, pool_.size());
  for (std::int64_t r = mine.begin; r < mine.end; ++r) {
    float* const row = head_.row(r);
    const std::int32_t target = targets[at(r)];
    losses_[at(r)] = 0;
    if (target < 0) {
      std::fill_n(row, head_.stride(), 0.0F);
      continue;
    }
    const auto logit = static_cast<double>(row[target]);
    float stats[2];
    kernels::kernels().backward.softmax(row, 1, head_.vocab(), head_.stride(), 1, row, stats);
    losses_[at(r)] = log_sum(stats) - logit;
    if (hidden_gradient == nullptr) continue;
    row[target] -= 1;
    for (std::int64_t c = 0; c < head_.vocab(); ++c) row[c] *= scale;
  }
  if (hidden_gradient == nullptr) return;
  pool_.barrier().arrive_and_wait();
  head_.backward(hidden.data(), rows, hidden_gradient, worker);
}

VocabularyDistillation::VocabularyDistillation(const VocabularyHead& student,
                                               const VocabularyHead& teacher, bool bf16,
                                               ThreadPool& pool)
    : pool_(pool),
      student_(student, bf16, true, pool),
      teacher_(teacher, bf16, false, pool),
      rows_(std::min(student_.rows(), teacher_.rows())),
      losses_(at(rows_)) {
  for (int w = 0; w < pool.size(); ++w)
    probabilities_.emplace_back(at(student_.stride()) * sizeof(float));
}

std::size_t VocabularyDistillation::bytes() const {
  std::size_t sum = student_.bytes() + teacher_.bytes();
  for (const AlignedBuffer& row : probabilities_) sum += row.size();
  return sum;
}

double VocabularyDistillation::learn(std::span<const float> hidden, std::span<const float> taught,
                                     double scale, std::span<float> hidden_gradient) {
  return scale * each_chunk(hidden, taught, static_cast<float>(scale), hidden_gradient.data());
}

double VocabularyDistillation::measure(std::span<const float> hidden,
                                       std::span<const float> taught) {
  return each_chunk(hidden, taught, 0, nullptr);
}

double VocabularyDistillation::compare(float* student, float* teacher, float scale, int worker) {
  const std::int64_t vocab = student_.vocab(), stride = student_.stride();
  const auto softmax = kernels::kernels().backward.softmax;
  float* const p = probabilities_[at(worker)].as<float>();
  std::fill(student + vocab, student + stride, 0.0F);
  std::fill(teacher + vocab, teacher + stride, 0.0F);
  float of_student[2], of_teacher[2];
  softmax(teacher, 1, vocab, stride, 1, p, of_teacher);
  // sum p (log p - log q), where log p is the teacher's logit less a constant of the row.
  const double difference = weighted_difference(p, teacher, student, stride);
  softmax(student, 1, vocab, stride, 1, student, of_student);
  for (std::int64_t c = 0; c < stride; ++c) student[c] = scale * (student[c] - p[c]);
  return difference - log_sum(of_teacher) + log_sum(of_student);
}

double VocabularyDistillation::each_chunk(std::span<const float> hidden,
                                          std::span<const float> taught, float scale,
                                          float* hidden_gradient) {
  double sum = 0;
  const std::int64_t all = static_cast<std::int64_t>(hidden.size()) / student_.dims();
  for (std::int64_t first = 0; first < all; first += rows_) {
    const std::int64_t rows = std::min(rows_, all - first);
    const float* const mine = hidden.data() + first * student_.dims();
    pool_.run([&](int worker) {
      student_.forward(mine, rows, worker);
      teacher_.forward(taught.data() + first * teacher_.dims(), rows, worker);
      pool_.barrier().arrive_and_wait();
      const Range range = part_of(rows, worker, pool_.size());
      for (std::int64_t r = range.begin; r < range.end; ++r)
        losses_[at(r)] = compare(student_.row(r), teacher_.row(r), scale, worker);
      if (hidden_gradient == nullptr) return;
      pool_.barrier().arrive_and_wait();
      student_.backward(mine, rows, hidden_gradient + first * student_.dims(), worker);
    });
    for (std::int64_t r = 0; r < rows; ++r) sum += losses_[at(r)];
  }
  return sum;
}

}  // namespace tack
