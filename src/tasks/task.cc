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
    case TaskKind::kSpan:
      return "span";
    case TaskKind::kGenerate:
      return "generate";
  }
  return "?";
}

Task Task::of_head(const HeadTask& head) const {
  Task task = *this;
  task.heads.clear();
  task.name = head.name;
  task.train = head.train;
  task.validation = head.validation;
  task.test = head.test;
  if (head.gate.any()) task.gate = head.gate;
  return task;
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
  if (!loop.bf16) json["bf16"] = false;
  if (!quantize.empty()) {
    json["quantize"] = quantize;
    json["quantize_after"] = quantize_after;
  }
  if (length > 0) {  // of questions
    json["length"] = length;
    json["overlap"] = overlap;
  }
  // Of pairs only; checkpoints of other kinds stay as they were.
  if (temperature != kContrastTemperature) json["temperature"] = temperature;
  return json;
}

Json InnerSettings::to_json() const {
  Json json = Json::object();
  if (hidden > 0) {
    json["hidden"] = hidden;
    json["hidden_loss"] = cosine ? "cosine" : "mse";
    if (!layers.empty()) json["layers"] = layers;
  }
  if (relations > 0) {
    json["relations"] = relations;
    json["relation_heads"] = relation_heads;
    json["relation_layer"] = relation_layer;
  }
  return json;
}

Json TeacherSettings::to_json() const {
  Json json = {{"temperature", temperature}, {"labels", labels}, {"unlabelled", unlabelled}};
  if (variants > 0) json["variants"] = variants;
  if (inner.any()) json["inner"] = inner.to_json();
  if (models.empty()) {
    json["base"] = base;
    json["train"] = training.to_json();
    if (count > 1) json["count"] = count;
  } else if (models.size() == 1) {
    json["model"] = models.front();
  } else {
    json["models"] = models;
  }
  return json;
}

Json StudentShape::to_json() const {
  Json json = Json::object();
  if (!layers.empty()) json["layers"] = layers;
  if (layer_count > 0) json["layers"] = layer_count;
  if (width > 0) json["width"] = width;
  if (ffn > 0) json["ffn"] = ffn;
  return json;
}

Json GenerateSettings::model_json() const {
  Json json = {{"architecture", architecture},
               {"layers", layers},
               {"d", d},
               {"heads", heads},
               {"kv_heads", kv_heads},
               {"ff", ff},
               {"vocab", vocab},
               {"context", context},
               {"tied", tied},
               {"rope_base", rope_base}};
  if (!tokenizer.empty()) json["tokenizer"] = tokenizer;
  return json;
}

namespace {

// Of kGenerate: the keys of such a task and no others.
Json generate_json(const Task& task) {
  Json json = {{"name", task.name},
               {"kind", task_kind_name(task.kind)},
               {"description", task.description},
               {"data",
                {{"train", task.generate.train},
                 {"validation", task.validation},
                 {"test", task.test},
                 {"licence", task.licence},
                 {"split_test", task.split_test},
                 {"split_seed", task.split_seed}}}};
  if (task.base.empty())
    json["model"] = task.generate.model_json();
  else
    json["model"]["base"] = task.base;
  json["model"]["type"] = task.type;
  Json train = task.training.to_json();
  for (const char* of_others : {"rank", "batch", "smoothing", "layer_decay", "head_rate",
                                "embeddings", "augment", "overlap"})
    train.erase(of_others);
  train["batch_tokens"] = task.generate.batch_tokens;
  if (task.training.loop.steps > 0) {
    train.erase("epochs");
    train["steps"] = task.training.loop.steps;
  }
  json["train"] = std::move(train);
  return json;
}

Json pairs_json(const PairColumns& pairs) {
  if (pairs.kind == PairKind::kLabel) return {{"kind", "label"}};
  if (pairs.kind == PairKind::kScored)
    return {{"kind", "scored"}, {"other", pairs.other}, {"score", pairs.score}};
  return {{"kind", "positive"}, {"other", pairs.other}, {"negative", pairs.negative}};
}

}  // namespace

Json Task::to_json() const {
  if (kind == TaskKind::kGenerate) return generate_json(*this);
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
    if (student.any()) json["student"] = student.to_json();
    if (teacher.wanted) json["teacher"] = teacher.to_json();
  }
  if (limit > 0) json["data"]["limit"] = limit;
  if (gate.floor) json["gate"]["floor"] = *gate.floor;
  if (gate.baseline) json["gate"] = {{"baseline", *gate.baseline}, {"margin", gate.margin}};
  if (gate.any()) json["gate"]["confidence"] = gate.confidence;
  for (const HeadTask& head : heads) {
    // In order, and each with all it has: what [data] says is for reading the file only.
    const Json whole = of_head(head).to_json();
    Json one = {{"name", head.name}, {"data", whole["data"]}, {"weight", head.weight}};
    if (whole.contains("gate")) one["gate"] = whole["gate"];
    json["heads"].push_back(std::move(one));
  }
  if (!heads.empty()) {
    json.erase("data");
    json.erase("gate");
  }
  return json;
}

}  // namespace tack
