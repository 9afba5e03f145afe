#include "store/retention.h"

#include <algorithm>

namespace tack::store {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

// 1000 calls take about as long to remove as a batch takes to write.
constexpr std::int64_t kPiece = 1000;
constexpr std::int64_t kDayUs = std::int64_t{24} * 3600 * 1'000'000;
// More would not fit, and no record is so old.
constexpr std::int64_t kMostDays = 1'000'000;
// 2026-01-01: this program is younger. A clock that says less has not been set yet.
constexpr std::int64_t kEarliestUs = 1'767'225'600'000'000;

}  // namespace

Retention::Now Retention::now() {
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  const auto steady = std::chrono::steady_clock::now().time_since_epoch();
  return {.wall_us = duration_cast<microseconds>(wall).count(),
          .steady_us = duration_cast<microseconds>(steady).count()};
}

// The trusted time now.
Status Retention::advance(const Now& now) {
  if (!trusted_us_) {
    TACK_TRY(const auto last, store_->last_mark());
    trusted_us_ = last ? last->trusted_us : now.wall_us;
  } else {
    const std::int64_t most = kHaste * (now.steady_us - read_us_);
    *trusted_us_ += std::clamp(now.wall_us - *trusted_us_, -most, most);
  }
  read_us_ = now.steady_us;
  return {};
}

Status Retention::mark(const Now& now) {
  if (!trusted_us_ && now.wall_us < kEarliestUs) return {};
  TACK_RETURN_IF_ERROR(advance(now));
  TACK_RETURN_IF_ERROR(
      store_->mark({.time_us = std::max(now.wall_us, *trusted_us_), .trusted_us = *trusted_us_}));
  marked_us_ = now.steady_us;
  return {};
}

Result<std::int64_t> Retention::step(const Now& now) {
  const std::int64_t interval = duration_cast<microseconds>(kInterval).count();
  if (!marked_us_ || now.steady_us - *marked_us_ >= interval) {
    TACK_RETURN_IF_ERROR(mark(now));
    sweeping_ = trusted_us_ && days_ > 0 && days_ <= kMostDays;
  }
  if (!sweeping_) return 0;
  const std::int64_t before = std::min(now.wall_us, *trusted_us_) - days_ * kDayUs;
  TACK_TRY(const std::int64_t removed, store_->remove_marked(before, kPiece));
  sweeping_ = removed == kPiece;
  return removed;
}

}  // namespace tack::store
