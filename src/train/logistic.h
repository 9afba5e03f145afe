// Multinomial logistic regression with L2, the head on a frozen encoder.
//
// The objective is scikit-learn's LogisticRegression (penalty "l2", solver "lbfgs"):
//   C * sum_i -log softmax(W x_i + b)[y_i] + 0.5 |W|^2, the intercept b not penalised,
// for two classes too, where scikit-learn fits one weight vector w = W_1 - W_0: there the penalty
// is 0.5 |w|^2. Divided by C * rows for the optimiser, so that tolerances do not depend on the
// data.
//
// With targets instead of labels every class is a regression of its own (yes or no, sigmoid):
//   C * sum_i sum_k binary cross-entropy(w_k x_i + b_k, target_ik) + 0.5 |W|^2.
//
// Sums over rows run in fixed chunks that are added in f64 in a fixed order: the result has the
// same bits for any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"

namespace tack {

// Views; `labels` are in [0, classes). `targets`, when not empty, stand in place of the labels: 0
// or 1 for every class of a row.
struct LabelledFeatures {
  std::span<const float> features;       // [rows, dims]
  std::span<const std::int32_t> labels;  // [rows]
  std::int64_t dims = 0;
  std::int32_t classes = 0;
  std::span<const float> targets = {};  // [rows, classes]

  std::int64_t rows() const {
    return targets.empty() ? static_cast<std::int64_t>(labels.size())
                           : static_cast<std::int64_t>(targets.size()) / classes;
  }
};

struct LinearHead {
  std::int32_t classes = 0;
  std::int64_t dims = 0;
  std::vector<float> weight;  // [classes, dims]
  std::vector<float> bias;    // [classes]

  // features [rows, dims] -> logits [rows, classes]
  std::vector<float> logits(std::span<const float> features, ThreadPool& pool) const;
};

struct LogisticOptions {
  double c = 1;
  double tolerance = 1e-6;  // largest gradient of the mean loss
  int max_iterations = 1000;
};

struct LogisticFit {
  LinearHead head;
  double mean_nll = 0;  // on the rows it was fitted to, in nats
  int iterations = 0;
  bool converged = false;
};

// Errors: kUsage for fewer than two classes, shapes that do not fit, a value that is not finite;
// kInterrupted.
Result<LogisticFit> fit_logistic(const LabelledFeatures& data, const LogisticOptions& options,
                                 ThreadPool& pool, const LinearHead* start = nullptr);

struct LogisticSearchOptions {
  std::vector<double> grid = {1, 3, 10, 30, 100, 300};  // ascending
  int folds = 5;
  std::uint64_t seed = 1;
  // Of many labels each has a small share of the mean gradient: at 1e-4, scikit-learn's default,
  // 150 labels stop before C makes a difference.
  double tolerance = 5e-6;
  // Called after each fit; may be empty.
  std::function<void()> on_fit;
};

struct LogisticSearch {
  struct Point {
    double c, accuracy, mean_nll;  // on the held-out folds together; with targets a row is right
                                   // when all of its classes are
  };
  double c = 0;               // the chosen one
  std::vector<Point> points;  // those tried, ascending
  // [rows, classes]: each row's logits from the fit, at the chosen C, that did not see it.
  std::vector<float> out_of_fold_logits;
};

// Stratified k-fold cross-validation over C. Chosen is the smallest C whose accuracy lies within
// one standard error of the best (Breiman et al. 1984, section 3.4.3): a simpler head that is as
// good. Each fold's fit starts from its fit at the C before. Stops early when a larger C gains
// nothing. A class with fewer rows than folds is missing from some folds; that is allowed.
Result<LogisticSearch> search_logistic(const LabelledFeatures& data,
                                       const LogisticSearchOptions& options, ThreadPool& pool);

// Fold of each row, in [0, folds): every class spread evenly, rows shuffled by `seed`.
std::vector<std::int32_t> stratified_folds(std::span<const std::int32_t> labels,
                                           std::int32_t classes, int folds, std::uint64_t seed);

}  // namespace tack
