#include "eval/label_sets.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/json.h"

namespace tack {
namespace {

Result<std::vector<std::string>> split_json(const std::string& field, std::string_view where) {
  TACK_TRY(const Json list, parse_json(field, where));
  std::vector<std::string> labels;
  for (const Json& label : list) {
    if (!label.is_string()) return fail("{}: '{}' is no list of labels in quotes", where, field);
    labels.push_back(label.get<std::string>());
  }
  return labels;
}

Result<Dataset> read_rows(RowReader& reader, const DataSource& source,
                          const std::vector<std::string>& known_labels) {
  Dataset data;
  data.name = source.path;
  std::vector<std::set<std::string>> sets;
  std::set<std::string> names;
  const std::set<std::string> known(known_labels.begin(), known_labels.end());
  std::vector<std::string> fields;
  for (;;) {
    TACK_TRY(const bool any, reader.next(fields));
    if (!any) break;
    const std::string where = fmt::format("{}: line {}", source.path, reader.line());
    if (trimmed_text(fields[0]).empty())
      return fail("{}: column '{}' is empty", where, source.text);
    TACK_TRY(const auto labels, split_labels(fields[1], source.separator, where));
    for (const std::string& label : labels)
      if (!known.empty() && !known.contains(label))
        return fail(ErrorCode::kUsage, "{}: label '{}' is not one of the model's {} labels", where,
                    label, known.size());
    names.insert(labels.begin(), labels.end());
    sets.emplace_back(labels.begin(), labels.end());
    data.texts.push_back(std::move(fields[0]));
  }
  if (data.texts.empty()) return fail("{}: there are no rows", source.path);
  data.label_names = known_labels;
  if (known_labels.empty()) data.label_names.assign(names.begin(), names.end());
  if (data.label_names.empty()) return fail("{}: no row has a label", source.path);
  std::map<std::string_view, std::int32_t> ids;
  for (std::size_t i = 0; i < data.label_names.size(); ++i)
    ids[data.label_names[i]] = static_cast<std::int32_t>(i);
  for (const auto& set : sets) {
    std::vector<std::int32_t>& row = data.label_sets.emplace_back();
    for (const std::string& label : set) row.push_back(ids.find(label)->second);
    std::ranges::sort(row);
    data.labels.push_back(0);
  }
  return data;
}

}  // namespace

Result<std::vector<std::string>> split_labels(const std::string& field, std::string_view separator,
                                              std::string_view where) {
  const std::string text = trimmed_text(field);
  std::vector<std::string> parts;
  if (text.starts_with('[') && text.ends_with(']')) {
    TACK_TRY(parts, split_json(text, where));
  } else if (separator.empty()) {
    parts.push_back(text);
  } else {
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(separator, begin), text.size());
      parts.push_back(text.substr(begin, end - begin));
      begin = end + separator.size();
    }
  }
  for (std::string& part : parts) part = trimmed_text(part);
  std::erase(parts, "");
  return parts;
}

Result<Dataset> read_label_sets(const DataSource& source,
                                const std::vector<std::string>& known_labels) {
  TACK_TRY(auto reader, RowReader::open(source.path, {source.text, source.label}, source.format,
                                        JsonLists::kAsText));
  return read_rows(*reader, source, known_labels);
}

Result<Dataset> parse_label_sets(std::string_view text, const DataSource& source,
                                 const std::vector<std::string>& known_labels) {
  TACK_TRY(auto reader, RowReader::parse(text, source.path, {source.text, source.label},
                                         source.format, JsonLists::kAsText));
  return read_rows(*reader, source, known_labels);
}

}  // namespace tack
