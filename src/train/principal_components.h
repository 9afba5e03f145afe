// The directions in which rows differ most.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tack {

struct PrincipalComponents {
  std::int64_t dims = 0, count = 0;
  std::vector<float> mean;        // [dims]
  std::vector<float> directions;  // [count, dims], orthonormal, most variance first
};

// Of rows [rows, dims], all finite, rows > 0. `count` is at most dims. By orthogonal iteration on
// the covariance (Golub and Van Loan, section 8.2.4) in f64 from a start drawn by `seed`: close
// directions of nearly equal variance may be mixed, which changes nothing for who uses them all.
// Each direction's largest element is positive.
PrincipalComponents principal_components(std::span<const float> rows, std::int64_t dims,
                                         std::int64_t count, std::uint64_t seed);

}  // namespace tack
