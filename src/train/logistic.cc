#include "train/logistic.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/checked.h"
#include "base/interrupt.h"
#include "base/random.h"
#include "kernels/gemm_f32.h"
#include "train/lbfgs.h"

namespace tack {
namespace {

// Rows a worker takes at once: X (768 kB at 384 columns) and its transpose stream through the
// cache, and one chunk's f32 sums are short enough to lose nothing before they are added in f64.
constexpr std::int64_t kChunkRows = 512;
// Partial sums. More than the cores of one machine of the kind we run on; fixed, so that the order
// of additions is.
constexpr std::int64_t kPartitions = 16;

// exp(x) for x <= 0, relative error below 3e-7: the vectoriser turns the loop around it into SIMD,
// which it cannot do with std::exp. Cody-Waite reduction, degree-6 polynomial.
inline float fast_exp(float x) {
  x = std::max(x, -87.0F);
  const float n = (x * 1.44269504F + 12582912.0F) - 12582912.0F;  // round to nearest
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  return p * std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
}

// Rows that belong together (a fold), cut into chunks, each also transposed for the gradient.
struct Chunk {
  std::int64_t begin = 0, rows = 0;  // in the reordered data
  std::int32_t fold = 0;
};

// The data reordered so that folds are contiguous: fits that leave one fold out then need no copy.
class ChunkedData {
 public:
  ChunkedData(const LabelledFeatures& data, std::span<const std::int32_t> folds, int fold_count,
              ThreadPool& pool)
      : dims_(data.dims), classes_(data.classes) {
    order_.resize(static_cast<std::size_t>(data.rows()));
    std::iota(order_.begin(), order_.end(), 0);
    if (!folds.empty())
      std::ranges::stable_sort(order_, {}, [&](std::int64_t row) { return folds[index(row)]; });
    labels_.resize(order_.size());
    features_.resize(order_.size() * index(dims_));
    targets_.resize(data.targets.size());
    for (std::size_t i = 0; i < order_.size(); ++i) {
      if (data.targets.empty())
        labels_[i] = data.labels[index(order_[i])];
      else
        std::copy_n(data.targets.data() + order_[i] * classes_, classes_,
                    targets_.data() + i * index(classes_));
      std::copy_n(data.features.data() + order_[i] * dims_, dims_,
                  features_.data() + i * index(dims_));
    }
    cut(folds, fold_count);
    transpose(pool);
  }

  std::int64_t dims() const { return dims_; }
  std::int32_t classes() const { return classes_; }
  const std::vector<Chunk>& chunks() const { return chunks_; }
  std::span<const std::int64_t> order() const { return order_; }
  const float* rows(const Chunk& chunk) const { return features_.data() + chunk.begin * dims_; }
  const float* columns(const Chunk& chunk) const {  // [dims, chunk.rows]
    return transposed_.data() + chunk.begin * dims_;
  }
  const std::int32_t* labels(const Chunk& chunk) const { return labels_.data() + chunk.begin; }
  bool independent() const { return !targets_.empty(); }
  const float* targets(const Chunk& chunk) const {
    return targets_.data() + chunk.begin * classes_;
  }

 private:
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

  void cut(std::span<const std::int32_t> folds, int fold_count) {
    std::vector<std::int64_t> counts(static_cast<std::size_t>(fold_count), 0);
    if (folds.empty()) counts[0] = static_cast<std::int64_t>(order_.size());
    for (std::int32_t fold : folds) ++counts[static_cast<std::size_t>(fold)];
    std::int64_t begin = 0;
    for (int fold = 0; fold < fold_count; ++fold) {
      const std::int64_t end = begin + counts[static_cast<std::size_t>(fold)];
      for (; begin < end; begin += chunks_.back().rows)
        chunks_.push_back({begin, std::min(kChunkRows, end - begin), fold});
    }
  }

  void transpose(ThreadPool& pool) {
    transposed_.resize(features_.size());
    pool.parallel_for(static_cast<std::int64_t>(chunks_.size()), [&](std::int64_t c) {
      const Chunk& chunk = chunks_[index(c)];
      const float* from = rows(chunk);
      float* to = transposed_.data() + chunk.begin * dims_;
      for (std::int64_t r = 0; r < chunk.rows; ++r)
        for (std::int64_t d = 0; d < dims_; ++d) to[d * chunk.rows + r] = from[r * dims_ + d];
    });
  }

  std::int64_t dims_;
  std::int32_t classes_;
  std::vector<std::int64_t> order_;  // reordered row -> row of the data
  std::vector<float> features_, transposed_, targets_;
  std::vector<std::int32_t> labels_;
  std::vector<Chunk> chunks_;
};

void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b,
              const float* bias, float* c) {
  kernels::DenseGemmArgs args;
  args.m = m;
  args.n = n;
  args.k = k;
  args.a = a;
  args.lda = k;
  args.b = b;
  args.bias = bias;
  args.c = c;
  args.ldc = n;
  kernels::gemm_f32(args);
}

// logits [rows, classes] become softmax - onehot in place; returns the summed NLL.
double softmax_residual(float* logits, const std::int32_t* labels, std::int64_t rows,
                        std::int64_t classes) {
  double nll = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    float* row = logits + r * classes;
    float most = row[0];
    for (std::int64_t k = 1; k < classes; ++k) most = std::max(most, row[k]);
    const double own = static_cast<double>(row[labels[r]]) - static_cast<double>(most);
    for (std::int64_t k = 0; k < classes; ++k) row[k] = fast_exp(row[k] - most);
    double sum = 0;
    for (std::int64_t k = 0; k < classes; ++k) sum += static_cast<double>(row[k]);
    nll += std::log(sum) - own;
    const float scale = static_cast<float>(1 / sum);
    for (std::int64_t k = 0; k < classes; ++k) row[k] *= scale;
    row[labels[r]] -= 1;
  }
  return nll;
}

// logits [n] become sigmoid - target in place; returns the summed binary cross-entropy.
double sigmoid_residual(float* logits, const float* targets, std::int64_t n) {
  double nll = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const float x = logits[i], e = fast_exp(-std::fabs(x));
    nll += static_cast<double>(std::max(x, 0.0F) - x * targets[i]) +
           std::log1p(static_cast<double>(e));
    logits[i] = (x >= 0 ? 1 / (1 + e) : e / (1 + e)) - targets[i];
  }
  return nll;
}

// The mean loss over the chunks of all folds but one, and its gradient. Parameters: the weights
// [classes, dims], then the biases [classes].
class LogisticLoss {
 public:
  LogisticLoss(const ChunkedData& data, int without_fold, double c, ThreadPool& pool)
      : data_(data), pool_(pool) {
    for (const Chunk& chunk : data.chunks()) {
      if (chunk.fold == without_fold) continue;
      chunks_.push_back(&chunk);
      rows_ += chunk.rows;
    }
    const double folded =
        data.classes() == 2 && !data.independent() ? 2 : 1;  // see logistic.h on two classes
    penalty_ = folded / (c * static_cast<double>(rows_));
    weights_ = static_cast<std::size_t>(data.classes() * data.dims());
    head_.resize(weights_ + static_cast<std::size_t>(data.classes()));
    const auto count = std::min<std::size_t>(kPartitions, chunks_.size());
    partitions_.resize(count);
    for (Partition& p : partitions_) {
      p.logits.resize(static_cast<std::size_t>(kChunkRows * data.classes()));
      p.transposed.resize(p.logits.size());
      p.chunk_gradient.resize(weights_);
      p.gradient.resize(head_.size());
    }
  }

  std::size_t parameters() const { return head_.size(); }

  double operator()(std::span<const double> x, std::span<double> gradient) {
    for (std::size_t i = 0; i < head_.size(); ++i) head_[i] = static_cast<float>(x[i]);
    pool_.parallel_for(static_cast<std::int64_t>(partitions_.size()),
                       [&](std::int64_t p) { run_partition(static_cast<std::size_t>(p)); });
    const double scale = 1 / static_cast<double>(rows_);
    double nll = 0, square = 0;
    for (const Partition& p : partitions_) nll += p.nll;
    for (std::size_t i = 0; i < head_.size(); ++i) {
      double sum = 0;
      for (const Partition& p : partitions_) sum += p.gradient[i];
      gradient[i] = sum * scale;
      if (i >= weights_) continue;
      gradient[i] += penalty_ * x[i];
      square += x[i] * x[i];
    }
    mean_nll_ = nll * scale;
    return mean_nll_ + 0.5 * penalty_ * square;
  }

  double mean_nll() const { return mean_nll_; }  // of the last call

 private:
  struct Partition {
    std::vector<float> logits, transposed, chunk_gradient;
    std::vector<double> gradient;
    double nll = 0;
  };

  void run_partition(std::size_t index) {
    Partition& p = partitions_[index];
    std::ranges::fill(p.gradient, 0.0);
    p.nll = 0;
    const std::size_t begin = index * chunks_.size() / partitions_.size();
    const std::size_t end = (index + 1) * chunks_.size() / partitions_.size();
    for (std::size_t c = begin; c < end; ++c) add_chunk(*chunks_[c], p);
  }

  void add_chunk(const Chunk& chunk, Partition& p) const {
    const std::int64_t classes = data_.classes(), dims = data_.dims(), rows = chunk.rows;
    multiply(rows, classes, dims, data_.rows(chunk), head_.data(), head_.data() + weights_,
             p.logits.data());
    p.nll += data_.independent()
                 ? sigmoid_residual(p.logits.data(), data_.targets(chunk), rows * classes)
                 : softmax_residual(p.logits.data(), data_.labels(chunk), rows, classes);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t k = 0; k < classes; ++k)
        p.transposed[static_cast<std::size_t>(k * rows + r)] =
            p.logits[static_cast<std::size_t>(r * classes + k)];
    // [classes, rows] x [rows, dims]
    multiply(classes, dims, rows, p.transposed.data(), data_.columns(chunk), nullptr,
             p.chunk_gradient.data());
    for (std::size_t i = 0; i < weights_; ++i)
      p.gradient[i] += static_cast<double>(p.chunk_gradient[i]);
    for (std::int64_t k = 0; k < classes; ++k) {
      double sum = 0;
      for (std::int64_t r = 0; r < rows; ++r)
        sum += static_cast<double>(p.transposed[static_cast<std::size_t>(k * rows + r)]);
      p.gradient[weights_ + static_cast<std::size_t>(k)] += sum;
    }
  }

  const ChunkedData& data_;
  ThreadPool& pool_;
  std::vector<const Chunk*> chunks_;
  std::int64_t rows_ = 0;
  double penalty_ = 0, mean_nll_ = 0;
  std::size_t weights_ = 0;
  std::vector<float> head_;
  std::vector<Partition> partitions_;
};

Status check(const LabelledFeatures& data) {
  const bool independent = !data.targets.empty();
  if (data.classes < (independent ? 1 : 2))
    return fail(ErrorCode::kUsage, "training needs at least two labels, there is {}", data.classes);
  const auto values = checked_mul<std::int64_t>(data.rows(), data.dims);
  if (data.rows() < 1 || data.dims < 1 || !values ||
      *values != static_cast<std::int64_t>(data.features.size()))
    return fail(ErrorCode::kUsage, "training: {} values are not {} rows of {}",
                data.features.size(), data.rows(), data.dims);
  if (data.targets.size() % static_cast<std::size_t>(data.classes) != 0)
    return fail(ErrorCode::kUsage, "training: {} targets are not rows of {}", data.targets.size(),
                data.classes);
  for (std::size_t i = 0; i < data.labels.size() && !independent; ++i)
    if (data.labels[i] < 0 || data.labels[i] >= data.classes)
      return fail(ErrorCode::kUsage, "training: row {} has label {} of {}", i, data.labels[i],
                  data.classes);
  for (std::size_t i = 0; i < data.features.size(); ++i)
    if (!std::isfinite(data.features[i]))
      return fail(ErrorCode::kUsage, "training: row {} has a feature that is not finite",
                  i / static_cast<std::size_t>(data.dims));
  return {};
}

LinearHead head_of(std::span<const double> x, std::int32_t classes, std::int64_t dims) {
  LinearHead head{classes, dims, {}, {}};
  const auto weights = static_cast<std::size_t>(classes * dims);
  const auto to_float = [](double v) { return static_cast<float>(v); };
  std::ranges::transform(x.first(weights), std::back_inserter(head.weight), to_float);
  std::ranges::transform(x.subspan(weights), std::back_inserter(head.bias), to_float);
  return head;
}

// Logits of the rows of one fold, written to their places in [rows, classes] of the original order.
void predict_fold(const ChunkedData& data, int fold, const LinearHead& head, ThreadPool& pool,
                  std::vector<float>& logits) {
  const auto classes = static_cast<std::int64_t>(data.classes());
  pool.parallel_for(static_cast<std::int64_t>(data.chunks().size()), [&](std::int64_t c) {
    const Chunk& chunk = data.chunks()[static_cast<std::size_t>(c)];
    if (chunk.fold != fold) return;
    std::vector<float> block(static_cast<std::size_t>(chunk.rows * classes));
    multiply(chunk.rows, classes, data.dims(), data.rows(chunk), head.weight.data(),
             head.bias.data(), block.data());
    for (std::int64_t r = 0; r < chunk.rows; ++r) {
      const std::int64_t row = data.order()[static_cast<std::size_t>(chunk.begin + r)];
      std::copy_n(block.data() + r * classes, classes, logits.data() + row * classes);
    }
  });
}

LogisticSearch::Point score(double c, std::span<const float> logits,
                            std::span<const std::int32_t> labels, std::int32_t classes) {
  std::int64_t right = 0;
  double nll = 0;
  const auto width = static_cast<std::size_t>(classes);
  for (std::size_t r = 0; r < labels.size(); ++r) {
    const std::span<const float> row = logits.subspan(r * width, width);
    const auto best = std::ranges::max_element(row);
    right += best - row.begin() == labels[r];
    double sum = 0;
    for (float v : row) sum += std::exp(static_cast<double>(v) - static_cast<double>(*best));
    nll += std::log(sum) + static_cast<double>(*best) -
           static_cast<double>(row[static_cast<std::size_t>(labels[r])]);
  }
  const auto rows = static_cast<double>(labels.size());
  return {c, static_cast<double>(right) / rows, nll / rows};
}

LogisticSearch::Point score_independent(double c, std::span<const float> logits,
                                        std::span<const float> targets, std::int32_t classes) {
  std::int64_t right = 0;
  double nll = 0;
  const auto width = static_cast<std::size_t>(classes);
  const std::size_t rows = targets.size() / width;
  for (std::size_t r = 0; r < rows; ++r) {
    bool all = true;
    for (std::size_t i = r * width; i < (r + 1) * width; ++i) {
      const auto x = static_cast<double>(logits[i]), t = static_cast<double>(targets[i]);
      nll += std::max(x, 0.0) - x * t + std::log1p(std::exp(-std::fabs(x)));
      all = all && (x > 0) == (t > 0.5);
    }
    right += all ? 1 : 0;
  }
  return {c, static_cast<double>(right) / static_cast<double>(rows),
          nll / static_cast<double>(rows)};
}

// Of an accuracy measured on so many rows.
double standard_error(double accuracy, std::int64_t rows) {
  return std::sqrt(accuracy * (1 - accuracy) / static_cast<double>(rows));
}

std::size_t best_of(std::span<const LogisticSearch::Point> points) {
  return static_cast<std::size_t>(
      std::ranges::max_element(points, {}, &LogisticSearch::Point::accuracy) - points.begin());
}

// The last value of C gained next to nothing over the best before it: larger ones would only fit
// the training rows harder, and their fits are the slowest.
bool past_the_best(std::span<const LogisticSearch::Point> points, std::int64_t rows) {
  if (points.size() < 2) return false;
  const double before = points[best_of(points.first(points.size() - 1))].accuracy;
  return points.back().accuracy < before + standard_error(before, rows) / 4;
}

}  // namespace

std::vector<float> LinearHead::logits(std::span<const float> features, ThreadPool& pool) const {
  const std::int64_t rows = static_cast<std::int64_t>(features.size()) / dims;
  std::vector<float> out(static_cast<std::size_t>(rows * classes));
  pool.parallel_for(div_up(rows, kChunkRows), [&](std::int64_t c) {
    const std::int64_t begin = c * kChunkRows, count = std::min(kChunkRows, rows - begin);
    multiply(count, classes, dims, features.data() + begin * dims, weight.data(), bias.data(),
             out.data() + begin * classes);
  });
  return out;
}

Result<LogisticFit> fit_logistic(const LabelledFeatures& data, const LogisticOptions& options,
                                 ThreadPool& pool, const LinearHead* start) {
  TACK_RETURN_IF_ERROR(check(data));
  const ChunkedData chunked(data, {}, 1, pool);
  LogisticLoss loss(chunked, -1, options.c, pool);
  std::vector<double> x(loss.parameters(), 0.0);
  if (start != nullptr) {
    std::ranges::copy(start->weight, x.begin());
    std::ranges::copy(start->bias, x.begin() + static_cast<std::ptrdiff_t>(start->weight.size()));
  }
  TACK_TRY(const LbfgsResult result, minimize_lbfgs(std::ref(loss), x,
                                                    {.max_iterations = options.max_iterations,
                                                     .gradient_tolerance = options.tolerance}));
  std::vector<double> gradient(x.size());
  loss(x, gradient);
  return LogisticFit{head_of(x, data.classes, data.dims), loss.mean_nll(), result.iterations,
                     result.converged};
}

std::vector<std::int32_t> stratified_folds(std::span<const std::int32_t> labels,
                                           std::int32_t classes, int folds, std::uint64_t seed) {
  std::vector<std::vector<std::size_t>> by_class(static_cast<std::size_t>(classes));
  for (std::size_t i = 0; i < labels.size(); ++i)
    by_class[static_cast<std::size_t>(labels[i])].push_back(i);
  Random random(seed);
  std::vector<std::int32_t> out(labels.size());
  std::int32_t next = 0;  // goes on from class to class: small classes must not all fill fold 0
  for (auto& rows : by_class) {
    random.shuffle(std::span(rows));
    for (std::size_t row : rows) {
      out[row] = next;
      next = (next + 1) % folds;
    }
  }
  return out;
}

Result<LogisticSearch> search_logistic(const LabelledFeatures& data,
                                       const LogisticSearchOptions& options, ThreadPool& pool) {
  TACK_RETURN_IF_ERROR(check(data));
  if (options.grid.empty() || options.folds < 2 || options.folds > data.rows())
    return fail(ErrorCode::kUsage, "cross-validation needs 2 to {} folds and a value of C, not {}",
                data.rows(), options.folds);
  // Rows of several labels have no stratum.
  const std::vector<std::int32_t> alike(
      data.targets.empty() ? 0 : static_cast<std::size_t>(data.rows()), 0);
  const auto folds = data.targets.empty()
                         ? stratified_folds(data.labels, data.classes, options.folds, options.seed)
                         : stratified_folds(alike, 1, options.folds, options.seed);
  const ChunkedData chunked(data, folds, options.folds, pool);
  std::vector<std::vector<double>> x(static_cast<std::size_t>(options.folds));
  LogisticSearch search;
  std::vector<std::vector<float>> logits;  // of each point
  for (double c : options.grid) {
    logits.emplace_back(static_cast<std::size_t>(data.rows() * data.classes));
    for (int fold = 0; fold < options.folds; ++fold) {
      LogisticLoss loss(chunked, fold, c, pool);
      auto& point = x[static_cast<std::size_t>(fold)];
      point.resize(loss.parameters(), 0.0);
      TACK_RETURN_IF_ERROR(
          minimize_lbfgs(std::ref(loss), point, {.gradient_tolerance = options.tolerance}));
      predict_fold(chunked, fold, head_of(point, data.classes, data.dims), pool, logits.back());
      if (options.on_fit) options.on_fit();
    }
    search.points.push_back(data.targets.empty()
                                ? score(c, logits.back(), data.labels, data.classes)
                                : score_independent(c, logits.back(), data.targets, data.classes));
    if (past_the_best(search.points, data.rows())) break;
  }
  const double best = search.points[best_of(search.points)].accuracy;
  const double enough = best - standard_error(best, data.rows());
  const auto chosen = std::ranges::find_if(
      search.points, [&](const LogisticSearch::Point& point) { return point.accuracy >= enough; });
  search.c = chosen->c;
  search.out_of_fold_logits =
      std::move(logits[static_cast<std::size_t>(chosen - search.points.begin())]);
  return search;
}

}  // namespace tack
