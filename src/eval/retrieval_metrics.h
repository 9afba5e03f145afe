// What an encoder's vectors are worth, with bootstrap intervals over queries or pairs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "eval/metrics.h"

namespace tack {

// Of queries whose nearest right text stands at rank 1, 2, ... among all.
struct RetrievalMetrics {
  std::int64_t queries = 0;
  Estimate recall_1, recall_10;  // share of ranks up to 1 and to 10
  Estimate mrr;                  // mean of 1 / rank
};
RetrievalMetrics compute_retrieval_metrics(std::span<const std::int64_t> ranks,
                                           const MetricsOptions& options = {});

double mean_reciprocal_rank(std::span<const std::int64_t> ranks,
                            std::span<const std::int64_t> rows);

// The rank correlation of two lists; ties share the mean of their ranks. 0 when one is constant.
double spearman(std::span<const float> x, std::span<const float> y);
// The same of the rows [row numbers] of both.
double spearman(std::span<const float> x, std::span<const float> y,
                std::span<const std::int64_t> rows);

}  // namespace tack
