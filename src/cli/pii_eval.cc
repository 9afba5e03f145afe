#include "cli/pii_eval.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>

#include "base/atomic_file.h"
#include "cli/lines.h"
#include "eval/rows.h"

namespace tack {
namespace {

using privacy::Finding;

struct Counts {
  std::int64_t labelled = 0, found = 0, right = 0;
  double precision() const { return found == 0 ? 0 : static_cast<double>(right) / found; }
  double recall() const { return labelled == 0 ? 0 : static_cast<double>(right) / labelled; }
  // Recall counts four times as much: what is missed leaves the house.
  double f2() const {
    const double p = precision(), r = recall();
    return p + r == 0 ? 0 : 5 * p * r / (4 * p + r);
  }
  void add(const Counts& other) {
    labelled += other.labelled;
    found += other.found;
    right += other.right;
  }
};

struct Evaluation {
  std::map<std::string, Counts> by_entity;
  std::int64_t texts = 0, words = 0, bytes = 0, false_checksums = 0;
  double seconds = 0;
};

struct Row {
  std::string text;
  std::vector<Finding> spans;  // bytes
};

// Where each character begins, and the end.
std::vector<std::size_t> character_begins(std::string_view text) {
  std::vector<std::size_t> begins;
  for (std::size_t i = 0; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) begins.push_back(i);
  begins.push_back(text.size());
  return begins;
}

Result<Row> parse_row(std::string_view line) {
  TACK_TRY(const Json json, parse_json(line, "row"));
  const Json* text = find_member(json, "text");
  const Json* spans = find_member(json, "spans");
  if (text == nullptr || !text->is_string() || (spans != nullptr && !spans->is_array()))
    return fail(R"(not {{"text": "...", "spans": [...]}})");
  Row row{text->get<std::string>(), {}};
  if (spans == nullptr) return row;
  const auto begins = character_begins(row.text);
  for (const Json& span : *spans) {
    const Json *start = find_member(span, "start"), *end = find_member(span, "end"),
               *label = find_member(span, "label");
    if (start == nullptr || end == nullptr || label == nullptr || !start->is_number_unsigned() ||
        !end->is_number_unsigned() || !label->is_string())
      return fail("a span needs \"start\", \"end\" and \"label\"");
    const auto from = start->get<std::size_t>(), to = end->get<std::size_t>();
    if (from >= to || to >= begins.size())
      return fail("a span from {} to {} in a text of {} characters", from, to, begins.size() - 1);
    row.spans.push_back({label->get<std::string>(), begins[from], begins[to], 1});
  }
  return row;
}

std::int64_t count_words(std::string_view text) {
  std::int64_t words = 0;
  bool inside = false;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    words += !space && !inside ? 1 : 0;
    inside = !space;
  }
  return words;
}

bool by_patterns(const std::string& name) {
  const privacy::EntityInfo* info = privacy::entity(name);
  return info != nullptr && !info->by_model;
}
bool has_checksum(const std::string& name) {
  const privacy::EntityInfo* info = privacy::entity(name);
  return info != nullptr && info->checksum;
}

auto key_of(const Finding& f) {
  return std::tuple(f.begin, f.end, std::string_view(f.entity));
}

void add_row(const Row& row, const std::vector<Finding>& found, Evaluation& out,
             std::string* mistakes) {
  std::set<std::tuple<std::size_t, std::size_t, std::string_view>> labelled;
  const auto note = [&](const char* what, const Finding& f) {
    if (mistakes == nullptr) return;
    const std::size_t from = f.begin < 60 ? 0 : f.begin - 60;
    *mistakes += to_text(Json{{"mistake", what},
                              {"entity", f.entity},
                              {"value", row.text.substr(f.begin, f.end - f.begin)},
                              {"around", row.text.substr(from, f.end - from + 30)}}) +
                 "\n";
  };
  for (const Finding& span : row.spans) {
    labelled.insert(key_of(span));
    ++out.by_entity[span.entity].labelled;
    if (by_patterns(span.entity) && std::ranges::find(found, key_of(span), key_of) == found.end())
      note("missed", span);
  }
  for (const Finding& f : found) {
    Counts& counts = out.by_entity[f.entity];
    ++counts.found;
    if (labelled.contains(key_of(f))) {
      ++counts.right;
      continue;
    }
    note("wrong", f);
    if (has_checksum(f.entity)) ++out.false_checksums;
  }
}

Status read_rows(const std::string& path, const privacy::Finder& finder,
                 const PiiEvalOptions& options, Evaluation& out, std::string* mistakes) {
  TACK_TRY(const std::string file, read_file(path));
  std::size_t line = 0;
  for (std::size_t at = 0; at < file.size();) {
    const std::size_t end = std::min(file.find('\n', at), file.size());
    const std::string_view text = std::string_view(file).substr(at, end - at);
    at = end + 1;
    ++line;
    if (text.empty()) continue;
    auto row = parse_row(text);
    if (!row)
      return std::unexpected(std::move(row).error().in(fmt::format("{}: line {}", path, line)));
    const auto start = std::chrono::steady_clock::now();
    auto found = finder.find(row->text);
    out.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::erase_if(found, [&](const Finding& f) { return f.score < options.min_score; });
    ++out.texts;
    out.words += count_words(row->text);
    out.bytes += static_cast<std::int64_t>(row->text.size());
    add_row(*row, found, out, mistakes);
  }
  return {};
}

struct Summary {
  Counts patterns, checksums;
};
Summary summary_of(const Evaluation& evaluation) {
  Summary summary;
  for (const auto& [name, counts] : evaluation.by_entity) {
    if (by_patterns(name)) summary.patterns.add(counts);
    if (has_checksum(name)) summary.checksums.add(counts);
  }
  return summary;
}

Json json_of(const Counts& counts) {
  return {{"labelled", counts.labelled},     {"found", counts.found},     {"right", counts.right},
          {"precision", counts.precision()}, {"recall", counts.recall()}, {"f2", counts.f2()}};
}

double per_100k(const Evaluation& e) {
  return e.words == 0 ? 0
                      : 1e5 * static_cast<double>(e.false_checksums) / static_cast<double>(e.words);
}
double mb_per_s(const Evaluation& e) {
  return e.seconds == 0 ? 0 : static_cast<double>(e.bytes) / 1e6 / e.seconds;
}

Status print_json(const Evaluation& evaluation) {
  const Summary summary = summary_of(evaluation);
  Json entities = Json::object();
  for (const auto& [name, counts] : evaluation.by_entity) entities[name] = json_of(counts);
  return print_line(to_text(Json{{"texts", evaluation.texts},
                                 {"words", evaluation.words},
                                 {"bytes", evaluation.bytes},
                                 {"mb_per_s", mb_per_s(evaluation)},
                                 {"patterns", json_of(summary.patterns)},
                                 {"checksums", json_of(summary.checksums)},
                                 {"false_checksums", evaluation.false_checksums},
                                 {"false_checksums_per_100k_words", per_100k(evaluation)},
                                 {"entities", std::move(entities)}},
                            2));
}

std::string line_of(std::string_view name, const Counts& c) {
  return fmt::format("{:<28}{:>9}{:>8}{:>8}{:>11.4f}{:>8.4f}{:>8.4f}\n", name, c.labelled, c.found,
                     c.right, c.precision(), c.recall(), c.f2());
}

Status print_table(const Evaluation& evaluation) {
  std::string out =
      fmt::format("{} texts, {} words, {:.0f} MB/s\n\n{:<28}{:>9}{:>8}{:>8}{:>11}{:>8}{:>8}\n",
                  evaluation.texts, evaluation.words, mb_per_s(evaluation), "entity", "labelled",
                  "found", "right", "precision", "recall", "F2");
  std::string others;
  for (const auto& [name, counts] : evaluation.by_entity) {
    if (by_patterns(name))
      out += line_of(name, counts);
    else
      others += fmt::format("{}{} {}", others.empty() ? "" : ", ", counts.labelled, name);
  }
  const Summary summary = summary_of(evaluation);
  out += line_of("all patterns", summary.patterns);
  out += line_of("with a checksum", summary.checksums);
  out += fmt::format("\nwrongly found numbers with a checksum: {}, {:.2f} per 100,000 words\n",
                     evaluation.false_checksums, per_100k(evaluation));
  if (!others.empty()) out += fmt::format("labelled, not found by patterns: {}\n", others);
  return print_text(out);
}

}  // namespace

Status evaluate_pii(const privacy::Finder& finder, const PiiEvalOptions& options) {
  Evaluation evaluation;
  std::string mistakes;
  for (const std::string& path : options.files)
    TACK_RETURN_IF_ERROR(read_rows(path, finder, options, evaluation,
                                   options.mistakes.empty() ? nullptr : &mistakes));
  if (!options.mistakes.empty()) TACK_RETURN_IF_ERROR(write_file(options.mistakes, mistakes));
  return options.json ? print_json(evaluation) : print_table(evaluation);
}

}  // namespace tack
