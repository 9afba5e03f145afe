#include "eval/tagged.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

#include "base/atomic_file.h"
#include "base/json.h"

namespace tack {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << 30;

struct Row {
  std::string text, label;
  std::vector<Span> spans;
};

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(std::move(word));
  return words;
}

// Joins the words and turns their tags into spans. `where` stands in errors.
Result<Row> row_of_words(const std::vector<std::string>& words,
                         const std::vector<std::string>& tags, std::string_view where) {
  if (words.size() != tags.size())
    return fail("{}: {} words, but {} tags", where, words.size(), tags.size());
  Row row;
  std::string open;  // name of the span that the next word may continue
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) row.text += ' ';
    const auto begin = static_cast<std::int64_t>(row.text.size());
    row.text += words[i];
    const auto end = static_cast<std::int64_t>(row.text.size());
    const std::string& tag = tags[i];
    if (tag == "O" || tag == "_") {
      open.clear();
      continue;
    }
    if (tag.size() < 3 || tag[1] != '-' || !std::string_view("BIESLU").contains(tag[0]))
      return fail("{}: '{}' is no tag: O, B-name and I-name are", where, tag);
    const std::string name = tag.substr(2);
    const bool continues = std::string_view("IEL").contains(tag[0]) && name == open;
    if (continues)
      row.spans.back().end = end;
    else
      row.spans.push_back({begin, end, name});
    open = name;
  }
  return row;
}

Result<std::vector<std::string>> lines_of(std::string_view text, const std::string& name) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.emplace_back(text.substr(begin, end - begin));
    if (lines.back().ends_with('\r')) lines.back().pop_back();
    TACK_RETURN_IF_ERROR(check_utf8(lines.back(), name, lines.size()));
    begin = end + 1;
  }
  return lines;
}

Result<std::vector<std::string>> read_lines(const std::filesystem::path& path) {
  TACK_TRY(const std::string text, read_file(path, kMaxBytes));
  return lines_of(text, path.string());
}

Result<std::vector<Row>> read_directory(const DataSource& source) {
  const std::filesystem::path path = source.path;
  TACK_TRY(const auto texts, read_lines(path / "seq.in"));
  TACK_TRY(const auto tags, read_lines(path / "seq.out"));
  std::vector<std::string> labels;
  if (!source.label.empty()) {
    TACK_TRY(labels, read_lines(path / source.label));
  }
  if (texts.size() != tags.size() || (!source.label.empty() && labels.size() != texts.size()))
    return fail("{}: seq.in has {} lines, seq.out {}{}", source.path, texts.size(), tags.size(),
                source.label.empty() ? "" : fmt::format(", {} {}", source.label, labels.size()));
  std::vector<Row> rows;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    TACK_TRY(Row row, row_of_words(words_of(texts[i]), words_of(tags[i]),
                                   fmt::format("{}/seq.out: line {}", source.path, i + 1)));
    if (!labels.empty()) row.label = labels[i];
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<std::vector<Row>> parse_conll(const DataSource& source, std::vector<std::string> lines) {
  if (!source.label.empty())
    return fail(ErrorCode::kUsage, "{}: CoNLL files have no labels of whole texts", source.path);
  lines.emplace_back();
  std::vector<Row> rows;
  std::vector<std::string> words, tags;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto columns = words_of(lines[i]);
    if (columns.empty()) {
      if (words.empty()) continue;
      TACK_TRY(Row row, row_of_words(words, tags,
                                     fmt::format("{}: text that ends at line {}", source.path, i)));
      rows.push_back(std::move(row));
      words.clear();
      tags.clear();
      continue;
    }
    if (columns.front() == "-DOCSTART-") continue;
    if (columns.size() < 2)
      return fail("{}: line {}: '{}' has no tag", source.path, i + 1, columns.front());
    words.push_back(columns.front());
    tags.push_back(columns.back());
  }
  return rows;
}

// A list of texts under `key`; null when there is none.
Result<std::vector<std::string>> texts_of(const Json& json, std::string_view key,
                                          std::string_view where) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array())
    return fail("{}: '{}' is missing or no list", where, key);
  std::vector<std::string> out;
  for (const Json& element : *found) {
    if (!element.is_string()) return fail("{}: '{}' has an element that is no text", where, key);
    out.push_back(element.get<std::string>());
  }
  return out;
}

Result<std::vector<Span>> spans_of(const Json& json, const std::string& key,
                                   const std::string& text, std::string_view where) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array())
    return fail("{}: '{}' is missing or no list of {{\"start\", \"end\", \"label\"}}", where, key);
  const auto offsets = character_offsets(text);
  const auto last = static_cast<std::int64_t>(offsets.size()) - 1;
  std::vector<Span> spans;
  for (const Json& element : *found) {
    const auto number = [&](const char* name) {
      const auto value = element.is_object() ? element.find(name) : element.end();
      return value != element.end() && value->is_number_integer() ? value->get<std::int64_t>() : -1;
    };
    const auto label = element.is_object() ? element.find("label") : element.end();
    const std::int64_t begin = number("start"), end = number("end");
    if (begin < 0 || end <= begin || end > last || label == element.end() || !label->is_string() ||
        label->get<std::string>().empty())
      return fail(
          "{}: '{}' has {}, which is no {{\"start\", \"end\", \"label\"}} within the {} "
          "characters of the text",
          where, key, to_text(element), last);
    spans.push_back({offsets[static_cast<std::size_t>(begin)],
                     offsets[static_cast<std::size_t>(end)], label->get<std::string>()});
  }
  std::ranges::sort(spans, {}, &Span::begin);
  for (std::size_t i = 1; i < spans.size(); ++i)
    if (spans[i].begin < spans[i - 1].end)
      return fail("{}: spans '{}' and '{}' overlap", where, spans[i - 1].name, spans[i].name);
  return spans;
}

Result<std::vector<Row>> parse_json_lines(const DataSource& source,
                                          const std::vector<std::string>& lines) {
  std::vector<Row> rows;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (words_of(lines[i]).empty()) continue;
    const std::string where = fmt::format("{}: line {}", source.path, i + 1);
    TACK_TRY(const Json json, parse_json(lines[i], where));
    if (!json.is_object()) return fail("{}: is no JSON object", where);
    Row row;
    if (json.contains("tokens")) {
      TACK_TRY(const auto words, texts_of(json, "tokens", where));
      TACK_TRY(const auto tags, texts_of(json, "tags", where));
      TACK_TRY(row, row_of_words(words, tags, where));
    } else {
      const auto text = json.find(source.text);
      if (text == json.end() || !text->is_string())
        return fail("{}: '{}' is missing or no text", where, source.text);
      row.text = text->get<std::string>();
      TACK_TRY(row.spans, spans_of(json, source.spans, row.text, where));
    }
    if (!source.label.empty()) {
      const auto label = json.find(source.label);
      if (label == json.end() || !label->is_string())
        return fail("{}: '{}' is missing or no text", where, source.label);
      row.label = label->get<std::string>();
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<Dataset> make_dataset(std::vector<Row> rows, const DataSource& source,
                             const std::vector<std::string>& known_labels) {
  if (rows.empty()) return fail("{}: there are no rows", source.path);
  Dataset data;
  data.name = source.path;
  std::set<std::string> labels, names;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    if (row.text.find_first_not_of(" \t\r\n") == std::string::npos)
      return fail("{}: text {} is empty", source.path, i + 1);
    if (!source.label.empty() && row.label.empty())
      return fail("{}: text {} has no label", source.path, i + 1);
    if (!known_labels.empty() && row.label != source.oos_label &&
        std::ranges::find(known_labels, row.label) == known_labels.end())
      return fail(ErrorCode::kUsage, "{}: text {}: label '{}' is not one of the model's {} labels",
                  source.path, i + 1, row.label, known_labels.size());
    if (!row.label.empty() && row.label != source.oos_label) labels.insert(row.label);
    for (const Span& span : row.spans) names.insert(span.name);
  }
  data.label_names = known_labels;
  if (known_labels.empty()) data.label_names.assign(labels.begin(), labels.end());
  data.span_names.assign(names.begin(), names.end());
  for (Row& row : rows) {
    const auto at = std::ranges::find(data.label_names, row.label);
    data.labels.push_back(source.label.empty() ? 0
                          : at == data.label_names.end()
                              ? kOutOfScope
                              : static_cast<std::int32_t>(at - data.label_names.begin()));
    data.texts.push_back(std::move(row.text));
    data.spans.push_back(std::move(row.spans));
  }
  return data;
}

}  // namespace

Result<Dataset> read_tagged(const DataSource& source,
                            const std::vector<std::string>& known_labels) {
  if (std::error_code ignored; std::filesystem::is_directory(source.path, ignored)) {
    TACK_TRY(auto rows, read_directory(source));
    return make_dataset(std::move(rows), source, known_labels);
  }
  TACK_TRY(const std::string text, read_file(source.path, kMaxBytes));
  return parse_tagged(text, source, known_labels);
}

Result<Dataset> parse_tagged(std::string_view text, const DataSource& source,
                             const std::vector<std::string>& known_labels) {
  const std::string extension = std::filesystem::path(source.path).extension().string();
  const auto is = [&](RowFormat format, std::initializer_list<std::string_view> extensions) {
    return source.format == format ||
           (source.format == RowFormat::kAuto &&
            std::ranges::find(extensions, extension) != extensions.end());
  };
  TACK_TRY(auto lines, lines_of(text, source.path));
  if (is(RowFormat::kConll, {".conll", ".bio", ".iob2"})) {
    TACK_TRY(auto rows, parse_conll(source, std::move(lines)));
    return make_dataset(std::move(rows), source, known_labels);
  }
  if (is(RowFormat::kJsonl, {".jsonl", ".ndjson"})) {
    TACK_TRY(auto rows, parse_json_lines(source, lines));
    return make_dataset(std::move(rows), source, known_labels);
  }
  return fail(ErrorCode::kUsage,
              "{}: tagged texts are JSON lines (.jsonl), CoNLL (.conll) or a directory with seq.in "
              "and seq.out; say which with format",
              source.path);
}

}  // namespace tack
