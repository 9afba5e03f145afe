#include "store/sqlite.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tack::store {
namespace {

namespace fs = std::filesystem;

// Directories above the file, for this user alone; those that are there stay as they are.
Status make_directories(const fs::path& file) {
  const fs::path folder = file.parent_path();
  fs::path made;
  for (const fs::path& part : folder) {
    made /= part;
    if (::mkdir(made.c_str(), 0700) != 0 && errno != EEXIST && !fs::is_directory(made))
      return fail("{}: cannot create the directory {}: {}", file.string(), made.string(),
                  std::strerror(errno));
  }
  return {};
}

// SQLite would create the file with the rights that others have by default. An existing file is not
// opened here: closing it again would drop the locks that this process has on it.
Status make_file(const fs::path& file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd >= 0) {
    ::close(fd);
    return {};
  }
  if (errno == EEXIST) return {};
  return fail("{}: cannot create it: {}", file.string(), std::strerror(errno));
}

Error explained(const fs::path& path, int code, int system_error, const char* message) {
  const std::string file = path.string();
  const auto with_reason = [&](std::string_view what) {
    return system_error != 0 ? fmt::format("{}: {}: {}", file, what, std::strerror(system_error))
                             : fmt::format("{}: {}", file, what);
  };
  switch (code & 0xff) {
    case SQLITE_NOTADB:
      return {ErrorCode::kFailed,
              fmt::format("{}: is no SQLite database: name another file, or move it away", file)};
    case SQLITE_CORRUPT:
      return {ErrorCode::kFailed,
              fmt::format("{}: is damaged ({}): move it away with its -wal file, and "
                          "`sqlite3 FILE .recover` shows what can be read",
                          file, message)};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::kFailed,
              fmt::format("{}: is locked by another process: wait for it, or end it", file)};
    case SQLITE_FULL:
      return {ErrorCode::kFailed, fmt::format("{}: the disk is full: free some space", file)};
    case SQLITE_READONLY:
      return {ErrorCode::kFailed,
              fmt::format("{}: cannot be written: give this user the right to write it and its "
                          "directory, or name another file",
                          file)};
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      return {ErrorCode::kFailed, with_reason("cannot be opened, or its -wal and -shm files")};
    case SQLITE_IOERR:
      return {ErrorCode::kFailed, with_reason("cannot be read or written")};
    default:
      return {ErrorCode::kFailed, fmt::format("{}: {}", file, message)};
  }
}

// In the path of a URI.
std::string percent_encoded(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (c == '?' || c == '#' || c == '%')
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out;
}

}  // namespace

// --- Database

Result<std::unique_ptr<Database>> Database::open(const fs::path& path, Access access,
                                                 const Schema& schema,
                                                 std::chrono::milliseconds patience) {
  std::error_code error;
  // Absolute: SQLite takes a name that begins with "file:" for a URI.
  const fs::path whole = fs::absolute(path, error);
  if (error) return fail("{}: {}", path.string(), error.message());
  if (fs::is_directory(whole, error))
    return fail(ErrorCode::kUsage, "{}: is a directory, not a file", path.string());
  std::unique_ptr<Database> database(new Database(whole, patience));
  TACK_RETURN_IF_ERROR(access == Access::kWrite ? database->connect_to_write(schema)
                                                : database->connect_to_read(schema));
  return database;
}

Database::~Database() {
  sqlite3_close_v2(db_);
}

Status Database::connect(const std::string& name, int flags) {
  sqlite3_close_v2(std::exchange(db_, nullptr));
  const int code = sqlite3_open_v2(name.c_str(), &db_, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) return std::unexpected(error());
  sqlite3_extended_result_codes(db_, 1);
  sqlite3_busy_timeout(db_, static_cast<int>(patience_.count()));
  // The file may be anybody's: nothing in its schema runs functions that have effects.
  TACK_RETURN_IF_ERROR(run("PRAGMA trusted_schema = OFF"));
  // Reads the file for the first time: here it turns out what it is.
  return run("PRAGMA schema_version");
}

Status Database::connect_to_write(const Schema& schema) {
  TACK_RETURN_IF_ERROR(make_directories(path_));
  TACK_RETURN_IF_ERROR(make_file(path_));
  TACK_RETURN_IF_ERROR(connect(path_.string(), SQLITE_OPEN_READWRITE));
  TACK_TRY(const std::int64_t found, version(schema));
  if (sqlite3_db_readonly(db_, "main") == 1)
    return std::unexpected(explained(path_, SQLITE_READONLY, 0, ""));
  TACK_RETURN_IF_ERROR(set_up_writing(found == 0));
  return found < static_cast<std::int64_t>(schema.steps.size()) ? migrate(schema) : Status();
}

Status Database::connect_to_read(const Schema& schema) {
  std::error_code error;
  if (!fs::exists(path_, error))
    return fail(ErrorCode::kNotFound, "{}: there is no such file", path_.string());
  Status connected = connect(path_.string(), SQLITE_OPEN_READONLY);
  // Where nothing can be written SQLite cannot make the files beside it that readers and writers
  // share. Without a -wal file nobody writes, and it can be read as it is.
  const int code = sqlite3_errcode(db_) & 0xff;
  if (!connected && (code == SQLITE_CANTOPEN || code == SQLITE_READONLY) &&
      !fs::exists(path_.string() + "-wal", error))
    connected = connect("file:" + percent_encoded(path_.string()) + "?immutable=1",
                        SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
  TACK_RETURN_IF_ERROR(connected);
  TACK_TRY(const std::int64_t found, version(schema));
  if (found == 0)
    return fail(ErrorCode::kNotFound, "{}: is empty: nothing has been written to it yet",
                path_.string());
  if (found < static_cast<std::int64_t>(schema.steps.size()))
    return fail(
        "{}: was written by an older version of tack (schema {}): `tack serve` with it brings "
        "it up to date",
        path_.string(), found);
  return {};
}

// The version of a file that is ours; 0 of an empty one.
Result<std::int64_t> Database::version(const Schema& schema) {
  TACK_TRY(const std::int64_t found, number("PRAGMA user_version"));
  TACK_TRY(const std::int64_t application, number("PRAGMA application_id"));
  TACK_TRY(const std::int64_t objects, number("SELECT count(*) FROM sqlite_schema"));
  const auto newest = static_cast<std::int64_t>(schema.steps.size());
  const bool empty = application == 0 && found == 0 && objects == 0;
  if (application != schema.application && !empty)
    return fail("{}: is a database of another program: name another file", path_.string());
  if (found < 0 || found > newest)
    return fail(
        "{}: was written by a newer version of tack (schema {}, this one knows {}): use "
        "that version, or name another file",
        path_.string(), found, newest);
  return found;
}

Status Database::set_up_writing(bool fresh) {
  // Pages of removed rows can be given back; only an empty file can be told so.
  if (fresh) TACK_RETURN_IF_ERROR(run("PRAGMA auto_vacuum = INCREMENTAL"));
  const auto wal = [this]() -> Result<bool> {
    TACK_TRY(Statement statement, prepare("PRAGMA journal_mode = WAL"));
    TACK_TRY(const bool row, statement.step());
    return row && statement.text(0) == "wal";
  };
  // The change to WAL does not wait for locks by itself.
  const auto give_up = std::chrono::steady_clock::now() + patience_;
  Result<bool> changed = wal();
  while (!changed && (sqlite3_errcode(db_) & 0xff) == SQLITE_BUSY &&
         std::chrono::steady_clock::now() < give_up) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    changed = wal();
  }
  if (!changed) return std::unexpected(std::move(changed).error());
  if (!*changed)
    return fail(
        "{}: cannot be shared by processes where it is (a network drive?): name a file on "
        "a local disk",
        path_.string());
  // NORMAL: a killed process loses no commit; a power cut may lose the last ones, never the file.
  return run("PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 67108864");
}

Status Database::migrate(const Schema& schema) {
  TACK_TRY(Transaction transaction, Transaction::begin(*this));
  // Again under the lock: another process may have been first.
  TACK_TRY(std::int64_t at, version(schema));
  for (; at < static_cast<std::int64_t>(schema.steps.size()); ++at)
    TACK_RETURN_IF_ERROR(run(schema.steps[static_cast<std::size_t>(at)]));
  const auto marks = fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}",
                                 schema.application, schema.steps.size());
  TACK_RETURN_IF_ERROR(run(marks.c_str()));
  return transaction.commit();
}

Status Database::run(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return std::unexpected(error());
}

Result<std::int64_t> Database::number(const char* sql) {
  TACK_TRY(Statement statement, prepare(sql));
  TACK_TRY(const bool row, statement.step());
  return row ? statement.integer(0) : 0;
}

Result<Statement> Database::prepare(const char* sql) {
  Statement statement;
  statement.database_ = this;
  if (sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement.statement_, nullptr) !=
      SQLITE_OK)
    return std::unexpected(error());
  return statement;
}

std::int64_t Database::last_id() const {
  return sqlite3_last_insert_rowid(db_);
}

bool Database::moved() const {
  int moved = 0;
  return sqlite3_file_control(db_, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
         moved != 0;
}

Error Database::error() const {
  if (db_ == nullptr) return {ErrorCode::kFailed, path_.string() + ": out of memory"};
  return explained(path_, sqlite3_errcode(db_), sqlite3_system_errno(db_), sqlite3_errmsg(db_));
}

// --- Statement

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(database_, other.database_);
  std::swap(statement_, other.statement_);
  return *this;
}

Statement::~Statement() {
  sqlite3_finalize(statement_);
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) TACK_RETURN_IF_ERROR(failed());
  reset();
  return false;
}

Status Statement::run() {
  for (bool row = true; row;) {
    TACK_TRY(row, step());
  }
  return {};
}

void Statement::reset() {
  sqlite3_reset(statement_);
}

// The message is taken before the reset, which may change it.
Status Statement::failed() {
  Error error = database_->error();
  reset();
  return std::unexpected(std::move(error));
}

bool Statement::null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

double Statement::real(int column) const {
  return sqlite3_column_double(statement_, column);
}

std::string_view Statement::text(int column) const {
  // As a blob, so that SQLite converts nothing, and before the length.
  const void* data = sqlite3_column_blob(statement_, column);
  const int bytes = sqlite3_column_bytes(statement_, column);
  return data == nullptr
             ? std::string_view()
             : std::string_view(static_cast<const char*>(data), static_cast<std::size_t>(bytes));
}

int Statement::bind_at(int index, std::int64_t value) {
  return sqlite3_bind_int64(statement_, index, value);
}

int Statement::bind_at(int index, double value) {
  return sqlite3_bind_double(statement_, index, std::isfinite(value) ? value : 0);
}

int Statement::bind_at(int index, std::string_view value) {
  // A null pointer would be NULL.
  return sqlite3_bind_text64(statement_, index, value.empty() ? "" : value.data(), value.size(),
                             SQLITE_STATIC, SQLITE_UTF8);
}

int Statement::bind_null(int index) {
  return sqlite3_bind_null(statement_, index);
}

// --- Transaction

Result<Transaction> Transaction::begin(Database& database) {
  TACK_RETURN_IF_ERROR(database.run("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  // An error may have rolled it back already: then this one says so, and nobody needs to know.
  if (database_ != nullptr) (void)database_->run("ROLLBACK");
}

Status Transaction::commit() {
  TACK_RETURN_IF_ERROR(database_->run("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace tack::store
