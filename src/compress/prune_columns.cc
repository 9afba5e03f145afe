#include "compress/prune_columns.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tack {
namespace {

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// A dense matrix in f64.
struct Matrix {
  Matrix(std::int64_t r, std::int64_t c) : rows(r), cols(c), values(index(r * c)) {}
  double* row(std::int64_t r) { return values.data() + r * cols; }
  const double* row(std::int64_t r) const { return values.data() + r * cols; }
  std::int64_t rows, cols;
  std::vector<double> values;
};

// L of a = L L^T into the lower triangle of `a`; false when it has none.
bool cholesky(Matrix& a, ThreadPool& pool) {
  for (std::int64_t k = 0; k < a.rows; ++k) {
    double* const pivot = a.row(k);
    double sum = pivot[k];
    for (std::int64_t j = 0; j < k; ++j) sum -= pivot[j] * pivot[j];
    if (!(sum > 0) || !std::isfinite(sum)) return false;
    const double diagonal = pivot[k] = std::sqrt(sum);
    const auto below = [&](std::int64_t i) {
      double* const row = a.row(i);
      double dot = row[k];
      for (std::int64_t j = 0; j < k; ++j) dot -= row[j] * pivot[j];
      row[k] = dot / diagonal;
    };
    // Few rows, or short ones, are done sooner than workers meet.
    if ((a.rows - k) * k < 16384) {
      for (std::int64_t i = k + 1; i < a.rows; ++i) below(i);
      continue;
    }
    constexpr std::int64_t kChunk = 32;
    const std::int64_t left = a.rows - k - 1;
    pool.parallel_for((left + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
      const std::int64_t begin = k + 1 + chunk * kChunk;
      for (std::int64_t i = begin; i < std::min(begin + kChunk, a.rows); ++i) below(i);
    });
  }
  return true;
}

// The inverse of a positive definite matrix; false when it is not one.
bool invert(Matrix& a, ThreadPool& pool) {
  const std::int64_t n = a.rows;
  if (!cholesky(a, pool)) return false;
  // Rows of the transposed inverse of L: row c has column c of L^-1, from c on.
  Matrix inverse(n, n);
  pool.parallel_for(n, [&](std::int64_t c) {
    double* const x = inverse.row(c);
    for (std::int64_t i = c; i < n; ++i) {
      const double* const l = a.row(i);
      double sum = i == c ? 1 : 0;
      for (std::int64_t j = c; j < i; ++j) sum -= l[j] * x[j];
      x[i] = sum / l[i];
    }
  });
  // a^-1 = L^-T L^-1.
  pool.parallel_for(n, [&](std::int64_t i) {
    for (std::int64_t j = 0; j <= i; ++j) {
      const double *const x = inverse.row(i), *const y = inverse.row(j);
      double sum = 0;
      for (std::int64_t k = i; k < n; ++k) sum += x[k] * y[k];
      a.row(i)[j] = sum;
    }
  });
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = i + 1; j < n; ++j) a.row(i)[j] = a.row(j)[i];
  return true;
}

class Pruner {
 public:
  Pruner(const SecondMoments& moments, std::span<const float> weight, std::span<const float> bias,
         const ColumnChoice& choice, ThreadPool& pool)
      : choice_(choice),
        pool_(pool),
        cols_(moments.cols()),
        size_(cols_ + (bias.empty() ? 0 : 1)),
        inverse_(size_, size_),
        weights_(size_, static_cast<std::int64_t>(weight.size()) / cols_),
        left_(index(cols_ / choice.group), true) {
    const std::int64_t out = weights_.cols;
    for (std::int64_t o = 0; o < out; ++o) {
      for (std::int64_t c = 0; c < cols_; ++c)
        weights_.row(c)[o] = static_cast<double>(weight[index(o * cols_ + c)]);
      if (!bias.empty()) weights_.row(cols_)[o] = static_cast<double>(bias[index(o)]);
    }
    double diagonal = 0;
    for (std::int64_t i = 0; i < cols_; ++i) diagonal += moments.at(i, i);
    const double ridge = std::max(choice.ridge * diagonal / static_cast<double>(cols_), 1e-30);
    for (std::int64_t i = 0; i < cols_; ++i) {
      for (std::int64_t j = 0; j <= i; ++j)
        inverse_.row(i)[j] = inverse_.row(j)[i] = moments.at(i, j);
      inverse_.row(i)[i] += ridge;
      if (!bias.empty()) inverse_.row(cols_)[i] = inverse_.row(i)[cols_] = moments.mean(i);
    }
    if (!bias.empty()) inverse_.row(cols_)[cols_] = 1;
    total_ = energy();
  }

  Result<PrunedColumns> run() {
    if (!std::isfinite(total_) || !invert(inverse_, pool_))
      return fail("what a layer reads cannot be measured: it is not finite");
    auto groups = static_cast<std::int64_t>(left_.size());
    double lost = 0;
    while (groups > choice_.keep) {
      std::int64_t best = -1;
      double least = std::numeric_limits<double>::infinity();
      for (std::int64_t g = 0; g < static_cast<std::int64_t>(left_.size()); ++g) {
        if (!left_[index(g)]) continue;
        if (const double cost = cost_of(g); cost < least) {
          least = cost;
          best = g;
        }
      }
      if (best < 0) return fail("what a layer reads cannot be measured: it is not finite");
      remove(best);
      lost += least;
      --groups;
    }
    return result(lost);
  }

 private:
  // tr(W C W^T), of the moments before they are inverted.
  double energy() const {
    std::vector<double> by_row(index(size_));
    pool_.parallel_for(size_, [&](std::int64_t i) {
      std::vector<double> sum(index(weights_.cols));
      for (std::int64_t j = 0; j < size_; ++j) {
        const double c = inverse_.row(i)[j];
        const double* const w = weights_.row(j);
        for (std::size_t o = 0; o < sum.size(); ++o) sum[o] += c * w[o];
      }
      double dot = 0;
      for (std::size_t o = 0; o < sum.size(); ++o) dot += sum[o] * weights_.row(i)[o];
      by_row[index(i)] = dot;
    });
    double total = 0;
    for (const double part : by_row) total += part;
    return total;
  }

  // ([C^-1]_gg)^-1: [group, group].
  Matrix block(std::int64_t g) const {
    Matrix out(choice_.group, choice_.group);
    for (std::int64_t i = 0; i < choice_.group; ++i)
      for (std::int64_t j = 0; j < choice_.group; ++j)
        out.row(i)[j] = inverse_.row(g * choice_.group + i)[g * choice_.group + j];
    ThreadPool alone(1);
    // Not to be inverted: of a cost that no group has.
    if (!invert(out, alone)) std::ranges::fill(out.values, std::numeric_limits<double>::infinity());
    return out;
  }

  double cost_of(std::int64_t g) const {
    const std::int64_t n = choice_.group;
    if (n == 1) {
      double norm = 0;
      const double* const w = weights_.row(g);
      for (std::int64_t o = 0; o < weights_.cols; ++o) norm += w[o] * w[o];
      return norm / inverse_.row(g)[g];
    }
    const Matrix middle = block(g);
    double cost = 0;
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        const double *const a = weights_.row(g * n + i), *const b = weights_.row(g * n + j);
        double dot = 0;
        for (std::int64_t o = 0; o < weights_.cols; ++o) dot += a[o] * b[o];
        cost += dot * middle.row(i)[j];
      }
    return cost;
  }

  // W -= W_g M [C^-1]_g, and C^-1 -= [C^-1]_g^T M [C^-1]_g, with M of block().
  void remove(std::int64_t g) {
    const std::int64_t n = choice_.group, first = g * n;
    left_[index(g)] = false;
    const Matrix middle = block(g);
    Matrix rows(n, size_), weights(n, weights_.cols);  // copies: rows of g change, too
    for (std::int64_t i = 0; i < n; ++i) {
      std::copy_n(inverse_.row(first + i), size_, rows.row(i));
      std::copy_n(weights_.row(first + i), weights_.cols, weights.row(i));
    }
    constexpr std::int64_t kChunk = 16;
    pool_.parallel_for((size_ + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
      std::vector<double> factor(index(n));
      for (std::int64_t k = chunk * kChunk; k < std::min((chunk + 1) * kChunk, size_); ++k) {
        if (k < cols_ && !left_[index(k / n)]) continue;
        for (std::int64_t i = 0; i < n; ++i) {
          factor[index(i)] = 0;
          for (std::int64_t j = 0; j < n; ++j)
            factor[index(i)] += middle.row(i)[j] * rows.row(j)[k];
        }
        double *const inverse = inverse_.row(k), *const weight = weights_.row(k);
        for (std::int64_t i = 0; i < n; ++i) {
          const double f = factor[index(i)];
          const double *const from = rows.row(i), *const w = weights.row(i);
          for (std::int64_t c = 0; c < size_; ++c) inverse[c] -= f * from[c];
          for (std::int64_t o = 0; o < weights_.cols; ++o) weight[o] -= f * w[o];
        }
      }
    });
  }

  PrunedColumns result(double lost) const {
    PrunedColumns out;
    const std::int64_t n = choice_.group;
    for (std::size_t g = 0; g < left_.size(); ++g)
      if (left_[g]) out.groups.push_back(static_cast<std::int64_t>(g));
    for (std::int64_t o = 0; o < weights_.cols; ++o)
      for (const std::int64_t g : out.groups)
        for (std::int64_t i = 0; i < n; ++i)
          out.weight.push_back(static_cast<float>(weights_.row(g * n + i)[o]));
    for (std::int64_t o = 0; o < weights_.cols && size_ > cols_; ++o)
      out.bias.push_back(static_cast<float>(weights_.row(cols_)[o]));
    out.error = total_ > 0 ? std::max(lost, 0.0) / total_ : 0;
    return out;
  }

  ColumnChoice choice_;
  ThreadPool& pool_;
  std::int64_t cols_, size_;  // of inputs; with the constant one that stands for the bias
  Matrix inverse_;            // C, then C^-1: [size, size]
  Matrix weights_;            // W^T: [size, out]
  std::vector<bool> left_;    // by group
  double total_ = 0;
};

}  // namespace

SecondMoments::SecondMoments(std::int64_t cols)
    : cols_(cols), products_(index(cols * cols)), sums_(index(cols)) {}

void SecondMoments::add(std::span<const float> x, ThreadPool& pool) {
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / cols_;
  rows_ += rows;
  // Of a batch in f32, row by row so that the innermost loop runs along memory; batches in f64.
  constexpr std::int64_t kChunk = 8;
  pool.parallel_for((cols_ + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
    std::vector<float> sum(index(cols_));
    for (std::int64_t i = chunk * kChunk; i < std::min((chunk + 1) * kChunk, cols_); ++i) {
      std::fill_n(sum.begin(), i + 1, 0.0F);
      double mean = 0;
      for (std::int64_t t = 0; t < rows; ++t) {
        const float* const row = x.data() + t * cols_;
        const float a = row[i];
        mean += static_cast<double>(a);
        if (a == 0) continue;
        for (std::int64_t j = 0; j <= i; ++j) sum[index(j)] += a * row[j];
      }
      double* const out = products_.data() + i * cols_;
      for (std::int64_t j = 0; j <= i; ++j) out[j] += static_cast<double>(sum[index(j)]);
      sums_[index(i)] += mean;
    }
  });
}

double SecondMoments::at(std::int64_t i, std::int64_t j) const {
  return products_[index(std::max(i, j) * cols_ + std::min(i, j))] /
         static_cast<double>(std::max<std::int64_t>(rows_, 1));
}

double SecondMoments::mean(std::int64_t i) const {
  return sums_[index(i)] / static_cast<double>(std::max<std::int64_t>(rows_, 1));
}

Result<PrunedColumns> prune_columns(const SecondMoments& moments, std::span<const float> weight,
                                    std::span<const float> bias, const ColumnChoice& choice,
                                    ThreadPool& pool) {
  return Pruner(moments, weight, bias, choice, pool).run();
}

}  // namespace tack
