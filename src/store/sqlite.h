// SQLite as this folder uses it: a connection, transactions and prepared statements. Every error is
// one line that names the file and says what to do.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tack::store {

enum class Access : std::uint8_t { kRead, kWrite };

// What marks a file as one of `application` (PRAGMA application_id), in the version that its steps
// lead to: steps[i] is SQL that brings version i to i + 1. A released step never changes.
struct Schema {
  std::int32_t application = 0;
  std::span<const char* const> steps;
};

class Statement;

// One connection. One thread at a time; statements must go before it.
class Database {
 public:
  // kWrite creates the file (mode 0600) and its directories (0700) where there are none, puts it in
  // WAL mode, and brings it to the schema's version in one transaction. kRead opens what is there
  // (kNotFound otherwise), also while another process writes, and also where this user may write
  // nothing. `patience`: how long a call waits for a lock of another process before it fails.
  // A database of another program, or of a newer schema, is left as it is; to readers an older
  // schema is an error too, and an empty file is kNotFound.
  static Result<std::unique_ptr<Database>> open(const std::filesystem::path& path, Access access,
                                                const Schema& schema,
                                                std::chrono::milliseconds patience);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Statements whose rows nobody reads.
  Status run(const char* sql);
  // The first column of the first row; 0 when there is none.
  Result<std::int64_t> number(const char* sql);
  Result<Statement> prepare(const char* sql);

  // Of the last row that was inserted.
  std::int64_t last_id() const;
  // Whether the path no longer leads to the file that is open: it was renamed, removed, replaced.
  bool moved() const;
  const std::filesystem::path& path() const { return path_; }
  // What the last call failed with.
  Error error() const;

 private:
  Database(std::filesystem::path path, std::chrono::milliseconds patience)
      : path_(std::move(path)), patience_(patience) {}
  Status connect(const std::string& name, int flags);
  Status connect_to_read(const Schema& schema);
  Status connect_to_write(const Schema& schema);
  Result<std::int64_t> version(const Schema& schema);
  Status set_up_writing(bool fresh);
  Status migrate(const Schema& schema);

  std::filesystem::path path_;
  std::chrono::milliseconds patience_;
  sqlite3* db_ = nullptr;
};

// A prepared statement: bind, step to its end or reset, again.
class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  // All parameters in their order. Texts must outlive the steps. A number that is not finite is 0.
  template <class... T>
  Status bind(const T&... values) {
    int index = 0, code = 0;
    ((code = code != 0 ? code : bind_at(++index, values)), ...);
    return code == 0 ? Status() : failed();
  }
  // Whether there is a row. After the last one, and after an error, it is reset.
  Result<bool> step();
  // Steps to the end.
  Status run();
  void reset();

  // Columns of the row, from 0. A text is valid until the next step.
  bool null(int column) const;
  std::int64_t integer(int column) const;
  double real(int column) const;
  std::string_view text(int column) const;

 private:
  friend class Database;
  Status failed();
  int bind_at(int index, std::int64_t value);
  int bind_at(int index, double value);
  int bind_at(int index, std::string_view value);
  int bind_null(int index);
  template <std::integral T>
  int bind_at(int index, T value) {
    return bind_at(index, static_cast<std::int64_t>(value));
  }
  template <class T>
  int bind_at(int index, const std::optional<T>& value) {
    return value ? bind_at(index, *value) : bind_null(index);
  }

  Database* database_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
};

// Writes of one transaction: all or, without commit(), none.
class Transaction {
 public:
  // Takes the lock for writing now, not with the first write.
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace tack::store
