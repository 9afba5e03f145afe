#include "gateway/toml_section.h"

#include <algorithm>
#include <cmath>

#include <fmt/ranges.h>

#include "base/duration.h"
#include "base/nearest.h"
#include "base/size.h"

namespace tack::gateway {
namespace {

int line_of(const toml::node& node) {
  return static_cast<int>(node.source().begin.line);
}

// As TOML writes it: in quotes unless it is a bare key.
std::string quoted(std::string_view key) {
  const bool bare = !key.empty() && std::ranges::all_of(key, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
  return bare ? std::string(key) : to_text(Json(key));
}

// The line of a table, or of what comes first in it: a table that only [a.b] implies has none.
int first_line(const toml::table& table) {
  int line = line_of(table);
  if (line > 0) return line;
  for (const auto& [key, node] : table) {
    const toml::table* inner = node.as_table();
    const int its = inner != nullptr ? first_line(*inner) : line_of(node);
    if (its > 0 && (line == 0 || its < line)) line = its;
  }
  return line;
}

}  // namespace

int TomlNotes::line_of(std::string_view key, int otherwise) const {
  for (const ConfigSetting& setting : settings)
    if (setting.key == key && setting.line > 0) return setting.line;
  return otherwise;
}

std::optional<toml::table> parse_toml(std::string_view text, TomlNotes& notes) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    std::string description(error.description());
    std::ranges::replace(description, '\n', ' ');
    notes.mistakes.push_back(
        {static_cast<int>(error.source().begin.line),
         fmt::format("column {}: {}", error.source().begin.column, description)});
    return {};
  }
}

TomlSection TomlSection::root(const toml::table& table, TomlNotes& notes) {
  return {&table, "", "", "", 1, notes};
}

const toml::node* TomlSection::find(const char* key) {
  known_.insert(key);
  return table_ == nullptr ? nullptr : table_->get(key);
}

int TomlSection::line(const char* key) const {
  const toml::node* node = table_ == nullptr ? nullptr : table_->get(key);
  if (node == nullptr) return line_;
  if (notes_->overrides.contains(path_of(key))) return 0;
  const toml::table* inner = node->as_table();
  const int line = inner != nullptr ? first_line(*inner) : line_of(*node);
  return line > 0 ? line : line_;
}

std::string TomlSection::path_of(std::string_view key) const {
  return path_.empty() ? quoted(key) : fmt::format("{}.{}", path_, quoted(key));
}

// Of a section in this one. What stands in one of a list has no header of its own.
std::string TomlSection::label_of(std::string_view key) const {
  if (!label_.starts_with("[[")) return fmt::format("[{}]", path_of(key));
  return fmt::format("{}{}{}", label_, label_.ends_with("]]") ? " " : ".", quoted(key));
}

void TomlSection::add(std::vector<ConfigMistake>& to, const char* key, std::string message) const {
  std::string text;
  if (const auto found = notes_->overrides.find(key == nullptr ? path_ : path_of(key));
      found != notes_->overrides.end())
    text = found->second + ": ";
  if (!label_.empty()) text += label_ + ' ';
  if (key != nullptr) text += std::string(key) + ' ';
  to.push_back({key == nullptr ? line_ : line(key), text + message});
}

bool TomlSection::wrong(const char* key, std::string_view expected) {
  mistake(key, "must be {}", expected);
  return false;
}

void TomlSection::note(const char* key, Json value) {
  const std::string path = path_of(key);
  const auto override = notes_->overrides.find(path);
  const bool given = has(key);
  notes_->settings.push_back({.key = path,
                              .value = std::move(value),
                              .origin = override != notes_->overrides.end() ? override->second
                                        : given                             ? "file"
                                                                            : "default",
                              .line = given ? line(key) : 0});
}

bool TomlSection::read(const char* key, std::string& out) {
  const toml::node* node = find(key);
  const auto value = node == nullptr ? std::nullopt : node->value_exact<std::string>();
  if (node != nullptr && !value) return wrong(key, "a text in quotes");
  if (value && value->empty()) return wrong(key, "a text that is not empty");
  if (value && value->contains('\0')) return wrong(key, "a text without a zero byte");
  if (value) out = *value;
  note(key, out);
  return value.has_value();
}

bool TomlSection::read(const char* key, bool& out) {
  std::optional<bool> value;
  const bool given = read(key, value);
  if (given) out = *value;
  if (!has(key)) note(key, out);
  return given;
}

bool TomlSection::read(const char* key, std::optional<bool>& out) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const auto value = node->value_exact<bool>();
  if (!value) return wrong(key, "true or false");
  out = value;
  note(key, *value);
  return true;
}

bool TomlSection::read(const char* key, double low, double high, double& out) {
  std::optional<double> value;
  const bool given = read(key, low, high, value);
  if (given) out = *value;
  if (!has(key)) note(key, out);
  return given;
}

bool TomlSection::read(const char* key, double low, double high, std::optional<double>& out) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const auto value = node->is_number() ? node->value<double>() : std::nullopt;
  if (!value || !(*value >= low && *value <= high))
    return wrong(key, fmt::format("a number from {} to {}", low, high));
  out = value;
  note(key, *value);
  return true;
}

bool TomlSection::read_whole(const char* key, std::int64_t low, std::int64_t high,
                             std::int64_t& out) {
  std::optional<std::int64_t> value;
  const bool given = read(key, low, high, value);
  if (given) out = *value;
  if (!has(key)) note(key, out);
  return given;
}

bool TomlSection::read(const char* key, std::int64_t low, std::int64_t high,
                       std::optional<std::int64_t>& out) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const auto value = node->value_exact<std::int64_t>();
  if (!value || *value < low || *value > high)
    return wrong(key, fmt::format("a whole number from {} to {}", low, high));
  out = value;
  note(key, *value);
  return true;
}

bool TomlSection::read_duration(const char* key, std::chrono::milliseconds low,
                                std::chrono::milliseconds high, std::chrono::milliseconds& out) {
  const toml::node* node = find(key);
  if (node != nullptr) {
    const auto text = node->value_exact<std::string>();
    const auto value = text ? parse_duration(*text) : fail("");
    if (!value || *value < low || *value > high)
      return wrong(key, fmt::format("a span of time from \"{}\" to \"{}\", such as \"{}\"",
                                    duration_text(low), duration_text(high), duration_text(out)));
    out = *value;
  }
  note(key, duration_text(out));
  return node != nullptr;
}

bool TomlSection::read_size(const char* key, std::uint64_t low, std::uint64_t high,
                            std::uint64_t& out) {
  const toml::node* node = find(key);
  if (node != nullptr) {
    const auto number = node->value_exact<std::int64_t>();
    const auto text = node->value_exact<std::string>();
    std::optional<std::uint64_t> value;
    if (number && *number >= 0) value = static_cast<std::uint64_t>(*number);
    if (const auto parsed = text ? parse_size(*text) : fail(""); parsed) value = *parsed;
    if (!value || *value < low || *value > high)
      return wrong(key, fmt::format("a size from \"{}\" to \"{}\", or so many bytes",
                                    size_text(low), size_text(high)));
    out = *value;
  }
  note(key, size_text(out));
  return node != nullptr;
}

bool TomlSection::read_time(const char* key, std::optional<std::chrono::sys_seconds>& out) {
  using namespace std::chrono;
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  std::optional<toml::date> date;
  toml::time time{};
  minutes offset{0};
  if (const auto whole = node->value_exact<toml::date_time>()) {
    date = whole->date;
    time = whole->time;
    if (whole->offset) offset = minutes(whole->offset->minutes);
  } else {
    date = node->value_exact<toml::date>();
  }
  if (!date) return wrong(key, "a date: 2030-12-31 or 2030-12-31T18:00:00Z, without quotes");
  const sys_days day = year(date->year) / date->month / date->day;
  out = day + hours(time.hour) + minutes(time.minute) + seconds(time.second) - offset;
  return true;
}

bool TomlSection::read_word(const char* key, const std::vector<std::string>& words,
                            std::string& out) {
  const toml::node* node = find(key);
  if (node != nullptr) {
    const auto value = node->value_exact<std::string>();
    if (!value || std::ranges::find(words, *value) == words.end())
      return wrong(key, fmt::format("one of \"{}\"", fmt::join(words, "\", \"")));
    out = *value;
  }
  note(key, out);
  return node != nullptr;
}

bool TomlSection::read_texts(const char* key, std::vector<std::string>& out) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  std::vector<std::string> values;
  std::size_t count = 1;
  const auto take = [&](const toml::node& element) {
    auto value = element.value_exact<std::string>();
    if (value && !value->empty() && !value->contains('\0')) values.push_back(*std::move(value));
  };
  if (const toml::array* array = node->as_array()) {
    count = array->size();
    for (const toml::node& element : *array) take(element);
  } else {
    take(*node);
  }
  if (values.empty() || values.size() != count)
    return wrong(key, "a text in quotes, or a list of them");
  out = std::move(values);
  note(key, out.size() == 1 ? Json(out.front()) : Json(out));
  return true;
}

bool TomlSection::read_map(const char* key, std::map<std::string, std::string>& out, bool secret) {
  TomlSection inner = section(key);
  if (!inner.exists()) return false;
  for (const auto& [name, node] : *inner.table_) {
    const std::string own(name.str());
    std::string value;
    if (const auto text = node.value_exact<std::string>(); text && !text->contains('\0')) {
      out[own] = *text;
      inner.note(own.c_str(), secret ? "(hidden)" : *text);
    } else {
      inner.wrong(own.c_str(), "a text in quotes");
    }
  }
  return true;
}

bool TomlSection::read_numbers(const char* key, double low, double high,
                               std::map<std::string, double>& out) {
  TomlSection inner = section(key);
  if (!inner.exists()) return false;
  for (const auto& [name, node] : *inner.table_) {
    const std::string own(name.str());
    std::optional<double> value;
    if (inner.read(own.c_str(), low, high, value)) out[own] = *value;
  }
  return true;
}

TomlSection TomlSection::child(const toml::table* table, std::string_view key, int line) const {
  return {table, std::string(key), path_of(key), label_of(key), line, *notes_};
}

TomlSection TomlSection::section(const char* key) {
  const toml::node* node = find(key);
  const toml::table* table = node == nullptr ? nullptr : node->as_table();
  if (node != nullptr && table == nullptr) wrong(key, "a section: " + label_of(key));
  return child(table, key, line(key));
}

std::vector<TomlSection> TomlSection::all_sections() {
  if (table_ == nullptr) return {};
  std::vector<std::pair<std::pair<int, int>, TomlSection>> found;
  for (const auto& [key, node] : *table_) {
    const std::string own(key.str());
    known_.insert(own);
    if (const toml::table* table = node.as_table())
      found.emplace_back(std::pair(line(own.c_str()), static_cast<int>(node.source().begin.column)),
                         child(&*table, own, line(own.c_str())));
    else
      mistake(own.c_str(), "stands outside of a section that has a name: write {}",
              label_of("NAME"));
  }
  std::ranges::stable_sort(found, {}, [](const auto& pair) { return pair.first; });
  std::vector<TomlSection> all;
  for (auto& [position, section] : found) all.push_back(std::move(section));
  return all;
}

std::vector<TomlSection> TomlSection::sections(const char* key) {
  return section(key).all_sections();
}

std::vector<TomlSection> TomlSection::list(const char* key) {
  const toml::node* node = find(key);
  std::vector<TomlSection> all;
  if (node == nullptr) return all;
  const toml::array* array = node->as_array();
  const std::string header = fmt::format("[[{}]]", path_of(key));
  bool tables = array != nullptr;
  for (std::size_t i = 0; tables && i < array->size(); ++i) {
    const toml::table* table = array->get(i)->as_table();
    tables = table != nullptr;
    if (!tables) break;
    const int line = first_line(*table);
    all.push_back(TomlSection(table, std::to_string(i + 1),
                              fmt::format("{}.{}", path_of(key), i + 1), header,
                              line > 0 ? line : line_, *notes_));
  }
  if (!tables) wrong(key, "a list of sections, each under " + header);
  return all;
}

void TomlSection::finish() {
  if (table_ == nullptr) return;
  const std::vector<std::string> known(known_.begin(), known_.end());
  for (const auto& [key, node] : *table_) {
    const std::string own(key.str());
    if (known_.contains(own)) continue;
    const std::string suggestion = did_you_mean(own, known);
    std::string text = label_.empty() ? "" : label_ + ' ';
    text +=
        fmt::format("unknown {} '{}'{} Known here: {}", label_.empty() ? "section or key" : "key",
                    own, suggestion.empty() ? "." : suggestion, fmt::join(known, ", "));
    notes_->mistakes.push_back({line(own.c_str()), std::move(text)});
  }
}

}  // namespace tack::gateway
