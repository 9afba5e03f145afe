#include "eval/rows.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>

#include <fmt/ranges.h>

#include "base/atomic_file.h"
#include "base/json.h"

namespace tack {
namespace {

constexpr std::size_t kLongestField = std::size_t{16} << 20;
constexpr int kEnd = -1;

// Bytes of a file, standard input or memory.
class Source {
 public:
  explicit Source(std::string_view memory) : memory_(memory) { skip_byte_order_mark(); }

  static Result<Source> open(const std::string& path) {
    Source source{std::string_view{}};
    if (path == "-") {
      source.file_.reset(stdin);
    } else {
      std::error_code error;
      if (std::filesystem::is_directory(path, error))
        return fail("{}: is a directory, not a data file", path);
      source.file_.reset(std::fopen(path.c_str(), "rbe"));
      if (source.file_ == nullptr)
        return fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kFailed, "{}: {}", path,
                    std::strerror(errno));
    }
    source.skip_byte_order_mark();
    return source;
  }

  int get() {
    if (at_ == memory_.size() && !fill()) return kEnd;
    return static_cast<unsigned char>(memory_[at_++]);
  }
  int peek() {
    if (at_ == memory_.size() && !fill()) return kEnd;
    return static_cast<unsigned char>(memory_[at_]);
  }
  bool failed() const { return file_ != nullptr && std::ferror(file_.get()) != 0; }

 private:
  struct Close {
    void operator()(std::FILE* file) const {
      if (file != stdin) std::fclose(file);
    }
  };

  bool fill() {
    if (file_ == nullptr) return false;
    if (buffer_.empty()) buffer_.resize(std::size_t{1} << 16);
    const std::size_t read = std::fread(buffer_.data(), 1, buffer_.size(), file_.get());
    memory_ = {buffer_.data(), read};
    at_ = 0;
    return read > 0;
  }

  void skip_byte_order_mark() {
    constexpr std::array<int, 3> kMark = {0xEF, 0xBB, 0xBF};
    // A partial mark is not UTF-8 and is reported with the first field.
    if (peek() == kMark[0] && memory_.size() >= 3 &&
        static_cast<unsigned char>(memory_[1]) == kMark[1] &&
        static_cast<unsigned char>(memory_[2]) == kMark[2])
      at_ = 3;
  }

  std::unique_ptr<std::FILE, Close> file_;
  std::vector<char> buffer_;
  std::string_view memory_;
  std::size_t at_ = 0;
};

// Where the first byte is that does not belong to UTF-8 (overlong forms, surrogates and values over
// U+10FFFF included).
std::optional<std::size_t> first_invalid(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned c = byte(i);
    if (c < 0x80) {
      ++i;
      continue;
    }
    const std::size_t more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
    if (c < 0xC2 || c > 0xF4) return i;
    for (std::size_t j = 1; j <= more; ++j)
      if ((byte(i + j) & 0xC0) != 0x80) return i;
    const unsigned second = byte(i + 1);
    if ((c == 0xE0 && second < 0xA0) || (c == 0xED && second > 0x9F) ||
        (c == 0xF0 && second < 0x90) || (c == 0xF4 && second > 0x8F))
      return i;
    i += more + 1;
  }
  return std::nullopt;
}

// Positions of `wanted` in `header`.
Result<std::vector<std::size_t>> find_columns(const std::vector<std::string>& header,
                                              const std::vector<std::string>& wanted,
                                              const std::string& name) {
  std::vector<std::size_t> out;
  for (const std::string& column : wanted) {
    const auto found = std::ranges::find(header, column);
    if (found == header.end())
      return fail(ErrorCode::kUsage, "{}: no column '{}'; the header has: {}", name, column,
                  fmt::join(header, ", "));
    if (std::ranges::count(header, column) > 1)
      return fail(ErrorCode::kUsage, "{}: the header has column '{}' twice", name, column);
    out.push_back(static_cast<std::size_t>(found - header.begin()));
  }
  return out;
}

// CSV and TSV. In TSV quotes are ordinary characters and a field cannot hold a tab or line end.
class SeparatedReader final : public RowReader {
 public:
  SeparatedReader(Source source, std::string name, char separator)
      : source_(std::move(source)), name_(std::move(name)), separator_(separator) {}

  Status init(const std::vector<std::string>& columns) {
    TACK_TRY(const bool any, read_record());
    if (!any) return fail("{}: the file is empty; its first line must name the columns", name_);
    header_ = record_;
    TACK_TRY(columns_, find_columns(header_, columns, name_));
    return {};
  }

  const std::vector<std::string>& header() const { return header_; }

  Result<bool> next(std::vector<std::string>& fields) override {
    TACK_TRY(const bool any, read_record());
    if (!any) return false;
    if (record_.size() != header_.size())
      return fail("{}: line {}: {} fields, the header has {}", name_, line_, record_.size(),
                  header_.size());
    fields.resize(columns_.size());
    for (std::size_t i = 0; i < columns_.size(); ++i) fields[i] = record_[columns_[i]];
    return true;
  }

 private:
  // Reads one record into record_; lines without any character are skipped.
  Result<bool> read_record() {
    while (source_.peek() == '\n' || source_.peek() == '\r') count(source_.get());
    line_ = next_line_;
    if (source_.peek() == kEnd) {
      if (source_.failed()) return fail("{}: line {}: {}", name_, line_, std::strerror(errno));
      return false;
    }
    record_.clear();
    for (bool more = true; more;) {
      std::string field;
      TACK_TRY(more, read_field(field));
      TACK_RETURN_IF_ERROR(check_utf8(field, name_, line_));
      record_.push_back(std::move(field));
    }
    if (source_.failed()) return fail("{}: line {}: {}", name_, line_, std::strerror(errno));
    return true;
  }

  // True when a separator follows.
  Result<bool> read_field(std::string& field) {
    const bool quoted = separator_ == ',' && source_.peek() == '"';
    if (quoted) TACK_RETURN_IF_ERROR(read_quoted(field));
    for (;;) {
      const int c = source_.get();
      if (c == separator_) return true;
      if (c == kEnd) return false;
      if (c == '\r' && source_.peek() == '\n') continue;
      if (c == '\n' || c == '\r') {
        count(c);
        return false;
      }
      if (quoted)
        return fail(
            "{}: line {}: text after a closing quote; a quote inside quotes is written "
            "twice",
            name_, next_line_);
      if (field.size() >= kLongestField) return too_long();
      field.push_back(static_cast<char>(c));
    }
  }

  Status read_quoted(std::string& field) {
    const std::size_t opened = next_line_;
    source_.get();
    for (;;) {
      const int c = source_.get();
      if (c == kEnd)
        return fail("{}: line {}: a quote is opened here and never closed", name_, opened);
      if (c == '"') {
        if (source_.peek() != '"') return {};
        source_.get();
      }
      if (field.size() >= kLongestField) return too_long();
      if (c == '\n') ++next_line_;
      field.push_back(static_cast<char>(c));
    }
  }

  std::unexpected<Error> too_long() const {
    return fail("{}: line {}: a field is longer than 16 MiB; is a quote missing?", name_, line_);
  }
  void count(int c) {
    if (c == '\n') ++next_line_;
    // An old Macintosh file ends lines with CR alone.
    if (c == '\r' && source_.peek() != '\n') ++next_line_;
  }

  Source source_;
  std::string name_;
  char separator_;
  std::size_t next_line_ = 1;
  std::vector<std::string> header_, record_;
  std::vector<std::size_t> columns_;
};

// One line, without its end; nothing at the end.
Result<std::optional<std::string>> read_line(Source& source, const std::string& name,
                                             std::size_t line) {
  if (source.peek() == kEnd) {
    if (source.failed()) return fail("{}: line {}: {}", name, line, std::strerror(errno));
    return std::nullopt;
  }
  std::string text;
  for (int c = source.get(); c != kEnd && c != '\n'; c = source.get()) {
    if (text.size() >= kLongestField) return fail("{}: line {} is longer than 16 MiB", name, line);
    text.push_back(static_cast<char>(c));
  }
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

Status field_of(const Json& object, const std::string& key, JsonLists lists,
                const std::string& where, std::string& out) {
  const auto found = object.find(key);
  if (found == object.end()) {
    std::vector<std::string> keys;
    for (const auto& [name, value] : object.items()) keys.push_back(name);
    return fail(ErrorCode::kUsage, "{}: no key '{}'; it has: {}", where, key,
                fmt::join(keys, ", "));
  }
  if (found->is_string())
    out = found->get<std::string>();
  else if (found->is_number() || found->is_boolean() ||
           (found->is_array() && lists == JsonLists::kAsText))
    out = to_text(*found);
  else
    return fail("{}: '{}' is neither text nor a number", where, key);
  return {};
}

class JsonLinesReader final : public RowReader {
 public:
  JsonLinesReader(Source source, std::string name, std::vector<std::string> columns,
                  JsonLists lists)
      : source_(std::move(source)),
        name_(std::move(name)),
        columns_(std::move(columns)),
        lists_(lists) {}

  Result<bool> next(std::vector<std::string>& fields) override {
    for (;;) {
      TACK_TRY(const auto text, read_line(source_, name_, ++line_));
      if (!text) return false;
      if (text->find_first_not_of(" \t") == std::string::npos) continue;
      const std::string where = fmt::format("{}: line {}", name_, line_);
      TACK_RETURN_IF_ERROR(check_utf8(*text, name_, line_));
      TACK_TRY(const Json object, parse_json(*text, where));
      if (!object.is_object()) return fail("{}: not a JSON object", where);
      fields.resize(columns_.size());
      for (std::size_t i = 0; i < columns_.size(); ++i)
        TACK_RETURN_IF_ERROR(field_of(object, columns_[i], lists_, where, fields[i]));
      return true;
    }
  }

 private:
  Source source_;
  std::string name_;
  std::vector<std::string> columns_;
  JsonLists lists_;
};

class TextReader final : public RowReader {
 public:
  TextReader(Source source, std::string name)
      : source_(std::move(source)), name_(std::move(name)) {}

  Result<bool> next(std::vector<std::string>& fields) override {
    TACK_TRY(auto text, read_line(source_, name_, ++line_));
    if (!text) return false;
    TACK_RETURN_IF_ERROR(check_utf8(*text, name_, line_));
    fields.assign(1, *std::move(text));
    return true;
  }

 private:
  Source source_;
  std::string name_;
};

class JsonReader final : public RowReader {
 public:
  JsonReader(std::string name, std::vector<std::string> columns, JsonLists json_lists)
      : name_(std::move(name)), columns_(std::move(columns)), json_lists_(json_lists) {}

  Status init(std::string_view text, std::string_view fragment) {
    TACK_TRY(json_, parse_json(text, name_));
    if (json_.is_array()) {
      lists_.push_back(&json_);
      return {};
    }
    if (!json_.is_object()) return fail("{}: neither a list nor an object of lists", name_);
    std::vector<std::string> names;
    for (const auto& [key, value] : json_.items()) names.push_back(key);
    if (fragment.empty())
      return fail(ErrorCode::kUsage, "{}: say which lists to read, for example {}#{}; it has: {}",
                  name_, name_, names.empty() ? "train" : names.front(), fmt::join(names, ", "));
    for (std::size_t begin = 0; begin <= fragment.size();) {
      const std::size_t end = std::min(fragment.find('+', begin), fragment.size());
      const std::string key(fragment.substr(begin, end - begin));
      const auto found = json_.find(key);
      if (found == json_.end() || !found->is_array())
        return fail(ErrorCode::kNotFound, "{}: no list '{}'; it has: {}", name_, key,
                    fmt::join(names, ", "));
      lists_.push_back(&*found);
      begin = end + 1;
    }
    return {};
  }

  Result<bool> next(std::vector<std::string>& fields) override {
    while (list_ < lists_.size() && row_ == lists_[list_]->size()) ++list_, row_ = 0;
    if (list_ == lists_.size()) return false;
    const Json& row = (*lists_[list_])[row_++];
    const std::string where = fmt::format("{}: row {}", name_, ++line_);
    fields.resize(columns_.size());
    if (row.is_object()) {
      for (std::size_t i = 0; i < columns_.size(); ++i)
        TACK_RETURN_IF_ERROR(field_of(row, columns_[i], json_lists_, where, fields[i]));
      return true;
    }
    if (!row.is_array() || row.size() < columns_.size())
      return fail("{}: neither an object nor a list of {} fields", where, columns_.size());
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (row[i].is_array() && json_lists_ == JsonLists::kAsText)
        fields[i] = to_text(row[i]);
      else if (row[i].is_string())
        fields[i] = row[i].get<std::string>();
      else
        return fail("{}: field {} is not text", where, i + 1);
    }
    return true;
  }

 private:
  std::string name_;
  std::vector<std::string> columns_;
  JsonLists json_lists_;
  Json json_;
  std::vector<const Json*> lists_;
  std::size_t list_ = 0, row_ = 0;
};

RowFormat format_of(const std::string& path) {
  std::string extension = std::filesystem::path(path).extension().string();
  std::ranges::transform(extension, extension.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  if (extension == ".tsv" || extension == ".tab") return RowFormat::kTsv;
  if (extension == ".jsonl" || extension == ".ndjson") return RowFormat::kJsonl;
  if (extension == ".json") return RowFormat::kJson;
  if (extension == ".txt") return RowFormat::kText;
  return RowFormat::kCsv;
}

// "file.json#a+b" -> "file.json", "a+b". A file whose name has a '#' wins.
std::pair<std::string, std::string> split_fragment(const std::string& path) {
  std::error_code error;
  const std::size_t hash = path.rfind('#');
  if (hash == std::string::npos || std::filesystem::exists(path, error)) return {path, ""};
  return {path.substr(0, hash), path.substr(hash + 1)};
}

Result<std::unique_ptr<RowReader>> make_reader(Source source, std::string name,
                                               const std::vector<std::string>& columns,
                                               RowFormat format, JsonLists lists) {
  if (format == RowFormat::kJsonl)
    return std::make_unique<JsonLinesReader>(std::move(source), std::move(name), columns, lists);
  if (format == RowFormat::kText) {
    if (columns.size() > 1)
      return fail(ErrorCode::kUsage, "{}: plain text has no column '{}'", name, columns[1]);
    return std::make_unique<TextReader>(std::move(source), std::move(name));
  }
  auto reader = std::make_unique<SeparatedReader>(std::move(source), std::move(name),
                                                  format == RowFormat::kTsv ? '\t' : ',');
  TACK_RETURN_IF_ERROR(reader->init(columns));
  return reader;
}

}  // namespace

Status check_utf8(std::string_view text, const std::string& name, std::size_t line) {
  if (const auto at = first_invalid(text))
    return fail(
        "{}: line {}: byte 0x{:02X} is not UTF-8; convert the file first, for example with "
        "iconv -f latin1 -t utf-8",
        name, line, static_cast<unsigned char>(text[*at]));
  return {};
}

Result<RowFormat> parse_row_format(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, RowFormat>, 7> kNames = {
      {{"auto", RowFormat::kAuto},
       {"csv", RowFormat::kCsv},
       {"tsv", RowFormat::kTsv},
       {"jsonl", RowFormat::kJsonl},
       {"json", RowFormat::kJson},
       {"text", RowFormat::kText},
       {"conll", RowFormat::kConll}}};
  for (const auto& [known, format] : kNames)
    if (name == known) return format;
  return fail(ErrorCode::kUsage,
              "unknown data format '{}': choose auto, csv, tsv, jsonl, json, text or conll", name);
}

Result<std::unique_ptr<RowReader>> RowReader::open(const std::string& path,
                                                   const std::vector<std::string>& columns,
                                                   RowFormat format, JsonLists lists) {
  const auto [file, fragment] = split_fragment(path);
  if (format == RowFormat::kAuto) format = format_of(file);
  if (format == RowFormat::kConll)
    return fail(ErrorCode::kUsage, "{}: CoNLL holds tagged texts, not columns of text", path);
  if (format == RowFormat::kJson) {
    TACK_TRY(const std::string text, read_file(file));
    auto reader = std::make_unique<JsonReader>(file, columns, lists);
    TACK_RETURN_IF_ERROR(reader->init(text, fragment));
    return reader;
  }
  TACK_TRY(Source source, Source::open(path));
  return make_reader(std::move(source), path == "-" ? "standard input" : path, columns, format,
                     lists);
}

Result<std::unique_ptr<RowReader>> RowReader::parse(std::string_view text, std::string_view name,
                                                    const std::vector<std::string>& columns,
                                                    RowFormat format, JsonLists lists) {
  if (format == RowFormat::kJson) {
    auto reader = std::make_unique<JsonReader>(std::string(name), columns, lists);
    TACK_RETURN_IF_ERROR(reader->init(text, ""));
    return reader;
  }
  return make_reader(Source(text), std::string(name), columns, format, lists);
}

Result<std::string> guess_column(const std::string& path, RowFormat format,
                                 const std::vector<std::string>& candidates) {
  if (format == RowFormat::kAuto) format = format_of(split_fragment(path).first);
  if (path == "-" || format == RowFormat::kText || format == RowFormat::kJson)
    return candidates.front();
  TACK_TRY(Source source, Source::open(path));
  std::vector<std::string> names;
  if (format == RowFormat::kJsonl) {
    TACK_TRY(const auto line, read_line(source, path, 1));
    if (!line) return "";
    TACK_TRY(const Json object, parse_json(*line, fmt::format("{}: line 1", path)));
    for (const auto& [key, value] : object.items()) names.push_back(key);
  } else {
    SeparatedReader reader(std::move(source), path, format == RowFormat::kTsv ? '\t' : ',');
    TACK_RETURN_IF_ERROR(reader.init({}));
    names = reader.header();
  }
  for (const std::string& candidate : candidates)
    if (std::ranges::find(names, candidate) != names.end()) return candidate;
  return "";
}

}  // namespace tack
