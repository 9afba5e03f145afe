// The files of an audit log: opened for one writer, appended to, continued in a new file.
//
// FILE is written to; FILE.000001, FILE.000002, ... are older ones, each continued by the next.
// FILE.lock is held by the writer. Nothing is appended to a file whose end is not what was written,
// and nothing that was written is ever overwritten: an unfinished last line (a killed process, a
// power failure) is kept in FILE.torn.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/audit_key.h"
#include "store/audit_record.h"

namespace tack::store {

// FILE's older files in their order, then FILE itself; those that are there.
std::vector<std::filesystem::path> audit_files(const std::filesystem::path& file);

// The key of the log FILE: AuditKey::find(), and when there is neither a key nor a log yet a new
// one. kNotFound: there is a log, and its key is gone.
Result<AuditKey> open_audit_key(const std::filesystem::path& file,
                                const std::filesystem::path& key_file);

// The last whole record of a file, also while a process appends to it. Errors: kNotFound; kRefused
// when it, or the first one, is not what was written.
Result<AuditHead> read_audit_head(const std::filesystem::path& file, const AuditKey& key);

// Used by one thread. Errors name the file and say what to do.
class AuditFile {
 public:
  struct Options {
    std::uint64_t max_bytes = 0;  // a file of that size is continued in a new one; 0: never
    bool verify_all = false;      // on open: all of FILE, not only its first and last record
  };

  // Begins a log where there is none. kRefused: another process writes it, or it is damaged.
  static Result<AuditFile> open(const std::filesystem::path& file, const AuditKey& key,
                                const Options& options);
  // A new file that goes on from the last right record of FILE, however damaged FILE is; a damaged
  // one's digest and size stand in the new one's first record. Of a file without any right record
  // (another key) nothing can be continued: a new log is begun.
  static Result<AuditFile> rotate(const std::filesystem::path& file, const AuditKey& key,
                                  const Options& options);

  AuditFile(AuditFile&& other) noexcept;
  AuditFile& operator=(AuditFile&&) = delete;
  ~AuditFile();

  // All of them, durable when it returns; on an error none, and the file is as it was. Records
  // without a time get this one.
  Status append(std::span<const AuditRecord> records);
  // Continues in a new file now.
  Status rotate();

  const AuditHead& head() const { return head_; }
  std::uint64_t bytes() const { return size_; }
  std::uint64_t torn_bytes() const { return torn_; }  // moved aside by open()

 private:
  AuditFile(std::filesystem::path file, const AuditKey& key, const Options& options)
      : file_(std::move(file)), key_(key), options_(options) {}

  Status lock();
  Status open_last();
  Status recover();
  Status set_aside(std::uint64_t from, std::uint64_t to);
  Status begin(const AuditRecord& first);
  Status continue_in_new(AuditRecord first);
  Status continue_after_damage();
  Status check_place();
  Status write(std::string_view bytes);
  Status mend();
  Status cut_back(std::string_view what, int reason);
  AuditRecord first_record(std::uint64_t number) const;

  std::filesystem::path file_;
  AuditKey key_;
  Options options_;
  int lock_ = -1, fd_ = -1;
  std::uint64_t number_ = 1;  // of FILE among the log's files
  std::uint64_t size_ = 0;    // that is durable
  std::uint64_t torn_ = 0;
  bool cut_failed_ = false;  // more stands in the file than size_
  AuditHead head_;
  std::string buffer_;
};

}  // namespace tack::store
