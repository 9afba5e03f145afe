#include "train/principal_components.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace tack {
namespace {

using Matrix = std::vector<double>;  // [count, dims] or [dims, dims]

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// The mean of products, less the product of means: zeros of a row then cost nothing.
Matrix covariance(std::span<const float> rows, std::int64_t dims, std::span<const double> mean) {
  const std::int64_t count = static_cast<std::int64_t>(rows.size()) / dims;
  Matrix out(index(dims * dims));
  for (std::int64_t r = 0; r < count; ++r) {
    const float* row = rows.data() + r * dims;
    for (std::int64_t i = 0; i < dims; ++i) {
      const auto factor = static_cast<double>(row[i]);
      if (factor == 0) continue;
      double* to = out.data() + i * dims;
      for (std::int64_t j = 0; j <= i; ++j) to[j] += factor * static_cast<double>(row[j]);
    }
  }
  for (std::int64_t i = 0; i < dims; ++i)
    for (std::int64_t j = 0; j <= i; ++j)
      out[index(j * dims + i)] = out[index(i * dims + j)] =
          out[index(i * dims + j)] / static_cast<double>(count) - mean[index(i)] * mean[index(j)];
  return out;
}

// Gram-Schmidt, each direction twice for accuracy; one without length left becomes zero.
void orthonormalise(Matrix& directions, std::int64_t count, std::int64_t dims) {
  for (std::int64_t k = 0; k < count; ++k) {
    const std::span own(directions.data() + k * dims, index(dims));
    for (int pass = 0; pass < 2; ++pass)
      for (std::int64_t other = 0; other < k; ++other) {
        const double* against = directions.data() + other * dims;
        double product = 0;
        for (std::int64_t i = 0; i < dims; ++i) product += own[index(i)] * against[i];
        for (std::int64_t i = 0; i < dims; ++i) own[index(i)] -= product * against[i];
      }
    double square = 0;
    for (const double value : own) square += value * value;
    const double scale = square > 1e-20 ? 1 / std::sqrt(square) : 0;
    for (double& value : own) value *= scale;
  }
}

Matrix times(const Matrix& covariance, const Matrix& directions, std::int64_t count,
             std::int64_t dims) {
  Matrix out(directions.size());
  for (std::int64_t k = 0; k < count; ++k)
    for (std::int64_t i = 0; i < dims; ++i) {
      const double factor = directions[index(k * dims + i)];
      const double* row = covariance.data() + i * dims;
      double* to = out.data() + k * dims;
      for (std::int64_t j = 0; j < dims; ++j) to[j] += factor * row[j];
    }
  return out;
}

}  // namespace

PrincipalComponents principal_components(std::span<const float> rows, std::int64_t dims,
                                         std::int64_t count, std::uint64_t seed) {
  // Enough for directions whose variances differ by some per cent; the rest stay mixed.
  constexpr int kIterations = 60;
  PrincipalComponents out;
  out.dims = dims;
  out.count = std::min(count, dims);
  const auto row_count = static_cast<double>(rows.size()) / static_cast<double>(dims);
  std::vector<double> total(index(dims));
  for (std::size_t i = 0; i < rows.size(); ++i)
    total[i % index(dims)] += static_cast<double>(rows[i]);
  for (double& sum : total) sum /= row_count;
  out.mean.assign(total.begin(), total.end());

  const Matrix spread = covariance(rows, dims, total);
  Random random(seed);
  Matrix directions(index(out.count * dims));
  for (double& value : directions) value = random.normal();
  orthonormalise(directions, out.count, dims);
  for (int i = 0; i < kIterations; ++i) {
    directions = times(spread, directions, out.count, dims);
    orthonormalise(directions, out.count, dims);
  }
  for (std::int64_t k = 0; k < out.count; ++k) {
    const std::span own(directions.data() + k * dims, index(dims));
    const double largest = *std::ranges::max_element(own, {}, [](double v) { return std::abs(v); });
    for (const double value : own)
      out.directions.push_back(static_cast<float>(largest < 0 ? -value : value));
  }
  return out;
}

}  // namespace tack
