#include "store/summary.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/checked.h"
#include "base/interrupt.h"
#include "store/period.h"

namespace tack::store {
namespace {

void add(std::int64_t& sum, std::int64_t value) {
  sum = checked_add(sum, value)
            .value_or(value > 0 ? std::numeric_limits<std::int64_t>::max()
                                : std::numeric_limits<std::int64_t>::min());
}

// The smallest of the values that the share of them does not exceed (nearest rank).
double percentile(std::vector<float>& values, double share) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto rank =
      static_cast<std::ptrdiff_t>(std::ceil(share * static_cast<double>(values.size())));
  const auto at = values.begin() + std::max<std::ptrdiff_t>(rank - 1, 0);
  std::nth_element(values.begin(), at, values.end());
  return static_cast<double>(*at);
}

struct Sums {
  Summary sum;
  std::vector<float> times_ms;

  Summary finish() {
    sum.p50_ms = percentile(times_ms, 0.5);
    sum.p95_ms = percentile(times_ms, 0.95);
    return sum;
  }
};

const Attempt* find(const CallRecord& record, Purpose purpose) {
  const auto found = std::ranges::find(record.attempts, purpose, &Attempt::purpose);
  return found == record.attempts.end() ? nullptr : &*found;
}

// What belongs to the request, not to one of its attempts.
void add_request(Summary& sum, const CallRecord& record) {
  ++sum.requests;
  sum.failures += record.status >= 400;
  if (record.from_cache)
    ++sum.cached;
  else if (const Attempt* answer = find(record, Purpose::kAnswer))
    ++(answer->local ? sum.local : sum.upstream);
  if (record.baseline.empty()) return;
  ++sum.compared;
  add(sum.baseline_cost, record.baseline_cost);
  add(sum.savings, record.baseline_cost);
}

void add_agreement(Summary& sum, const CallRecord& record) {
  if (record.agreed) ++(*record.agreed ? sum.agreed : sum.disagreed);
}

void add_attempt(Summary& sum, const Attempt& attempt, const CallRecord& record) {
  sum.escalations += attempt.purpose == Purpose::kEscalated;
  sum.failed_attempts += attempt.purpose == Purpose::kFailed;
  sum.shadow_runs += attempt.purpose == Purpose::kShadow;
  const TokenUse& tokens = attempt.tokens;
  add(sum.prompt_tokens, tokens.prompt);
  add(sum.completion_tokens, tokens.completion);
  add(sum.cached_tokens, tokens.cached);
  if (tokens.estimated) {
    add(sum.estimated_tokens, tokens.prompt);
    add(sum.estimated_tokens, tokens.completion);
  }
  sum.cpu_seconds += attempt.cpu_seconds;
  add(sum.cost, attempt.cost);
  if (!record.baseline.empty()) add(sum.savings, -attempt.cost);
}

void add_whole(Sums& sums, const CallRecord& record) {
  add_request(sums.sum, record);
  add_agreement(sums.sum, record);
  for (const Attempt& attempt : record.attempts) add_attempt(sums.sum, attempt, record);
  if (record.status < 400) sums.times_ms.push_back(static_cast<float>(record.total_ms));
}

using Groups = std::map<std::string, Sums, std::less<>>;

Sums& group(Groups& groups, std::string_view name) {
  const auto found = groups.find(name);
  return found != groups.end() ? found->second : groups.emplace(name, Sums{}).first->second;
}

void add_by_model(Groups& groups, const CallRecord& record) {
  add_request(group(groups, record.model).sum, record);
  const Attempt* shadow = find(record, Purpose::kShadow);
  add_agreement(group(groups, shadow != nullptr ? shadow->model : record.model).sum, record);
  for (const Attempt& attempt : record.attempts) {
    Sums& sums = group(groups, attempt.model);
    add_attempt(sums.sum, attempt, record);
    if (attempt.purpose != Purpose::kFailed)
      sums.times_ms.push_back(static_cast<float>(attempt.total_ms));
  }
}

void add_to_groups(Grouping by, Groups& groups, const CallRecord& record) {
  switch (by) {
    case Grouping::kModel:
      return add_by_model(groups, record);
    case Grouping::kRoute:
      return add_whole(group(groups, record.route), record);
    case Grouping::kClient:
      return add_whole(group(groups, record.client), record);
    case Grouping::kDay:
      return add_whole(group(groups, day_text(record.time_us)), record);
  }
}

SummaryTable table_of(Grouping by, Groups& groups) {
  SummaryTable table{.by = by, .rows = {}};
  for (auto& [name, sums] : groups) table.rows.push_back({name, sums.finish()});
  if (by != Grouping::kDay)
    std::ranges::stable_sort(table.rows, std::greater{},
                             [](const SummaryTable::Row& row) { return row.sum.requests; });
  return table;
}

}  // namespace

double Summary::local_share() const {
  const auto answers = static_cast<double>(local + upstream);
  return answers > 0 ? static_cast<double>(local) / answers
                     : std::numeric_limits<double>::quiet_NaN();
}

std::string_view grouping_name(Grouping grouping) {
  constexpr std::string_view kNames[] = {"model", "route", "client", "day"};
  return kNames[static_cast<std::size_t>(grouping)];
}

Result<Report> summarise(StateStore& store, const Period& period,
                         std::span<const Grouping> tables) {
  Report report;
  Sums total;
  std::vector<Groups> groups(tables.size());
  TACK_RETURN_IF_ERROR(
      store.each(period, Contents::kWithout, [&](const CallRecord& record) -> Status {
        if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
        if (!report.first_us) report.first_us = record.time_us;
        report.last_us = record.time_us;
        add_whole(total, record);
        for (std::size_t i = 0; i < tables.size(); ++i) add_to_groups(tables[i], groups[i], record);
        return {};
      }));
  report.total = total.finish();
  for (std::size_t i = 0; i < tables.size(); ++i)
    report.tables.push_back(table_of(tables[i], groups[i]));
  return report;
}

}  // namespace tack::store
