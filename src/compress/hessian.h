// What errors of a linear layer's weights cost: H = sum x x^T over the rows x [in] that the layer
// reads. Errors e [in] of one output change the outputs by e^T H e, summed over those rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"

namespace tack {

// H = R R^T with R upper triangular, so that e^T H e is the sum over columns j of
// (e_j R_jj + sum_{i<j} e_i R_ij)^2: what column j can still repair when the errors before it are
// known. This is GPTQ's factor (arXiv 2210.17323) without inverting H.
class HessianFactor {
 public:
  // hessian [in, in] is symmetric; only its upper triangle is read. `damping` times the mean of its
  // diagonal is added to the diagonal. Errors: a value that is not finite, a diagonal that is
  // negative or zero throughout, a matrix that is not positive definite with its damping; each says
  // where.
  static Result<HessianFactor> make(std::span<const float> hessian, std::int64_t in, double damping,
                                    ThreadPool& pool);

  std::int64_t in() const { return in_; }
  // R_ij / R_jj, upper triangular with ones, [in, in].
  const float* ratios() const { return ratios_.data(); }
  // R_jj^2, [in]: what an error of column j costs when later columns repair what they can.
  std::span<const float> conditional() const { return conditional_; }

 private:
  std::int64_t in_ = 0;
  std::vector<float> ratios_, conditional_;
};

// sum_r e_r^T H e_r for e = a - b, both [out, in]; hessian [in, in].
double hessian_error(std::span<const float> a, std::span<const float> b, std::int64_t out,
                     std::int64_t in, std::span<const float> hessian, ThreadPool& pool);

}  // namespace tack
