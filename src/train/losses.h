// Losses of training: each adds `scale` times its gradient to `gradient` and returns `scale` times
// the loss, summed over rows in f64. Rows lie one after another.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"

namespace tack {

// -log softmax(logits)[label] per row of `classes`; a label below 0 leaves its row out.
// `smoothing` of the target is spread over all classes.
double cross_entropy(std::span<const float> logits, std::span<const std::int32_t> labels,
                     std::int64_t classes, double smoothing, double scale,
                     std::span<float> gradient);

// -log of the sum of softmax(logits) over `targets` (not empty, different): any of them is right
// (Clark and Gardner 2018, arXiv:1710.10723). One row of any length; `smoothing` as above.
double cross_entropy_any(std::span<const float> logits, std::span<const std::int32_t> targets,
                         double smoothing, double scale, std::span<float> gradient);

// Binary cross-entropy of every logit against a target in [0, 1], summed (multi-label).
double binary_cross_entropy(std::span<const float> logits, std::span<const float> targets,
                            double scale, std::span<float> gradient);

// T^2 KL(softmax(teacher / T) || softmax(student / T)) per row (Hinton et al. 2015).
double distillation(std::span<const float> student, std::span<const float> teacher,
                    std::int64_t classes, double temperature, double scale,
                    std::span<float> gradient);

// The same for logits of independent labels: T^2 times the divergence of sigmoid(student / T) from
// sigmoid(teacher / T), summed over labels.
double binary_distillation(std::span<const float> student, std::span<const float> teacher,
                           double temperature, double scale, std::span<float> gradient);

// |student - teacher|^2 / cols per row.
double mean_squared(std::span<const float> student, std::span<const float> teacher,
                    std::int64_t cols, double scale, std::span<float> gradient);

// 1 - cos(student, teacher) per row.
double cosine_distance(std::span<const float> student, std::span<const float> teacher,
                       std::int64_t cols, double scale, std::span<float> gradient);

// Contrastive with in-batch negatives (InfoNCE): row i of `queries` [n, cols] belongs to row i of
// `keys` [m, cols], m >= n; the other rows are negatives, those from n on of all queries.
// Cross-entropy of cosine / temperature, the mean of both ways (a query among all keys; a key among
// the queries). Products run in f32, sums of a row in f64; one thread, so the bits do not depend on
// how many there are.
struct ContrastiveArgs {
  std::span<const float> queries, keys;
  std::int64_t cols = 0;
  double temperature = 0.05;
  // [n, m]: not 0 where a key may not stand against a query since it belongs to it too; empty:
  // none. Never read at (i, i).
  std::span<const std::uint8_t> masked = {};
};
double contrastive(const ContrastiveArgs& args, double scale, std::span<float> query_gradient,
                   std::span<float> key_gradient);

// CoSENT: pairs (left row i, right row i) with a score each; log(1 + sum over i, j with score i
// above score j of exp((cos j - cos i) / temperature)), times the number of pairs. It orders the
// cosines as the scores are; their scale does not matter.
double cosent(std::span<const float> left, std::span<const float> right,
              std::span<const float> scores, std::int64_t cols, double temperature, double scale,
              std::span<float> left_gradient, std::span<float> right_gradient);

// Cosines within one side: row i of student and teacher say how alike their rows i and j are. The
// mean over j of (cos(student i, j) - cos(teacher i, j))^2, per row. Widths need not match.
double similarity(std::span<const float> student, std::int64_t student_cols,
                  std::span<const float> teacher, std::int64_t teacher_cols, double scale,
                  std::span<float> gradient);

// MiniLM's relation loss (Wang et al. 2021, arXiv:2012.15828), summed over sequences (sequence s is
// rows [starts[s], starts[s + 1])): rows of student and teacher are cut into `heads` relation heads
// each; KL between softmax(teacher teacher^T / sqrt(d)) and the student's, averaged over heads and
// rows. Widths need not match, only divide by `heads`. In f32, sequences and heads among the
// workers; the same bits for any number of them.
double relation(std::span<const float> student, std::int64_t student_cols,
                std::span<const float> teacher, std::int64_t teacher_cols, std::int64_t heads,
                std::span<const std::int64_t> starts, double scale, std::span<float> gradient,
                ThreadPool& pool);

}  // namespace tack
