#include "gateway/keys.h"

#include <cctype>
#include <cstring>
#include <unordered_map>

#include <sys/stat.h>

#include "base/log.h"

namespace tack::gateway {
namespace {

// The bytes of a hash are as good as random.
struct FirstBytes {
  std::size_t operator()(const Sha256& hash) const {
    std::size_t value = 0;
    std::memcpy(&value, hash.data(), sizeof value);
    return value;
  }
};

Failure unauthorized(std::string message) {
  return {.status = 401,
          .message = std::move(message),
          .type = "invalid_request_error",
          .code = "invalid_api_key",
          .another_may_answer = false};
}

std::int64_t steady_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

}  // namespace

struct KeyRing::Keys {
  std::unordered_map<Sha256, Key, FirstBytes> by_hash;
};

// A file that was replaced is another inode, even within one tick of its clock.
struct KeyRing::FileState {
  ino_t inode = 0;
  off_t size = -1;
  mode_t mode = 0;
  std::int64_t changed_ns = 0;

  bool operator==(const FileState&) const = default;

  // All zero when there is no such file.
  static FileState of(const std::filesystem::path& file) {
    struct stat status{};
    if (::stat(file.c_str(), &status) != 0) return {};
    return {status.st_ino, status.st_size, status.st_mode,
            status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
  }
};

std::string_view bearer_of(const net::Headers& headers) {
  constexpr std::string_view kScheme = "bearer ";
  const std::string* value = headers.find("authorization");
  if (value == nullptr || value->size() < kScheme.size()) return {};
  for (std::size_t i = 0; i < kScheme.size(); ++i)
    if (std::tolower(static_cast<unsigned char>((*value)[i])) != kScheme[i]) return {};
  std::string_view key = std::string_view(*value).substr(kScheme.size());
  while (key.starts_with(' ')) key.remove_prefix(1);
  while (key.ends_with(' ')) key.remove_suffix(1);
  return key;
}

KeyRing::KeyRing(std::filesystem::path file, std::chrono::milliseconds check_every)
    : file_(std::move(file)),
      check_every_(check_every),
      state_(std::make_unique<FileState>()),
      keys_(std::make_shared<Keys>()) {}

KeyRing::~KeyRing() = default;

Result<std::unique_ptr<KeyRing>> KeyRing::open(std::filesystem::path file,
                                               std::chrono::milliseconds check_every) {
  TACK_RETURN_IF_ERROR(read_keys(file));
  std::unique_ptr<KeyRing> ring(new KeyRing(std::move(file), check_every));
  ring->look_at_file();
  return ring;
}

std::shared_ptr<const KeyRing::Keys> KeyRing::current() const {
  const std::lock_guard lock(mutex_);
  return keys_;
}

std::size_t KeyRing::size() const {
  return current()->by_hash.size();
}

void KeyRing::look_at_file() {
  const std::unique_lock reading(reading_, std::try_to_lock);
  if (!reading) return;  // another thread is at it
  next_check_ns_ = steady_ns() + check_every_.count();
  const FileState state = FileState::of(file_);
  if (state == *state_) return;
  *state_ = state;
  auto read = read_keys(file_);
  if (!read) {
    log_error("{}; the keys read before stay", read.error().message);
    return;
  }
  auto keys = std::make_shared<Keys>();
  for (Key& key : *read) keys->by_hash.emplace(key.hash, std::move(key));
  const std::lock_guard lock(mutex_);
  keys_ = std::move(keys);
}

Expected<std::shared_ptr<const Key>> KeyRing::find(std::string_view bearer) {
  if (steady_ns() >= next_check_ns_.load(std::memory_order_relaxed)) look_at_file();
  if (bearer.empty())
    return std::unexpected(unauthorized("no API key: send it as \"Authorization: Bearer tk-...\""));
  const std::shared_ptr<const Keys> keys = current();
  const auto found = keys->by_hash.find(sha256(bearer));
  if (found == keys->by_hash.end()) return std::unexpected(unauthorized("no such API key"));
  const Key& key = found->second;
  if (key.expired(std::chrono::system_clock::now()))
    return std::unexpected(unauthorized("this API key has expired"));
  return std::shared_ptr<const Key>(keys, &key);
}

}  // namespace tack::gateway
