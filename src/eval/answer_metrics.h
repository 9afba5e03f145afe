// What answers to questions are worth: exact match and F1 as SQuAD's official scripts have them
// (Rajpurkar et al. 2016, 2018; evaluate-v2.0.py).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/metrics.h"

namespace tack {

// Lower case, without ASCII punctuation, without "a", "an" and "the", white space as one space.
std::string normalized_answer(std::string_view text);

struct AnswerScore {
  double exact = 0, f1 = 0;  // 0..1; exact is 0 or 1
};
// `said` against the best of `gold`; "" says that there is no answer, which is right when `gold` is
// empty and else worth nothing.
AnswerScore score_answer(std::string_view said, std::span<const std::string_view> gold);

struct AnswerMetrics {
  std::int64_t rows = 0;
  Estimate exact, f1;
  // Where some questions have no answer: of those that have one, and of the others.
  std::optional<Estimate> answerable_exact, answerable_f1, unanswerable;
};
// `answerable`: whether each question has an answer.
AnswerMetrics compute_answer_metrics(std::span<const AnswerScore> scores,
                                     const std::vector<bool>& answerable,
                                     const MetricsOptions& options = {});

// The margin from which an answer is given, else none, with the largest sum of F1: `answered` is
// each question's F1 when it is answered, `refused` when not. Above all margins when no answer is
// worth giving.
double fit_answer_threshold(std::span<const double> margins, std::span<const double> answered,
                            std::span<const double> refused);

}  // namespace tack
