// What a task is, and task.toml, the file that says it.
//
//   [task]         name, kind ("classify"), description
//   [data]         train, test, text, label, oos_label, format, licence, split_test, split_seed
//   [model]        base (path or name of an encoder)
//   [head]         c (values of C to try), folds
//   [calibration]  false_alarms (share of in-scope rows that may be called out of scope)
//   [gate]         floor, or baseline (a task model) with margin
//
// Only [data] train is required. Paths are relative to the file; ${NAME} in them is replaced from
// the environment. Unknown keys are errors: a misspelt one must not be ignored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "eval/dataset.h"

namespace tack {

// What a model answers with. The others come with fine-tuning; `build` says so.
enum class TaskKind : std::uint8_t { kClassify, kMultiLabel, kTag, kSpan };
std::string_view task_kind_name(TaskKind kind);

struct GateRule {
  std::optional<double> floor;          // accuracy, 0..1
  std::optional<std::string> baseline;  // path or name of a task model
  double margin = -0.01;

  bool any() const { return floor.has_value() || baseline.has_value(); }
};

struct Task {
  std::string name, description;
  TaskKind kind = TaskKind::kClassify;
  DataSource train;
  std::string test;  // path; empty: a part of train is held out
  std::string licence;
  double split_test = 0.2;  // of each label, when there is no test file
  std::uint64_t split_seed = 1;
  std::string base;  // path or name; empty: the default encoder
  std::vector<double> c = {1, 3, 10, 30, 100, 300};
  int folds = 5;
  double false_alarms = 0.05;
  GateRule gate;

  DataSource test_source() const;
  // As stored under tack.task.
  Json to_json() const;
};

// Errors name the file, line and column.
Result<Task> read_task(const std::filesystem::path& path);
// The same over text; relative paths are left as they are.
Result<Task> parse_task(std::string_view toml, std::string_view name);

}  // namespace tack
