#include "compress/hessian.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>

#include "base/untouched_buffer.h"
#include "kernels/kernels.h"

namespace tack {
namespace {

// Columns that are eliminated at once, and rows that a worker takes at once.
constexpr std::int64_t kBlock = 128;

void multiply(kernels::ProductArgs args, std::int64_t m, std::int64_t k, UntouchedBuffer& scratch) {
  args.m = m;
  args.k = k;
  args.scratch = scratch.data();
  kernels::kernels().product.multiply(args);
}

// Calls body(first, last, scratch) for pieces of [begin, end); `scratch` serves products of kBlock
// rows and k columns.
void for_pieces(ThreadPool& pool, std::int64_t begin, std::int64_t end, std::int64_t k,
                const std::function<void(std::int64_t, std::int64_t, UntouchedBuffer&)>& body) {
  std::atomic<std::int64_t> next{begin};
  pool.run([&](int) {
    UntouchedBuffer scratch(kernels::product_scratch_bytes(kBlock, k));
    for (std::int64_t first; (first = next.fetch_add(kBlock)) < end;)
      body(first, std::min(end, first + kBlock), scratch);
  });
}

// The lower Cholesky factor of a kBlock square at `a`, in place, in f64. Returns the first column
// whose pivot is not positive, or `count`.
std::int64_t factor_square(float* a, std::int64_t lda, std::int64_t count,
                           std::vector<double>& lower) {
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t j = 0; j <= i; ++j) {
      double sum = static_cast<double>(a[i * lda + j]);
      const double *const of_i = &lower[static_cast<std::size_t>(i * kBlock)],
                          *const of_j = &lower[static_cast<std::size_t>(j * kBlock)];
      for (std::int64_t k = 0; k < j; ++k) sum -= of_i[k] * of_j[k];
      if (i == j && !(sum > 0)) return i;
      lower[static_cast<std::size_t>(i * kBlock + j)] = i == j ? std::sqrt(sum) : sum / of_j[j];
    }
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t j = 0; j <= i; ++j)
      a[i * lda + j] = static_cast<float>(lower[static_cast<std::size_t>(i * kBlock + j)]);
  return count;
}

// The inverse of a lower triangle, [kBlock, kBlock].
void invert_square(const std::vector<double>& lower, std::int64_t count, std::vector<float>& to) {
  std::vector<double> inverse(lower.size());
  for (std::int64_t j = 0; j < count; ++j)
    for (std::int64_t i = j; i < count; ++i) {
      double sum = i == j ? 1 : 0;
      for (std::int64_t k = j; k < i; ++k)
        sum -= lower[static_cast<std::size_t>(i * kBlock + k)] *
               inverse[static_cast<std::size_t>(k * kBlock + j)];
      inverse[static_cast<std::size_t>(i * kBlock + j)] =
          sum / lower[static_cast<std::size_t>(i * kBlock + i)];
    }
  std::ranges::transform(inverse, to.begin(), [](double x) { return static_cast<float>(x); });
}

// The lower Cholesky factor of `a` [n, n] in the place of its lower triangle. Returns the column
// that is not positive, or n.
std::int64_t factor(float* a, std::int64_t n, ThreadPool& pool) {
  std::vector<double> lower(kBlock * kBlock);
  std::vector<float> inverse(kBlock * kBlock), panel, negative;
  for (std::int64_t at = 0; at < n; at += kBlock) {
    const std::int64_t count = std::min(kBlock, n - at), rest = at + count;
    const std::int64_t done = factor_square(a + at * n + at, n, count, lower);
    if (done < count) return at + done;
    invert_square(lower, count, inverse);
    // Rows below: L21 = A21 L11^-T, and then A22 -= L21 L21^T.
    panel.resize(static_cast<std::size_t>((n - rest) * count));
    negative.resize(panel.size());
    for_pieces(pool, rest, n, count, [&](std::int64_t first, std::int64_t last, auto& scratch) {
      float* const to = panel.data() + (first - rest) * count;
      multiply({.n = count,
                .a = a + first * n + at,
                .lda = n,
                .b = inverse.data(),
                .ldb = kBlock,
                .b_transposed = true,
                .c = to,
                .ldc = count},
               last - first, count, scratch);
      for (std::int64_t r = first; r < last; ++r)
        std::copy_n(panel.data() + (r - rest) * count, count, a + r * n + at);
      std::transform(to, to + (last - first) * count, negative.data() + (first - rest) * count,
                     std::negate());
    });
    for_pieces(pool, rest, n, count, [&](std::int64_t first, std::int64_t last, auto& scratch) {
      multiply({.n = last - rest,
                .a = negative.data() + (first - rest) * count,
                .lda = count,
                .b = panel.data(),
                .ldb = count,
                .b_transposed = true,
                .accumulate = true,
                .c = a + first * n + rest,
                .ldc = n},
               last - first, count, scratch);
    });
  }
  return n;
}

}  // namespace

Result<HessianFactor> HessianFactor::make(std::span<const float> hessian, std::int64_t in,
                                          double damping, ThreadPool& pool) {
  const auto at = [in](std::int64_t i, std::int64_t j) {
    return static_cast<std::size_t>(i * in + j);
  };
  const auto broken = std::ranges::find_if_not(hessian, [](float x) { return std::isfinite(x); });
  if (broken != hessian.end()) {
    const std::int64_t index = broken - hessian.begin();
    return fail("Hessian: row {}, column {} is {}", index / in, index % in, *broken);
  }
  double mean = 0;
  for (std::int64_t k = 0; k < in; ++k) {
    if (hessian[at(k, k)] < 0)
      return fail("Hessian: column {} has the negative square {}", k, hessian[at(k, k)]);
    mean += static_cast<double>(hessian[at(k, k)]) / static_cast<double>(in);
  }
  if (!(mean > 0)) return fail("Hessian: zero: the layer has read nothing but zeros");

  // R is the lower factor of the matrix that is turned around, turned around.
  HessianFactor out;
  out.in_ = in;
  out.ratios_.assign(hessian.rbegin(), hessian.rend());
  for (std::int64_t k = 0; k < in; ++k) {
    float& diagonal = out.ratios_[at(k, k)];
    // A column that was always zero costs nothing, whatever its weights are.
    diagonal = static_cast<float>(static_cast<double>(diagonal) + damping * mean);
    if (diagonal == 0) diagonal = static_cast<float>(mean);
  }
  if (const std::int64_t done = factor(out.ratios_.data(), in, pool); done < in)
    return fail("Hessian: not positive definite at column {}: raise the damping, now {}",
                in - 1 - done, damping);
  std::ranges::reverse(out.ratios_);
  out.conditional_.resize(static_cast<std::size_t>(in));
  std::vector<float> inverse(out.conditional_.size());
  for (std::int64_t j = 0; j < in; ++j) {
    const float diagonal = out.ratios_[at(j, j)];
    out.conditional_[static_cast<std::size_t>(j)] = diagonal * diagonal;
    inverse[static_cast<std::size_t>(j)] = 1.0F / diagonal;
  }
  pool.parallel_for(in, [&](std::int64_t i) {
    std::fill_n(&out.ratios_[at(i, 0)], i, 0.0F);
    out.ratios_[at(i, i)] = 1;
    for (std::int64_t j = i + 1; j < in; ++j)
      out.ratios_[at(i, j)] *= inverse[static_cast<std::size_t>(j)];
  });
  return out;
}

double hessian_error(std::span<const float> a, std::span<const float> b, std::int64_t out,
                     std::int64_t in, std::span<const float> hessian, ThreadPool& pool) {
  std::vector<double> rows(static_cast<std::size_t>(out));
  for_pieces(pool, 0, out, in, [&](std::int64_t first, std::int64_t last, auto& scratch) {
    const auto count = static_cast<std::size_t>((last - first) * in);
    const auto from = static_cast<std::size_t>(first * in);
    std::vector<float> errors(count), products(count);
    for (std::size_t i = 0; i < count; ++i) errors[i] = a[from + i] - b[from + i];
    multiply({.n = in,
              .a = errors.data(),
              .lda = in,
              .b = hessian.data(),
              .ldb = in,
              .c = products.data(),
              .ldc = in},
             last - first, in, scratch);
    for (std::size_t i = 0; i < count; ++i)
      rows[static_cast<std::size_t>(first) + i / static_cast<std::size_t>(in)] +=
          static_cast<double>(errors[i]) * static_cast<double>(products[i]);
  });
  double sum = 0;
  for (const double row : rows) sum += row;
  return sum;
}

}  // namespace tack
