// The answers of `tack label`, kept as they arrive: JSON lines, one a text, only ever appended to.
//
//   {"key": "9f2c...", "label": "billing", "calls": 1, "prompt_tokens": 90, "completion_tokens": 3}
//   {"key": "07aa...", "label": null, "error": "...", "calls": 2, ...}    outside the set: settled
//   {"key": "55e1...", "again": true, "error": "...", "calls": 6, ...}    failed: asked next time
//
// The key is a hash of all that the answer depends on; neither texts nor prompts are stored.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>

#include "base/result.h"
#include "tasks/chat_client.h"

namespace tack {

struct JournalEntry {
  std::string label;    // empty: none
  std::string error;    // why there is none
  bool settled = true;  // not to be asked again
  std::int64_t calls = 0;
  TokenUse tokens;
};

// Used by one thread at a time, and by one process: the file is locked while it is open.
class LabelJournal {
 public:
  // Reads what is there; a last line that a killed process left unfinished is dropped. Errors: a
  // line that is no entry (so that a wrong file is not written to), a file in use, as files have.
  static Result<LabelJournal> open(const std::filesystem::path& path);

  LabelJournal(LabelJournal&& other) noexcept;
  LabelJournal& operator=(LabelJournal&&) = delete;
  ~LabelJournal();

  // The last verdict about this key, with the calls and tokens of all its entries; or nullptr.
  const JournalEntry* find(const std::string& key) const;
  // Written before it returns, on the disk within a second or by sync().
  Status append(const std::string& key, const JournalEntry& entry);
  Status sync();

 private:
  explicit LabelJournal(std::filesystem::path path) : path_(std::move(path)) {}
  Status read();
  void merge(const std::string& key, const JournalEntry& entry);

  std::filesystem::path path_;
  int fd_ = -1;
  std::map<std::string, JournalEntry, std::less<>> entries_;
  std::chrono::steady_clock::time_point synced_;
};

}  // namespace tack
