// Learns a router from prompts whose answers are known, and says what it may be trusted with.
//
// Three parts of the rows, apart from each other: the forest grows on the first; the policy is
// chosen on the second, by what it proves (quality_bound.h); what the result is worth is measured
// on the third. Among the training rows, the rows of a leaf are chosen by cross-validation.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "gateway/router_calibration.h"

namespace tack::gateway {

struct RouterTrainingOptions {
  std::vector<store::Price> prices;  // [models]; empty with two models: the weak one costs nothing
  std::size_t strong = 1;
  double answer_tokens = 256;            // of a call, for what it costs
  std::optional<RouterEncoder> encoder;  // that made the embeddings
  RouterTarget target;
  int trees = 300;
  std::vector<int> leaf_rows = {5, 10, 20, 40};  // tried
  std::uint64_t seed = 1;
  std::function<void()> on_tree;  // called after each, one at a time; may be empty
};

// How many trees train_router() grows in all, or cross_fit_router() with so many folds.
std::int64_t trees_to_grow(const RouterTrainingOptions& options, std::uint32_t cross_fit = 0);

// Rows with the embeddings of their prompts, [rows, dims]; empty without an encoder.
struct EmbeddedRows {
  const RouterData* data = nullptr;
  std::span<const float> embeddings;
};

struct RouterTraining {
  std::shared_ptr<const LearnedRouter> router;  // with the calibration's card
  int leaf_rows = 0;                            // chosen
  RouterCalibration calibration;
};

// Fewest rows that are trained on.
inline constexpr std::size_t kMinTrainingRows = 30;

// Errors: kUsage for too few rows, prices that are all the same, shapes that do not fit;
// kInterrupted.
Result<RouterTraining> train_router(const EmbeddedRows& training, const EmbeddedRows& calibration,
                                    const RouterTrainingOptions& options, ThreadPool& pool);

// What routers trained on the other folds foretell of each row's models, and the models with the
// policies that lie between them. Folds by hash_fold.
struct CrossFit {
  std::vector<float> quality;  // [rows, models]
  RouterCard card;
};
Result<CrossFit> cross_fit_router(const EmbeddedRows& rows, std::uint32_t folds,
                                  const RouterTrainingOptions& options, ThreadPool& pool);

}  // namespace tack::gateway
