#include "gateway/key_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>

#include <fcntl.h>
#include <fmt/ranges.h>
#include <openssl/rand.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "gateway/config_reader.h"
#include "gateway/toml_section.h"

namespace tack::gateway {
namespace {

constexpr std::string_view kHashPrefix = "sha256:";
constexpr std::int64_t kMostPerMinute = 1'000'000'000'000;

std::string hex(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

std::optional<Sha256> parse_hash(std::string_view text) {
  Sha256 hash{};
  if (!text.starts_with(kHashPrefix)) return {};
  text.remove_prefix(kHashPrefix.size());
  if (text.size() != 2 * hash.size()) return {};
  for (std::size_t i = 0; i < hash.size(); ++i) {
    const char* const at = text.data() + 2 * i;
    const auto [end, error] = std::from_chars(at, at + 2, hash[i], 16);
    if (error != std::errc() || end != at + 2) return {};
  }
  return hash;
}

Key read_key(TomlSection& section) {
  Key key{.name = section.name(), .line = section.line()};
  check_name(section, /*slash=*/false);
  std::string hash;
  if (section.read("hash", hash)) {
    if (const auto parsed = parse_hash(hash))
      key.hash = *parsed;
    else
      section.mistake("hash",
                      "must be \"sha256:\" and 64 hexadecimal digits, as `tack keys add` "
                      "writes it");
  } else if (!section.has("hash")) {
    section.mistake(nullptr, "hash is missing: make keys with `tack keys add NAME`");
  }
  section.read_time("created", key.created);
  section.read_time("expires", key.expires);
  section.read("requests_per_minute", 0, kMostPerMinute, key.requests_per_minute);
  section.read("tokens_per_minute", 0, kMostPerMinute, key.tokens_per_minute);
  bool local_only = false;
  if (section.read("local_only", local_only) && local_only) key.privacy = PrivacyMode::kLocalOnly;
  std::optional<PrivacyMode> privacy;
  read_privacy_mode(section, "privacy", privacy);
  if (privacy && local_only && *privacy != PrivacyMode::kLocalOnly)
    section.mistake("privacy", "is \"{}\" beside local_only = true: leave one out",
                    name_of(*privacy));
  if (privacy) key.privacy = *privacy;
  section.read_texts("upstreams", key.upstreams);
  section.read_texts("models", key.models);
  section.finish();
  return key;
}

std::string toml_time(std::chrono::sys_seconds time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::string to_toml(const Key& key) {
  const std::string quoted = to_text(Json(key.name));
  std::string text = fmt::format("\n[{}]\nhash = \"{}{}\"\n", quoted, kHashPrefix, hex(key.hash));
  if (key.created) text += fmt::format("created = {}\n", toml_time(*key.created));
  if (key.requests_per_minute > 0)
    text += fmt::format("requests_per_minute = {}\n", key.requests_per_minute);
  if (key.tokens_per_minute > 0)
    text += fmt::format("tokens_per_minute = {}\n", key.tokens_per_minute);
  if (key.privacy != PrivacyMode::kAllow)
    text += fmt::format("privacy = \"{}\"\n", name_of(key.privacy));
  if (!key.upstreams.empty()) text += fmt::format("upstreams = {}\n", to_text(Json(key.upstreams)));
  if (!key.models.empty()) text += fmt::format("models = {}\n", to_text(Json(key.models)));
  if (key.expires) text += fmt::format("expires = {}\n", toml_time(*key.expires));
  return text;
}

}  // namespace

bool Key::may_ask(std::string_view model) const {
  return models.empty() || std::ranges::find(models, model) != models.end();
}

bool is_key_name(std::string_view name) {
  return is_name(name, /*slash=*/false);
}

Result<std::string> make_key() {
  std::array<std::uint8_t, 32> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    return fail("the operating system gives no random numbers: no key was made");
  return "tk-" + hex(bytes);
}

Status check_key_file(const std::filesystem::path& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0)
    return fail(ErrorCode::kNotFound, "{}: {}; make a key with `tack keys add NAME --file {}`",
                path.string(), std::strerror(errno), path.string());
  if (!S_ISREG(status.st_mode))
    return fail(ErrorCode::kRefused, "{}: is no regular file", path.string());
  if ((status.st_mode & 077U) != 0)
    return fail(ErrorCode::kRefused,
                "{}: others than its owner have rights to it (mode {:o}); "
                "run: chmod 600 {}",
                path.string(), status.st_mode & 0777U, path.string());
  if (::access(path.c_str(), R_OK) != 0)
    return fail(ErrorCode::kRefused, "{}: {}", path.string(), std::strerror(errno));
  return {};
}

Result<std::vector<Key>> parse_keys(std::string_view text, std::string_view file) {
  TomlNotes notes;
  std::vector<Key> keys;
  if (const auto table = parse_toml(text, notes)) {
    TomlSection root = TomlSection::root(*table, notes);
    for (TomlSection& section : root.all_sections()) keys.push_back(read_key(section));
  }
  std::set<Sha256> hashes;
  for (const Key& key : keys)
    if (!hashes.insert(key.hash).second && notes.mistakes.empty())
      notes.mistakes.push_back({key.line, fmt::format("[{}] has another key's hash", key.name)});
  if (notes.mistakes.empty()) return keys;
  const auto first = std::ranges::min_element(notes.mistakes, {}, &ConfigMistake::line);
  const std::size_t more = notes.mistakes.size() - 1;
  return fail(ErrorCode::kUsage, "{}:{}: {}{}", file, first->line, first->message,
              more == 0 ? "" : fmt::format(" (and {} more)", more));
}

Result<std::vector<Key>> read_keys(const std::filesystem::path& path) {
  constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
  TACK_RETURN_IF_ERROR(check_key_file(path));
  // Not mapped: a running server reads what an editor may cut short at the same moment.
  std::ifstream in(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (!in) return fail("{}: cannot be read", path.string());
  if (text.size() > kMaxBytes) return fail("{}: is longer than 16 MiB", path.string());
  return parse_keys(text, path.string());
}

Status write_keys(const std::filesystem::path& path, const std::vector<Key>& keys) {
  std::string text =
      "# API keys of `tack serve`: their hashes, not the keys. Written by `tack keys`, which "
      "drops\n"
      "# comments added here. docs/config.md says what each setting means.\n";
  for (const Key& key : keys) text += to_toml(key);
  TACK_RETURN_IF_ERROR(parse_keys(text, path.string()));  // a name or model that no file can hold
  TACK_TRY(auto file, AtomicFile::create(path, 0600));
  TACK_RETURN_IF_ERROR(file.write(text));
  return file.commit();
}

Result<KeyFileLock> KeyFileLock::take(const std::filesystem::path& path) {
  const std::filesystem::path directory = path.has_parent_path() ? path.parent_path() : ".";
  // The directory is locked, since the file itself is replaced.
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kFailed, "{}: {}",
                directory.string(), std::strerror(errno));
  KeyFileLock lock(fd);
  while (::flock(fd, LOCK_EX) != 0)
    if (errno != EINTR)
      return fail("{}: cannot be locked: {}", directory.string(), std::strerror(errno));
  return lock;
}

KeyFileLock::KeyFileLock(KeyFileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

KeyFileLock::~KeyFileLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace tack::gateway
