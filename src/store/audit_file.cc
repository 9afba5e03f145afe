#include "store/audit_file.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mapped_file.h"
#include "store/audit_verify.h"

namespace tack::store {
namespace {

namespace fs = std::filesystem;

// A longer unfinished line is not one that a killed process left.
constexpr std::uint64_t kMostTorn = std::uint64_t{4} << 20;

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

fs::path numbered(const fs::path& file, std::uint64_t number) {
  return fmt::format("{}.{:06}", file.string(), number);
}

std::unexpected<Error> damaged(const fs::path& file, std::string_view what) {
  return fail(ErrorCode::kRefused,
              "{}: {}: nothing is appended to it; `tack audit verify {}` says where it is damaged, "
              "`tack audit rotate {}` keeps it and goes on in a new file",
              file.string(), what, file.string(), file.string());
}

Status sync_directory(const fs::path& file) {
  const fs::path directory = file.has_parent_path() ? file.parent_path() : ".";
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail("{}: {}", directory.string(), std::strerror(errno));
  const int failed = ::fsync(fd) != 0 && errno != EINVAL ? errno : 0;
  ::close(fd);
  if (failed != 0) return fail("{}: cannot sync: {}", directory.string(), std::strerror(failed));
  return {};
}

// What open() must know of a file: where its whole lines end, and the records there.
struct Ends {
  AuditHead head;
  std::uint64_t number = 1;  // of the file
  std::uint64_t whole = 0;   // bytes of whole lines
};

Result<Ends> read_ends(const fs::path& file, std::string_view text, const AuditKey& key) {
  const std::size_t newline = text.rfind('\n');
  if (newline == std::string_view::npos) return damaged(file, "it has no whole record");
  if (text.size() - newline - 1 > kMostTorn) return damaged(file, "its end is no record");
  const std::string_view whole = text.substr(0, newline);
  const std::size_t before = whole.rfind('\n');
  const std::string_view last = before == whole.npos ? whole : whole.substr(before + 1);
  const std::string_view first = whole.substr(0, whole.find('\n'));
  const auto first_line = check_audit_line(first, key), last_line = check_audit_line(last, key);
  if (!first_line && before == whole.npos)
    return damaged(file, "its only record is not what was written with this key");
  if (!first_line && !last_line)
    return damaged(file, "neither its first nor its last record was written with this key");
  if (!first_line) return damaged(file, "its first record is not what was written");
  if (!last_line) return damaged(file, "its last record is not what was written");
  Ends ends;
  ends.head = {std::string(last_line->log), last_line->seq, std::string(last_line->mac), 0};
  ends.whole = newline + 1;
  TACK_TRY(const AuditRecord begin, parse_audit_record(first));
  TACK_TRY(const AuditRecord end, parse_audit_record(last));
  ends.head.time_us = end.time_us;
  for (const auto& [name, count] : begin.counts)
    if (name == "file" && count > 0) ends.number = static_cast<std::uint64_t>(count);
  return ends;
}

// The last of all records that are right, wherever they stand.
std::optional<AuditHead> last_right_record(std::string_view text, const AuditKey& key) {
  std::optional<AuditHead> head;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto line = check_audit_line(text.substr(0, end), key);
    if (line && end < text.size() && (!head || line->seq >= head->seq))
      head = AuditHead{std::string(line->log), line->seq, std::string(line->mac), 0};
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return head;
}

}  // namespace

std::vector<fs::path> audit_files(const fs::path& file) {
  std::vector<std::pair<std::uint64_t, fs::path>> older;
  const std::string prefix = file.filename().string() + ".";
  std::error_code error;
  const fs::path directory = file.has_parent_path() ? file.parent_path() : ".";
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(prefix)) continue;
    const std::string_view digits = std::string_view(name).substr(prefix.size());
    std::uint64_t number = 0;
    const auto [stop, problem] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (problem == std::errc() && stop == digits.data() + digits.size() && digits.size() >= 6)
      older.emplace_back(number, file.has_parent_path() ? it->path() : fs::path(name));
  }
  std::ranges::sort(older);
  std::vector<fs::path> all;
  for (auto& [number, path] : older) all.push_back(std::move(path));
  if (fs::exists(file, error)) all.push_back(file);
  return all;
}

Result<AuditKey> open_audit_key(const fs::path& file, const fs::path& key_file) {
  auto key = AuditKey::find(key_file);
  if (key || key.error().code != ErrorCode::kNotFound) return key;
  if (audit_files(file).empty()) return AuditKey::make(key_file);
  return fail(
      ErrorCode::kNotFound,
      "{}, and the audit log {} was written with it: bring it back, or move the log away to "
      "begin another one",
      key.error().message, file.string());
}

Result<AuditHead> read_audit_head(const fs::path& file, const AuditKey& key) {
  TACK_TRY(const auto mapped, MappedFile::open(file));
  TACK_TRY(Ends ends, read_ends(file, mapped.text(), key));
  return std::move(ends.head);
}

AuditFile::AuditFile(AuditFile&& other) noexcept
    : file_(std::move(other.file_)),
      key_(other.key_),
      options_(other.options_),
      lock_(std::exchange(other.lock_, -1)),
      fd_(std::exchange(other.fd_, -1)),
      number_(other.number_),
      size_(other.size_),
      torn_(other.torn_),
      cut_failed_(other.cut_failed_),
      head_(std::move(other.head_)) {}

AuditFile::~AuditFile() {
  if (fd_ >= 0) ::close(fd_);
  if (lock_ >= 0) ::close(lock_);
}

Result<AuditFile> AuditFile::open(const fs::path& file, const AuditKey& key,
                                  const Options& options) {
  AuditFile log(file, key, options);
  TACK_RETURN_IF_ERROR(log.lock());
  TACK_RETURN_IF_ERROR(log.open_last());
  return log;
}

Result<AuditFile> AuditFile::rotate(const fs::path& file, const AuditKey& key,
                                    const Options& options) {
  AuditFile log(file, key, options);
  TACK_RETURN_IF_ERROR(log.lock());
  std::error_code ignored;
  if (!fs::exists(file, ignored))
    return fail(ErrorCode::kNotFound, "there is no audit log {}", file.string());
  const Status opened = log.open_last();
  if (!opened && opened.error().code != ErrorCode::kRefused) return std::unexpected(opened.error());
  TACK_RETURN_IF_ERROR(opened ? log.rotate() : log.continue_after_damage());
  return log;
}

// Another file than the log's own, since that one is renamed.
Status AuditFile::lock() {
  std::error_code ignored;
  if (file_.has_parent_path()) fs::create_directories(file_.parent_path(), ignored);
  const std::string path = file_.string() + ".lock";
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) return fail("{}: cannot be made: {}", path, std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    char holder[16] = {};
    const ssize_t read = ::pread(lock_, holder, sizeof holder - 1, 0);
    return fail(ErrorCode::kRefused,
                "{}: the audit log is being written by {}: stop that first, or name another file",
                file_.string(),
                read > 0 ? fmt::format("process {}", std::string_view(holder)) : "another process");
  }
  const std::string pid = fmt::format("{}", ::getpid());
  if (::ftruncate(lock_, 0) != 0 ||
      ::pwrite(lock_, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
    log_debug("{}: {}", path, std::strerror(errno));  // it only says who holds the lock
  return {};
}

AuditRecord AuditFile::first_record(std::uint64_t number) const {
  return {.time_us = now_us(),
          .event = "continue",
          .outcome = "ok",
          .labels = {{"format", "1"}, {"key", key_.id()}},
          .counts = {{"file", static_cast<std::int64_t>(number)}}};
}

// FILE, else what the last older one goes on in, else a new log.
Status AuditFile::open_last() {
  std::error_code error;
  if (fs::exists(file_, error)) return recover();
  if (error) return fail("{}: {}", file_.string(), error.message());
  const std::vector<fs::path> older = audit_files(file_);
  if (older.empty()) {
    AuditRecord first = first_record(1);
    first.event = "begin";
    head_ = {.log = new_log_id(), .mac = std::string(kNoPrevious)};
    return begin(first);
  }
  // Stopped between the two renamings of a rotation.
  TACK_TRY(const auto last, MappedFile::open(older.back()));
  TACK_TRY(Ends ends, read_ends(older.back(), last.text(), key_));
  head_ = std::move(ends.head);
  return begin(first_record(ends.number + 1));
}

Status AuditFile::recover() {
  fd_ = ::open(file_.c_str(), O_RDWR | O_CLOEXEC);
  if (fd_ < 0) return fail("{}: cannot be opened: {}", file_.string(), std::strerror(errno));
  std::uint64_t bytes = 0;
  {
    TACK_TRY(const auto mapped, MappedFile::open(file_));
    bytes = mapped.text().size();
    TACK_TRY(Ends ends, read_ends(file_, mapped.text(), key_));
    if (options_.verify_all) {
      const AuditText whole{file_.string(), mapped.text().substr(0, ends.whole)};
      const AuditReport report = verify_audit(std::span(&whole, 1), key_);
      if (!report.right())
        return damaged(
            file_, fmt::format("line {}: {}", report.damages[0].line, report.damages[0].message));
    }
    head_ = std::move(ends.head);
    size_ = ends.whole;
    number_ = ends.number;
  }
  return bytes == size_ ? Status() : set_aside(size_, bytes);
}

// An unfinished last line: kept beside the log, which says so.
Status AuditFile::set_aside(std::uint64_t from, std::uint64_t to) {
  std::string torn(to - from, '\0');
  if (::pread(fd_, torn.data(), torn.size(), static_cast<off_t>(from)) !=
      static_cast<ssize_t>(torn.size()))
    return fail("{}: cannot be read: {}", file_.string(), std::strerror(errno));
  const std::string path = file_.string() + ".torn";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return fail("{}: cannot be opened: {}", path, std::strerror(errno));
  const std::string line = torn + "\n";
  const bool kept = ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
                    ::fsync(fd) == 0;
  const int reason = errno;
  ::close(fd);
  if (!kept)
    return fail("{}: the unfinished last line of {} cannot be kept: {}; free space", path,
                file_.string(), std::strerror(reason));
  if (::ftruncate(fd_, static_cast<off_t>(from)) != 0)
    return fail("{}: its unfinished last line cannot be removed: {}", file_.string(),
                std::strerror(errno));
  torn_ = torn.size();
  log_warn("{}: its last line was unfinished: the {} bytes are in {}", file_.string(), torn.size(),
           path);
  const AuditRecord record{.event = "recovered",
                           .outcome = "ok",
                           .counts = {{"torn_bytes", static_cast<std::int64_t>(torn.size())}},
                           .hashes = {{"torn", key_.digest(torn)}}};
  return append(std::span(&record, 1));
}

// FILE anew, with its first record; head_ is the one before. What was there has been renamed, or is
// renamed when the new one is complete.
Status AuditFile::begin(const AuditRecord& first) {
  const bool new_log = first.event == "begin";
  AuditHead head = head_;
  std::string line;
  write_audit_line(first, key_, new_log ? 0 : head_.seq + 1, head, line);
  const std::string draft = file_.string() + ".new";
  const int fd = ::open(draft.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const auto cannot = [&](const std::string& what) {
    const int reason = errno;
    if (fd >= 0) {
      ::close(fd);
      ::unlink(draft.c_str());
    }
    return fail("{}: a new file of the audit log cannot be {}: {}", file_.string(), what,
                std::strerror(reason));
  };
  if (fd < 0) return cannot("made");
  if (::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size()) ||
      ::fsync(fd) != 0)
    return cannot("written");
  std::error_code error;
  if (fs::exists(file_, error)) {
    std::uint64_t number = number_;
    while (fs::exists(numbered(file_, number), error)) ++number;
    if (::rename(file_.c_str(), numbered(file_, number).c_str()) != 0)
      return cannot("begun, the old one stays");
  }
  if (::rename(draft.c_str(), file_.c_str()) != 0) return cannot("named");
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  size_ = line.size();
  cut_failed_ = false;
  head_ = std::move(head);
  for (const auto& [name, count] : first.counts)
    if (name == "file") number_ = static_cast<std::uint64_t>(count);
  return sync_directory(file_);
}

Status AuditFile::rotate() {
  TACK_RETURN_IF_ERROR(mend());
  TACK_RETURN_IF_ERROR(check_place());
  return begin(first_record(number_ + 1));
}

Status AuditFile::continue_after_damage() {
  TACK_TRY(const auto mapped, MappedFile::open(file_));
  const auto last = last_right_record(mapped.text(), key_);
  const std::size_t older = audit_files(file_).size();
  AuditRecord first = first_record(last ? older + 1 : 1);
  first.outcome = "damaged";
  first.counts.emplace_back("damaged_bytes", static_cast<std::int64_t>(mapped.text().size()));
  first.hashes.emplace_back("damaged", key_.digest(mapped.text()));
  number_ = older;
  if (last) {
    head_ = *last;
  } else {
    first.event = "begin";
    head_ = {.log = new_log_id(), .mac = std::string(kNoPrevious)};
  }
  return begin(first);
}

// Whether FILE is still the file that is open, and nobody else has changed it.
Status AuditFile::check_place() {
  struct stat open{}, named{};
  if (::fstat(fd_, &open) != 0) return fail("{}: {}", file_.string(), std::strerror(errno));
  if (static_cast<std::uint64_t>(open.st_size) != size_)
    return damaged(file_, "another program has changed it while it was in use");
  if (::stat(file_.c_str(), &named) != 0) {
    if (errno != ENOENT) return fail("{}: {}", file_.string(), std::strerror(errno));
    log_warn("{}: was moved away while in use: the audit log goes on in a new file",
             file_.string());
    return begin(first_record(number_ + 1));
  }
  if (named.st_ino != open.st_ino || named.st_dev != open.st_dev)
    return damaged(file_, "another file was put in its place while it was in use");
  return {};
}

// What cut_back() could not do.
Status AuditFile::mend() {
  if (!cut_failed_) return {};
  cut_failed_ = ::ftruncate(fd_, static_cast<off_t>(size_)) != 0;
  if (!cut_failed_) return {};
  return fail("{}: what was written in part cannot be removed: {}", file_.string(),
              std::strerror(errno));
}

// After a failed write: the file as it was. An error of `what` in any case.
Status AuditFile::cut_back(std::string_view what, int reason) {
  cut_failed_ = ::ftruncate(fd_, static_cast<off_t>(size_)) != 0;
  return fail(
      "{}: the audit log cannot be {}: {}; nothing of it is lost or half-written, free "
      "space or choose another place",
      file_.string(), what, std::strerror(reason));
}

Status AuditFile::write(std::string_view bytes) {
  std::uint64_t at = size_;
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return cut_back("written", written < 0 ? errno : EIO);
    at += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fdatasync(fd_) != 0 && errno != EINVAL && errno != EROFS) return cut_back("synced", errno);
  size_ = at;
  return {};
}

Status AuditFile::append(std::span<const AuditRecord> records) {
  if (records.empty()) return {};
  TACK_RETURN_IF_ERROR(mend());
  TACK_RETURN_IF_ERROR(check_place());
  if (options_.max_bytes > 0 && size_ >= options_.max_bytes) TACK_RETURN_IF_ERROR(rotate());
  AuditHead head = head_;
  buffer_.clear();
  const std::int64_t now = now_us();
  for (const AuditRecord& record : records) {
    if (record.time_us != 0) {
      write_audit_line(record, key_, head.seq + 1, head, buffer_);
      continue;
    }
    AuditRecord timed = record;
    timed.time_us = now;
    write_audit_line(timed, key_, head.seq + 1, head, buffer_);
  }
  TACK_RETURN_IF_ERROR(write(buffer_));
  head_ = std::move(head);
  return {};
}

}  // namespace tack::store
