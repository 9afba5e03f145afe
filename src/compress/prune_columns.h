// Which inputs of a linear layer can go, and what its weights for the others should be then: least
// squares on what the layer reads.
//
// With C the second moments of its input x, leaving out a group g of inputs and fitting the rest
// again costs tr(W_g ([C^-1]_gg)^-1 W_g^T), the least that E|Wx - W'x'|^2 can be more. The group of
// the least cost goes, the weights and C^-1 are changed as Optimal Brain Surgeon has it (Hassibi
// and Stork 1993; of groups: Kurtic et al. 2023, "ZipLM"), and so on: what is left at any time are
// the least-squares weights W C[:, S] C[S, S]^-1.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"

namespace tack {

// Sums of x x^T, and of x itself.
class SecondMoments {
 public:
  explicit SecondMoments(std::int64_t cols);
  // x [rows, cols]. The same sums for any number of threads.
  void add(std::span<const float> x, ThreadPool& pool);

  std::int64_t cols() const { return cols_; }
  std::int64_t rows() const { return rows_; }
  // Means of x_i x_j, and of x_i.
  double at(std::int64_t i, std::int64_t j) const;
  double mean(std::int64_t i) const;

 private:
  std::int64_t cols_, rows_ = 0;
  std::vector<double> products_;  // [cols, cols], of which j <= i
  std::vector<double> sums_;      // [cols]
};

struct ColumnChoice {
  std::int64_t group = 1;  // neighbouring columns that go together: those of a head
  std::int64_t keep = 0;   // groups
  // Added to the diagonal of C, times its mean: how far weights may grow to fit the texts.
  double ridge = 0.01;
};

struct PrunedColumns {
  std::vector<std::int64_t> groups;  // that stay, ascending
  std::vector<float> weight;         // [out, keep * group]
  std::vector<float> bias;           // [out], or empty where there was none
  double error = 0;                  // E|Wx - W'x'|^2 / E|Wx|^2, ridge counted in
};
// weight [out, cols], bias [out] or empty: then what was constant in what goes is in the new bias.
// Errors: kFailed for second moments that are not finite.
Result<PrunedColumns> prune_columns(const SecondMoments& moments, std::span<const float> weight,
                                    std::span<const float> bias, const ColumnChoice& choice,
                                    ThreadPool& pool);

}  // namespace tack
