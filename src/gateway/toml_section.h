// Reading sections of a TOML file so that all mistakes are found, not only the first, and every
// setting is noted with where it comes from. Shared by tack.toml and the file of keys.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <toml++/toml.h>

#include "gateway/config.h"

namespace tack::gateway {

// What reading has found so far.
struct TomlNotes {
  std::vector<ConfigMistake> mistakes, warnings;
  std::vector<ConfigSetting> settings;
  std::map<std::string, std::string> overrides;  // key ("serve.port") to what it comes from

  // Where a setting was written; `otherwise` when it was not.
  int line_of(std::string_view key, int otherwise) const;
};

// Parses; a syntax error is a mistake, and then there is nothing to read.
std::optional<toml::table> parse_toml(std::string_view text, TomlNotes& notes);

// One [section]. The read functions leave `out` as it is when the key is not there or wrong; they
// return whether it is there and right. Reading a key makes it known: finish() names the others.
class TomlSection {
 public:
  static TomlSection root(const toml::table& table, TomlNotes& notes);

  bool read(const char* key, std::string& out);
  bool read(const char* key, bool& out);
  bool read(const char* key, double low, double high, double& out);
  template <std::integral T>
  bool read(const char* key, std::int64_t low, std::int64_t high, T& out) {
    auto value = static_cast<std::int64_t>(out);
    const bool right = read_whole(key, low, high, value);
    if (right) out = static_cast<T>(value);
    return right;
  }
  // "10s", and "8MiB" or a number of bytes.
  bool read_duration(const char* key, std::chrono::milliseconds low, std::chrono::milliseconds high,
                     std::chrono::milliseconds& out);
  bool read_size(const char* key, std::uint64_t low, std::uint64_t high, std::uint64_t& out);
  // A date, or a date and time, of TOML; UTC where it names no offset.
  bool read_time(const char* key, std::optional<std::chrono::sys_seconds>& out);
  // One of several words.
  bool read_word(const char* key, const std::vector<std::string>& words, std::string& out);
  // A text, alone or several in a list; never empty.
  bool read_texts(const char* key, std::vector<std::string>& out);
  // NAME = "text" in a table; `secret` values are not noted.
  bool read_map(const char* key, std::map<std::string, std::string>& out, bool secret = false);
  // NAME = 0.5 in a table.
  bool read_numbers(const char* key, double low, double high, std::map<std::string, double>& out);
  // Settings that have no default.
  bool read(const char* key, std::optional<bool>& out);
  bool read(const char* key, double low, double high, std::optional<double>& out);
  bool read(const char* key, std::int64_t low, std::int64_t high, std::optional<std::int64_t>& out);

  bool has(const char* key) const { return table_ != nullptr && table_->contains(key); }
  std::size_t size() const { return table_ == nullptr ? 0 : table_->size(); }
  // Whether the value comes from a flag or the environment, not the file.
  bool is_override(const char* key) const { return notes_->overrides.contains(path_of(key)); }
  const std::string& name() const { return name_; }  // the last part of its path
  const std::string& path() const { return path_; }  // "upstreams.openai"
  int line() const { return line_; }
  int line(const char* key) const;

  // [section.key]; without one it reads as empty, and exists() is false.
  TomlSection section(const char* key);
  bool exists() const { return table_ != nullptr; }
  // [section.key.NAME], each, in the order of the file.
  std::vector<TomlSection> sections(const char* key);
  // The names in this section that are sections themselves.
  std::vector<TomlSection> all_sections();
  // [[section.key]], each.
  std::vector<TomlSection> list(const char* key);

  // "[upstreams.openai] base_url MESSAGE", at the key's line or the section's own.
  template <class... Args>
  void mistake(const char* key, fmt::format_string<Args...> format, Args&&... args) {
    add(notes_->mistakes, key, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void warn(const char* key, fmt::format_string<Args...> format, Args&&... args) {
    add(notes_->warnings, key, fmt::format(format, std::forward<Args>(args)...));
  }
  // After all reads: a mistake for each key that nobody asked for.
  void finish();

 private:
  TomlSection(const toml::table* table, std::string name, std::string path, std::string label,
              int line, TomlNotes& notes)
      : table_(table),
        name_(std::move(name)),
        path_(std::move(path)),
        label_(std::move(label)),
        line_(line),
        notes_(&notes) {}

  const toml::node* find(const char* key);
  bool read_whole(const char* key, std::int64_t low, std::int64_t high, std::int64_t& out);
  bool wrong(const char* key, std::string_view expected);
  void note(const char* key, Json value);
  void add(std::vector<ConfigMistake>& to, const char* key, std::string message) const;
  std::string path_of(std::string_view key) const;
  std::string label_of(std::string_view key) const;
  TomlSection child(const toml::table* table, std::string_view key, int line) const;

  const toml::table* table_;
  std::string name_, path_;
  std::string label_;  // "[upstreams.openai]"
  int line_;
  TomlNotes* notes_;
  std::set<std::string> known_;
};

}  // namespace tack::gateway
