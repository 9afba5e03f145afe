#include "eval/pairs.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_set>

#include <fmt/format.h>

#include "base/hash.h"

namespace tack {
namespace {

// In the order text, other, negative or score.
std::vector<std::string> columns_of(const DataSource& source) {
  std::vector<std::string> columns = {source.text, source.pairs.other};
  if (source.pairs.kind == PairKind::kScored) columns.push_back(source.pairs.score);
  if (!source.pairs.negative.empty()) columns.push_back(source.pairs.negative);
  return columns;
}

std::string hash_of(const PairSet& pairs) {
  std::string all;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    all += pairs.texts[i] + '\0';
    if (!pairs.others.empty()) all += pairs.others[i] + '\0';
    if (!pairs.negatives.empty()) all += pairs.negatives[i] + '\0';
    if (!pairs.scores.empty()) all += fmt::format("{}", pairs.scores[i]) + '\0';
    if (!pairs.labels.empty())
      all += pairs.label_names[static_cast<std::size_t>(pairs.labels[i])] + '\0';
  }
  return sha256_hex(all);
}

Result<float> number(const std::string& field, const std::string& column, std::string_view where) {
  const std::string text = trimmed_text(field);
  float value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return fail("{}: column '{}' is '{}', which is no number", where, column, text);
  return value;
}

Result<PairSet> read_rows(RowReader& reader, const DataSource& source) {
  const std::vector<std::string> columns = columns_of(source);
  const bool scored = source.pairs.kind == PairKind::kScored;
  PairSet pairs;
  pairs.name = source.path;
  pairs.kind = source.pairs.kind;
  std::vector<std::string> fields;
  for (;;) {
    TACK_TRY(const bool any, reader.next(fields));
    if (!any) break;
    const std::string where = fmt::format("{}: line {}", source.path, reader.line());
    for (std::size_t i = 0; i < fields.size(); ++i)
      if (trimmed_text(fields[i]).empty())
        return fail("{}: column '{}' is empty", where, columns[i]);
    if (scored) {
      TACK_TRY(const float score, number(fields[2], columns[2], where));
      pairs.scores.push_back(score);
    }
    if (!source.pairs.negative.empty()) pairs.negatives.push_back(std::move(fields.back()));
    pairs.texts.push_back(std::move(fields[0]));
    pairs.others.push_back(std::move(fields[1]));
  }
  if (pairs.texts.empty()) return fail("{}: there are no rows", source.path);
  pairs.sha256 = hash_of(pairs);
  return pairs;
}

Result<PairSet> read_labelled(DataSource source) {
  source.pairs = {};
  TACK_TRY(Dataset data, read_dataset(source));
  PairSet pairs;
  pairs.name = source.path;
  pairs.kind = PairKind::kLabel;
  pairs.label_names = std::move(data.label_names);
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (data.labels[i] < 0) continue;
    pairs.texts.push_back(std::move(data.texts[i]));
    pairs.labels.push_back(data.labels[i]);
  }
  if (pairs.texts.empty()) return fail("{}: no row has a label", source.path);
  pairs.sha256 = hash_of(pairs);
  return pairs;
}

}  // namespace

PairSet PairSet::subset(const std::vector<std::size_t>& which) const {
  PairSet out;
  out.name = name;
  out.kind = kind;
  out.label_names = label_names;
  const auto pick = [&](const auto& from, auto& to) {
    if (from.empty()) return;
    for (std::size_t i : which) to.push_back(from[i]);
  };
  pick(texts, out.texts);
  pick(others, out.others);
  pick(negatives, out.negatives);
  pick(scores, out.scores);
  pick(labels, out.labels);
  out.sha256 = hash_of(out);
  return out;
}

Result<PairSet> read_pairs(const DataSource& source) {
  if (source.pairs.kind == PairKind::kLabel) return read_labelled(source);
  TACK_TRY(auto reader, RowReader::open(source.path, columns_of(source), source.format));
  return read_rows(*reader, source);
}

Result<PairSet> parse_pairs(std::string_view text, const DataSource& source) {
  TACK_TRY(auto reader, RowReader::parse(text, source.path, columns_of(source), source.format));
  return read_rows(*reader, source);
}

Status check_trainable(const PairSet& pairs) {
  if (pairs.size() < 2)
    return fail("{}: there is one pair; a pair is learned against others", pairs.name);
  if (pairs.kind == PairKind::kScored &&
      std::ranges::min(pairs.scores) == std::ranges::max(pairs.scores))
    return fail("{}: all pairs have the score {}; there is nothing to learn", pairs.name,
                pairs.scores.front());
  if (pairs.kind != PairKind::kLabel) return {};
  std::vector<std::int32_t> sorted = pairs.labels;
  std::ranges::sort(sorted);
  if (sorted.front() == sorted.back())
    return fail("{}: all rows have the label '{}'; texts are told apart by at least two",
                pairs.name, pairs.label_names[static_cast<std::size_t>(sorted.front())]);
  if (std::ranges::adjacent_find(sorted) == sorted.end())
    return fail("{}: no label has two texts; there are no pairs", pairs.name);
  return {};
}

Split split_pairs(const PairSet& pairs, double fraction, std::uint64_t seed) {
  Dataset data;
  data.texts = pairs.texts;
  data.labels = pairs.labels;
  data.label_names = pairs.label_names;
  data.labels.resize(data.texts.size(), 0);
  return split_by_content(data, fraction, seed);
}

std::size_t count_overlap(const PairSet& train, const PairSet& test) {
  std::unordered_set<std::string> seen;
  for (const auto* side : {&train.texts, &train.others})
    for (const std::string& text : *side) seen.insert(normalized_text(text));
  return static_cast<std::size_t>(std::ranges::count_if(
      test.texts, [&](const std::string& text) { return seen.contains(normalized_text(text)); }));
}

}  // namespace tack
