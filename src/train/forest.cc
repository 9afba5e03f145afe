#include "train/forest.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>

#include "base/interrupt.h"
#include "base/random.h"

namespace tack {
namespace {

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// What the targets of a set of rows come to.
struct Sums {
  explicit Sums(std::int32_t outputs) : total(index(outputs)) {}
  void add(const float* target) {
    ++rows;
    for (std::size_t k = 0; k < total.size(); ++k) total[k] += static_cast<double>(target[k]);
  }
  void clear() {
    rows = 0;
    std::ranges::fill(total, 0.0);
  }
  std::int64_t rows = 0;
  std::vector<double> total;  // [outputs]
};

// The features by column: a node reads few of them, each at all of its rows.
class Columns {
 public:
  explicit Columns(const ForestRows& data) : rows_(data.rows()), values_(data.features.size()) {
    for (std::int64_t row = 0; row < rows_; ++row)
      for (std::int32_t f = 0; f < data.dims; ++f)
        values_[index(f * rows_ + row)] = data.features[index(row * data.dims + f)];
  }
  const float* column(std::int32_t feature) const { return values_.data() + feature * rows_; }

 private:
  std::int64_t rows_;
  std::vector<float> values_;  // [features, rows]
};

// One tree. Its nodes are appended in pre-order, with leaves numbered from 0.
class Grower {
 public:
  Grower(const ForestRows& data, const Columns& columns, const ForestOptions& options,
         std::uint64_t seed)
      : data_(data),
        columns_(columns),
        options_(options),
        random_(seed),
        left_(data.outputs),
        whole_(data.outputs),
        order_(index(data.dims)) {
    std::iota(order_.begin(), order_.end(), 0);
    candidates_ = std::clamp(
        static_cast<std::int32_t>(std::lround(options.feature_share * data.dims)), 1, data.dims);
  }

  void grow(std::vector<std::int64_t>& rows) { divide(rows); }

  std::vector<Forest::Node> nodes;
  std::vector<float> values;

 private:
  struct Cut {
    std::int32_t feature = Forest::kLeaf;
    float threshold = 0;
    double gain = 0;
  };

  // The nodes under a set of rows, which is put in another order. No recursion: a tree of rows that
  // differ little is as deep as it has rows.
  void divide(std::span<std::int64_t> rows) {
    struct Waiting {
      std::span<std::int64_t> rows;
      std::int64_t parent;  // whose right child this is; -1: it follows its parent
    };
    std::vector<Waiting> waiting = {{rows, -1}};
    while (!waiting.empty()) {
      const Waiting next = waiting.back();
      waiting.pop_back();
      const auto node = static_cast<std::int64_t>(nodes.size());
      if (next.parent >= 0) nodes[index(next.parent)].next = static_cast<std::int32_t>(node);
      const Cut cut = best_cut(next.rows);
      if (cut.feature == Forest::kLeaf) {
        add_leaf();
        continue;
      }
      nodes.push_back({cut.threshold, 0, cut.feature});
      const float* column = columns_.column(cut.feature);
      const auto middle = std::partition(next.rows.begin(), next.rows.end(), [&](std::int64_t row) {
        return column[row] <= cut.threshold;
      });
      waiting.push_back({{middle, next.rows.end()}, node});
      waiting.push_back({{next.rows.begin(), middle}, -1});
    }
  }

  // Leaves the sums of all rows in whole_.
  Cut best_cut(std::span<const std::int64_t> rows) {
    whole_.clear();
    for (const std::int64_t row : rows) whole_.add(data_.targets.data() + row * data_.outputs);
    Cut best;
    if (static_cast<std::int64_t>(rows.size()) < 2 * options_.leaf_rows) return best;
    // Features that are the same in all rows do not count as drawn.
    std::int32_t tried = 0;
    for (std::int32_t i = 0; i < data_.dims && tried < candidates_; ++i) {
      const auto pick = index(i) + random_.below(index(data_.dims - i));
      std::swap(order_[index(i)], order_[pick]);
      const std::int32_t feature = order_[index(i)];
      const float* column = columns_.column(feature);
      float low = column[rows[0]], high = low;
      for (const std::int64_t row : rows) {
        low = std::min(low, column[row]);
        high = std::max(high, column[row]);
      }
      if (!(low < high)) continue;
      ++tried;
      consider(rows, feature, low, high, best);
    }
    return best;
  }

  void consider(std::span<const std::int64_t> rows, std::int32_t feature, float low, float high,
                Cut& best) {
    auto threshold = static_cast<float>(static_cast<double>(low) +
                                        random_.uniform() * static_cast<double>(high - low));
    if (!(threshold < high)) threshold = low;  // rounding: both sides must get rows
    left_.clear();
    const float* column = columns_.column(feature);
    for (const std::int64_t row : rows)
      if (column[row] <= threshold) left_.add(data_.targets.data() + row * data_.outputs);
    const std::int64_t right = whole_.rows - left_.rows;
    if (std::min(left_.rows, right) < options_.leaf_rows) return;
    // The sum of squares between the two sides: what the squared error loses by the cut.
    double gain = 0;
    for (std::size_t k = 0; k < whole_.total.size(); ++k) {
      const double difference = left_.total[k] / static_cast<double>(left_.rows) -
                                (whole_.total[k] - left_.total[k]) / static_cast<double>(right);
      gain += difference * difference;
    }
    gain *= static_cast<double>(left_.rows) * static_cast<double>(right) /
            static_cast<double>(whole_.rows);
    if (gain > best.gain) best = {feature, threshold, gain};
  }

  void add_leaf() {
    nodes.push_back(
        {0, static_cast<std::int32_t>(values.size() / whole_.total.size()), Forest::kLeaf});
    for (const double total : whole_.total)
      values.push_back(
          std::clamp(static_cast<float>(total / static_cast<double>(whole_.rows)), 0.0F, 1.0F));
  }

  const ForestRows& data_;
  const Columns& columns_;
  const ForestOptions& options_;
  Random random_;
  Sums left_, whole_;
  std::vector<std::int32_t> order_;  // features, the drawn ones first
  std::int32_t candidates_ = 1;
};

Status check_rows(const ForestRows& data, std::span<const std::int64_t> which) {
  if (data.dims < 1 || data.outputs < 1 || which.empty())
    return fail(ErrorCode::kUsage, "a forest needs rows, features and targets");
  if (data.targets.size() != index(data.rows() * data.outputs) ||
      data.features.size() != index(data.rows() * data.dims))
    return fail(ErrorCode::kUsage, "features and targets of a forest have different rows");
  for (const std::int64_t row : which) {
    if (row < 0 || row >= data.rows())
      return fail(ErrorCode::kUsage, "row {} of a forest is outside its {} rows", row, data.rows());
    for (const float value : data.features.subspan(index(row * data.dims), index(data.dims)))
      if (!std::isfinite(value))
        return fail(ErrorCode::kUsage, "row {}: a feature is not finite", row);
    for (const float value : data.targets.subspan(index(row * data.outputs), index(data.outputs)))
      if (!(value >= 0 && value <= 1))
        return fail(ErrorCode::kUsage, "row {}: target {} is outside [0, 1]", row, value);
  }
  return {};
}

// Trees joined, their indices shifted to where they stand.
Forest joined(const ForestRows& data, const std::vector<Grower>& trees) {
  Forest forest;
  forest.features = data.dims;
  forest.outputs = data.outputs;
  for (const Grower& tree : trees) {
    const auto first_node = static_cast<std::int32_t>(forest.nodes.size());
    const auto first_leaf = static_cast<std::int32_t>(forest.leaves());
    forest.roots.push_back(first_node);
    for (Forest::Node node : tree.nodes) {
      node.next += node.feature == Forest::kLeaf ? first_leaf : first_node;
      forest.nodes.push_back(node);
    }
    forest.values.insert(forest.values.end(), tree.values.begin(), tree.values.end());
  }
  return forest;
}

}  // namespace

void Forest::predict(std::span<const float> row, std::span<float> out) const {
  std::ranges::fill(out, 0.0F);
  for (std::int32_t at : roots) {
    while (nodes[index(at)].feature != kLeaf) {
      const Node& node = nodes[index(at)];
      at = row[index(node.feature)] <= node.threshold ? at + 1 : node.next;
    }
    const float* leaf = values.data() + index(nodes[index(at)].next) * index(outputs);
    for (std::size_t k = 0; k < out.size(); ++k) out[k] += leaf[k];
  }
  for (float& value : out) value /= static_cast<float>(roots.size());
}

Status Forest::check() const {
  if (features < 1 || outputs < 1 || roots.empty() || values.empty() ||
      values.size() % index(outputs) != 0)
    return fail("the forest has no trees, features or outputs");
  const auto node_count = static_cast<std::int64_t>(nodes.size());
  for (std::size_t tree = 0; tree < roots.size(); ++tree) {
    const std::int64_t begin = roots[tree];
    const std::int64_t end = tree + 1 < roots.size() ? roots[tree + 1] : node_count;
    if (begin < 0 || begin >= end || end > node_count)
      return fail("tree {} of the forest has no place", tree);
    for (std::int64_t i = begin; i < end; ++i) {
      const Node& node = nodes[index(i)];
      // A child stands behind its parent, so that every path ends.
      const bool fits = node.feature == kLeaf ? node.next >= 0 && node.next < leaves()
                                              : node.feature >= 0 && node.feature < features &&
                                                    std::isfinite(node.threshold) &&
                                                    node.next > i + 1 && node.next < end;
      if (!fits) return fail("node {} of the forest leads nowhere", i);
    }
    if (nodes[index(end - 1)].feature != kLeaf)
      return fail("tree {} of the forest has no end", tree);
  }
  for (const float value : values)
    if (!(value >= 0 && value <= 1)) return fail("a leaf of the forest is outside [0, 1]");
  return {};
}

Result<Forest> grow_forest(const ForestRows& data, std::span<const std::int64_t> which,
                           const ForestOptions& options, ThreadPool& pool) {
  TACK_RETURN_IF_ERROR(check_rows(data, which));
  if (options.trees < 1 || options.leaf_rows < 1 || !(options.feature_share > 0))
    return fail(ErrorCode::kUsage, "a forest needs trees, rows in its leaves, features to draw");
  const Columns columns(data);
  Random seeds(options.seed);
  std::vector<Grower> trees;
  trees.reserve(index(options.trees));
  for (int tree = 0; tree < options.trees; ++tree)
    trees.emplace_back(data, columns, options, seeds.next());
  pool.parallel_for(options.trees, [&](std::int64_t tree) {
    if (interrupted()) return;
    std::vector<std::int64_t> rows(which.begin(), which.end());
    trees[index(tree)].grow(rows);
    if (options.on_tree) options.on_tree();
  });
  if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
  return joined(data, trees);
}

}  // namespace tack
