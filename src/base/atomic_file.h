// Writing a file so that a reader sees the old content or the whole new one, never a part: bytes go
// to "NAME.PID.tmp" beside the target, are synced, then renamed over it. Destroyed without
// commit(), the temporary file is removed and the target is untouched. What a killed process left
// is removed by the next one that writes the same target.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/result.h"

namespace tack {

class AtomicFile {
 public:
  // `mode`: the rights of a new file. 0600 is kept whatever the process allows others by default,
  // and holds from the first byte on.
  static Result<AtomicFile> create(const std::filesystem::path& target, unsigned mode = 0644);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  // Appends. Errors name the target and the reason ("No space left on device").
  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text);
  std::size_t size() const { return size_; }

  // Syncs, closes and renames over the target.
  Status commit();

 private:
  AtomicFile() = default;
  Status flush();

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  std::size_t size_ = 0;
  std::string buffer_;
};

// The whole file in one call.
Status write_file(const std::filesystem::path& target, std::string_view text);

// Reads a whole file. Errors as MappedFile::open; also for files over max_bytes.
Result<std::string> read_file(const std::filesystem::path& path,
                              std::size_t max_bytes = std::size_t{1} << 32);

}  // namespace tack
