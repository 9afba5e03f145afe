#include "tasks/label_journal.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/atomic_file.h"

namespace tack {
namespace {

constexpr std::string_view kLineStart = "{\"key\":\"";

std::string line_of(const std::string& key, const JournalEntry& entry) {
  Json json = {{"key", key}};
  if (!entry.settled)
    json["again"] = true;
  else
    json["label"] = entry.label.empty() ? Json() : Json(entry.label);
  if (!entry.error.empty()) json["error"] = entry.error;
  json["calls"] = entry.calls;
  json["prompt_tokens"] = entry.tokens.prompt;
  json["completion_tokens"] = entry.tokens.completion;
  if (entry.tokens.estimated > 0) json["estimated"] = entry.tokens.estimated;
  return to_text(json) + "\n";
}

// False for a line that is none of ours.
bool parse_line(std::string_view line, std::string& key, JournalEntry& entry) {
  const auto json = parse_json(line, "");
  if (!json || !json->is_object()) return false;
  const auto text = [&](const char* name, std::string& out) {
    const auto found = json->find(name);
    if (found == json->end() || !found->is_string()) return false;
    out = found->get<std::string>();
    return !out.empty();
  };
  const auto count = [&](const char* name, std::int64_t& out) {
    const auto found = json->find(name);
    if (found == json->end() || !found->is_number_unsigned()) return false;
    out = static_cast<std::int64_t>(std::min<std::uint64_t>(found->get<std::uint64_t>(), 1U << 30));
    return true;
  };
  const bool has_error = text("error", entry.error);
  entry.settled = !json->contains("again");
  if (!text("label", entry.label) && entry.settled && !has_error) return false;
  count("estimated", entry.tokens.estimated);
  return text("key", key) && count("calls", entry.calls) &&
         count("prompt_tokens", entry.tokens.prompt) &&
         count("completion_tokens", entry.tokens.completion);
}

}  // namespace

Result<LabelJournal> LabelJournal::open(const std::filesystem::path& path) {
  LabelJournal journal(path);
  journal.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (journal.fd_ < 0)
    return fail("{}: cannot keep answers here: {}", path.string(), std::strerror(errno));
  if (::flock(journal.fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return fail("{}: another `tack label` is writing to it; wait for it, or name another --cache",
                path.string());
  TACK_RETURN_IF_ERROR(journal.read());
  return journal;
}

LabelJournal::LabelJournal(LabelJournal&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      entries_(std::move(other.entries_)),
      synced_(other.synced_) {}

LabelJournal::~LabelJournal() {
  if (fd_ >= 0) ::close(fd_);
}

Status LabelJournal::read() {
  TACK_TRY(const std::string all, read_file(path_));
  const std::string_view text = all;
  std::size_t begin = 0;
  const auto not_ours = [&](std::size_t line) {
    return fail(ErrorCode::kUsage,
                "{}: line {} is not an answer that `tack label` keeps; name another --cache, or "
                "remove the line",
                path_.string(), line);
  };
  std::size_t line = 1;
  for (std::size_t end; (end = text.find('\n', begin)) != text.npos; begin = end + 1, ++line) {
    std::string key;
    JournalEntry entry;
    if (!parse_line(text.substr(begin, end - begin), key, entry)) return not_ours(line);
    merge(key, entry);
  }
  const std::string_view torn = text.substr(begin);
  if (torn.empty()) return {};
  if (!torn.starts_with(kLineStart) && !kLineStart.starts_with(torn)) return not_ours(line);
  if (::ftruncate(fd_, static_cast<off_t>(begin)) != 0)
    return fail("{}: cannot drop its unfinished last line: {}", path_.string(),
                std::strerror(errno));
  return {};
}

void LabelJournal::merge(const std::string& key, const JournalEntry& entry) {
  JournalEntry& known = entries_[key];
  JournalEntry next = entry;
  next.calls += known.calls;
  next.tokens += known.tokens;
  known = std::move(next);
}

const JournalEntry* LabelJournal::find(const std::string& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

Status LabelJournal::append(const std::string& key, const JournalEntry& entry) {
  const std::string line = line_of(key, entry);
  // One write for a line: with O_APPEND it is there whole, or torn at the end of the file.
  ssize_t written = 0;
  do written = ::write(fd_, line.data(), line.size());
  while (written < 0 && errno == EINTR);
  if (written != static_cast<ssize_t>(line.size()))
    return fail("{}: cannot write: {}; free space and run the same command again to go on",
                path_.string(), std::strerror(written < 0 ? errno : ENOSPC));
  merge(key, entry);
  if (std::chrono::steady_clock::now() - synced_ < std::chrono::seconds(1)) return {};
  return sync();
}

Status LabelJournal::sync() {
  synced_ = std::chrono::steady_clock::now();
  if (::fdatasync(fd_) != 0 && errno != EINVAL && errno != EROFS)
    return fail("{}: cannot sync: {}", path_.string(), std::strerror(errno));
  return {};
}

}  // namespace tack
