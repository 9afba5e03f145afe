#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include <fmt/ranges.h>
#include <toml++/toml.h>

#include "base/atomic_file.h"
#include "base/nearest.h"
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

  // Texts in a list.
  Status read(const char* key, std::vector<std::string>& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return {};
    std::vector<std::string> values;
    if (const toml::array* array = node->as_array())
      for (const toml::node& element : *array)
        if (auto value = element.value_exact<std::string>(); value && !value->empty())
          values.push_back(*std::move(value));
    if (values.empty() || values.size() != node->as_array()->size())
      return wrong(*node, key, "a list of texts in quotes");
    out = std::move(values);
    return {};
  }

  // A text, alone or several in a list.
  Status read_one_or_more(const char* key, std::vector<std::string>& out) {
    const toml::node* node = find(key);
    if (node == nullptr || node->is_array()) return read(key, out);
    std::string one;
    TACK_RETURN_IF_ERROR(read(key, one));
    if (one.empty()) return wrong(*node, key, "a text in quotes, or a list of them");
    out = {std::move(one)};
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
    const std::vector<std::string> known(known_.begin(), known_.end());
    for (const auto& [key, node] : *table_)
      if (!known_.contains(std::string(key.str())))
        return fail(ErrorCode::kUsage, "{}: line {}: unknown key '{}' in [{}]; known are: {}{}",
                    file_, node.source().begin.line, key.str(), name_, fmt::join(known, ", "),
                    did_you_mean(key.str(), known));
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
  TACK_RETURN_IF_ERROR(section.read("length", 64, 4096, train.length));
  TACK_RETURN_IF_ERROR(section.read("overlap", 0, 2048, train.overlap));
  TACK_RETURN_IF_ERROR(section.read("average", 0, 0.999999, loop.average));
  TACK_RETURN_IF_ERROR(section.read("patience", 0, 10000, loop.patience));
  TACK_RETURN_IF_ERROR(section.read("validation", 0.01, 0.5, train.validation));
  TACK_RETURN_IF_ERROR(section.read("seed", 0, INT32_MAX, seed));
  TACK_RETURN_IF_ERROR(section.read("bf16", loop.bf16));
  TACK_RETURN_IF_ERROR(section.read("recompute", loop.recompute));
  TACK_RETURN_IF_ERROR(section.read("checkpoint_seconds", 0, 1e6, loop.checkpoint_seconds));
  loop.adamw.decay = static_cast<float>(decay);
  loop.adamw.clip = static_cast<float>(clip);
  loop.seed = static_cast<std::uint64_t>(seed);
  return {};
}

// The type that weights are trained in is that of the result.
Status read_quantize(Section& train, bool has_type, Task& task) {
  TrainSettings& settings = task.training;
  const auto choice = [](const char* type) { return std::pair{type, std::string(type)}; };
  TACK_RETURN_IF_ERROR(train.read("quantize",
                                  {choice("q8_0"), choice("q4_0"), choice("q4_1"), choice("q5_0"),
                                   choice("q5_1"), choice("q4_k"), choice("q5_k"), choice("q6_k")},
                                  settings.quantize));
  TACK_RETURN_IF_ERROR(train.read("quantize_after", 0, 1, settings.quantize_after));
  if (!train.has("quantize"))
    return train.has("quantize_after")
               ? train.wrong("quantize_after", "left out unless there is quantize")
               : Status();
  if (settings.method != TrainMethod::kFull || !settings.embeddings)
    return train.wrong("quantize", "left out unless method = \"full\", with embeddings");
  if (has_type)
    return train.wrong("quantize", "left out when [model] has a type: it is the result's type");
  task.type = settings.quantize;
  return {};
}

Status read_inner(Section& section, InnerSettings& inner) {
  TACK_RETURN_IF_ERROR(section.read("hidden", 0, 1e6, inner.hidden));
  TACK_RETURN_IF_ERROR(section.read(
      "hidden_loss", {std::pair{"mse", false}, std::pair{"cosine", true}}, inner.cosine));
  TACK_RETURN_IF_ERROR(section.read("layers", inner.layers));
  TACK_RETURN_IF_ERROR(section.read("relations", 0, 1e6, inner.relations));
  TACK_RETURN_IF_ERROR(section.read("relation_heads", 1, 1024, inner.relation_heads));
  TACK_RETURN_IF_ERROR(section.read("relation_layer", 0, 511, inner.relation_layer));
  for (const char* key : {"hidden_loss", "layers"})
    if (section.has(key) && inner.hidden == 0)
      return section.wrong(key, "left out unless hidden is above 0");
  for (const char* key : {"relation_heads", "relation_layer"})
    if (section.has(key) && inner.relations == 0)
      return section.wrong(key, "left out unless relations is above 0");
  return {};
}

Status read_teacher(Section& section, TaskKind kind, TeacherSettings& teacher) {
  teacher.training.method = TrainMethod::kFull;
  std::string model;
  TACK_RETURN_IF_ERROR(section.read("model", model));
  TACK_RETURN_IF_ERROR(section.read("models", teacher.models));
  if (!model.empty() && !teacher.models.empty())
    return section.wrong("models", "left out when there is a model");
  if (!model.empty()) teacher.models = {model};
  // Of a teacher that is trained on pairs, [teacher] temperature is that of its training.
  if (kind != TaskKind::kEmbed) {
    TACK_RETURN_IF_ERROR(section.read("temperature", 0.1, 100, teacher.temperature));
    TACK_RETURN_IF_ERROR(section.read("unlabelled", teacher.unlabelled));
  }
  TACK_RETURN_IF_ERROR(section.read("labels", 0, 1, teacher.labels));
  TACK_RETURN_IF_ERROR(section.read("variants", 0, 100, teacher.variants));
  TACK_RETURN_IF_ERROR(read_inner(section, teacher.inner));
  // A teacher that exists is not trained: keys for that would be ignored.
  if (teacher.models.empty()) {
    TACK_RETURN_IF_ERROR(section.read("count", 1, 100, teacher.count));
    TACK_RETURN_IF_ERROR(section.read("base", teacher.base));
    TACK_RETURN_IF_ERROR(read_train(section, kind, teacher.training));
  }
  return section.finish();
}

Status read_student(Section& section, StudentShape& student) {
  std::vector<std::int64_t> layers;
  TACK_RETURN_IF_ERROR(section.read("layers", layers));
  if (layers.size() == 1)
    student.layer_count = layers.front();
  else
    student.layers = layers;
  TACK_RETURN_IF_ERROR(section.read("width", 32, 65536, student.width));
  TACK_RETURN_IF_ERROR(section.read("ffn", 32, 131072, student.ffn));
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

// What [data] and [heads.NAME] have in common. Questions have no columns of text and label, pairs
// have a label only where it says which texts belong together.
Status read_rows(Section& section, TaskKind kind, DataSource& train, std::string& validation,
                 std::string& test) {
  TACK_RETURN_IF_ERROR(section.read("train", train.path));
  TACK_RETURN_IF_ERROR(section.read("validation", validation));
  TACK_RETURN_IF_ERROR(section.read("test", test));
  if (kind != TaskKind::kSpan) TACK_RETURN_IF_ERROR(section.read("text", train.text));
  const bool labelled =
      kind != TaskKind::kSpan && (kind != TaskKind::kEmbed || train.pairs.kind == PairKind::kLabel);
  if (labelled) TACK_RETURN_IF_ERROR(section.read("label", train.label));
  // A row of any number of labels that belongs to none has none.
  if (labelled && kind != TaskKind::kMultilabel)
    TACK_RETURN_IF_ERROR(section.read("oos_label", train.oos_label));
  std::string format = "auto";
  TACK_RETURN_IF_ERROR(section.read("format", format));
  if (!section.has("format")) return {};
  const auto parsed = parse_row_format(format);
  if (!parsed) return section.wrong("format", "auto, csv, tsv, jsonl, json, text or conll");
  train.format = *parsed;
  return {};
}

Status read_gate(Section& section, GateRule& gate) {
  double floor = 0;
  std::string baseline;
  TACK_RETURN_IF_ERROR(section.read("floor", 0, 1, floor));
  TACK_RETURN_IF_ERROR(section.read("baseline", baseline));
  TACK_RETURN_IF_ERROR(section.read("margin", -1, 1, gate.margin));
  TACK_RETURN_IF_ERROR(section.read("confidence", 0.5, 0.999, gate.confidence));
  if (section.has("floor")) gate.floor = floor;
  if (section.has("baseline")) gate.baseline = baseline;
  if (section.has("floor") && section.has("baseline"))
    return section.wrong("baseline", "left out when there is a floor");
  return {};
}

// Fit for columns of CSV, names of files and flags.
bool is_head_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

// [heads.NAME], in the order of the file. The task's rows are read by now: heads inherit them.
Status read_heads(const toml::table& heads, std::string_view file, Task& task) {
  for (const auto& [key, node] : heads) {
    const std::string name(key.str());
    const toml::table* table = node.as_table();
    if (table == nullptr)
      return fail(ErrorCode::kUsage, "{}: line {}: [heads] has one section a head: [heads.{}]",
                  file, node.source().begin.line, name);
    if (!is_head_name(name))
      return fail(ErrorCode::kUsage,
                  "{}: line {}: a head's name has letters, digits, '_' and '-', at most 64: '{}'",
                  file, node.source().begin.line, name);
    Section section(table, "heads." + name, file);
    HeadTask head{name, task.train, task.validation, task.test, 1, {}};
    TACK_RETURN_IF_ERROR(
        read_rows(section, TaskKind::kClassify, head.train, head.validation, head.test));
    TACK_RETURN_IF_ERROR(section.read("weight", 1e-6, 1e6, head.weight));
    TACK_RETURN_IF_ERROR(read_gate(section, head.gate));
    TACK_RETURN_IF_ERROR(section.finish());
    if (head.train.path.empty())
      return fail(ErrorCode::kUsage,
                  "{}: line {}: [heads.{}] train is missing, and [data] has none either", file,
                  node.source().begin.line, name);
    task.heads.push_back(std::move(head));
  }
  std::ranges::stable_sort(task.heads, {}, [&](const HeadTask& head) {
    return heads.get(head.name)->source().begin.line;
  });
  if (task.heads.size() < 2)
    return fail(ErrorCode::kUsage,
                "{}: [heads] has {} of them; they are for two or more, one question needs none",
                file, task.heads.size());
  return {};
}

// [model] of kind = "generate": a base, or the sizes of a decoder from scratch.
Status read_decoder(Section& model, std::string_view name, Task& task) {
  GenerateSettings& sizes = task.generate;
  const char* type = "f16";
  TACK_RETURN_IF_ERROR(model.read("base", task.base));
  TACK_RETURN_IF_ERROR(model.read(
      "type", {std::pair{"bf16", "bf16"}, std::pair{"f16", "f16"}, std::pair{"f32", "f32"}}, type));
  task.type = type;
  if (!task.base.empty()) return model.finish();
  TACK_RETURN_IF_ERROR(
      model.read("architecture", {std::pair{"llama", std::string("llama")}}, sizes.architecture));
  TACK_RETURN_IF_ERROR(model.read("layers", 1, 512, sizes.layers));
  TACK_RETURN_IF_ERROR(model.read("d", 8, 65536, sizes.d));
  TACK_RETURN_IF_ERROR(model.read("heads", 1, 1024, sizes.heads));
  TACK_RETURN_IF_ERROR(model.read("kv_heads", 1, 1024, sizes.kv_heads));
  TACK_RETURN_IF_ERROR(model.read("ff", 8, 1 << 20, sizes.ff));
  TACK_RETURN_IF_ERROR(model.read("context", 8, 1 << 20, sizes.context));
  TACK_RETURN_IF_ERROR(model.read("tied", sizes.tied));
  TACK_RETURN_IF_ERROR(model.read("rope_base", 1, 1e9, sizes.rope_base));
  TACK_RETURN_IF_ERROR(model.read("tokenizer", sizes.tokenizer));
  // 256 bytes and what ends a text.
  if (sizes.tokenizer.empty()) TACK_RETURN_IF_ERROR(model.read("vocab", 257, 1 << 20, sizes.vocab));
  TACK_RETURN_IF_ERROR(model.finish());
  for (const auto& [key, value] : {std::pair{"layers", sizes.layers}, std::pair{"d", sizes.d},
                                   std::pair{"heads", sizes.heads}, std::pair{"ff", sizes.ff}})
    if (value == 0)
      return fail(ErrorCode::kUsage,
                  "{}: [model] {} is missing: a decoder from scratch needs layers, d, heads and ff "
                  "(or base, a decoder to go on from)",
                  name, key);
  if (sizes.d % sizes.heads != 0 || sizes.d / sizes.heads % 2 != 0)
    return fail(ErrorCode::kUsage, "{}: [model] d = {} is no even multiple of heads = {}", name,
                sizes.d, sizes.heads);
  if (sizes.kv_heads == 0) sizes.kv_heads = sizes.heads;
  if (sizes.heads % sizes.kv_heads != 0)
    return fail(ErrorCode::kUsage, "{}: [model] heads = {} is no multiple of kv_heads = {}", name,
                sizes.heads, sizes.kv_heads);
  return {};
}

// [train] of kind = "generate".
Status read_pretraining(Section& train, std::string_view name, Task& task) {
  TrainSettings& settings = task.training;
  TrainerOptions& loop = settings.loop;
  settings.method = TrainMethod::kFull;
  loop.schedule = Schedule::kCosine;
  loop.rate = task.base.empty() ? 1e-3 : 1e-4;
  loop.warmup = 0.05;
  loop.dropout = 0;
  loop.adamw.beta2 = 0.95F;
  double decay = 0.1, clip = 1;
  auto seed = static_cast<std::int64_t>(loop.seed);
  // Of a base, whose context is not known yet: 0.
  settings.length = task.base.empty() ? std::min<std::int64_t>(task.generate.context, 512) : 0;
  TACK_RETURN_IF_ERROR(train.read("epochs", 1, 100000, loop.epochs));
  TACK_RETURN_IF_ERROR(train.read("steps", 1, INT32_MAX, loop.steps));
  if (train.has("epochs") && train.has("steps"))
    return train.wrong("steps", "left out when there are epochs");
  TACK_RETURN_IF_ERROR(train.read("batch_tokens", 1, 1 << 24, task.generate.batch_tokens));
  TACK_RETURN_IF_ERROR(train.read("length", 4, 1 << 20, settings.length));
  TACK_RETURN_IF_ERROR(train.read("rate", 1e-8, 1, loop.rate));
  TACK_RETURN_IF_ERROR(train.read("warmup", 0, 1, loop.warmup));
  TACK_RETURN_IF_ERROR(
      train.read("schedule",
                 {std::pair{"constant", Schedule::kConstant},
                  std::pair{"linear", Schedule::kLinear}, std::pair{"cosine", Schedule::kCosine}},
                 loop.schedule));
  TACK_RETURN_IF_ERROR(train.read("decay", 0, 1, decay));
  TACK_RETURN_IF_ERROR(train.read("clip", 0, 1e9, clip));
  TACK_RETURN_IF_ERROR(train.read("dropout", 0, 0.9, loop.dropout));
  TACK_RETURN_IF_ERROR(train.read("average", 0, 0.999999, loop.average));
  TACK_RETURN_IF_ERROR(train.read("patience", 0, 10000, loop.patience));
  TACK_RETURN_IF_ERROR(train.read("validation", 0.0001, 0.5, settings.validation));
  TACK_RETURN_IF_ERROR(train.read("seed", 0, INT32_MAX, seed));
  TACK_RETURN_IF_ERROR(train.read("bf16", loop.bf16));
  TACK_RETURN_IF_ERROR(train.read("recompute", loop.recompute));
  TACK_RETURN_IF_ERROR(train.read("checkpoint_seconds", 0, 1e6, loop.checkpoint_seconds));
  TACK_RETURN_IF_ERROR(train.finish());
  if (task.base.empty() && settings.length > task.generate.context)
    return fail(ErrorCode::kUsage, "{}: [train] length = {} is more than [model] context = {}",
                name, settings.length, task.generate.context);
  loop.adamw.decay = static_cast<float>(decay);
  loop.adamw.clip = static_cast<float>(clip);
  loop.seed = static_cast<std::uint64_t>(seed);
  return {};
}

// What follows [task] of kind = "generate": there are no labels, so most sections have no meaning.
Status read_generate(const toml::table& root, std::string_view name, Task& task) {
  for (const auto& [key, node] : root)
    if (const auto text = key.str();
        text != "task" && text != "data" && text != "model" && text != "train")
      return fail(ErrorCode::kUsage,
                  "{}: line {}: kind = \"generate\" has no [{}]; it has task, data, model, train",
                  name, node.source().begin.line, text);
  const auto section = [&](const char* key) {
    const toml::node* node = root.get(key);
    return Section(node == nullptr ? nullptr : node->as_table(), key, name);
  };
  Section data = section("data");
  std::int64_t seed = 1;
  task.split_test = 0.05;
  task.training.validation = 0.05;
  TACK_RETURN_IF_ERROR(data.read_one_or_more("train", task.generate.train));
  TACK_RETURN_IF_ERROR(data.read("validation", task.validation));
  TACK_RETURN_IF_ERROR(data.read("test", task.test));
  TACK_RETURN_IF_ERROR(data.read("licence", task.licence));
  TACK_RETURN_IF_ERROR(data.read("split_test", 0.0001, 0.9, task.split_test));
  TACK_RETURN_IF_ERROR(data.read("split_seed", 0, INT64_MAX, seed));
  TACK_RETURN_IF_ERROR(data.finish());
  task.split_seed = static_cast<std::uint64_t>(seed);
  if (task.generate.train.empty())
    return fail(ErrorCode::kUsage, "{}: [data] train is missing: a file of plain text, or several",
                name);
  Section model = section("model"), train = section("train");
  TACK_RETURN_IF_ERROR(read_decoder(model, name, task));
  return read_pretraining(train, name, task);
}

Status read_sections(const toml::table& root, std::string_view name, Task& task) {
  constexpr std::array<std::string_view, 10> kSections = {
      "task",    "data", "model",       "train", "student",
      "teacher", "head", "calibration", "gate",  "heads"};
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
       std::pair{"tag", TaskKind::kTag}, std::pair{"span", TaskKind::kSpan},
       std::pair{"embed", TaskKind::kEmbed}, std::pair{"generate", TaskKind::kGenerate}},
      task.kind));
  TACK_RETURN_IF_ERROR(head_line.finish());
  if (task.kind == TaskKind::kGenerate) return read_generate(root, name, task);

  Section data = section("data");
  std::int64_t seed = 1;
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
  TACK_RETURN_IF_ERROR(read_rows(data, task.kind, task.train, task.validation, task.test));
  if (task.kind == TaskKind::kSpan)
    TACK_RETURN_IF_ERROR(data.read("limit", 1, INT32_MAX, task.limit));
  TACK_RETURN_IF_ERROR(data.read("licence", task.licence));
  TACK_RETURN_IF_ERROR(data.read("split_test", 0.01, 0.9, task.split_test));
  TACK_RETURN_IF_ERROR(data.read("split_seed", 0, INT64_MAX, seed));
  TACK_RETURN_IF_ERROR(data.finish());
  task.split_seed = static_cast<std::uint64_t>(seed);
  if (root.contains("heads")) {
    if (task.kind != TaskKind::kClassify)
      return fail(ErrorCode::kUsage, "{}: [heads] need kind = \"classify\"", name);
    TACK_RETURN_IF_ERROR(read_heads(*root.get("heads")->as_table(), name, task));
  } else if (task.train.path.empty()) {
    return fail(ErrorCode::kUsage, "{}: [data] train is missing: the file with the labelled rows",
                name);
  }

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
  TACK_RETURN_IF_ERROR(read_quantize(train, model.has("type"), task));
  TACK_RETURN_IF_ERROR(train.finish());

  Section student = section("student");
  TACK_RETURN_IF_ERROR(read_student(student, task.student));
  Section teacher = section("teacher");
  task.teacher.wanted = root.contains("teacher");
  TACK_RETURN_IF_ERROR(read_teacher(teacher, task.kind, task.teacher));
  const bool trains = task.training.method != TrainMethod::kHead;
  if ((task.kind == TaskKind::kTag || task.kind == TaskKind::kSpan) && !trains)
    return fail(ErrorCode::kUsage,
                "{}: kind = \"{}\" needs [train] method = \"full\" or \"lora\": vectors of a "
                "frozen encoder are made for whole texts",
                name, task_kind_name(task.kind));
  if (task.kind == TaskKind::kEmbed && !trains)
    return fail(ErrorCode::kUsage,
                "{}: kind = \"embed\" needs [train] method = \"full\" or \"lora\": it is the "
                "encoder that is made",
                name);
  if (task.kind != TaskKind::kSpan &&
      (task.training.length > 0 || task.teacher.training.length > 0))
    return fail(ErrorCode::kUsage,
                "{}: [train] length is of windows: only kind = \"span\" has some", name);
  if (task.kind != TaskKind::kTag &&
      (task.training.augment > 0 || task.teacher.training.augment > 0))
    return fail(ErrorCode::kUsage, "{}: [train] augment swaps spans: only kind = \"tag\" has some",
                name);
  const bool one_label = task.kind == TaskKind::kClassify && task.heads.empty();
  if (!one_label &&
      (task.teacher.models.size() > 1 || task.teacher.count > 1 || task.teacher.variants > 0))
    return fail(
        ErrorCode::kUsage,
        "{}: [teacher] models, count and variants are for kind = \"classify\" with one head; "
        "this task has one teacher (a tagger has [train] augment for more texts)",
        name);
  if (!one_label && task.kind != TaskKind::kTag && task.teacher.inner.any())
    return fail(ErrorCode::kUsage,
                "{}: [teacher] hidden and relations are for kind = \"tag\" and for kind = "
                "\"classify\" with one head; leave them out",
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
  TACK_RETURN_IF_ERROR(read_gate(gate, task.gate));
  return gate.finish();
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

// "train.seed=2": the value as TOML, or as a text when it is none. "heads.NAME.weight=2" too.
Status apply_override(const std::string& text, toml::table& root) {
  const auto equals = text.find('=');
  const auto dot = text.rfind('.', equals);
  if (dot == std::string::npos || equals == std::string::npos || dot == 0 || equals == dot + 1)
    return fail(ErrorCode::kUsage, "--set {}: expected SECTION.KEY=VALUE", text);
  const std::string section = text.substr(0, dot), key = text.substr(dot + 1, equals - dot - 1),
                    value = text.substr(equals + 1);
  toml::table* table = &root;
  for (std::size_t at = 0; table != nullptr && at <= section.size();) {
    const std::size_t end = std::min(section.find('.', at), section.size());
    const std::string name = section.substr(at, end - at);
    if (table->get(name) == nullptr) table->insert(name, toml::table{});
    table = table->get(name)->as_table();
    at = end + 1;
  }
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
  std::vector<std::string*> files = {&task.train.path, &task.validation, &task.test,
                                     &task.teacher.unlabelled};
  for (std::string& file : task.generate.train) files.push_back(&file);
  std::vector<std::string*> models = {&task.base, &task.teacher.base, &task.generate.tokenizer,
                                      task.gate.baseline ? &*task.gate.baseline : nullptr};
  for (HeadTask& head : task.heads) {
    files.insert(files.end(), {&head.train.path, &head.validation, &head.test});
    if (head.gate.baseline) models.push_back(&*head.gate.baseline);
  }
  for (std::string* file : files) {
    TACK_TRY(*file, resolve_path(*file, directory, path.string()));
  }
  // A model with a slash is a path, else a short name.
  for (std::string& model : task.teacher.models) models.push_back(&model);
  for (std::string* model : models)
    if (model != nullptr && (model->contains('/') || model->contains('$'))) {
      TACK_TRY(*model, resolve_path(*model, directory, path.string()));
    }
  if (task.name.empty()) task.name = path.stem().string();
  return task;
}

}  // namespace tack
