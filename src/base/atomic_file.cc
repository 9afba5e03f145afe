#include "base/atomic_file.h"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/mapped_file.h"

namespace tack {
namespace {
constexpr std::size_t kBufferBytes = 1 << 20;

// Temporary files of this target whose process was killed before it could remove them.
void remove_orphans(const std::filesystem::path& target) {
  const std::string prefix = target.filename().string() + ".";
  std::error_code error;
  const auto directory =
      target.has_parent_path() ? target.parent_path() : std::filesystem::path(".");
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(prefix) || !name.ends_with(".tmp")) continue;
    const std::string_view middle =
        std::string_view(name).substr(prefix.size(), name.size() - prefix.size() - 4);
    pid_t pid = 0;
    const auto [stop, problem] = std::from_chars(middle.data(), middle.data() + middle.size(), pid);
    if (problem == std::errc() && stop == middle.data() + middle.size() && pid > 0 &&
        ::kill(pid, 0) != 0 && errno == ESRCH)
      ::unlink(it->path().c_str());
  }
}

}  // namespace

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& target, unsigned mode) {
  remove_orphans(target);
  AtomicFile file;
  file.target_ = target;
  file.temporary_ = target.string() + "." + std::to_string(::getpid()) + ".tmp";
  file.fd_ = ::open(file.temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (file.fd_ < 0) return fail("{}: cannot write: {}", target.string(), std::strerror(errno));
  // The name may be left over from a process of the same number, with rights of its own.
  if ((mode & 077U) == 0 && ::fchmod(file.fd_, mode) != 0)
    return fail("{}: cannot set its rights: {}", target.string(), std::strerror(errno));
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : target_(std::move(other.target_)),
      temporary_(std::move(other.temporary_)),
      fd_(std::exchange(other.fd_, -1)),
      size_(other.size_),
      buffer_(std::move(other.buffer_)) {}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  return write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Status AtomicFile::write(std::string_view text) {
  buffer_.append(text);
  size_ += text.size();
  return buffer_.size() >= kBufferBytes ? flush() : Status{};
}

Status AtomicFile::flush() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t written = ::write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0)
      return fail("{}: cannot write: {}; free space or choose another place, the old file is kept",
                  target_.string(), std::strerror(errno));
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  buffer_.clear();
  return {};
}

Status AtomicFile::commit() {
  TACK_RETURN_IF_ERROR(flush());
  if (::fsync(fd_) != 0 && errno != EINVAL && errno != EROFS)
    return fail("{}: cannot sync: {}", target_.string(), std::strerror(errno));
  ::close(std::exchange(fd_, -1));
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    const int reason = errno;
    ::unlink(temporary_.c_str());
    return fail("{}: cannot rename into place: {}", target_.string(), std::strerror(reason));
  }
  return {};
}

Status write_file(const std::filesystem::path& target, std::string_view text) {
  TACK_TRY(auto file, AtomicFile::create(target));
  TACK_RETURN_IF_ERROR(file.write(text));
  return file.commit();
}

Result<std::string> read_file(const std::filesystem::path& path, std::size_t max_bytes) {
  TACK_TRY(const auto file, MappedFile::open(path));
  if (file.bytes().size() > max_bytes)
    return fail("{}: {} bytes, more than the {} allowed here", path.string(), file.bytes().size(),
                max_bytes);
  return std::string(file.text());
}

}  // namespace tack
