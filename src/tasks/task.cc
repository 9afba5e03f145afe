#include "tasks/task.h"

namespace tack {

std::string_view task_kind_name(TaskKind kind) {
  switch (kind) {
    case TaskKind::kClassify:
      return "classify";
    case TaskKind::kMultiLabel:
      return "multilabel";
    case TaskKind::kTag:
      return "tag";
    case TaskKind::kSpan:
      return "span";
  }
  return "?";
}

DataSource Task::test_source() const {
  DataSource source = train;
  source.path = test;
  return source;
}

Json Task::to_json() const {
  Json json = {
      {"name", name},
      {"kind", task_kind_name(kind)},
      {"description", description},
      {"data",
       {{"train", train.path},
        {"test", test},
        {"text", train.text},
        {"label", train.label},
        {"oos_label", train.oos_label},
        {"licence", licence},
        {"split_test", split_test},
        {"split_seed", split_seed}}},
      {"model", {{"base", base}}},
      {"head", {{"c", c}, {"folds", folds}}},
      {"calibration", {{"false_alarms", false_alarms}}},
  };
  if (gate.floor) json["gate"]["floor"] = *gate.floor;
  if (gate.baseline) json["gate"] = {{"baseline", *gate.baseline}, {"margin", gate.margin}};
  return json;
}

}  // namespace tack
