// What an encoder's vectors are worth on texts that belong together: retrieval, or correlation with
// given scores.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/thread_pool.h"
#include "engine/text_encoder.h"
#include "eval/gate.h"
#include "eval/pairs.h"
#include "eval/retrieval_metrics.h"
#include "tasks/evaluate.h"

namespace tack {

// The texts of pairs, each once, and where the texts of a row are among them. Views into the pairs.
struct PairIndex {
  explicit PairIndex(const PairSet& pairs);

  std::vector<std::string_view> texts;
  // Equal for texts that differ in case and white space alone; of kLabel the label.
  std::vector<std::int32_t> groups;
  std::vector<std::size_t> text, other, negative;  // of each row; empty where pairs have none
};

// Rows of length 1, [texts, dims].
std::vector<float> normalized_rows(std::vector<float> rows, std::int64_t dims);

// Of each query, the rank of the nearest right text among all there are, by cosine; equal cosines
// count against it. `unit` are normalized_rows() of the index's texts.
//   kPositive  Queries are the first texts, candidates the second texts of all rows; right are
//              those that stand beside an equal query. A query is no candidate of its own.
//   kLabel     Every text is a query among all others; right are those of its label. Texts alone
//              in their label are no queries.
std::vector<std::int64_t> retrieval_ranks(const PairSet& pairs, const PairIndex& index,
                                          std::span<const float> unit, std::int64_t dims,
                                          ThreadPool& pool);

// Of the two texts of each row.
std::vector<float> pair_cosines(const PairIndex& index, std::span<const float> unit,
                                std::int64_t dims);

struct PairEvaluation {
  PairKind kind = PairKind::kPositive;
  std::vector<std::int64_t> ranks;     // kPositive, kLabel: of each query
  std::vector<float> cosines, scores;  // kScored: of each pair
  std::optional<RetrievalMetrics> retrieval;
  std::optional<Estimate> spearman;
  std::vector<float> latency_us;  // of single texts, one by one, sorted
  double texts_per_second = 0;
  std::int64_t truncated_texts = 0;

  std::int64_t rows() const;
  // What training chooses by and the gate asks about: the mean reciprocal rank, or Spearman's
  // correlation.
  const Estimate& quality() const { return retrieval ? retrieval->mrr : *spearman; }
  const char* quality_name() const { return retrieval ? "MRR" : "Spearman"; }
  // The same of some rows.
  RowStatistic statistic() const;
  // How often the gate draws rows of it: a correlation sorts those of every draw, and its bound
  // needs fewer.
  int gate_resamples() const { return retrieval ? 10000 : 2000; }
  Json to_json() const;
};

// Errors: a model that makes no embeddings; interruption.
Result<PairEvaluation> evaluate_pairs(TextEncoder& encoder, const PairSet& pairs,
                                      const EvaluateOptions& options = {});
// The same of the encoder in a file.
Result<PairEvaluation> evaluate_pairs(const std::filesystem::path& path, const PairSet& pairs,
                                      int threads);

}  // namespace tack
