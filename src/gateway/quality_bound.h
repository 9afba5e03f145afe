// What held-back rows prove about the mean of rows to come, without assuming anything of how they
// are distributed but a lower limit.
#pragma once

#include <span>

namespace tack::gateway {

// Whether `values`, each at least `low` (< 0), independent and in an order that does not depend on
// them, show at this confidence that their mean is above 0. Were it not, the chance of "yes" would
// be at most 1 - confidence, for any number of rows.
//
// A bet on each value in turn, whose capital cannot be expected to grow unless the mean is positive
// (Waudby-Smith and Ramdas 2024, doi:10.1093/jrsssb/qkad009, section 4; Ville's inequality).
bool shows_positive_mean(std::span<const double> values, double low, double confidence);

// Rows in which the same policy was tried: what the chosen model's answer was worth, and what the
// strong model's would have been, both in [0, 1].
struct QualityRows {
  std::span<const double> chosen, strong;
};

// Whether mean(chosen) is above `share` of mean(strong), as above. `share` in (0, 1].
bool keeps_quality(const QualityRows& rows, double share, double confidence);
// The largest share that keeps_quality() shows, to 0.0005; 0 when none.
double kept_quality_bound(const QualityRows& rows, double confidence);

}  // namespace tack::gateway
