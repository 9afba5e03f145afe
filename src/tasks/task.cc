#include "tasks/task.h"

namespace tack {

std::string_view task_kind_name(TaskKind kind) {
  switch (kind) {
    case TaskKind::kClassify:
      return "classify";
    case TaskKind::kTag:
      return "tag";
    case TaskKind::kMultilabel:
      return "multilabel";
    case TaskKind::kEmbed:
      return "embed";
  }
  return "?";
}

DataSource Task::test_source() const {
  DataSource source = train;
  source.path = test;
  return source;
}

DataSource Task::validation_source() const {
  DataSource source = train;
  source.path = validation;
  return source;
}

std::string_view train_method_name(TrainMethod method) {
  switch (method) {
    case TrainMethod::kHead:
      return "head";
    case TrainMethod::kLora:
      return "lora";
    case TrainMethod::kFull:
      return "full";
  }
  return "?";
}

Json TrainSettings::to_json() const {
  constexpr const char* kSchedules[] = {"constant", "linear", "cosine"};
  Json json = {{"method", train_method_name(method)},
               {"rank", rank},
               {"epochs", loop.epochs},
               {"batch", loop.batch},
               {"rate", loop.rate},
               {"warmup", loop.warmup},
               {"schedule", kSchedules[static_cast<std::size_t>(loop.schedule)]},
               {"decay", loop.adamw.decay},
               {"clip", loop.adamw.clip},
               {"dropout", loop.dropout},
               {"smoothing", smoothing},
               {"layer_decay", layer_decay},
               {"head_rate", head_rate},
               {"embeddings", embeddings},
               {"augment", augment},
               {"average", loop.average},
               {"patience", loop.patience},
               {"validation", validation},
               {"seed", loop.seed}};
  // Of pairs only; checkpoints of other kinds stay as they were.
  if (temperature != kContrastTemperature) json["temperature"] = temperature;
  return json;
}

Json TeacherSettings::to_json() const {
  Json json = {{"temperature", temperature}, {"labels", labels}, {"unlabelled", unlabelled}};
  if (model.empty()) {
    json["base"] = base;
    json["train"] = training.to_json();
  } else {
    json["model"] = model;
  }
  return json;
}

namespace {

Json pairs_json(const PairColumns& pairs) {
  if (pairs.kind == PairKind::kLabel) return {{"kind", "label"}};
  if (pairs.kind == PairKind::kScored)
    return {{"kind", "scored"}, {"other", pairs.other}, {"score", pairs.score}};
  return {{"kind", "positive"}, {"other", pairs.other}, {"negative", pairs.negative}};
}

}  // namespace

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
        {"spans", train.spans},
        {"oos_label", train.oos_label},
        {"licence", licence},
        {"split_test", split_test},
        {"split_seed", split_seed}}},
      {"model", {{"base", base}}},
      {"head", {{"c", c}, {"folds", folds}}},
      {"calibration", {{"false_alarms", false_alarms}}},
  };
  if (kind == TaskKind::kMultilabel) json["data"]["separator"] = train.separator;
  if (kind == TaskKind::kEmbed) json["data"]["pairs"] = pairs_json(train.pairs);
  if (training.method != TrainMethod::kHead) {
    json["data"]["validation"] = validation;
    json["model"]["type"] = type;
    json["train"] = training.to_json();
    if (!layers.empty()) json["student"]["layers"] = layers;
    if (layer_count > 0) json["student"]["layers"] = layer_count;
    if (teacher.wanted) json["teacher"] = teacher.to_json();
  }
  if (gate.floor) json["gate"]["floor"] = *gate.floor;
  if (gate.baseline) json["gate"] = {{"baseline", *gate.baseline}, {"margin", gate.margin}};
  return json;
}

}  // namespace tack
