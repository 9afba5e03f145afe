#include "train/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "base/interrupt.h"

namespace tack {
namespace {

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double largest(const Vector& v) {
  double most = 0;
  for (double x : v) most = std::max(most, std::abs(x));
  return most;
}

// A step along the search direction: phi(step) = f(x + step d), slope = phi'(step).
struct Trial {
  double step = 0, value = 0, slope = 0;
};

// Minimiser of the cubic through two trials (3.59), kept inside the bracket's middle 80 %: the
// bracket then always shrinks by a tenth at least.
double interpolate(const Trial& a, const Trial& b) {
  const double d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step);
  const double square = d1 * d1 - a.slope * b.slope;
  const double low = std::min(a.step, b.step), width = std::abs(a.step - b.step);
  double step = low + width / 2;
  if (square >= 0) {
    const double d2 = std::copysign(std::sqrt(square), b.step - a.step);
    const double cubic =
        b.step - (b.step - a.step) * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2);
    if (std::isfinite(cubic)) step = cubic;
  }
  return std::clamp(step, low + 0.1 * width, low + 0.9 * width);
}

// Where the search stands: the point, its value and gradient.
struct State {
  Vector x, gradient;
  double value = 0;
};

class LineSearch {
 public:
  LineSearch(const Objective& objective, const State& from, const Vector& direction, State& to)
      : objective_(objective), from_(from), direction_(direction), to_(to) {
    start_ = {0, from.value, dot(from.gradient, direction)};
  }

  int evaluations() const { return evaluations_; }

  // Leaves an accepted point in `to`. False when no step decreased the value enough.
  bool run(double first_step) {
    Trial previous = start_;
    double step = first_step;
    for (int i = 0; i < kMaxTrials; ++i) {
      const Trial trial = evaluate(step);
      if (!sufficient(trial) || (i > 0 && trial.value >= previous.value))
        return zoom(previous, trial);
      if (flat(trial)) return true;
      if (trial.slope >= 0) return zoom(trial, previous);
      previous = trial;
      step *= 2.5;
    }
    return true;  // still falling after a very long step: take it
  }

 private:
  static constexpr double kDecrease = 1e-4, kCurvature = 0.9;
  static constexpr int kMaxTrials = 20;

  Trial evaluate(double step) {
    ++evaluations_;
    for (std::size_t i = 0; i < to_.x.size(); ++i) to_.x[i] = from_.x[i] + step * direction_[i];
    to_.value = objective_(to_.x, to_.gradient);
    if (!std::isfinite(to_.value)) return {step, 1e300, 0};
    return {step, to_.value, dot(to_.gradient, direction_)};
  }

  bool sufficient(const Trial& t) const {
    return t.value <= start_.value + kDecrease * t.step * start_.slope;
  }
  bool flat(const Trial& t) const { return std::abs(t.slope) <= -kCurvature * start_.slope; }

  // `low` satisfies the decrease condition with the smallest value so far; the minimum lies
  // between the two.
  bool zoom(Trial low, Trial high) {
    for (int i = 0; i < kMaxTrials; ++i) {
      const Trial trial = evaluate(interpolate(low, high));
      if (!sufficient(trial) || trial.value >= low.value) {
        high = trial;
        continue;
      }
      if (flat(trial)) return true;
      if (trial.slope * (high.step - low.step) >= 0) high = low;
      low = trial;
    }
    if (low.step == 0) return false;
    evaluate(low.step);  // decreases, though not as flat as asked for
    return true;
  }

  const Objective& objective_;
  const State& from_;
  const Vector& direction_;
  State& to_;
  Trial start_;
  int evaluations_ = 0;
};

// The last steps s and gradient changes y, oldest first.
class History {
 public:
  explicit History(int capacity) : capacity_(static_cast<std::size_t>(capacity)) {}

  void push(const State& before, const State& after) {
    Pair pair;
    if (pairs_.size() == capacity_) {
      pair = std::move(pairs_.front());
      pairs_.pop_front();
    }
    pair.s.resize(before.x.size());
    pair.y.resize(before.x.size());
    for (std::size_t i = 0; i < before.x.size(); ++i) {
      pair.s[i] = after.x[i] - before.x[i];
      pair.y[i] = after.gradient[i] - before.gradient[i];
    }
    const double sy = dot(pair.s, pair.y);
    // Wolfe steps give sy > 0; rounding may not, and such a pair would break the direction.
    if (sy <= 1e-12 * dot(pair.y, pair.y)) return;
    pair.rho = 1 / sy;
    pairs_.push_back(std::move(pair));
  }

  void clear() { pairs_.clear(); }
  bool empty() const { return pairs_.empty(); }

  // direction = -H gradient (algorithm 7.4).
  void direction(const Vector& gradient, Vector& direction) const {
    direction = gradient;
    std::vector<double> alpha(pairs_.size());
    for (std::size_t i = pairs_.size(); i-- > 0;) {
      const Pair& pair = pairs_[i];
      alpha[i] = pair.rho * dot(pair.s, direction);
      for (std::size_t j = 0; j < direction.size(); ++j) direction[j] -= alpha[i] * pair.y[j];
    }
    double scale = 1;
    if (!pairs_.empty()) {
      const Pair& last = pairs_.back();
      scale = 1 / (last.rho * dot(last.y, last.y));
    }
    for (double& d : direction) d *= scale;
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      const Pair& pair = pairs_[i];
      const double beta = alpha[i] - pair.rho * dot(pair.y, direction);
      for (std::size_t j = 0; j < direction.size(); ++j) direction[j] += beta * pair.s[j];
    }
    for (double& d : direction) d = -d;
  }

 private:
  struct Pair {
    Vector s, y;
    double rho = 0;
  };
  std::size_t capacity_;
  std::deque<Pair> pairs_;
};

}  // namespace

Result<LbfgsResult> minimize_lbfgs(const Objective& objective, std::vector<double>& x,
                                   const LbfgsOptions& options) {
  State now{std::move(x), Vector(), 0};
  now.gradient.resize(now.x.size());
  now.value = objective(now.x, now.gradient);
  State next = now;
  Vector direction;
  History history(options.memory);
  LbfgsResult result;
  result.evaluations = 1;
  const auto finite = [](const State& s) {
    return std::isfinite(s.value) && std::isfinite(dot(s.gradient, s.gradient));
  };
  const bool good = finite(now);
  bool failed_search = false;
  while (good) {
    result.gradient_max = largest(now.gradient);
    result.converged = result.gradient_max <= options.gradient_tolerance;
    if (result.converged || result.iterations >= options.max_iterations || interrupted()) break;
    history.direction(now.gradient, direction);
    const double norm = std::sqrt(dot(now.gradient, now.gradient));
    LineSearch search(objective, now, direction, next);
    const bool moved = search.run(history.empty() ? 1 / std::max(1.0, norm) : 1.0);
    result.evaluations += search.evaluations();
    ++result.iterations;
    if (!moved || !finite(next)) {
      if (failed_search || history.empty()) break;
      failed_search = true;  // once more along the plain gradient
      history.clear();
      continue;
    }
    failed_search = false;
    history.push(now, next);
    std::swap(now, next);
  }
  result.value = now.value;
  x = std::move(now.x);
  if (!good) return fail("training: the loss is not finite at the start");
  if (interrupted() && !result.converged)
    return fail(ErrorCode::kInterrupted, "training was interrupted");
  return result;
}

}  // namespace tack
