#include "gateway/router_data.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/ranges.h>

#include "base/hash.h"

namespace tack::gateway {
namespace {

const std::vector<std::string> kTextColumns = {"prompt", "text", "question", "query", "input"};

Result<std::string> text_column(const RouterDataSource& source, const std::string& path) {
  if (!source.text.empty()) return source.text;
  TACK_TRY(const std::string found, guess_column(path, source.format, kTextColumns));
  // Of a kind of file whose columns cannot be looked up, or none fits: the reader says which exist.
  return found.empty() ? kTextColumns.front() : found;
}

Status read_file_rows(const RouterDataSource& source, const std::string& path, RouterData& data) {
  TACK_TRY(const std::string text, text_column(source, path));
  std::vector<std::string> columns = {text};
  for (const std::string& model : source.models) {
    const auto mapped = source.columns.find(model);
    columns.push_back(mapped == source.columns.end() ? model : mapped->second);
  }
  if (!source.against.empty()) columns.push_back(source.against);
  TACK_TRY(const auto reader, RowReader::open(path, columns, source.format));
  std::vector<std::string> fields;
  while (true) {
    TACK_TRY(const bool more, reader->next(fields));
    if (!more) return {};
    const auto at = [&] { return fmt::format("{} line {}", path, reader->line()); };
    if (fields[0].empty()) return fail("{}: '{}' is empty", at(), text);
    data.texts.push_back(fields[0]);
    for (std::size_t i = 1; i < fields.size(); ++i) {
      const bool against = i > source.models.size();
      auto score = against ? parse_number(fields[i]) : parse_score(fields[i]);
      if (!score) return std::unexpected(std::move(score).error().in(columns[i]).in(at()));
      (against ? data.against : data.scores).push_back(*score);
    }
  }
}

std::string digest(const RouterData& data) {
  std::string all;
  for (std::size_t row = 0; row < data.rows(); ++row) {
    all += data.texts[row];
    for (std::size_t m = 0; m < data.models.size(); ++m)
      all += fmt::format("\t{}", data.score(row, m));
    all += '\n';
  }
  return sha256_hex(all);
}

}  // namespace

Result<float> parse_number(std::string_view field) {
  if (field.empty()) return fail("there is no value");
  float value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (error != std::errc() || end != field.data() + field.size() ||
      !(value > -1e30F && value < 1e30F))
    return fail("'{}' is no number", field.substr(0, 40));
  return value;
}

Result<float> parse_score(std::string_view field) {
  constexpr std::array<std::string_view, 4> kRight = {"true", "right", "yes", "correct"};
  constexpr std::array<std::string_view, 5> kWrong = {"false", "wrong", "no", "incorrect", "none"};
  std::string small(field.substr(0, 16));
  for (char& c : small)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (std::ranges::find(kRight, small) != kRight.end()) return 1.0F;
  if (std::ranges::find(kWrong, small) != kWrong.end()) return 0.0F;
  if (field.empty()) return fail("there is no value");
  const auto value = parse_number(field);
  if (!value || *value < 0 || *value > 1)
    return fail("'{}' is neither right or wrong nor a score from 0 to 1", field.substr(0, 40));
  return *value;
}

RouterData RouterData::subset(const std::vector<std::size_t>& which) const {
  RouterData part;
  part.models = models;
  for (const std::size_t row : which) {
    part.texts.push_back(texts[row]);
    for (std::size_t m = 0; m < models.size(); ++m) part.scores.push_back(score(row, m));
    if (!against.empty()) part.against.push_back(against[row]);
  }
  part.sha256 = digest(part);
  return part;
}

Result<RouterData> read_router_data(const RouterDataSource& source) {
  RouterData data;
  data.models = source.models;
  for (const std::string& path : source.paths)
    TACK_RETURN_IF_ERROR(read_file_rows(source, path, data));
  if (data.texts.empty()) return fail("{}: there are no rows", fmt::join(source.paths, ", "));
  data.sha256 = digest(data);
  return data;
}

std::uint32_t hash_fold(std::string_view text, std::uint32_t folds) {
  std::uint64_t rest = 0;
  for (const std::uint8_t byte : sha256(text)) rest = (rest * 256 + byte) % folds;
  return static_cast<std::uint32_t>(rest);
}

RouterSplit split_router_data(const RouterData& data) {
  RouterSplit split;
  for (std::size_t row = 0; row < data.rows(); ++row) {
    const std::uint32_t fold = hash_fold(data.texts[row], 5);
    (fold < 3 ? split.train : fold == 3 ? split.calibration : split.test).push_back(row);
  }
  return split;
}

}  // namespace tack::gateway
