// What of the gateway's work outlives the process, behind an interface: SQLite today
// (sqlite_store.h).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/result.h"
#include "store/ledger.h"

namespace tack::store {

// [since, until) in microseconds since 1970, of when requests came; unset: open.
struct Period {
  std::optional<std::int64_t> since_us, until_us;
};

struct Counts {
  std::int64_t records = 0;
  std::optional<std::int64_t> oldest_us, newest_us;  // when their requests came
  std::int64_t bytes = 0;                            // of the files
};

// Whatever had been appended was there at this time, microseconds since 1970. (trusted_us:
// retention.h.)
struct Mark {
  std::int64_t time_us = 0;
  std::int64_t trusted_us = 0;
};

enum class Contents : std::uint8_t { kWith, kWithout };

// One thread at a time. Other processes may read and write the same store.
class StateStore {
 public:
  virtual ~StateStore() = default;

  // All of them or, on an error, none; then the same call may be made again.
  virtual Status append(std::span<const CallRecord> records) = 0;

  // Calls `visit` with every record of the period, in the order of their requests, as the store was
  // when it began. The record is valid during the call; without contents its request and response
  // are unset. The first error of `visit` ends it and is returned.
  using Visit = std::function<Status(const CallRecord&)>;
  virtual Status each(const Period& period, Contents contents, const Visit& visit) = 0;

  virtual Result<Counts> counts() = 0;

  // Removes at most `most` records whose requests came before the time, the oldest first, and
  // returns how many: fewer than `most` when none is left. One transaction, so that who appends
  // waits for no more than that.
  virtual Result<std::int64_t> remove_before(std::int64_t time_us, std::int64_t most) = 0;

  // For removal that the times of records cannot mislead. remove_marked() removes, as
  // remove_before() does, the records that were there at a mark before that time.
  virtual Status mark(const Mark& mark) = 0;
  virtual Result<std::optional<Mark>> last_mark() = 0;
  virtual Result<std::int64_t> remove_marked(std::int64_t before_us, std::int64_t most) = 0;

  // Gives the space of removed records back to the disk. May take long; who appends waits for short
  // pieces of it only.
  virtual Status shrink() = 0;
};

}  // namespace tack::store
