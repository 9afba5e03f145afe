// API keys of clients, and the file that keeps their hashes. A key is 32 random bytes: nobody can
// guess it from its SHA-256, so a plain hash is right here, as it would not be for passwords.
//
//   [support]                        # the key's name, in the ledger and in rules
//   hash = "sha256:9f86d0..."
//   created = 2025-11-03T09:12:44Z
//   requests_per_minute = 60         # and below: all may be left out
//   tokens_per_minute = 100000
//   privacy = "local-only"           # or "mask"; local_only = true is the same as "local-only"
//   upstreams = ["openai"]
//   models = ["auto", "tickets"]
//   expires = 2026-12-31
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "gateway/privacy_mode.h"

namespace tack::gateway {

struct Key {
  std::string name;
  Sha256 hash{};  // of the whole key, "tk-..."
  std::optional<std::chrono::sys_seconds> created, expires;
  std::int64_t requests_per_minute = 0, tokens_per_minute = 0;  // 0: no limit
  PrivacyMode privacy = PrivacyMode::kAllow;                    // its requests, at the least
  std::vector<std::string> upstreams;                           // allowed; empty: all
  std::vector<std::string> models;  // that may be asked for, routes too; empty: all
  int line = 0;

  bool expired(std::chrono::system_clock::time_point now) const {
    return expires && now >= *expires;
  }
  // Whether the client may write this in "model".
  bool may_ask(std::string_view model) const;
};

bool is_key_name(std::string_view name);  // letters, digits and -_.:@+

// "tk-" and 64 hexadecimal digits, from the operating system's random numbers.
Result<std::string> make_key();

// kNotFound when there is no such file, kRefused when others than its owner can read or write it.
Status check_key_file(const std::filesystem::path& path);
// Checks the file and reads it. Errors say the line, and how many more mistakes there are.
Result<std::vector<Key>> read_keys(const std::filesystem::path& path);
Result<std::vector<Key>> parse_keys(std::string_view text, std::string_view file);
// Replaces the file at once, with mode 0600. Comments in it are lost.
Status write_keys(const std::filesystem::path& path, const std::vector<Key>& keys);

// Held while a file of keys is read, changed and written, so that of two `tack keys add` none is
// lost. Waits for the other process. The directory must be there.
class KeyFileLock {
 public:
  static Result<KeyFileLock> take(const std::filesystem::path& path);
  KeyFileLock(KeyFileLock&& other) noexcept;
  KeyFileLock& operator=(KeyFileLock&&) = delete;
  ~KeyFileLock();

 private:
  explicit KeyFileLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace tack::gateway
