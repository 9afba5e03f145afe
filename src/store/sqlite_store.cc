#include "store/sqlite_store.h"

#include <algorithm>
#include <limits>

namespace tack::store {
namespace {

namespace fs = std::filesystem;

// AUTOINCREMENT: the number of a removed call is never given again, so marks stay true.
constexpr const char* kSteps[] = {
    R"(CREATE TABLE calls (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time_us INTEGER NOT NULL,
  request_id TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  client TEXT NOT NULL,
  workload TEXT NOT NULL,
  route TEXT NOT NULL,
  model TEXT NOT NULL,
  reason TEXT NOT NULL,
  status INTEGER NOT NULL,
  streamed INTEGER NOT NULL,
  from_cache INTEGER NOT NULL,
  total_ms REAL NOT NULL,
  baseline TEXT NOT NULL,
  baseline_prompt_tokens INTEGER NOT NULL,
  baseline_completion_tokens INTEGER NOT NULL,
  baseline_cached_tokens INTEGER NOT NULL,
  baseline_estimated INTEGER NOT NULL,
  baseline_cost INTEGER NOT NULL,
  agreed INTEGER,
  request TEXT,
  response TEXT
) STRICT;
CREATE INDEX calls_by_time ON calls (time_us);
CREATE TABLE attempts (
  call INTEGER NOT NULL,
  number INTEGER NOT NULL,
  model TEXT NOT NULL,
  local INTEGER NOT NULL,
  purpose INTEGER NOT NULL,
  status INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  cost INTEGER NOT NULL,
  cpu_seconds REAL NOT NULL,
  first_byte_ms REAL NOT NULL,
  total_ms REAL NOT NULL,
  PRIMARY KEY (call, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE marks (
  number INTEGER PRIMARY KEY,
  last_call INTEGER NOT NULL,
  time_us INTEGER NOT NULL,
  trusted_us INTEGER NOT NULL
) STRICT)",
};
constexpr Schema kSchema{.application = 0x5441434b /* "TACK" */, .steps = kSteps};

constexpr const char* kInsertCall =
    "INSERT INTO calls (time_us, request_id, endpoint, client, workload, route, model, reason, "
    "status, streamed, from_cache, total_ms, baseline, baseline_prompt_tokens, "
    "baseline_completion_tokens, baseline_cached_tokens, baseline_estimated, baseline_cost, "
    "agreed, "
    "request, response) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

constexpr const char* kInsertAttempt =
    "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

// A row for each attempt of a call, and one for a call without attempts. {}: the contents or NULL.
constexpr const char* kSelect =
    "SELECT c.id, c.time_us, c.request_id, c.endpoint, c.client, c.workload, c.route, c.model, "
    "c.reason, c.status, c.streamed, c.from_cache, c.total_ms, c.baseline, "
    "c.baseline_prompt_tokens, c.baseline_completion_tokens, c.baseline_cached_tokens, "
    "c.baseline_estimated, c.baseline_cost, c.agreed, a.model, a.local, a.purpose, a.status, "
    "a.prompt_tokens, a.completion_tokens, "
    "a.cached_tokens, a.estimated, a.cost, a.cpu_seconds, a.first_byte_ms, a.total_ms{} "
    "FROM calls c LEFT JOIN attempts a ON a.call = c.id "
    "WHERE c.time_us >= ? AND c.time_us < ? ORDER BY c.time_us, c.id, a.number";
constexpr int kAttemptColumn = 20, kContentColumn = 32;

int to_int(std::int64_t value) {
  return static_cast<int>(std::clamp<std::int64_t>(value, std::numeric_limits<int>::min(),
                                                   std::numeric_limits<int>::max()));
}

// Texts are assigned, so that a record that is read into again keeps its memory.
void read_call(const Statement& row, Contents contents, CallRecord& out) {
  out.time_us = row.integer(1);
  out.id = row.text(2);
  out.endpoint = row.text(3);
  out.client = row.text(4);
  out.workload = row.text(5);
  out.route = row.text(6);
  out.model = row.text(7);
  out.reason = row.text(8);
  out.status = to_int(row.integer(9));
  out.streamed = row.integer(10) != 0;
  out.from_cache = row.integer(11) != 0;
  out.total_ms = row.real(12);
  out.baseline = row.text(13);
  out.baseline_tokens = {.prompt = row.integer(14),
                         .completion = row.integer(15),
                         .cached = row.integer(16),
                         .estimated = row.integer(17) != 0};
  out.baseline_cost = row.integer(18);
  out.agreed = row.null(19) ? std::nullopt : std::optional(row.integer(19) != 0);
  out.attempts.clear();
  const auto content = [&](int column) -> std::optional<std::string> {
    if (contents == Contents::kWithout || row.null(column)) return std::nullopt;
    return std::string(row.text(column));
  };
  out.request = content(kContentColumn);
  out.response = content(kContentColumn + 1);
}

Attempt read_attempt(const Statement& row) {
  constexpr int k = kAttemptColumn;
  Attempt out;
  out.model = row.text(k);
  out.local = row.integer(k + 1) != 0;
  const std::int64_t purpose = row.integer(k + 2);
  out.purpose = purpose >= 0 && purpose <= static_cast<int>(Purpose::kShadow)
                    ? static_cast<Purpose>(purpose)
                    : Purpose::kFailed;
  out.status = to_int(row.integer(k + 3));
  out.tokens = {.prompt = row.integer(k + 4),
                .completion = row.integer(k + 5),
                .cached = row.integer(k + 6),
                .estimated = row.integer(k + 7) != 0};
  out.cost = row.integer(k + 8);
  out.cpu_seconds = row.real(k + 9);
  out.first_byte_ms = row.real(k + 10);
  out.total_ms = row.real(k + 11);
  return out;
}

// Runs `sql`, which picks ids, for both tables. Returns how many calls went.
template <class... T>
Result<std::int64_t> remove_calls(Database& database, const std::string& ids, const T&... values) {
  TACK_TRY(Transaction transaction, Transaction::begin(database));
  for (const char* table : {"attempts WHERE call", "calls WHERE id"}) {
    TACK_TRY(Statement statement,
             database.prepare(fmt::format("DELETE FROM {} IN ({})", table, ids).c_str()));
    TACK_RETURN_IF_ERROR(statement.bind(values...));
    TACK_RETURN_IF_ERROR(statement.run());
  }
  TACK_TRY(const std::int64_t removed, database.number("SELECT changes()"));
  TACK_RETURN_IF_ERROR(transaction.commit());
  return removed;
}

}  // namespace

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const fs::path& path, Access access,
                                                       std::chrono::milliseconds patience) {
  std::unique_ptr<SqliteStore> store(new SqliteStore(path, access, patience));
  TACK_RETURN_IF_ERROR(store->connect());
  return store;
}

Status SqliteStore::connect() {
  insert_call_ = {};
  insert_attempt_ = {};
  database_.reset();
  TACK_TRY(auto database, Database::open(path_, access_, kSchema, patience_));
  if (access_ == Access::kWrite) {
    TACK_TRY(insert_call_, database->prepare(kInsertCall));
    TACK_TRY(insert_attempt_, database->prepare(kInsertAttempt));
  }
  database_ = std::move(database);
  return {};
}

Status SqliteStore::ready() {
  if (database_ != nullptr && !database_->moved()) return {};
  return connect();
}

Status SqliteStore::append(std::span<const CallRecord> records) {
  if (access_ == Access::kRead) return fail("{}: is open for reading only", path_.string());
  TACK_RETURN_IF_ERROR(ready());
  TACK_TRY(Transaction transaction, Transaction::begin(*database_));
  for (const CallRecord& record : records) TACK_RETURN_IF_ERROR(insert(record));
  return transaction.commit();
}

Status SqliteStore::insert(const CallRecord& r) {
  TACK_RETURN_IF_ERROR(insert_call_.bind(
      r.time_us, r.id, r.endpoint, r.client, r.workload, r.route, r.model, r.reason, r.status,
      r.streamed, r.from_cache, r.total_ms, r.baseline, r.baseline_tokens.prompt,
      r.baseline_tokens.completion, r.baseline_tokens.cached, r.baseline_tokens.estimated,
      r.baseline_cost, r.agreed, r.request, r.response));
  TACK_RETURN_IF_ERROR(insert_call_.run());
  const std::int64_t call = database_->last_id();
  std::int64_t number = 0;
  for (const Attempt& a : r.attempts) {
    TACK_RETURN_IF_ERROR(insert_attempt_.bind(
        call, number++, a.model, a.local, static_cast<int>(a.purpose), a.status, a.tokens.prompt,
        a.tokens.completion, a.tokens.cached, a.tokens.estimated, a.cost, a.cpu_seconds,
        a.first_byte_ms, a.total_ms));
    TACK_RETURN_IF_ERROR(insert_attempt_.run());
  }
  return {};
}

Status SqliteStore::each(const Period& period, Contents contents, const Visit& visit) {
  TACK_RETURN_IF_ERROR(ready());
  const bool whole = contents == Contents::kWith;
  const auto sql = fmt::format(fmt::runtime(kSelect), whole ? ", c.request, c.response" : "");
  TACK_TRY(Statement row, database_->prepare(sql.c_str()));
  TACK_RETURN_IF_ERROR(
      row.bind(period.since_us.value_or(std::numeric_limits<std::int64_t>::min()),
               period.until_us.value_or(std::numeric_limits<std::int64_t>::max())));
  CallRecord record;
  std::optional<std::int64_t> id;  // of the record so far
  for (;;) {
    TACK_TRY(const bool more, row.step());
    if (id && (!more || row.integer(0) != *id)) TACK_RETURN_IF_ERROR(visit(record));
    if (!more) return {};
    if (!id || row.integer(0) != *id) read_call(row, contents, record);
    id = row.integer(0);
    if (!row.null(kAttemptColumn)) record.attempts.push_back(read_attempt(row));
  }
}

Result<Counts> SqliteStore::counts() {
  TACK_RETURN_IF_ERROR(ready());
  TACK_TRY(Statement row, database_->prepare("SELECT count(*), min(time_us), max(time_us), "
                                             "(SELECT page_count FROM pragma_page_count) * "
                                             "(SELECT page_size FROM pragma_page_size) "
                                             "FROM calls"));
  TACK_TRY(const bool any, row.step());
  Counts counts;
  if (!any) return counts;
  counts.records = row.integer(0);
  if (!row.null(1)) counts.oldest_us = row.integer(1);
  if (!row.null(2)) counts.newest_us = row.integer(2);
  counts.bytes = row.integer(3);
  return counts;
}

Result<std::int64_t> SqliteStore::remove_before(std::int64_t time_us, std::int64_t most) {
  TACK_RETURN_IF_ERROR(ready());
  return remove_calls(*database_,
                      "SELECT id FROM calls WHERE time_us < ? ORDER BY time_us, id LIMIT ?",
                      time_us, most);
}

Status SqliteStore::mark(const Mark& mark) {
  TACK_RETURN_IF_ERROR(ready());
  TACK_TRY(Statement statement,
           database_->prepare("INSERT INTO marks (last_call, time_us, trusted_us) SELECT "
                              "COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'calls'), "
                              "0), ?, ?"));
  TACK_RETURN_IF_ERROR(statement.bind(mark.time_us, mark.trusted_us));
  return statement.run();
}

Result<std::optional<Mark>> SqliteStore::last_mark() {
  TACK_RETURN_IF_ERROR(ready());
  TACK_TRY(Statement row, database_->prepare("SELECT time_us, trusted_us FROM marks "
                                             "ORDER BY number DESC LIMIT 1"));
  TACK_TRY(const bool any, row.step());
  if (!any) return std::nullopt;
  return Mark{.time_us = row.integer(0), .trusted_us = row.integer(1)};
}

Result<std::int64_t> SqliteStore::remove_marked(std::int64_t before_us, std::int64_t most) {
  TACK_RETURN_IF_ERROR(ready());
  TACK_TRY(const std::int64_t removed,
           remove_calls(*database_,
                        "SELECT id FROM calls WHERE id <= (SELECT max(last_call) FROM marks "
                        "WHERE time_us < ?) ORDER BY id LIMIT ?",
                        before_us, most));
  if (removed == most) return removed;
  // Marks that nothing is left of; the last one also carries the trusted time.
  TACK_TRY(Statement statement, database_->prepare("DELETE FROM marks WHERE time_us < ? AND "
                                                   "number < (SELECT max(number) FROM marks)"));
  TACK_RETURN_IF_ERROR(statement.bind(before_us));
  TACK_RETURN_IF_ERROR(statement.run());
  return removed;
}

Status SqliteStore::shrink() {
  TACK_RETURN_IF_ERROR(ready());
  for (;;) {
    TACK_TRY(const std::int64_t free, database_->number("PRAGMA freelist_count"));
    if (free == 0) break;
    TACK_RETURN_IF_ERROR(database_->run("PRAGMA incremental_vacuum(4096)"));
    TACK_TRY(const std::int64_t left, database_->number("PRAGMA freelist_count"));
    if (left >= free) break;
  }
  // Best effort: while another process reads, the file is cut later.
  (void)database_->run("PRAGMA wal_checkpoint(TRUNCATE)");
  return {};
}

}  // namespace tack::store
