// The StateStore in one SQLite file.
//
//   calls      one row a request; request and response stand last, so that reports do not read them
//   attempts   one row for each time a model was asked
//   marks      which calls were there when (StateStore::mark)
//
// Money is in billionths, times in microseconds since 1970. The version of the schema is
// `PRAGMA user_version`.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>

#include "store/sqlite.h"
#include "store/state_store.h"

namespace tack::store {

class SqliteStore : public StateStore {
 public:
  // Errors: one line that names the file and says what to do, for a file that is no database, of
  // another program, of a newer schema, damaged, locked, or without the rights. `patience` as
  // Database::open; a server's is short, as its writer tries again anyway.
  static Result<std::unique_ptr<SqliteStore>> open(
      const std::filesystem::path& path, Access access,
      std::chrono::milliseconds patience = std::chrono::seconds(5));

  // Also begins the file anew where it was renamed or removed meanwhile.
  Status append(std::span<const CallRecord> records) override;
  Status each(const Period& period, Contents contents, const Visit& visit) override;
  Result<Counts> counts() override;
  Result<std::int64_t> remove_before(std::int64_t time_us, std::int64_t most) override;
  Status mark(const Mark& mark) override;
  Result<std::optional<Mark>> last_mark() override;
  Result<std::int64_t> remove_marked(std::int64_t before_us, std::int64_t most) override;
  Status shrink() override;

 private:
  SqliteStore(std::filesystem::path path, Access access, std::chrono::milliseconds patience)
      : path_(std::move(path)), access_(access), patience_(patience) {}
  Status connect();
  // Connects where nothing is open any more, or not the file at the path.
  Status ready();
  Status insert(const CallRecord& record);

  std::filesystem::path path_;
  Access access_;
  std::chrono::milliseconds patience_;
  std::unique_ptr<Database> database_;  // before its statements, to be destroyed after them
  Statement insert_call_, insert_attempt_;
};

}  // namespace tack::store
