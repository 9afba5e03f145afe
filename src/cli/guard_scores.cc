#include "cli/guard_scores.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>

#include <fmt/ranges.h>

#include "base/progress.h"
#include "eval/rows.h"

namespace tack {
namespace {

using guard::CheckConfig;
using guard::CheckKind;
using guard::GuardConfig;
using guard::Role;
using guard::Stage;

bool is_negative(const GuardDataOptions& options, const std::string& label) {
  if (!options.negative.empty()) return label == options.negative;
  constexpr std::string_view kPassing[] = {"0",        "safe",  "none", "benign",
                                           "harmless", "false", "no"};
  return std::ranges::find(kPassing, label) != std::end(kPassing);
}

// A check whose score is a probability.
bool asks_model(CheckKind kind) {
  return kind == CheckKind::kUnsafe || kind == CheckKind::kInjection || kind == CheckKind::kTopic ||
         kind == CheckKind::kGrounded;
}

Status add_other(const std::string& text, guard::ScoredRows& rows) {
  char* end = nullptr;
  const float other = std::strtof(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(other))
    return fail(ErrorCode::kUsage, "--against: row {}: '{}' is no number", rows.others.size() + 1,
                text);
  rows.others.push_back(other);
  return {};
}

}  // namespace

Result<std::vector<GuardRow>> read_guard_rows(const GuardDataOptions& options,
                                              const std::string& path, bool labelled) {
  TACK_TRY(const RowFormat format, parse_row_format(options.format));
  std::string column = options.column;
  if (column.empty()) {
    TACK_TRY(column, guess_column(path, format, {"text", "prompt", "content", "sentence"}));
    if (column.empty()) column = "text";
  }
  std::vector<std::string> columns{column};
  if (labelled) {
    columns.push_back(options.label);
    for (const std::string* one : {&options.source, &options.against})
      if (!one->empty()) columns.push_back(*one);
  }
  TACK_TRY(const auto reader, RowReader::open(path, columns, format));
  std::vector<GuardRow> rows;
  std::vector<std::string> fields;
  while (true) {
    TACK_TRY(const bool more, reader->next(fields));
    if (!more) break;
    GuardRow row{.text = std::move(fields[0])};
    if (labelled) {
      std::size_t at = 1;
      row.label = std::move(fields[at++]);
      if (!options.source.empty()) row.source = std::move(fields[at++]);
      if (!options.against.empty()) row.other = std::move(fields[at++]);
    }
    rows.push_back(std::move(row));
  }
  if (rows.empty()) return fail(ErrorCode::kUsage, "{}: has no rows", path);
  return rows;
}

Result<GuardScorer> GuardScorer::create(const GuardConfig& config, Stage stage,
                                        const std::string& name, GuardModels& models) {
  GuardScorer scorer(stage, models);
  const auto& checks = config.checks(stage);
  const auto found = std::ranges::find(checks, name, &CheckConfig::name);
  if (found == checks.end()) {
    std::vector<std::string> names;
    for (const CheckConfig& check : checks) names.push_back(check.name);
    return fail(ErrorCode::kNotFound, "--check: there is no '{}' in the stage {}; there are: {}",
                name, guard::stage_name(stage), fmt::join(names, ", "));
  }
  scorer.check_ = *found;
  GuardConfig alone = config;
  for (const Stage one : {Stage::kPreFlight, Stage::kInput, Stage::kOutput}) {
    auto& list = one == Stage::kPreFlight ? alone.pre_flight
                 : one == Stage::kInput   ? alone.input
                                          : alone.output;
    list.clear();
    if (one == stage) list.push_back(scorer.check_);
  }
  TACK_TRY(scorer.guard_, guard::Guard::create(alone, models.finder()));
  return scorer;
}

Result<double> GuardScorer::score_text(const std::string& text, bool tool) {
  guard::Subject subject;
  Role role = stage_ == Stage::kOutput ? Role::kAssistant : Role::kUser;
  if (tool) role = Role::kTool;
  subject.passages.push_back({role, text});
  TACK_TRY(const JudgedTexts judged, models_->judge(*guard_, stage_, subject));
  const guard::Finding& finding = judged.verdict.findings.front();
  if (finding.failed) return 1;
  if (!asks_model(finding.kind)) return finding.tripped ? 1 : 0;
  threshold_ = finding.threshold;
  return std::isnan(finding.score) ? 0 : finding.score;
}

Result<std::vector<float>> GuardScorer::score_all(const GuardDataOptions& options,
                                                  const std::vector<GuardRow>& rows) {
  Progress progress(check_.name, static_cast<std::int64_t>(rows.size()));
  std::vector<float> scores;
  for (const GuardRow& row : rows) {
    TACK_TRY(const double score, score_text(row.text, options.role == "tool"));
    scores.push_back(static_cast<float>(score));
    progress.advance();
  }
  return scores;
}

Result<guard::ScoredRows> GuardScorer::score(const GuardDataOptions& options,
                                             const std::vector<GuardRow>& data) {
  guard::ScoredRows rows;
  Progress progress(check_.name, static_cast<std::int64_t>(data.size()));
  for (const GuardRow& row : data) {
    const auto start = std::chrono::steady_clock::now();
    TACK_TRY(const double score, score_text(row.text, options.role == "tool"));
    const std::chrono::duration<float, std::micro> took = std::chrono::steady_clock::now() - start;
    rows.scores.push_back(static_cast<float>(score));
    rows.positive.push_back(!is_negative(options, row.label));
    rows.latency_us.push_back(took.count());
    if (!options.source.empty()) rows.sources.push_back(row.source);
    if (!options.against.empty()) TACK_RETURN_IF_ERROR(add_other(row.other, rows));
    progress.advance();
  }
  return rows;
}

}  // namespace tack
