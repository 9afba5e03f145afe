#include "gateway/quality_bound.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tack::gateway {

bool shows_positive_mean(std::span<const double> values, double low, double confidence) {
  // The stake that wins soonest when the variance is what it seems so far; no more than leaves a
  // quarter of the capital after the worst value.
  const double goal = std::log(1 / (1 - confidence));
  const double most = 0.75 / -low;
  const double scale = 1 - low;  // of the values' range, where they end at 1
  double capital = 0;            // its logarithm
  double sum = 0, squares = scale * scale / 4, seen = 1;
  for (const double value : values) {
    const double variance = squares / seen;
    const double stake =
        std::min(most, std::sqrt(2 * goal / (static_cast<double>(values.size()) * variance)));
    capital += std::log1p(stake * value);
    if (capital >= goal) return true;
    sum += value;
    ++seen;
    const double off = value - sum / seen;
    squares += off * off;
  }
  return false;
}

bool keeps_quality(const QualityRows& rows, double share, double confidence) {
  std::vector<double> margins(rows.chosen.size());
  for (std::size_t i = 0; i < margins.size(); ++i)
    margins[i] = rows.chosen[i] - share * rows.strong[i];
  return shows_positive_mean(margins, -share, confidence);
}

double kept_quality_bound(const QualityRows& rows, double confidence) {
  double shown = 0, not_shown = 1.5;
  while (not_shown - shown > 0.0005) {
    const double middle = (shown + not_shown) / 2;
    (keeps_quality(rows, middle, confidence) ? shown : not_shown) = middle;
  }
  return shown;
}

}  // namespace tack::gateway
