// What the records of a period add up to: in all, and by model, route, client or day.
#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "store/state_store.h"

namespace tack::store {

// Every number but the percentiles is a sum: the rows of a table add up to the total. Sums that do
// not fit stay at the largest number.
struct Summary {
  std::int64_t requests = 0;
  std::int64_t failures = 0;  // of them: the client got a status of 400 or above

  // Answers by where they came from.
  std::int64_t local = 0, upstream = 0, cached = 0;

  // Models that were asked beside the one whose answer it was.
  std::int64_t escalations = 0;      // answered with too little confidence
  std::int64_t failed_attempts = 0;  // gave no answer
  std::int64_t shadow_runs = 0;
  std::int64_t agreed = 0, disagreed = 0;  // of those that could be compared

  // Of all attempts, also those whose answers were thrown away.
  std::int64_t prompt_tokens = 0, completion_tokens = 0;
  std::int64_t cached_tokens = 0;     // of the prompts'
  std::int64_t estimated_tokens = 0;  // of both: counted here, since the answer did not say
  double cpu_seconds = 0;
  Nano cost = 0;

  // Of the requests for which it is known what the strong model would have cost.
  std::int64_t compared = 0;
  Nano baseline_cost = 0;
  Nano savings = 0;  // baseline_cost less all that was spent on these requests; may be negative

  // Of the answers' whole times; NaN without any. Those of a model are of its own runs.
  double p50_ms = std::numeric_limits<double>::quiet_NaN();
  double p95_ms = std::numeric_limits<double>::quiet_NaN();

  // Of the answers that a model gave, those of local ones, in [0, 1]; NaN without any.
  double local_share() const;
};

// kModel: a request belongs to the model whose answer it was, an attempt to the model that was
// asked. So what a model has saved is what the strong model would have cost for its answers, less
// all that was spent on it, its shadow runs and the answers thrown away included.
enum class Grouping : std::uint8_t { kModel, kRoute, kClient, kDay };
std::string_view grouping_name(Grouping grouping);  // "model"

struct SummaryTable {
  Grouping by = Grouping::kModel;
  struct Row {
    std::string name;  // "" of requests without one; a day of UTC: "2026-11-01"
    Summary sum;
  };
  std::vector<Row> rows;  // the most requests first; days in their order
};

struct Report {
  Summary total;
  std::vector<SummaryTable> tables;               // in the order they were asked for
  std::optional<std::int64_t> first_us, last_us;  // of the records
};

// Reads the period once. Memory: four bytes a record and table, for the percentiles.
Result<Report> summarise(StateStore& store, const Period& period, std::span<const Grouping> tables);

}  // namespace tack::store
