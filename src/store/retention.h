// When old records go, such that no clock that is wrong for a while removes what should stay.
//
// The system's clock may jump: a machine without a battery starts in 1970, a virtual one wakes up
// in another year, somebody sets it. Neither the time that a record bears nor what the clock says
// now can be believed alone. So there is a second, trusted time. It follows the system's clock as
// long as that runs like a monotonic one; where they part, it moves towards the system's clock only
// kHaste times as fast as the program runs.
//
// Every quarter of an hour the store is told the later of the two (StateStore::mark): whatever has
// been appended was there by then. Records go when such a mark is older than the retention, by the
// earlier of the two. The marks carry the trusted time from one run to the next. So
//
//   - a clock that jumps ahead for an hour makes records go kHaste hours early at most, by ten
//   years
//     or by a day alike: there is time to notice;
//   - one that jumps back removes nothing while it is wrong, and afterwards nothing much too early;
//   - the times that records bear do not matter: one from 1970, or from 2106, goes when its
//     neighbours go;
//   - after a time in which the program did not run, records stay longer than they need to: until
//     it has run for a third (1 / (kHaste - 1)) of that time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "store/state_store.h"

namespace tack::store {

class Retention {
 public:
  // What the system's clock says, since 1970, and a monotonic one, since anything.
  struct Now {
    std::int64_t wall_us = 0, steady_us = 0;
  };
  static Now now();

  static constexpr std::int64_t kHaste = 4;
  static constexpr std::chrono::minutes kInterval{15};  // between marks

  // 0 days: nothing is ever removed, only marked, so that a later run may remove.
  Retention(StateStore& store, std::int64_t days) : store_(&store), days_(days) {}

  // Does one short piece of what is due, if anything is; returns how many records went. To be
  // called from the thread that appends, often. After an error it is due again.
  Result<std::int64_t> step(const Now& now);
  // There is more to do at once.
  bool busy() const { return sweeping_; }
  // At the end of a run.
  Status mark(const Now& now);

 private:
  Status advance(const Now& now);

  StateStore* store_;
  std::int64_t days_;
  bool sweeping_ = false;
  std::optional<std::int64_t> trusted_us_;  // as of read_us_; unset: nothing is known yet
  std::int64_t read_us_ = 0;                // steady
  std::optional<std::int64_t> marked_us_;   // steady; unset: not in this run
};

}  // namespace tack::store
