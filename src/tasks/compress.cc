#include "tasks/compress.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/atomic_file.h"
#include "base/cpu.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/mapped_file.h"
#include "compress/prune_vocabulary.h"
#include "compress/prune_width.h"
#include "compress/quantize.h"
#include "models/layers.h"
#include "models/width_cut.h"
#include "tasks/artifact.h"
#include "tasks/features.h"
#include "tasks/predictor.h"
#include "tensor/block_parts.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

std::string megabytes(std::size_t bytes) {
  return fmt::format("{:.2f} MB", static_cast<double>(bytes) / 1e6);
}

std::size_t bytes_of(const fs::path& path) {
  std::error_code ignored;
  return fs::file_size(path, ignored);
}

constexpr std::string_view kMetricsKey = "tack.metrics", kLineageKey = "tack.lineage";

// What the keys that the result gets anew take in a file that has them already.
std::size_t evidence_bytes(const GgufFile& file) {
  std::size_t bytes = 0;
  for (std::string_view key : {kMetricsKey, kLineageKey})
    if (const auto text = file.string_or(key, "")) bytes += text->size();
  return bytes;
}

// What was made and measured, in a directory beside the result. A search with other inputs begins
// anew; a directory of anything else is left alone.
class Journal {
 public:
  static Result<Journal> open(const fs::path& directory, const std::string& inputs) {
    Journal journal;
    journal.path_ = directory / "journal.json";
    std::error_code error;
    if (fs::exists(journal.path_, error)) {
      TACK_TRY(const std::string text, read_file(journal.path_));
      auto json = parse_json(text, journal.path_.string());
      if (json && json->is_object() && json->value("inputs", "") == inputs) {
        journal.json_ = std::move(*json);
        journal.resumed_ = true;
        return journal;
      }
      fs::remove_all(directory, error);
      if (error)
        return fail("cannot remove the directory {}: {}", directory.string(), error.message());
    } else if (fs::exists(directory, error) && !fs::is_empty(directory, error)) {
      return fail(ErrorCode::kUsage,
                  "{} is there and no search's: remove it, or choose another --out",
                  directory.string());
    }
    fs::create_directories(directory, error);
    if (error) return fail("cannot make the directory {}: {}", directory.string(), error.message());
    journal.json_ = {{"inputs", inputs}, {"measured", Json::object()}};
    TACK_RETURN_IF_ERROR(write_file(journal.path_, to_text(journal.json_, 1)));
    return journal;
  }

  bool resumed() const { return resumed_; }

  const Json* find(const std::string& name) const {
    const auto found = json_["measured"].find(name);
    return found == json_["measured"].end() ? nullptr : &*found;
  }
  Status add(const std::string& name, Json measured) {
    json_["measured"][name] = std::move(measured);
    return write_file(path_, to_text(json_, 1));
  }

 private:
  fs::path path_;
  Json json_;
  bool resumed_ = false;
};

Json to_json(const Candidate& c) {
  return {{"bytes", c.bytes},
          {"quality", c.quality},
          {"p50_us", c.p50_us},
          {"texts_per_second", c.texts_per_second}};
}
Candidate from_json(const Recipe& recipe, const Json& json) {
  return {.recipe = recipe,
          .bytes = json.value("bytes", std::size_t{0}),
          .quality = json.value("quality", 0.0),
          .p50_us = json.value("p50_us", 0.0),
          .texts_per_second = json.value("texts_per_second", 0.0)};
}

// Bytes of a file as what layers, tokens and the rest have of it.
struct Parts {
  std::size_t rest = 0;
  double layer = 0, channel = 0, token = 0;  // one of them; a layer without its channels

  std::size_t predict(std::int64_t layers, std::int64_t ffn, std::int64_t tokens) const {
    const double whole_layer = layer + channel * static_cast<double>(ffn);
    return rest + static_cast<std::size_t>(whole_layer * static_cast<double>(layers) +
                                           token * static_cast<double>(tokens));
  }
};
Parts parts_of(const Model& model) {
  Parts parts;
  std::size_t tensors = 0;
  for (const GgufTensor& tensor : model.gguf()->tensors()) {
    const std::size_t bytes = tensor.view.bytes.size();
    tensors += bytes;
    if (tensor.name.starts_with("blk.") && tensor.name.find(".ffn_") != std::string::npos)
      parts.channel += static_cast<double>(bytes);
    else if (tensor.name.starts_with("blk."))
      parts.layer += static_cast<double>(bytes);
    else if (tensor.name == "token_embd.weight")
      parts.token += static_cast<double>(bytes);
    else
      parts.rest += bytes;
  }
  const auto layers = static_cast<double>(layer_count(model));
  parts.layer /= layers;
  parts.channel /= layers * static_cast<double>(layer_width(model).ffn);
  // Nearly all metadata is the vocabulary.
  parts.token += static_cast<double>(model.file_bytes() - tensors);
  parts.token /= static_cast<double>(model.vocab_size());
  return parts;
}

bool in_blocks(const Model& model) {
  return std::ranges::any_of(model.graph().weights(), [&](const graph::Weight& weight) {
    return info(model.tensor(weight).dtype).block_elements > 1;
  });
}

// The layers to try, most first.
Result<std::vector<std::int64_t>> layers_to_try(const Model& model,
                                                const std::vector<std::int64_t>& wanted) {
  const std::int64_t all = layer_count(model);
  std::set<std::int64_t, std::greater<>> layers = {all, (all + 1) / 2, (all + 2) / 3, 1};
  if (!wanted.empty()) layers = {wanted.begin(), wanted.end()};
  for (std::int64_t count : layers)
    if (count < 1 || count > all)
      return fail(ErrorCode::kUsage, "{} layers: {} has {}", count, model.name(), all);
  return std::vector(layers.begin(), layers.end());
}

// Feed-forward sizes to try, the widest first; 0 is as it is.
Result<std::vector<std::int64_t>> ffn_to_try(const Model& model,
                                             const std::vector<std::int64_t>& wanted) {
  constexpr std::int64_t kUnit = 32;  // a block of any type that is tried by itself
  const std::int64_t whole = layer_width(model).ffn, half = whole / 2 / kUnit * kUnit;
  if (wanted.empty()) return std::vector<std::int64_t>{0, half};
  std::set<std::int64_t, std::greater<>> sizes;
  for (std::int64_t size : wanted) {
    if (size < kUnit || size > whole || size % kUnit != 0)
      return fail(ErrorCode::kUsage, "--ffn {}: {} has {}; choose multiples of {} up to that", size,
                  model.name(), whole, kUnit);
    sizes.insert(size);
  }
  std::vector<std::int64_t> list(sizes.begin(), sizes.end());
  std::ranges::replace(list, whole, std::int64_t{0});
  return list;
}

bool meets(const Candidate& one, const CompressLimits& limits, double original) {
  return (!limits.bytes || one.bytes <= *limits.bytes) &&
         (!limits.latency_us || one.p50_us <= *limits.latency_us) &&
         (!limits.max_drop || one.quality >= original - *limits.max_drop);
}

class Search {
 public:
  Search(const Task& task, const CompressOptions& options, CompressResult& result)
      : task_(task),
        options_(options),
        result_(result),
        work_(options.out.string() + (options.dry_run ? ".dry" : ".search")) {
    threads_ = options.threads > 0 ? options.threads : cpu_info().logical_cores;
  }

  Status run() {
    TACK_TRY(model_, Model::open(options_.model));
    if (model_->gguf() == nullptr)
      return fail(ErrorCode::kUsage, "{}: compress takes a GGUF file", options_.model.string());
    if (in_blocks(*model_) && !options_.requantize)
      return fail(ErrorCode::kUsage,
                  "{}: its matrices are in blocks already, and what that lost stays lost; take the "
                  "model in f16 or f32 (build it with [model] type = \"f16\"), or say --requantize",
                  options_.model.string());
    TACK_RETURN_IF_ERROR(make_kind());
    result_.validation_rows = kind_->summary().validation.rows;
    result_.gate_rows = kind_->summary().test.rows;
    TACK_RETURN_IF_ERROR(open_journal());
    TACK_RETURN_IF_ERROR(make_plan());
    if (options_.dry_run) {
      std::error_code ignored;
      fs::remove_all(work_, ignored);
      return {};
    }
    TACK_RETURN_IF_ERROR(explore());
    return decide();
  }

 private:
  void say(const std::string& line) {
    if (options_.message) options_.message(line);
  }

  Status make_kind() {
    CompressKindOptions kind{.original = model_,
                             .training = task_.training,
                             .temperature = task_.teacher.temperature,
                             .labels = task_.teacher.labels,
                             .threads = threads_,
                             .message = options_.message};
    if (task_.kind == TaskKind::kEmbed) {
      TACK_TRY(kind_, compress_embedder(task_, kind));
    } else {
      BuildResult rows;
      TACK_TRY(data_, read_data(task_, rows));
      say(describe_data(task_, rows));
      if (task_.kind == TaskKind::kTag) {
        TACK_TRY(kind_, compress_tagger(task_, data_, kind));
      } else {
        TACK_TRY(kind_, compress_classifier(task_, data_, kind));
      }
    }
    result_.measure = kind_->measure_name();
    return {};
  }

  Status open_journal() {
    TACK_TRY(const auto file, MappedFile::open(options_.model));
    const DataSummary& rows = kind_->summary();
    const std::string inputs = sha256_hex(
        fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", sha256_hex(file.text()), rows.train.sha256,
                    rows.validation.sha256, task_.name, task_.false_alarms, threads_,
                    to_text(task_.training.to_json()), to_text(task_.teacher.to_json())));
    TACK_TRY(journal_, Journal::open(work_, inputs));
    result_.resumed = journal_->resumed();
    if (result_.resumed) say("going on with what " + work_.string() + " has");
    return {};
  }

  // Sizes of vocabularies: all, twice what the texts need, what they need.
  Status choose_tokens() {
    counts_ = count_tokens(model_->tokenizer(), kind_->texts());
    tokens_ = {0};
    TACK_TRY(const KeptVocabulary least, choose_vocabulary(*model_, {.counts = counts_}));
    const auto tight = static_cast<std::int64_t>(least.ids.size());
    const std::int64_t wide = 2 * tight;
    if (wide < model_->vocab_size() * 9 / 10) tokens_.push_back(wide);
    if (tight < model_->vocab_size() * 9 / 10) tokens_.push_back(tight);
    return {};
  }

  Status make_plan() {
    TACK_TRY(const auto layers, layers_to_try(*model_, options_.layers));
    TACK_TRY(const auto sizes, ffn_to_try(*model_, options_.ffn));
    for (std::int64_t count : layers)
      for (std::int64_t size : sizes) shapes_.push_back({.layers = count, .ffn = size});
    TACK_RETURN_IF_ERROR(choose_tokens());
    types_ = options_.types;
    for (const std::string& type : types_) {
      TACK_TRY(const fs::path path, typed({.layers = layer_count(*model_), .type = type}));
      TACK_TRY(const auto model, Model::open(path));
      parts_[type] = parts_of(*model);
    }
    std::ranges::stable_sort(types_, std::greater{}, [&](const std::string& type) {
      return predict({.layers = 1, .type = type});
    });
    for (const Recipe& shape : shapes_)
      for (const std::string& type : types_)
        for (std::int64_t tokens : tokens_) {
          PlannedCandidate planned{.recipe = with(shape, type, tokens)};
          planned.bytes = predict(planned.recipe);
          planned.within = !options_.limits.bytes || planned.bytes <= *options_.limits.bytes;
          result_.plan.push_back(planned);
        }
    const auto smallest = std::ranges::min(result_.plan, {}, &PlannedCandidate::bytes);
    if (options_.limits.bytes && !smallest.within)
      return fail(
          ErrorCode::kUsage,
          "no candidate has at most {}: the smallest, {}, has about {}; name fewer --layers, a "
          "smaller --ffn or smaller --types",
          megabytes(*options_.limits.bytes), smallest.recipe.text(), megabytes(smallest.bytes));
    return {};
  }

  std::size_t predict(const Recipe& recipe) const {
    return parts_.at(recipe.type)
        .predict(recipe.layers, recipe.ffn > 0 ? recipe.ffn : layer_width(*model_).ffn,
                 recipe.tokens > 0 ? recipe.tokens : model_->vocab_size());
  }

  static Recipe with(const Recipe& shape, const std::string& type, std::int64_t tokens = 0) {
    return {.layers = shape.layers, .ffn = shape.ffn, .type = type, .tokens = tokens};
  }

  // The task model in a shape, taught where that is not its own.
  Result<fs::path> shaped(const Recipe& shape) {
    if (shape.layers == layer_count(*model_) && shape.ffn == 0) return options_.model;
    const fs::path path = work_ / (shape.shape_name() + ".gguf");
    if (std::error_code ignored; fs::exists(path, ignored)) return path;
    if (shape.ffn == 0) {
      TACK_RETURN_IF_ERROR(kind_->teach(options_.model, {.layer_count = shape.layers}, "",
                                        shape.shape_text(), path));
      return path;
    }
    TACK_TRY(const fs::path wide, shaped({.layers = shape.layers}));
    TACK_TRY(const auto model, Model::open(wide));
    const TemporaryFile narrow(path, ".narrow");
    TACK_RETURN_IF_ERROR(prune_width(
        *model, kind_->texts(),
        {.ffn = shape.ffn, .threads = threads_, .command = options_.command}, narrow.path()));
    TACK_RETURN_IF_ERROR(kind_->teach(narrow.path(), {}, "", shape.shape_text(), path));
    return path;
  }

  // The same in the recipe's type.
  Result<fs::path> typed(const Recipe& recipe) {
    TACK_TRY(const fs::path from, shaped(recipe));
    Recipe untrimmed = recipe;
    untrimmed.tokens = 0;
    const fs::path path = work_ / (untrimmed.name() + ".gguf");
    if (std::error_code ignored; fs::exists(path, ignored)) return path;
    if (recipe.trained_type) {
      TACK_RETURN_IF_ERROR(kind_->teach(
          from, {}, recipe.type, fmt::format("{} in {}", recipe.shape_text(), recipe.type), path));
    } else if (recipe.type == "int8") {
      TACK_RETURN_IF_ERROR(convert_model(from, path, {.type = "int8", .threads = threads_}));
    } else {
      QuantizeOptions quantize = quantizing();
      quantize.type = recipe.type;
      TACK_RETURN_IF_ERROR(quantize_model(from, path, quantize));
    }
    return path;
  }

  // Calibrated on the training texts.
  QuantizeOptions quantizing() const {
    QuantizeOptions quantize;
    // Sizes are the same whatever the values are.
    quantize.method = options_.dry_run ? QuantizeMethod::kRtn : QuantizeMethod::kGptq;
    if (!options_.dry_run) quantize.text = fmt::format("{}", fmt::join(kind_->texts(), "\n"));
    quantize.text_name = task_.train.path;
    quantize.requantize = options_.requantize;
    quantize.threads = threads_;
    quantize.command = options_.command;
    return quantize;
  }

  // The model with the recipe's tokens, each matrix in the type that serves the budget best.
  Result<fs::path> mixed(const Recipe& recipe) {
    const fs::path path = work_ / (journal_name(recipe) + ".gguf");
    if (std::error_code ignored; fs::exists(path, ignored)) return path;
    TACK_TRY(fs::path source, shaped(recipe));
    const TemporaryFile pruned(path, ".pruned");
    if (recipe.tokens > 0) {
      TACK_TRY(const auto model, Model::open(source));
      TACK_RETURN_IF_ERROR(prune_vocabulary(
          *model, {.counts = counts_, .size = recipe.tokens, .command = options_.command},
          pruned.path()));
      source = pruned.path();
    }
    QuantizeOptions quantize = quantizing();
    TACK_TRY(const auto model, Model::open(source));
    // The metrics of `source` will make place for the result's.
    TACK_TRY(const std::string metrics, model->gguf()->string_or(std::string(kMetricsKey), ""));
    quantize.budget = *options_.limits.bytes + metrics.size() - evidence_;
    TACK_RETURN_IF_ERROR(quantize_model(source, path, quantize));
    return path;
  }

  Result<fs::path> made(const Recipe& recipe) {
    if (recipe.type == kMixed) return mixed(recipe);
    TACK_TRY(const fs::path from, typed(recipe));
    if (recipe.tokens == 0) return from;
    const fs::path path = work_ / (recipe.name() + ".gguf");
    if (std::error_code ignored; fs::exists(path, ignored)) return path;
    TACK_TRY(const auto model, Model::open(from));
    TACK_RETURN_IF_ERROR(prune_vocabulary(
        *model, {.counts = counts_, .size = recipe.tokens, .command = options_.command}, path));
    return path;
  }

  Result<Candidate> measured(const Recipe& recipe, const std::string& name,
                             const std::function<Result<fs::path>()>& make) {
    if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
    if (const Json* known = journal_->find(name)) return from_json(recipe, *known);
    TACK_TRY(const fs::path path, make());
    TACK_TRY(const Trial trial, kind_->measure(path, CompressKind::Rows::kValidation));
    TACK_TRY(const GgufFile file, GgufFile::open(path));
    const Candidate candidate{.recipe = recipe,
                              .bytes = bytes_of(path) - evidence_bytes(file) + evidence_,
                              .quality = trial.quality,
                              .p50_us = trial.p50_us,
                              .texts_per_second = trial.texts_per_second};
    TACK_RETURN_IF_ERROR(journal_->add(name, to_json(candidate)));
    return candidate;
  }

  // What is mixed is mixed for a budget.
  std::string journal_name(const Recipe& recipe) const {
    return recipe.type == kMixed
               ? fmt::format("{}-for-{}", recipe.name(), options_.limits.bytes.value_or(0))
               : recipe.name();
  }

  Result<Candidate> try_recipe(const Recipe& recipe) {
    TACK_TRY(const Candidate candidate,
             measured(recipe, journal_name(recipe), [&] { return made(recipe); }));
    say(fmt::format("  {:<34} {:>9}  {:.2f} %", recipe.text(), megabytes(candidate.bytes),
                    100 * candidate.quality));
    result_.candidates.push_back(candidate);
    return candidate;
  }

  // Every candidate of this shape and type; the first has all tokens.
  Result<Candidate> try_tokens(Recipe recipe) {
    std::optional<Candidate> first;
    for (std::int64_t tokens : tokens_) {
      recipe.tokens = tokens;
      TACK_TRY(const Candidate candidate, try_recipe(recipe));
      if (!first) first = candidate;
    }
    return *first;
  }

  bool within_bytes(const Recipe& recipe) const {
    return !options_.limits.bytes || predict(recipe) <= *options_.limits.bytes;
  }

  // Narrower parts cost quality, and are for limits that the same layers miss without.
  bool wide_is_enough(const Recipe& shape) const {
    return !options_.limits.max_drop &&
           std::ranges::any_of(result_.candidates, [&](const Candidate& one) {
             return one.recipe.layers == shape.layers && one.recipe.ffn == 0 &&
                    meets(one, options_.limits, result_.original.quality);
           });
  }

  // Whether a smaller shape could be chosen at all: not when this one meets every limit in the type
  // of most bits with tokens to spare.
  bool enough(const Recipe& shape, const Candidate& best) const {
    const CompressLimits& limits = options_.limits;
    // Half the channels may lose more than half the layers.
    if (limits.max_drop)
      return shape.ffn == 0 && best.quality < result_.original.quality - *limits.max_drop;
    const std::int64_t spare = tokens_.size() > 1 ? tokens_[1] : 0;
    return within_bytes(with(shape, types_.front(), spare)) &&
           (!limits.latency_us || best.p50_us <= *limits.latency_us);
  }

  Status measure_original() {
    const Recipe recipe{.layers = layer_count(*model_), .type = "original"};
    const Json* known = journal_->find(recipe.type);
    if (known == nullptr) {
      TACK_TRY(const Trial trial, kind_->measure(options_.model, CompressKind::Rows::kValidation));
      Json json = to_json(Candidate{.recipe = recipe,
                                    .bytes = bytes_of(options_.model),
                                    .quality = trial.quality,
                                    .p50_us = trial.p50_us,
                                    .texts_per_second = trial.texts_per_second});
      TACK_TRY(const std::string lineage, model_->gguf()->string_or(std::string(kLineageKey), ""));
      json["evidence"] = to_text(trial.details).size() + lineage.size() + kLineageBytes;
      TACK_RETURN_IF_ERROR(journal_->add(recipe.type, std::move(json)));
      known = journal_->find(recipe.type);
    }
    result_.original = from_json(recipe, *known);
    evidence_ = known->value("evidence", kLineageBytes);
    return {};
  }

  Status explore() {
    TACK_RETURN_IF_ERROR(measure_original());
    say(fmt::format("{}: {}, {} {:.2f} % on {} validation rows", options_.model.filename().string(),
                    megabytes(result_.original.bytes), result_.measure,
                    100 * result_.original.quality, result_.validation_rows));
    for (const Recipe& shape : shapes_) {
      if (!options_.all && !within_bytes(with(shape, types_.back(), tokens_.back()))) continue;
      const double share = (static_cast<double>(shape.layers) + 0.5) /
                           (static_cast<double>(layer_count(*model_)) + 0.5);
      if (!options_.all && options_.limits.latency_us &&
          result_.original.p50_us * share > 2 * *options_.limits.latency_us)
        continue;
      if (shape.ffn > 0 && !options_.all && wide_is_enough(shape)) continue;
      TACK_TRY(const Candidate best, explore_shape(shape));
      if (!options_.all && enough(shape, best)) break;
    }
    return {};
  }

  // The types of this shape; where the last one costs something that training can bring back,
  // that too.
  Result<Candidate> explore_shape(const Recipe& shape) {
    std::optional<Candidate> first, last;
    for (const std::string& type : types_) {
      TACK_TRY(last, try_tokens(with(shape, type)));
      if (!first) first = last;
    }
    // What the budget leaves between one type and the next is room for some matrices in more bits.
    for (std::int64_t tokens : tokens_)
      if (options_.limits.bytes &&
          predict(with(shape, types_.back(), tokens)) + 2 * evidence_ <= *options_.limits.bytes &&
          !within_bytes(with(shape, types_.front(), tokens)))
        TACK_RETURN_IF_ERROR(try_recipe(with(shape, std::string(kMixed), tokens)));
    const DTypeInfo* const last_type = find_dtype(types_.back());
    const bool trainable = last_type != nullptr && has_parts(last_type->dtype);
    const bool needed = options_.all || options_.limits.max_drop ||
                        !within_bytes(with(shape, types_.front(), tokens_.back()));
    if (trainable && types_.size() > 1 && needed &&
        last->quality < first->quality - kWorthTraining) {
      Recipe trained = with(shape, types_.back());
      trained.trained_type = true;
      TACK_RETURN_IF_ERROR(try_tokens(trained));
    }
    return *first;
  }

  Status decide() {
    mark_frontier(result_.candidates);
    if (result_.candidates.empty())
      return fail(ErrorCode::kUsage,
                  "no candidate can be within the limits: the original takes {:.2f} ms for a text",
                  result_.original.p50_us / 1000);
    const Candidate* chosen =
        choose_candidate(result_.candidates, result_.original.quality, options_.limits);
    if (chosen == nullptr) {
      const auto best = std::ranges::max(result_.candidates, {}, &Candidate::quality);
      const auto smallest = std::ranges::min(result_.candidates, {}, &Candidate::bytes);
      return fail(ErrorCode::kUsage,
                  "no candidate is within the limits: the smallest, {}, has {} and {:.2f} %, the "
                  "best, {}, {} and {:.2f} %; the original has {:.2f} %",
                  smallest.recipe.text(), megabytes(smallest.bytes), 100 * smallest.quality,
                  best.recipe.text(), megabytes(best.bytes), 100 * best.quality,
                  100 * result_.original.quality);
    }
    result_.chosen = *chosen;
    say(fmt::format("chosen: {}", chosen->recipe.text()));
    TACK_TRY(const fs::path path, made(chosen->recipe));
    TACK_TRY(result_.before, kind_->measure(options_.model, CompressKind::Rows::kGate));
    TACK_TRY(result_.after, kind_->measure(path, CompressKind::Rows::kGate));
    ask_gate();
    if (!result_.accepted()) return {};
    TACK_RETURN_IF_ERROR(write_result(path));
    std::error_code ignored;
    if (!options_.keep) fs::remove_all(work_, ignored);
    return {};
  }

  // Against the original; where that passes, against the task's floor too.
  void ask_gate() {
    const Trial &after = result_.after, &before = result_.before;
    GateOptions gate{.margin = task_.gate.margin,
                     .confidence = task_.gate.confidence,
                     .resamples = after.resamples};
    const bool shares = after.statistic == nullptr;
    result_.gate = shares ? gate_against_baseline(after.right, before.right, gate)
                          : gate_statistic(result_.measure, after.rows, after.statistic,
                                           before.statistic, gate);
    if (!task_.gate.floor || !result_.gate->accepted) return;
    gate.floor = *task_.gate.floor;
    const std::string compared = result_.gate->text;
    result_.gate =
        shares ? gate_against_floor(after.right, gate)
               : gate_statistic(result_.measure, after.rows, after.statistic, nullptr, gate);
    result_.gate->text += "; against the original " + compared;
  }

  // The chosen file with what is known about it.
  Status write_result(const fs::path& path) {
    if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
    TACK_TRY(const GgufFile file, GgufFile::open(path));
    TACK_TRY(const auto original, MappedFile::open(options_.model));
    GgufWriter writer;
    for (const auto& [key, value] : file.metadata()) writer.set(key, value);
    for (const GgufTensor& tensor : file.tensors())
      writer.add_tensor_view(tensor.name, tensor.view);
    Json metrics = result_.after.details;
    const auto compared = [&](const char* name, std::size_t bytes, const Trial& trial) {
      return Json{{"name", name},
                  {"bytes", bytes},
                  {kind_->quality_key(), trial.quality},
                  {"p50_us", trial.p50_us},
                  {"texts_per_second", trial.texts_per_second}};
    };
    metrics["compared"] = {compared("before", result_.original.bytes, result_.before),
                           compared("after", result_.chosen->bytes, result_.after)};
    const DataSummary& rows = kind_->summary();
    const Json* before = model_->tack_metadata("lineage");
    Json lineage = before != nullptr && before->is_object() ? *before : Json::object();
    lineage["compressed"] = {{"recipe", result_.chosen->recipe.text()},
                             {"from",
                              {{"name", model_->name()},
                               {"bytes", result_.original.bytes},
                               {"sha256", sha256_hex(original.text())}}},
                             {"data",
                              {{"train", rows.train.sha256},
                               {"validation", rows.validation.sha256},
                               {"gate", rows.test.sha256}}},
                             {"limits", options_.limits.to_json()},
                             {"gate", result_.gate->text},
                             {"command", options_.command}};
    const Json* task = model_->tack_metadata("task");
    // The original may be called a teacher.
    writer.set("general.name", GgufValue::string(task_.name));
    writer.set("tack.task", GgufValue::string(to_text(task != nullptr ? *task : task_.to_json())));
    writer.set("tack.metrics", GgufValue::string(to_text(metrics)));
    writer.set("tack.lineage", GgufValue::string(to_text(lineage)));
    TACK_TRY(const std::uint64_t bytes, writer.file_bytes());
    if (options_.limits.bytes && bytes > *options_.limits.bytes)
      return fail(
          "{} would have {}: what is known about it takes more than was reckoned with; "
          "ask for a little less",
          options_.out.string(), megabytes(bytes));
    TACK_RETURN_IF_ERROR(writer.write(options_.out));
    result_.chosen->bytes = bytes;
    return {};
  }

  static constexpr std::string_view kMixed = "mixed";
  // Points of the measure, of 1, that a type may cost before it is trained in.
  static constexpr double kWorthTraining = 0.005;

  // Room for the lineage and the comparison of the result.
  static constexpr std::size_t kLineageBytes = 6144;

  const Task& task_;
  const CompressOptions& options_;
  CompressResult& result_;
  const fs::path work_;
  int threads_ = 1;
  std::size_t evidence_ = kLineageBytes;  // bytes of the result's metrics and lineage
  std::shared_ptr<const Model> model_;
  Data data_;
  std::unique_ptr<CompressKind> kind_;
  std::optional<Journal> journal_;
  std::vector<Recipe> shapes_;  // layers and ffn, from large to small
  std::vector<std::int64_t> counts_, tokens_;
  std::vector<std::string> types_;  // from large to small
  std::map<std::string, Parts> parts_;
};

}  // namespace

Json CompressLimits::to_json() const {
  Json json = Json::object();
  if (bytes) json["bytes"] = *bytes;
  if (latency_us) json["latency_us"] = *latency_us;
  if (max_drop) json["max_drop"] = *max_drop;
  return json;
}

std::string Recipe::shape_text() const {
  std::string out = fmt::format("{} layer{}", layers, layers == 1 ? "" : "s");
  if (ffn > 0) out += fmt::format(", ffn {}", ffn);
  return out;
}

std::string Recipe::shape_name() const {
  return ffn > 0 ? fmt::format("{}-ffn{}", layers, ffn) : fmt::format("{}", layers);
}

std::string Recipe::text() const {
  std::string out = fmt::format("{}, {}{}", shape_text(), type, trained_type ? " trained" : "");
  if (tokens > 0) out += fmt::format(", {} tokens", tokens);
  return out;
}

std::string Recipe::name() const {
  std::string out = fmt::format("{}-{}{}", shape_name(), type, trained_type ? "-trained" : "");
  if (tokens > 0) out += fmt::format("-{}", tokens);
  return out;
}

void mark_frontier(std::vector<Candidate>& candidates) {
  for (Candidate& one : candidates)
    one.frontier = std::ranges::none_of(candidates, [&](const Candidate& other) {
      return other.bytes <= one.bytes && other.quality >= one.quality &&
             (other.bytes < one.bytes || other.quality > one.quality);
    });
}

const Candidate* choose_candidate(const std::vector<Candidate>& candidates, double original,
                                  const CompressLimits& limits, double tie) {
  std::vector<const Candidate*> within;
  for (const Candidate& one : candidates)
    if (meets(one, limits, original)) within.push_back(&one);
  if (within.empty()) return nullptr;
  double least = -1;
  if (!limits.max_drop)
    least = (*std::ranges::max_element(within, {}, &Candidate::quality))->quality - tie;
  std::erase_if(within, [&](const Candidate* one) { return one->quality < least; });
  return *std::ranges::min_element(within, {}, &Candidate::bytes);
}

Result<CompressResult> compress_task(const Task& task, const CompressOptions& options) {
  const auto start = Clock::now();
  CompressResult result;
  Search search(task, options, result);
  TACK_RETURN_IF_ERROR(search.run());
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace tack
