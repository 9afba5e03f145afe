// Minimises a smooth function with limited-memory BFGS (Nocedal and Wright, Numerical Optimization,
// 2nd ed., algorithms 7.4 and 7.5) and a line search for the strong Wolfe conditions (3.5 and 3.6).
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/result.h"

namespace tack {

// The value at x; writes the gradient. Both spans have the same length.
using Objective = std::function<double(std::span<const double> x, std::span<double> gradient)>;

struct LbfgsOptions {
  int memory = 10;
  int max_iterations = 1000;
  double gradient_tolerance = 1e-5;  // stop when the largest |gradient| is below it
};

struct LbfgsResult {
  double value = 0;
  double gradient_max = 0;
  int iterations = 0;
  int evaluations = 0;
  // False when iterations ran out or no step made progress any more (the objective's own rounding).
  bool converged = false;
};

// Starts at `x` and leaves the minimum there. Deterministic when the objective is.
// Errors: kInterrupted; kFailed when the objective is not finite at the start.
Result<LbfgsResult> minimize_lbfgs(const Objective& objective, std::vector<double>& x,
                                   const LbfgsOptions& options = {});

}  // namespace tack
