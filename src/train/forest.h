// A forest of extremely randomised trees (Geurts, Ernst, Wehenkel 2006,
// doi:10.1007/s10994-006-6226-1) that predicts several numbers in [0, 1] of a row at once: at every
// node some features are drawn, each with one threshold drawn between its smallest and largest
// value, and the one that takes most variance off the targets divides the rows.
//
// On noisy targets with some dozens of features it needs no tuning, and a prediction is a mean of
// targets: it never leaves their range.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"

namespace tack {

// All trees one after another, each in pre-order: a node's left child follows it. Rows whose
// feature is at most `threshold` go left.
struct Forest {
  struct Node {
    float threshold = 0;
    std::int32_t next = 0;     // the right child's index; of a leaf: which one, in [0, leaves)
    std::int32_t feature = 0;  // kLeaf: a leaf
  };
  static constexpr std::int32_t kLeaf = -1;

  std::int32_t features = 0, outputs = 0;
  std::vector<std::int32_t> roots;  // [trees]
  std::vector<Node> nodes;
  std::vector<float> values;  // [leaves, outputs]: mean targets

  std::int64_t leaves() const { return static_cast<std::int64_t>(values.size()) / outputs; }
  // Mean over the trees. row [features], out [outputs]. Any thread.
  void predict(std::span<const float> row, std::span<float> out) const;
  // kFailed unless predict() stays within its arrays, ends, and gives numbers in [0, 1]: for
  // forests that come from files.
  Status check() const;
};

struct ForestRows {
  std::span<const float> features;  // [rows, dims]
  std::span<const float> targets;   // [rows, outputs], in [0, 1]
  std::int32_t dims = 0, outputs = 0;

  std::int64_t rows() const { return static_cast<std::int64_t>(targets.size()) / outputs; }
};

struct ForestOptions {
  int trees = 300;
  int leaf_rows = 10;          // at least, in each leaf
  double feature_share = 0.4;  // drawn at a node
  std::uint64_t seed = 1;
  std::function<void()> on_tree;  // called after each, by any worker; may be empty
};

// Grown on the rows numbered by `which`. The result depends on rows, options and seed alone, not on
// the number of threads. Errors: kUsage for shapes that do not fit, no rows, values that are not
// finite, targets outside [0, 1]; kInterrupted.
Result<Forest> grow_forest(const ForestRows& data, std::span<const std::int64_t> which,
                           const ForestOptions& options, ThreadPool& pool);

}  // namespace tack
