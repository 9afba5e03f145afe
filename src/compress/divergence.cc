#include "compress/divergence.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/interrupt.h"
#include "eval/language_metrics.h"

namespace tack {
namespace {

// Log-probabilities, or the vector with length 1.
void normalise(Probe::Output output, std::span<float> row) {
  if (output == Probe::Output::kLogits) {
    const auto shift = static_cast<float>(log_sum_exp(row));
    for (float& x : row) x -= shift;
    return;
  }
  double sum = 0;
  for (const float x : row) sum += static_cast<double>(x) * static_cast<double>(x);
  const auto factor = static_cast<float>(sum > 0 ? 1 / std::sqrt(sum) : 0.0);
  for (float& x : row) x *= factor;
}

// Of two normalised rows.
double distance(Probe::Output output, std::span<const float> base, std::span<const float> other) {
  double sum = 0;
  if (output == Probe::Output::kLogits) {
    for (std::size_t i = 0; i < base.size(); ++i)
      sum += static_cast<double>(std::exp(base[i])) *
             (static_cast<double>(base[i]) - static_cast<double>(other[i]));
    return std::max(sum, 0.0);
  }
  // 1 - cosine, without the loss of digits.
  for (std::size_t i = 0; i < base.size(); ++i) {
    const double off = static_cast<double>(base[i]) - static_cast<double>(other[i]);
    sum += off * off / 2;
  }
  return sum;
}

}  // namespace

Result<std::unique_ptr<DivergenceMeter>> DivergenceMeter::create(std::shared_ptr<const Model> model,
                                                                 const CalibrationTokens& tokens,
                                                                 ThreadPool& pool) {
  std::unique_ptr<DivergenceMeter> meter(new DivergenceMeter(std::move(model), tokens, pool));
  TACK_TRY(const auto probe, Probe::create(meter->model_, meter->options()));
  meter->output_ = probe->output();
  meter->width_ = static_cast<std::size_t>(probe->width());
  const std::span all(tokens.chunks);
  meter->outputs_.reserve(meter->width_ * (meter->output_ == Probe::Output::kLogits
                                               ? static_cast<std::size_t>(tokens.tokens())
                                               : all.size()));
  for (std::size_t next = 0; next < all.size();) {
    const std::size_t count = chunks_at_once(*probe, all.subspan(next));
    TACK_TRY(const auto rows, probe->run(all.subspan(next, count)));
    meter->outputs_.insert(meter->outputs_.end(), rows.begin(), rows.end());
    next += count;
  }
  if (!std::ranges::all_of(meter->outputs_, [](float x) { return std::isfinite(x); }))
    return fail("{}: the model's outputs are not numbers", meter->model_->path().string());
  const std::size_t width = meter->width_;
  pool.parallel_for(static_cast<std::int64_t>(meter->outputs_.size() / width), [&](std::int64_t r) {
    normalise(meter->output_,
              std::span(meter->outputs_).subspan(static_cast<std::size_t>(r) * width, width));
  });
  return meter;
}

ProbeOptions DivergenceMeter::options() const {
  ProbeOptions options;
  options.threads = pool_.size();
  options.longest = tokens_.chunk_size;
  return options;
}

Result<double> DivergenceMeter::measure(
    const std::function<const TensorView*(std::string_view)>& replace) const {
  ProbeOptions changed = options();
  changed.replace = replace;
  TACK_TRY(const auto probe, Probe::create(model_, changed));
  return run(*probe);
}

Result<double> DivergenceMeter::measure(std::shared_ptr<const Model> other) const {
  ProbeOptions used = options();
  used.exact = false;
  TACK_TRY(const auto probe, Probe::create(std::move(other), used));
  return run(*probe);
}

Result<double> DivergenceMeter::run(Probe& probe) const {
  if (static_cast<std::size_t>(probe.width()) != width_)
    return fail("outputs of {} values, the base has {}", probe.width(), width_);
  std::vector<double> distances(outputs_.size() / width_);
  std::size_t done = 0;
  const std::span all(tokens_.chunks);
  for (std::size_t next = 0; next < all.size();) {
    if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
    const std::size_t count = chunks_at_once(probe, all.subspan(next));
    TACK_TRY(const auto rows, probe.run(all.subspan(next, count)));
    const std::size_t here = rows.size() / width_;
    pool_.run([&](int worker) {
      std::vector<float> row(width_);
      for (std::size_t r = static_cast<std::size_t>(worker); r < here;
           r += static_cast<std::size_t>(pool_.size())) {
        std::ranges::copy(rows.subspan(r * width_, width_), row.begin());
        normalise(output_, row);
        distances[done + r] =
            distance(output_, std::span(outputs_).subspan((done + r) * width_, width_), row);
      }
    });
    done += here;
    next += count;
  }
  return std::accumulate(distances.begin(), distances.end(), 0.0) /
         static_cast<double>(std::max<std::size_t>(distances.size(), 1));
}

}  // namespace tack
