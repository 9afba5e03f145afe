// Who may ask: the keys of clients, read again when their file changes.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string_view>

#include "gateway/call.h"
#include "gateway/key_file.h"

namespace tack::gateway {

// The key in "Authorization: Bearer tk-..."; "" when there is none.
std::string_view bearer_of(const net::Headers& headers);

// Thread-safe. The file is looked at once in `check_every` at most, by a call of find(). One that
// has become wrong, or is gone, is said in the log once, and the keys read before stay.
class KeyRing {
 public:
  // Errors as read_keys(): above all a file that others can read.
  static Result<std::unique_ptr<KeyRing>> open(
      std::filesystem::path file, std::chrono::milliseconds check_every = std::chrono::seconds(1));
  ~KeyRing();

  // The key that was sent, or a 401 that says whether it is missing, unknown or expired. What is
  // compared are hashes: how long that takes says nothing of the keys in the file. About 0.5 us.
  Expected<std::shared_ptr<const Key>> find(std::string_view bearer);
  std::size_t size() const;

 private:
  struct Keys;
  struct FileState;

  KeyRing(std::filesystem::path file, std::chrono::milliseconds check_every);
  std::shared_ptr<const Keys> current() const;
  void look_at_file();

  const std::filesystem::path file_;
  const std::chrono::nanoseconds check_every_;
  std::atomic<std::int64_t> next_check_ns_{0};  // of the steady clock
  std::mutex reading_;                          // held by the one who reads the file
  std::unique_ptr<FileState> state_;            // of the file as last read; under reading_
  mutable std::mutex mutex_;
  std::shared_ptr<const Keys> keys_;  // under mutex_
};

}  // namespace tack::gateway
