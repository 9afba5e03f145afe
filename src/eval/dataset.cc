#include "eval/dataset.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_set>

#include <fmt/format.h>

#include "base/hash.h"
#include "eval/label_sets.h"
#include "eval/tagged.h"

namespace tack {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

}  // namespace

std::string normalized_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (is_space(c)) {
      if (!out.empty() && out.back() != ' ') out.push_back(' ');
    } else {
      out.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c);
    }
  }
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

std::string trimmed_text(const std::string& text) {
  std::size_t begin = 0, end = text.size();
  while (begin < end && is_space(text[begin])) ++begin;
  while (end > begin && is_space(text[end - 1])) --end;
  return text.substr(begin, end - begin);
}

namespace {

std::string hash_of(const Dataset& data) {
  std::string all;
  for (std::size_t i = 0; i < data.size(); ++i) {
    const std::int32_t label = data.labels[i];
    all += data.texts[i];
    all += '\0';
    if (label >= 0 && !data.label_names.empty() && data.label_sets.empty())
      all += data.label_names[static_cast<std::size_t>(label)];
    all += '\0';
    if (!data.label_sets.empty())
      for (std::int32_t k : data.label_sets[i])
        all += data.label_names[static_cast<std::size_t>(k)] + '\0';
    if (!data.spans.empty())
      for (const Span& span : data.spans[i])
        all += fmt::format("{} {} {}\n", span.begin, span.end, span.name);
  }
  return sha256_hex(all);
}

}  // namespace

std::size_t Dataset::in_scope() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(labels, [](std::int32_t label) { return label >= 0; }));
}

Dataset Dataset::subset(const std::vector<std::size_t>& which) const {
  Dataset out{name, {}, {}, label_names, {}, span_names, {}};
  for (std::size_t i : which) {
    out.texts.push_back(texts[i]);
    out.labels.push_back(labels[i]);
    if (!spans.empty()) out.spans.push_back(spans[i]);
    if (!label_sets.empty()) out.label_sets.push_back(label_sets[i]);
  }
  out.sha256 = hash_of(out);
  return out;
}

Result<Dataset> read_dataset(const DataSource& source,
                             const std::vector<std::string>& known_labels) {
  if (!source.spans.empty()) {
    TACK_TRY(Dataset tagged, read_tagged(source, known_labels));
    tagged.sha256 = hash_of(tagged);
    return tagged;
  }
  if (source.label_sets) {
    TACK_TRY(Dataset sets, read_label_sets(source, known_labels));
    sets.sha256 = hash_of(sets);
    return sets;
  }
  TACK_TRY(auto reader, RowReader::open(source.path, {source.text, source.label}, source.format));
  Dataset data{source.path, {}, {}, known_labels, {}, {}, {}};
  std::ranges::sort(data.label_names);
  std::vector<std::string> names;  // of each row
  std::vector<std::string> fields;
  for (;;) {
    TACK_TRY(const bool any, reader->next(fields));
    if (!any) break;
    const std::string label = trimmed_text(fields[1]);
    if (trimmed_text(fields[0]).empty())
      return fail("{}: line {}: column '{}' is empty", source.path, reader->line(), source.text);
    if (label.empty())
      return fail("{}: line {}: column '{}' is empty: every row needs a label", source.path,
                  reader->line(), source.label);
    const bool out_of_scope = !source.oos_label.empty() && label == source.oos_label;
    if (!known_labels.empty() && !out_of_scope &&
        !std::ranges::binary_search(data.label_names, label))
      return fail(ErrorCode::kUsage, "{}: line {}: label '{}' is not one of the model's {} labels",
                  source.path, reader->line(), label, known_labels.size());
    data.texts.push_back(std::move(fields[0]));
    names.push_back(out_of_scope ? "" : label);
  }
  if (data.texts.empty()) return fail("{}: there are no rows", source.path);
  if (known_labels.empty()) {
    std::set<std::string> unique(names.begin(), names.end());
    unique.erase("");
    data.label_names.assign(unique.begin(), unique.end());
  }
  std::map<std::string_view, std::int32_t> ids;
  // A model's labels keep the model's order; sorted above only to search.
  if (!known_labels.empty()) data.label_names = known_labels;
  for (std::size_t i = 0; i < data.label_names.size(); ++i)
    ids[data.label_names[i]] = static_cast<std::int32_t>(i);
  for (const std::string& name : names)
    data.labels.push_back(name.empty() ? kOutOfScope : ids.find(name)->second);
  data.sha256 = hash_of(data);
  return data;
}

namespace {

// How many rows have each label, and the first of them.
struct LabelUse {
  std::size_t rows = 0, first = 0;
};

std::vector<LabelUse> label_use(const Dataset& data) {
  std::vector<LabelUse> use(data.label_names.size());
  const auto count = [&](std::int32_t label, std::size_t row) {
    if (label < 0 || use.empty()) return;  // texts without labels have 0
    LabelUse& u = use[static_cast<std::size_t>(label)];
    if (u.rows++ == 0) u.first = row;
  };
  for (std::size_t i = 0; i < data.size(); ++i)
    if (data.label_sets.empty())
      count(data.labels[i], i);
    else
      for (std::int32_t label : data.label_sets[i]) count(label, i);
  return use;
}

}  // namespace

std::vector<std::size_t> rows_of_labels(const Dataset& data) {
  std::vector<std::size_t> rows;
  for (const LabelUse& use : label_use(data)) rows.push_back(use.rows);
  return rows;
}

Status check_trainable(const Dataset& data) {
  if (data.label_names.empty())
    return fail("{}: all rows are out of scope; there is nothing to learn", data.name);
  if (data.label_names.size() < 2 && data.label_sets.empty())
    return fail("{}: all rows have the label '{}'; a classifier needs at least two labels",
                data.name, data.label_names.front());
  const auto use = label_use(data);
  for (std::size_t k = 0; k < use.size(); ++k) {
    if (use[k].rows >= 2) continue;
    return fail(
        "{}: label '{}' is there only once (row {}): at least two rows are needed, one to "
        "learn from and one to test on; add some or remove it",
        data.name, data.label_names[k], use[k].first + 1);
  }
  return {};
}

Split split_by_content(const Dataset& data, double fraction, std::uint64_t seed) {
  // By label (out of scope last): (hash, row).
  std::vector<std::vector<std::pair<std::uint64_t, std::size_t>>> groups(
      std::max<std::size_t>(data.label_names.size(), 1) + 1);
  const auto rows_of = rows_of_labels(data);
  const auto rarest = [&](const std::vector<std::int32_t>& set) {
    const auto least = std::ranges::min_element(
        set, {}, [&](std::int32_t label) { return rows_of[static_cast<std::size_t>(label)]; });
    return least == set.end() ? kOutOfScope : *least;
  };
  for (std::size_t i = 0; i < data.size(); ++i) {
    const std::int32_t label =
        data.label_sets.empty() ? data.labels[i] : rarest(data.label_sets[i]);
    const std::size_t group = label < 0 ? groups.size() - 1 : static_cast<std::size_t>(label);
    groups[group].emplace_back(
        content_hash(fmt::format("{}\n{}", seed, normalized_text(data.texts[i]))), i);
  }
  Split split;
  std::unordered_set<std::uint64_t> taken;  // hashes on the second side, whatever their label
  for (auto& group : groups) {
    std::ranges::sort(group);
    if (group.empty()) continue;
    const auto wanted = static_cast<std::size_t>(
        std::max(1.0, std::round(fraction * static_cast<double>(group.size()))));
    for (std::size_t i = 0; i < wanted && i < group.size(); ++i) taken.insert(group[i].first);
  }
  for (const auto& group : groups)
    for (const auto& [hash, row] : group)
      (taken.contains(hash) ? split.second : split.first).push_back(row);
  std::ranges::sort(split.first);
  std::ranges::sort(split.second);
  return split;
}

std::size_t count_overlap(const Dataset& train, const Dataset& test) {
  std::unordered_set<std::uint64_t> seen;
  for (const std::string& text : train.texts) seen.insert(content_hash(normalized_text(text)));
  return static_cast<std::size_t>(std::ranges::count_if(test.texts, [&](const std::string& text) {
    return seen.contains(content_hash(normalized_text(text)));
  }));
}

std::vector<std::size_t> rows_apart_from(const Dataset& data,
                                         std::span<const Dataset* const> others) {
  std::unordered_set<std::uint64_t> seen;
  for (const Dataset* other : others)
    for (const std::string& text : other->texts) seen.insert(content_hash(normalized_text(text)));
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < data.size(); ++i)
    if (!seen.contains(content_hash(normalized_text(data.texts[i])))) rows.push_back(i);
  return rows;
}

}  // namespace tack
