#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include <fmt/ranges.h>
#include <toml++/toml.h>

#include "base/atomic_file.h"
#include "tasks/task.h"

namespace tack {
namespace {

// The keys a section may have; reading anything marks it, the rest is unknown.
class Section {
 public:
  Section(const toml::table* table, std::string name, std::string_view file)
      : table_(table), name_(std::move(name)), file_(file) {}

  Status read(const char* key, std::string& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return {};
    const auto value = node->value_exact<std::string>();
    if (!value) return wrong(*node, key, "a text in quotes");
    out = *value;
    return {};
  }

  Status read(const char* key, double low, double high, double& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return {};
    const auto value = node->value<double>();
    if (!value || !node->is_number() || !(*value >= low && *value <= high))
      return wrong(*node, key, fmt::format("a number from {} to {}", low, high));
    out = *value;
    return {};
  }

  Status read(const char* key, std::int64_t low, std::int64_t high, std::int64_t& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return {};
    const auto value = node->value_exact<std::int64_t>();
    if (!value || *value < low || *value > high)
      return wrong(*node, key, fmt::format("a whole number from {} to {}", low, high));
    out = *value;
    return {};
  }

  Status read(const char* key, bool& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return {};
    const auto value = node->value_exact<bool>();
    if (!value) return wrong(*node, key, "true or false");
    out = *value;
    return {};
  }

  // A whole number, alone or several in a list.
  Status read(const char* key, std::vector<std::int64_t>& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return {};
    std::vector<std::int64_t> values;
    bool right = true;
    const auto take = [&](const toml::node& element) {
      const auto value = element.value_exact<std::int64_t>();
      right = right && value && *value >= 0 && *value < 1000;
      if (right) values.push_back(*value);
    };
    if (const toml::array* array = node->as_array())
      for (const toml::node& element : *array) take(element);
    else
      take(*node);
    if (!right || values.empty()) return wrong(*node, key, "a whole number or a list of them");
    out = std::move(values);
    return {};
  }

  // One of several words.
  template <class Choice>
  Status read(const char* key, std::initializer_list<std::pair<const char*, Choice>> choices,
              Choice& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return {};
    const auto value = node->value_exact<std::string>();
    std::string words;
    for (const auto& [word, choice] : choices) {
      if (value && *value == word) {
        out = choice;
        return {};
      }
      words += fmt::format("{}\"{}\"", words.empty() ? "" : ", ", word);
    }
    return wrong(*node, key, "one of " + words);
  }

  Status read(const char* key, std::vector<double>& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return {};
    const toml::array* array = node->as_array();
    std::vector<double> values;
    if (array != nullptr)
      for (const toml::node& element : *array)
        if (const auto value = element.value<double>();
            value && element.is_number() && *value > 0 && std::isfinite(*value))
          values.push_back(*value);
    if (array == nullptr || values.empty() || values.size() != array->size() ||
        !std::ranges::is_sorted(values))
      return wrong(*node, key, "a list of numbers above 0, ascending");
    out = std::move(values);
    return {};
  }

  bool has(const char* key) const { return table_ != nullptr && table_->contains(key); }

  // After all reads: an error for a key nobody asked for.
  Status finish() const {
    if (table_ == nullptr) return {};
    for (const auto& [key, node] : *table_)
      if (!known_.contains(std::string(key.str())))
        return fail(ErrorCode::kUsage, "{}: line {}: unknown key '{}' in [{}]; known are: {}",
                    file_, node.source().begin.line, key.str(), name_, fmt::join(known_, ", "));
    return {};
  }

  std::unexpected<Error> wrong(const toml::node& node, const char* key,
                               std::string_view expected) const {
    return fail(ErrorCode::kUsage, "{}: line {}: [{}] {} must be {}", file_,
                node.source().begin.line, name_, key, expected);
  }
  std::unexpected<Error> wrong(const char* key, std::string_view expected) const {
    return wrong(*table_->get(key), key, expected);
  }

 private:
  const toml::node* find(const char* key) {
    known_.insert(key);
    return table_ == nullptr ? nullptr : table_->get(key);
  }

  const toml::table* table_;
  std::string name_;
  std::string_view file_;
  std::set<std::string> known_;
};

Status read_train(Section& section, TaskKind kind, TrainSettings& train) {
  TrainerOptions& loop = train.loop;
  double decay = static_cast<double>(loop.adamw.decay), clip = static_cast<double>(loop.adamw.clip);
  auto seed = static_cast<std::int64_t>(loop.seed);
  TACK_RETURN_IF_ERROR(
      section.read("method",
                   {std::pair{"head", TrainMethod::kHead}, std::pair{"lora", TrainMethod::kLora},
                    std::pair{"full", TrainMethod::kFull}},
                   train.method));
  TACK_RETURN_IF_ERROR(section.read("epochs", 1, 10000, loop.epochs));
  TACK_RETURN_IF_ERROR(section.read("batch", 1, 4096, loop.batch));
  TACK_RETURN_IF_ERROR(section.read("rate", 1e-8, 1, loop.rate));
  TACK_RETURN_IF_ERROR(section.read("warmup", 0, 1, loop.warmup));
  TACK_RETURN_IF_ERROR(
      section.read("schedule",
                   {std::pair{"constant", Schedule::kConstant},
                    std::pair{"linear", Schedule::kLinear}, std::pair{"cosine", Schedule::kCosine}},
                   loop.schedule));
  TACK_RETURN_IF_ERROR(section.read("decay", 0, 1, decay));
  TACK_RETURN_IF_ERROR(section.read("clip", 0, 1e9, clip));
  TACK_RETURN_IF_ERROR(section.read("dropout", 0, 0.9, loop.dropout));
  TACK_RETURN_IF_ERROR(section.read("layer_decay", 0.01, 1, train.layer_decay));
  if (kind == TaskKind::kEmbed) {
    TACK_RETURN_IF_ERROR(section.read("temperature", 0.001, 10, train.temperature));
  } else {  // there is a head
    TACK_RETURN_IF_ERROR(section.read("smoothing", 0, 0.9, train.smoothing));
    TACK_RETURN_IF_ERROR(section.read("head_rate", 0.01, 1000, train.head_rate));
  }
  TACK_RETURN_IF_ERROR(section.read("embeddings", train.embeddings));
  TACK_RETURN_IF_ERROR(section.read("rank", 1, 1024, train.rank));
  TACK_RETURN_IF_ERROR(section.read("augment", 0, 100, train.augment));
  TACK_RETURN_IF_ERROR(section.read("average", 0, 0.999999, loop.average));
  TACK_RETURN_IF_ERROR(section.read("patience", 0, 10000, loop.patience));
  TACK_RETURN_IF_ERROR(section.read("validation", 0.01, 0.5, train.validation));
  TACK_RETURN_IF_ERROR(section.read("seed", 0, INT32_MAX, seed));
  TACK_RETURN_IF_ERROR(section.read("checkpoint_seconds", 0, 1e6, loop.checkpoint_seconds));
  loop.adamw.decay = static_cast<float>(decay);
  loop.adamw.clip = static_cast<float>(clip);
  loop.seed = static_cast<std::uint64_t>(seed);
  return {};
}

Status read_teacher(Section& section, TaskKind kind, TeacherSettings& teacher) {
  teacher.training.method = TrainMethod::kFull;
  TACK_RETURN_IF_ERROR(section.read("model", teacher.model));
  // Of a teacher that is trained on pairs, [teacher] temperature is that of its training.
  if (kind != TaskKind::kEmbed) {
    TACK_RETURN_IF_ERROR(section.read("temperature", 0.1, 100, teacher.temperature));
    TACK_RETURN_IF_ERROR(section.read("unlabelled", teacher.unlabelled));
  }
  TACK_RETURN_IF_ERROR(section.read("labels", 0, 1, teacher.labels));
  // A teacher that exists is not trained: keys for that would be ignored.
  if (teacher.model.empty()) {
    TACK_RETURN_IF_ERROR(section.read("base", teacher.base));
    TACK_RETURN_IF_ERROR(read_train(section, kind, teacher.training));
  }
  return section.finish();
}

Status read_student(Section& section, Task& task) {
  std::vector<std::int64_t> layers;
  TACK_RETURN_IF_ERROR(section.read("layers", layers));
  if (layers.size() == 1)
    task.layer_count = layers.front();
  else
    task.layers = layers;
  return section.finish();
}

Status read_pair_columns(Section& data, Task& task) {
  PairColumns& pairs = task.train.pairs;
  pairs.kind = data.has("other") || data.has("score") ? PairKind::kScored : PairKind::kPositive;
  TACK_RETURN_IF_ERROR(
      data.read("pairs", {std::pair{"columns", pairs.kind}, std::pair{"label", PairKind::kLabel}},
                pairs.kind));
  if (pairs.kind == PairKind::kScored) {
    pairs.other = "other";
    pairs.score = "score";
    TACK_RETURN_IF_ERROR(data.read("other", pairs.other));
    TACK_RETURN_IF_ERROR(data.read("score", pairs.score));
  } else if (pairs.kind == PairKind::kPositive) {
    TACK_RETURN_IF_ERROR(data.read("positive", pairs.other));
    TACK_RETURN_IF_ERROR(data.read("negative", pairs.negative));
  }
  if (pairs.kind != PairKind::kLabel) task.train.label.clear();
  return {};
}

Status read_sections(const toml::table& root, std::string_view name, Task& task) {
  constexpr std::array<std::string_view, 9> kSections = {
      "task", "data", "model", "train", "student", "teacher", "head", "calibration", "gate"};
  for (const auto& [key, node] : root) {
    if (std::ranges::find(kSections, key.str()) == kSections.end())
      return fail(ErrorCode::kUsage, "{}: line {}: unknown section [{}]; known are: {}", name,
                  node.source().begin.line, key.str(), fmt::join(kSections, ", "));
    if (!node.is_table())
      return fail(ErrorCode::kUsage, "{}: line {}: '{}' must be a section: [{}]", name,
                  node.source().begin.line, key.str(), key.str());
  }
  const auto section = [&](const char* key) {
    const toml::node* node = root.get(key);
    return Section(node == nullptr ? nullptr : node->as_table(), key, name);
  };

  Section head_line = section("task");
  TACK_RETURN_IF_ERROR(head_line.read("name", task.name));
  TACK_RETURN_IF_ERROR(head_line.read("description", task.description));
  TACK_RETURN_IF_ERROR(head_line.read(
      "kind",
      {std::pair{"classify", TaskKind::kClassify}, std::pair{"multilabel", TaskKind::kMultilabel},
       std::pair{"tag", TaskKind::kTag}, std::pair{"embed", TaskKind::kEmbed}},
      task.kind));
  TACK_RETURN_IF_ERROR(head_line.finish());

  Section data = section("data");
  std::string format = "auto";
  std::int64_t seed = 1;
  TACK_RETURN_IF_ERROR(data.read("train", task.train.path));
  TACK_RETURN_IF_ERROR(data.read("validation", task.validation));
  TACK_RETURN_IF_ERROR(data.read("test", task.test));
  TACK_RETURN_IF_ERROR(data.read("text", task.train.text));
  if (task.kind == TaskKind::kTag) {
    task.train.label.clear();  // texts have one only where the file says so
    task.train.spans = "spans";
    TACK_RETURN_IF_ERROR(data.read("spans", task.train.spans));
  }
  if (task.kind == TaskKind::kMultilabel) {
    task.train.label = "labels";
    task.train.label_sets = true;
    TACK_RETURN_IF_ERROR(data.read("separator", task.train.separator));
  }
  if (task.kind == TaskKind::kEmbed) TACK_RETURN_IF_ERROR(read_pair_columns(data, task));
  const bool labelled = task.kind != TaskKind::kEmbed || task.train.pairs.kind == PairKind::kLabel;
  if (labelled) TACK_RETURN_IF_ERROR(data.read("label", task.train.label));
  // A row of any number of labels that belongs to none has none.
  if (labelled && task.kind != TaskKind::kMultilabel)
    TACK_RETURN_IF_ERROR(data.read("oos_label", task.train.oos_label));
  TACK_RETURN_IF_ERROR(data.read("format", format));
  TACK_RETURN_IF_ERROR(data.read("licence", task.licence));
  TACK_RETURN_IF_ERROR(data.read("split_test", 0.01, 0.9, task.split_test));
  TACK_RETURN_IF_ERROR(data.read("split_seed", 0, INT64_MAX, seed));
  TACK_RETURN_IF_ERROR(data.finish());
  if (task.train.path.empty())
    return fail(ErrorCode::kUsage, "{}: [data] train is missing: the file with the labelled rows",
                name);
  if (const auto parsed = parse_row_format(format))
    task.train.format = *parsed;
  else
    return data.wrong("format", "auto, csv, tsv, jsonl, json, text or conll");
  task.split_seed = static_cast<std::uint64_t>(seed);

  Section model = section("model");
  const char* type = "int8";
  TACK_RETURN_IF_ERROR(model.read("base", task.base));
  TACK_RETURN_IF_ERROR(model.read("type",
                                  {std::pair{"int8", "int8"}, std::pair{"bf16", "bf16"},
                                   std::pair{"f16", "f16"}, std::pair{"f32", "f32"}},
                                  type));
  TACK_RETURN_IF_ERROR(model.finish());
  task.type = type;

  if (task.kind == TaskKind::kEmbed)  // each text of a batch is a negative of the others
    task.training.loop.batch = task.teacher.training.loop.batch = 64;
  Section train = section("train");
  TACK_RETURN_IF_ERROR(read_train(train, task.kind, task.training));
  TACK_RETURN_IF_ERROR(train.finish());

  Section student = section("student");
  TACK_RETURN_IF_ERROR(read_student(student, task));
  Section teacher = section("teacher");
  task.teacher.wanted = root.contains("teacher");
  TACK_RETURN_IF_ERROR(read_teacher(teacher, task.kind, task.teacher));
  const bool trains = task.training.method != TrainMethod::kHead;
  if (task.kind == TaskKind::kTag && !trains)
    return fail(ErrorCode::kUsage,
                "{}: kind = \"tag\" needs [train] method = \"full\" or \"lora\": vectors of a "
                "frozen encoder are made for whole texts",
                name);
  if (task.kind == TaskKind::kEmbed && !trains)
    return fail(ErrorCode::kUsage,
                "{}: kind = \"embed\" needs [train] method = \"full\" or \"lora\": it is the "
                "encoder that is made",
                name);
  if (task.kind != TaskKind::kTag &&
      (task.training.augment > 0 || task.teacher.training.augment > 0))
    return fail(ErrorCode::kUsage, "{}: [train] augment swaps spans: only kind = \"tag\" has some",
                name);
  if (!trains && (root.contains("student") || root.contains("teacher")))
    return fail(ErrorCode::kUsage,
                "{}: [student] and [teacher] need [train] method = \"full\": a frozen encoder "
                "learns from nobody",
                name);

  Section head = section("head");
  std::int64_t folds = task.folds;
  if (task.kind != TaskKind::kEmbed) {
    TACK_RETURN_IF_ERROR(head.read("c", task.c));
    TACK_RETURN_IF_ERROR(head.read("folds", 2, 100, folds));
  }
  TACK_RETURN_IF_ERROR(head.finish());
  task.folds = static_cast<int>(folds);

  Section calibration = section("calibration");
  if (task.kind == TaskKind::kClassify || task.kind == TaskKind::kTag)
    TACK_RETURN_IF_ERROR(calibration.read("false_alarms", 0, 0.5, task.false_alarms));
  TACK_RETURN_IF_ERROR(calibration.finish());

  Section gate = section("gate");
  double floor = 0;
  std::string baseline;
  TACK_RETURN_IF_ERROR(gate.read("floor", 0, 1, floor));
  TACK_RETURN_IF_ERROR(gate.read("baseline", baseline));
  TACK_RETURN_IF_ERROR(gate.read("margin", -1, 1, task.gate.margin));
  TACK_RETURN_IF_ERROR(gate.finish());
  if (gate.has("floor")) task.gate.floor = floor;
  if (gate.has("baseline")) task.gate.baseline = baseline;
  if (gate.has("floor") && gate.has("baseline"))
    return gate.wrong("baseline", "left out when there is a floor");
  return {};
}

// Replaces ${NAME}; what is relative then is relative to the file.
Result<std::string> resolve_path(const std::string& text, const std::filesystem::path& directory,
                                 std::string_view name) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (!text.substr(at).starts_with("${")) {
      out += text[at++];
      continue;
    }
    const std::size_t end = text.find('}', at);
    if (end == std::string::npos)
      return fail(ErrorCode::kUsage, "{}: '{}': the brace after $ is not closed", name, text);
    const std::string variable = text.substr(at + 2, end - at - 2);
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr)
      return fail(ErrorCode::kUsage, "{}: '{}' needs the environment variable {}", name, text,
                  variable);
    out += value;
    at = end + 1;
  }
  if (out.empty() || out == "-" || std::filesystem::path(out).is_absolute()) return out;
  return (directory / out).lexically_normal().string();
}

// "train.seed=2": the value as TOML, or as a text when it is none.
Status apply_override(const std::string& text, toml::table& root) {
  const auto dot = text.find('.'), equals = text.find('=');
  if (dot == std::string::npos || equals == std::string::npos || dot > equals || dot == 0 ||
      equals == dot + 1)
    return fail(ErrorCode::kUsage, "--set {}: expected SECTION.KEY=VALUE", text);
  const std::string section = text.substr(0, dot), key = text.substr(dot + 1, equals - dot - 1),
                    value = text.substr(equals + 1);
  if (root.get(section) == nullptr) root.insert(section, toml::table{});
  toml::table* const table = root.get(section)->as_table();
  if (table == nullptr) return fail(ErrorCode::kUsage, "--set {}: no such section", text);
  try {
    const toml::table parsed = toml::parse("value = " + value);
    table->insert_or_assign(key, *parsed.get("value"));
  } catch (const toml::parse_error&) {
    table->insert_or_assign(key, value);
  }
  return {};
}

}  // namespace

Result<Task> parse_task(std::string_view text, std::string_view name,
                        const std::vector<std::string>& overrides) {
  Task task;
  try {
    toml::table root = toml::parse(text, name);
    for (const std::string& override : overrides)
      TACK_RETURN_IF_ERROR(apply_override(override, root));
    TACK_RETURN_IF_ERROR(read_sections(root, name, task));
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::kUsage, "{}: line {}, column {}: {}", name, error.source().begin.line,
                error.source().begin.column, error.description());
  }
  return task;
}

Result<Task> read_task(const std::filesystem::path& path,
                       const std::vector<std::string>& overrides) {
  constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
  TACK_TRY(const std::string text, read_file(path, kMaxBytes));
  TACK_TRY(Task task, parse_task(text, path.string(), overrides));
  const std::filesystem::path directory = path.parent_path();
  TACK_TRY(task.train.path, resolve_path(task.train.path, directory, path.string()));
  TACK_TRY(task.validation, resolve_path(task.validation, directory, path.string()));
  TACK_TRY(task.test, resolve_path(task.test, directory, path.string()));
  TACK_TRY(task.teacher.unlabelled,
           resolve_path(task.teacher.unlabelled, directory, path.string()));
  // A model with a slash is a path, else a short name.
  for (std::string* model : {&task.base, &task.teacher.model, &task.teacher.base,
                             task.gate.baseline ? &*task.gate.baseline : nullptr})
    if (model != nullptr && (model->contains('/') || model->contains('$'))) {
      TACK_TRY(*model, resolve_path(*model, directory, path.string()));
    }
  if (task.name.empty()) task.name = path.stem().string();
  return task;
}

}  // namespace tack
