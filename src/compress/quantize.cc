#include "compress/quantize.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "base/atomic_file.h"
#include "base/cpu.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/mapped_file.h"
#include "compress/allocation.h"
#include "compress/calibrate.h"
#include "compress/divergence.h"
#include "compress/imatrix_file.h"
#include "compress/layer_gptq.h"
#include "compress/quantization_plan.h"
#include "compress/quantize_checkpoint.h"
#include "compress/weighted_rows.h"
#include "models/layers.h"
#include "models/smoothing.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;
using Types = std::map<std::string, DType, std::less<>>;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Weights met by tokens: what limits the tokens that are read, so that a model of a billion weights
// takes minutes. Never by the clock: the same command gives the same file.
constexpr double kCalibrationWork = 2.5e13, kDivergenceWork = 1.5e13;
constexpr std::int64_t kMostTokens = 262'144;
constexpr std::int64_t kFewestHeldOut = 128, kMostHeldOut = 2048;
constexpr std::size_t kMostOutputBytes = 512U << 20U;
constexpr std::size_t kGptqMemory = 1U << 30U;
constexpr std::int64_t kErrorValues = 1 << 18;  // of a tensor that its errors are estimated from
// Above so many weights * tensors the layers of a model are measured in groups.
constexpr double kWorkOfGroups = 1e10;

std::string_view method_name(QuantizeMethod method) {
  switch (method) {
    case QuantizeMethod::kRtn:
      return "rtn";
    case QuantizeMethod::kImportance:
      return "importance";
    case QuantizeMethod::kGptq:
      return "gptq";
  }
  return "";
}

// Tensors that are measured together: in a large model those of a layer that read the same.
std::string group_of(std::string_view name, bool coarse) {
  if (!coarse) return std::string(name);
  std::string group(name);
  for (const auto& [part, whole] : {std::pair{"attn_q.", "attn_qkv."},
                                    {"attn_k.", "attn_qkv."},
                                    {"attn_v.", "attn_qkv."},
                                    {"ffn_gate.", "ffn_up."}})
    if (const std::size_t at = group.find(part); at != std::string::npos)
      return group.replace(at, std::string_view(part).size(), whole);
  return group;
}

class Quantization {
 public:
  Quantization(std::filesystem::path from, std::filesystem::path to, const QuantizeOptions& options)
      : from_(std::move(from)),
        to_(std::move(to)),
        options_(options),
        pool_(options.threads > 0 ? options.threads : cpu_info().logical_cores),
        start_(Clock::now()) {}

  Result<QuantizeReport> run() {
    TACK_RETURN_IF_ERROR(check_options());
    TACK_RETURN_IF_ERROR(open());
    TACK_RETURN_IF_ERROR(prepare_texts());
    TACK_RETURN_IF_ERROR(find_importance());
    TACK_RETURN_IF_ERROR(set_metadata());
    TACK_RETURN_IF_ERROR(list_uniform());
    TACK_RETURN_IF_ERROR(budgeted() ? plan_mixture() : plan_uniform());
    TACK_RETURN_IF_ERROR(list_tensors());
    if (!options_.dry_run) {
      TACK_RETURN_IF_ERROR(write());
      if (checkpoint_) checkpoint_->remove();
      TACK_RETURN_IF_ERROR(measure_result());
    }
    report_.seconds = seconds_since(start_);
    return std::move(report_);
  }

 private:
  bool budgeted() const { return options_.type.empty(); }
  // Whether the model is run at all.
  bool runs() const {
    return budgeted() || options_.text || !options_.save_imatrix.empty() || calibrates() ||
           (options_.method == QuantizeMethod::kGptq && !options_.dry_run);
  }
  bool calibrates() const {
    if (!options_.imatrix.empty()) return false;
    if (!options_.save_imatrix.empty()) return true;
    // Of a plain type the bytes are known without.
    return options_.method != QuantizeMethod::kRtn && !(options_.dry_run && !budgeted());
  }

  Status check_options() const {
    const int goals = (options_.type.empty() ? 0 : 1) + (options_.budget > 0 ? 1 : 0) +
                      (options_.bits > 0 ? 1 : 0);
    if (goals != 1)
      return fail(ErrorCode::kUsage,
                  "say what the file may take: one of --type, --budget and --bits");
    if (options_.method == QuantizeMethod::kRtn && !options_.imatrix.empty())
      return fail(ErrorCode::kUsage, "--method rtn does not use an importance matrix");
    if (budgeted()) return {};
    TACK_TRY(const ConversionTarget target, conversion_target(options_.type));
    if (target.int8)
      return fail(ErrorCode::kUsage, "int8 is a type of tack convert: choose q8_0 or another");
    return {};
  }

  Status open() {
    // A plain conversion does not need a tokenizer.
    TACK_TRY(model_, Model::open(from_, runs() ? Model::Use::kText : Model::Use::kWeights));
    TACK_TRY(auto quantizable, Quantizable::open(from_, model_, options_.requantize));
    quantizable_.emplace(std::move(quantizable));
    report_.weights = quantizable_->parameters();
    // Once more when the header is complete.
    return budgeted() ? check_budget() : Status();
  }

  // --- texts

  Status prepare_texts() {
    if (!runs()) return {};
    const auto weights = static_cast<double>(std::max<std::int64_t>(report_.weights, 1));
    const std::int64_t limit =
        options_.tokens > 0 ? options_.tokens
                            : static_cast<std::int64_t>(std::min(kCalibrationWork / weights,
                                                                 static_cast<double>(kMostTokens)));
    std::string text = options_.text.value_or("");
    if (!options_.text) {
      text = builtin_calibration_text();
      say("calibrating on a small text of ours: name a text like those the model will read "
          "(--data), which is better");
    }
    const std::int64_t chunk =
        options_.text ? options_.chunk : std::min<std::int64_t>(options_.chunk, 256);
    TACK_TRY(texts_, calibration_tokens(*model_, text, chunk, limit));
    if (!texts_.warning.empty()) say("warning: " + texts_.warning);
    held_ = hold_out(texts_, held_out_tokens());
    shorten(held_, held_out_tokens());
    if (!options_.imatrix.empty()) {
      TACK_TRY(const auto matrix, MappedFile::open(options_.imatrix));
      matrix_hash_ = sha256_hex(matrix.text()).substr(0, 16);
    }
    checkpoint_.emplace(options_.dry_run ? "" : to_.string() + ".checkpoint", description(text));
    TACK_TRY(const bool resumed, checkpoint_->load(*model_));
    if (checkpoint_->next > texts_.chunks.size())
      return fail("{}.checkpoint: it is damaged; remove the file to start again", to_.string());
    if (resumed) say(fmt::format("going on from {}.checkpoint", to_.string()));
    return {};
  }

  // Of decoders: fewer, when even one chunk of each is too many.
  void shorten(CalibrationTokens& held, std::int64_t tokens) const {
    if (!model_->generates() || held.tokens() <= tokens) return;
    const std::int64_t size = std::min(held.chunk_size, tokens);
    held.chunk_size = size;
    held.chunks.resize(static_cast<std::size_t>(
        std::clamp<std::int64_t>(tokens / size, 1, static_cast<std::int64_t>(held.chunks.size()))));
    for (auto& chunk : held.chunks) chunk.resize(static_cast<std::size_t>(size));
  }

  std::int64_t held_out_tokens() const {
    const double weights = static_cast<double>(report_.weights);
    const double work = weights * static_cast<double>(groups().size() + 2);
    const double width =
        static_cast<double>(model_->generates() ? model_->vocab_size() : model_->embedding_dim());
    const double room = static_cast<double>(kMostOutputBytes) / (width * sizeof(float));
    return std::clamp(static_cast<std::int64_t>(std::min(kDivergenceWork / work, room)),
                      kFewestHeldOut, kMostHeldOut);
  }

  // What measurements depend on.
  std::string description(std::string_view text) const {
    return fmt::format(
        "tack quantize\nmodel {} of hash {}\ntext {}\nchunks of {} tokens, {} of them\nheld out "
        "{} "
        "tokens\nmethod {}\nimportance {}\n",
        model_->name(), weights_hash(), sha256_hex(text).substr(0, 16), texts_.chunk_size,
        texts_.chunks.size(), held_.tokens(), method_name(options_.method), matrix_hash_);
  }

  // Of some bytes of every weight: a model that was trained again has others.
  std::string weights_hash() const {
    constexpr std::size_t kBytes = 1024;
    std::string sample;
    for (const Quantizable::Tensor& tensor : quantizable_->tensors()) {
      const auto bytes = tensor.view->bytes;
      sample.append(reinterpret_cast<const char*>(bytes.data()), std::min(kBytes, bytes.size()));
    }
    return sha256_hex(sample).substr(0, 16);
  }

  // --- importance

  Status find_importance() {
    if (!options_.imatrix.empty()) {
      TACK_TRY(matrix_, read_imatrix(options_.imatrix));
      TACK_RETURN_IF_ERROR(check_matrix());
    } else if (calibrates()) {
      TACK_RETURN_IF_ERROR(calibrate());
    }
    if (!options_.save_imatrix.empty()) {
      TACK_RETURN_IF_ERROR(write_imatrix(matrix_, options_.save_imatrix));
      say(fmt::format("wrote {}: {} weights, {} chunks of {} tokens",
                      options_.save_imatrix.string(), matrix_.tensors.size(), matrix_.chunks,
                      matrix_.chunk_size));
    }
    return {};
  }

  Status calibrate() {
    if (checkpoint_->next < texts_.chunks.size())
      say(fmt::format("calibrating on {} tokens", texts_.tokens()));
    CalibrationOptions options;
    options.threads = pool_.size();
    options.progress = [&](std::int64_t done, std::int64_t total) {
      progress("calibrating", done, total);
    };
    options.keep = [&](const ImportanceMatrix& sums, std::size_t next) {
      checkpoint_->sums = sums;
      checkpoint_->next = next;
      return checkpoint_->save();
    };
    TACK_TRY(matrix_,
             measure_importance(model_, texts_, options, checkpoint_->sums, checkpoint_->next));
    matrix_.datasets = {options_.text ? options_.text_name : "tack"};
    checkpoint_->sums = matrix_;
    checkpoint_->next = texts_.chunks.size();
    return checkpoint_->save();
  }

  // Whether the matrix is of this model: what differs.
  Status check_matrix() const {
    const std::string file = options_.imatrix.string();
    std::map<std::string_view, std::int64_t> columns;
    for (const graph::Weight& weight : model_->graph().weights())
      columns[weight.name] = weight.shape.back();
    for (const auto& [name, column] : matrix_.tensors) {
      const auto found = columns.find(name);
      if (found == columns.end())
        return fail(ErrorCode::kUsage, "{}: it has '{}', which {} has not: it is of another model",
                    file, name, from_.string());
      if (found->second != static_cast<std::int64_t>(column.squares.size()))
        return fail(ErrorCode::kUsage,
                    "{}: '{}' has {} columns, in {} it has {}: it is of another model", file, name,
                    column.squares.size(), from_.string(), found->second);
    }
    for (const graph::Node& node : model_->graph().nodes())
      if (const auto* op = std::get_if<graph::Linear>(&node.op)) {
        const std::string& name = model_->graph().weight(op->weight).name;
        // llama.cpp leaves the head out.
        const bool outer = name == "output.weight" || name == "token_embd.weight";
        if (!outer && matrix_.means(name).empty())
          return fail(ErrorCode::kUsage, "{}: it says nothing of '{}': it is of another model",
                      file, name);
      }
    return {};
  }

  std::vector<float> importance(std::string_view weight) const {
    if (options_.method == QuantizeMethod::kRtn) return {};
    return column_weights(matrix_, weight);
  }

  // --- the file

  Status set_metadata() {
    Json lineage = {{"base", model_->name()},
                    {"command", options_.command},
                    {"method", method_name(options_.method)}};
    if (options_.method != QuantizeMethod::kRtn && !matrix_.tensors.empty()) {
      const std::string file =
          options_.imatrix.empty() ? options_.save_imatrix.string() : options_.imatrix.string();
      const std::string dataset = matrix_.datasets.empty() ? "" : matrix_.datasets.front();
      const auto count = [](std::int64_t n) {
        return GgufValue::u32(static_cast<std::uint32_t>(n));
      };
      if (!file.empty()) quantizable_->set("quantize.imatrix.file", GgufValue::string(file));
      if (!dataset.empty())
        quantizable_->set("quantize.imatrix.dataset", GgufValue::string(dataset));
      quantizable_->set("quantize.imatrix.entries_count",
                        count(static_cast<std::int64_t>(matrix_.tensors.size())));
      quantizable_->set("quantize.imatrix.chunks_count", count(matrix_.chunks));
      lineage["calibration"] = dataset;
    }
    if (const Json* before = model_->tack_metadata("lineage")) lineage["before"] = *before;
    quantizable_->set("tack.lineage", GgufValue::string(to_text(lineage)));
    if (model_->generates()) return {};
    // Encoders compute weights in blocks in int8.
    TACK_TRY(const SmoothingExponents smoothing, measure_smoothing(*model_));
    for (const auto& [name, exponents] : smoothing)
      if (!is_head(name))
        quantizable_->set(std::string(kSmoothKey) + name, GgufValue::i8s(exponents));
    return {};
  }

  // What files of one type would take.
  Status list_uniform() {
    for (const char* type : {"q4_0", "q4_k", "q5_k", "q6_k", "q8_0", "f16"}) {
      std::int64_t others = 0;
      TACK_TRY(const QuantizationPlan plan, quantizable_->uniform(type, others));
      TACK_TRY(const std::uint64_t bytes, quantizable_->file_bytes(plan));
      report_.uniform_bytes.emplace_back(type, bytes);
    }
    return {};
  }

  Status plan_uniform() {
    TACK_TRY(plan_, quantizable_->uniform(options_.type, report_.other_types));
    return {};
  }

  // --- a budget

  bool coarse() const {
    return static_cast<double>(report_.weights) *
               static_cast<double>(quantizable_->tensors().size()) >
           kWorkOfGroups;
  }

  std::map<std::string, std::vector<const Quantizable::Tensor*>> groups() const {
    std::map<std::string, std::vector<const Quantizable::Tensor*>> groups;
    for (const Quantizable::Tensor& tensor : quantizable_->tensors())
      if (tensor.open && tensor.possible.size() > 1)
        groups[group_of(tensor.weight->name, coarse())].push_back(&tensor);
    return groups;
  }

  // Of the types that a tensor may have the one whose loss is measured: about four bits, low enough
  // to be seen and close to those that will be chosen.
  static DType measured_type(const Quantizable::Tensor& tensor) {
    for (const DType type : {DType::kQ4_K, DType::kQ4_0, DType::kIQ4_NL})
      if (type != tensor.view->dtype && std::ranges::count(tensor.possible, type) != 0) return type;
    return tensor.possible.front();
  }

  Result<double> error_of(const Quantizable::Tensor& tensor, DType type) {
    if (tensor.view->dtype == type) return 0.0;  // it is copied
    return weighted_error(*tensor.view, type, importance(tensor.weight->name), kErrorValues, pool_);
  }

  Result<double> group_divergence(const std::vector<const Quantizable::Tensor*>& tensors) {
    std::map<std::string_view, std::pair<TensorView, std::vector<std::byte>>> changed;
    for (const Quantizable::Tensor* tensor : tensors) {
      const DType type = measured_type(*tensor);
      TACK_TRY(auto bytes,
               converted_weighted(*tensor->view, type, importance(tensor->weight->name), pool_));
      auto& [view, owned] = changed[tensor->weight->name];
      owned = std::move(bytes);
      view = {type, tensor->weight->shape, owned};
    }
    return meter_->measure([&](std::string_view name) -> const TensorView* {
      const auto found = changed.find(name);
      return found == changed.end() ? nullptr : &found->second.first;
    });
  }

  // Divergence for each unit of weighted error, by tensor.
  Result<std::map<std::string, double>> measure_sensitivities() {
    const auto all = groups();
    const auto before = Clock::now();
    TACK_TRY(meter_, DivergenceMeter::create(model_, held_, pool_));
    const double each = seconds_since(before);
    std::size_t left = 0;
    for (const auto& [name, tensors] : all) left += checkpoint_->measured.contains(name) ? 0 : 1;
    say(fmt::format("measuring what {} {} of tensors cost on {} tokens: about {:.0f} s", left,
                    left == 1 ? "group" : "groups", held_.tokens(),
                    1.3 * each * static_cast<double>(left)));
    std::map<std::string, double> sensitivity;
    std::int64_t done = 0;
    auto kept = Clock::now();
    for (const auto& [name, tensors] : all) {
      auto found = checkpoint_->measured.find(name);
      if (found == checkpoint_->measured.end()) {
        const auto divergence = group_divergence(tensors);
        if (!divergence) {
          if (divergence.error().code == ErrorCode::kInterrupted)
            TACK_RETURN_IF_ERROR(checkpoint_->save());
          return std::unexpected(divergence.error());
        }
        found = checkpoint_->measured.emplace(name, *divergence).first;
        if (seconds_since(kept) > 10) {
          TACK_RETURN_IF_ERROR(checkpoint_->save());
          kept = Clock::now();
        }
      }
      double errors = 0;
      for (const Quantizable::Tensor* tensor : tensors) {
        TACK_TRY(const double error, error_of(*tensor, measured_type(*tensor)));
        errors += error;
      }
      for (const Quantizable::Tensor* tensor : tensors)
        sensitivity[tensor->weight->name] = errors > 0 ? found->second / errors : 0;
      progress("measuring", ++done, static_cast<std::int64_t>(all.size()));
    }
    TACK_RETURN_IF_ERROR(checkpoint_->save());
    return sensitivity;
  }

  Result<std::vector<TensorChoices>> choices(const std::map<std::string, double>& sensitivity) {
    std::vector<TensorChoices> all;
    std::int64_t done = 0;
    for (const Quantizable::Tensor& tensor : quantizable_->tensors()) {
      if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
      const auto found = sensitivity.find(tensor.weight->name);
      TensorChoices choice{tensor.weight->name, {}};
      for (const DType type : tensor.open ? tensor.possible : std::vector{tensor.fixed}) {
        double loss = 0;
        if (found != sensitivity.end()) {
          TACK_TRY(const double error, error_of(tensor, type));
          loss = error * found->second;
        }
        choice.types.push_back({type, stored_bytes(type, tensor.weight->shape), loss});
      }
      all.push_back(std::move(choice));
      progress("planning", ++done, static_cast<std::int64_t>(quantizable_->tensors().size()));
    }
    return all;
  }

  std::uint64_t budget() const {
    return options_.budget > 0 ? options_.budget
                               : static_cast<std::uint64_t>(
                                     options_.bits * static_cast<double>(report_.weights) / 8);
  }

  Status plan_mixture() {
    TACK_RETURN_IF_ERROR(check_budget());
    TACK_TRY(const auto sensitivity, measure_sensitivities());
    TACK_TRY(const auto all, choices(sensitivity));
    TACK_TRY(const std::uint64_t fixed, quantizable_->bytes_beside());
    const auto chosen = allocate(all, budget() - fixed);
    if (!chosen) return fail("no types fit {} bytes", budget());  // check_budget() saw that they do
    Types open;
    double predicted = 0;
    for (std::size_t t = 0; t < all.size(); ++t) {
      const TypeChoice& type = all[t].types[(*chosen)[t]];
      predicted += type.loss;
      if (quantizable_->tensors()[t].open) open[all[t].name] = type.dtype;
    }
    report_.predicted = predicted;
    plan_ = quantizable_->mixed(open);
    return {};
  }

  Status check_budget() const {
    Types smallest;
    for (const Quantizable::Tensor& tensor : quantizable_->tensors())
      if (tensor.open)
        smallest[tensor.weight->name] = std::ranges::min(tensor.possible, {}, [&](DType type) {
          return stored_bytes(type, tensor.weight->shape);
        });
    TACK_TRY(const std::uint64_t least, quantizable_->file_bytes(quantizable_->mixed(smallest)));
    if (least > budget())
      return fail(
          ErrorCode::kUsage,
          "a file of {} bytes is not possible: the smallest takes {} ({:.2f} MB, {:.2f} bits "
          "a weight); tack prune makes fewer weights",
          budget(), least, static_cast<double>(least) / 1e6,
          8 * static_cast<double>(least) / static_cast<double>(report_.weights));
    return {};
  }

  // --- the end

  Status list_tensors() {
    for (const Quantizable::Tensor& tensor : quantizable_->tensors()) {
      const DType to = plan_.types.find(tensor.weight->name)->second;
      report_.tensors.push_back({tensor.weight->name, tensor.view->dtype, to,
                                 element_count(tensor.weight->shape),
                                 stored_bytes(to, tensor.weight->shape)});
    }
    TACK_TRY(report_.bytes, quantizable_->file_bytes(plan_));
    return {};
  }

  Status write() {
    std::int64_t done = 0;
    const auto total = static_cast<std::int64_t>(quantizable_->tensors().size());
    const auto source = [&](const Quantizable::Tensor& tensor, DType type,
                            const GgufWriter::Sink& sink) -> Status {
      if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
      if (gptq_ && type != tensor.view->dtype && gptq_->serves(tensor.weight->name, type)) {
        TACK_TRY(const auto bytes, gptq_->quantize(*tensor.weight, type));
        TACK_RETURN_IF_ERROR(sink(bytes));
      } else {
        TACK_RETURN_IF_ERROR(convert_rows_weighted(*tensor.view, type,
                                                   importance(tensor.weight->name), pool_, sink));
      }
      progress("quantising", ++done, total);
      return {};
    };
    TACK_TRY(const GgufWriter writer, quantizable_->writer(plan_, source));
    TACK_RETURN_IF_ERROR(measure_base());
    if (options_.method == QuantizeMethod::kGptq)
      gptq_.emplace(
          model_, texts_, kGptqMemory,
          [&](std::int64_t at, std::int64_t of) { progress("reading", at, of); }, pool_);
    TACK_RETURN_IF_ERROR(writer.write(to_));
    report_.written = true;
    return {};
  }

  // What the model was, before its file may be replaced.
  Status measure_base() {
    if (!runs() || meter_) return {};
    TACK_TRY(meter_, DivergenceMeter::create(model_, held_, pool_));
    return {};
  }

  Status measure_result() {
    if (!meter_) return {};
    TACK_TRY(auto result, Model::open(to_));
    TACK_TRY(const double divergence, meter_->measure(std::move(result)));
    report_.measured = divergence;
    report_.unit = meter_->unit();
    return {};
  }

  void say(const std::string& line) const {
    if (options_.message) options_.message(line);
  }
  void progress(const char* step, std::int64_t done, std::int64_t total) const {
    if (options_.progress) options_.progress(step, done, total);
  }

  const std::filesystem::path from_, to_;
  const QuantizeOptions& options_;
  ThreadPool pool_;
  const Clock::time_point start_;
  std::shared_ptr<const Model> model_;
  std::optional<Quantizable> quantizable_;
  CalibrationTokens texts_, held_;
  std::optional<QuantizeCheckpoint> checkpoint_;
  ImportanceMatrix matrix_;
  std::string matrix_hash_;  // of the file it was read from
  std::unique_ptr<DivergenceMeter> meter_;
  std::optional<LayerGptq> gptq_;
  QuantizationPlan plan_;
  QuantizeReport report_;
};

std::string megabytes(std::uint64_t bytes) {
  return fmt::format("{:.2f} MB", static_cast<double>(bytes) / 1e6);
}

// "blk.7.attn_q.weight" -> "attn_q".
std::string class_of(std::string_view name) {
  if (name.ends_with(".weight")) name.remove_suffix(7);
  if (const std::size_t dot = name.rfind('.'); dot != std::string_view::npos)
    name.remove_prefix(dot + 1);
  return std::string(name);
}

}  // namespace

Result<QuantizeMethod> parse_quantize_method(std::string_view name) {
  for (const QuantizeMethod method :
       {QuantizeMethod::kRtn, QuantizeMethod::kImportance, QuantizeMethod::kGptq})
    if (name == method_name(method)) return method;
  return fail(ErrorCode::kUsage, "unknown method '{}': choose rtn, importance or gptq", name);
}

double QuantizeReport::bits_per_weight() const {
  return 8 * static_cast<double>(bytes) / static_cast<double>(std::max<std::int64_t>(weights, 1));
}

Json QuantizeReport::to_json() const {
  Json json = {{"bytes", bytes},
               {"weights", weights},
               {"bits_per_weight", bits_per_weight()},
               {"written", written},
               {"seconds", seconds}};
  if (predicted) json["predicted"] = *predicted;
  if (measured) json["measured"] = *measured;
  if (!unit.empty()) json["divergence"] = unit;
  for (const auto& [type, size] : uniform_bytes) json["uniform_bytes"][type] = size;
  json["tensors"] = Json::array();
  for (const Tensor& tensor : tensors)
    json["tensors"].push_back({{"name", tensor.name},
                               {"from", info(tensor.from).name},
                               {"to", info(tensor.to).name},
                               {"bytes", tensor.bytes}});
  return json;
}

std::string QuantizeReport::to_text() const {
  struct Sum {
    std::int64_t tensors = 0;
    std::uint64_t bytes = 0;
  };
  std::map<DType, Sum> by_type;
  std::map<std::string, std::map<DType, Sum>> by_class;
  for (const Tensor& tensor : tensors) {
    for (Sum* sum : {&by_type[tensor.to], &by_class[class_of(tensor.name)][tensor.to]}) {
      ++sum->tensors;
      sum->bytes += tensor.bytes;
    }
  }
  std::string text = fmt::format("{} bytes ({}), {:.3f} bits a weight\n", bytes, megabytes(bytes),
                                 bits_per_weight());
  for (const auto& [type, sum] : by_type)
    text += fmt::format("  {:<8} {:>4} tensors  {:>10}\n", info(type).name, sum.tensors,
                        megabytes(sum.bytes));
  for (const auto& [name, types] : by_class) {
    if (types.size() == 1 && types.contains(DType::kF32)) continue;
    text += fmt::format("  {:<16}", name);
    for (const auto& [type, sum] : types)
      text += fmt::format(" {} {}", sum.tensors, info(type).name);
    text += "\n";
  }
  if (other_types > 0)
    text += fmt::format("{} in another type than asked: their rows are no whole number of blocks\n",
                        other_types);
  text += "all in one type:";
  for (const auto& [type, size] : uniform_bytes)
    text += fmt::format(" {} {}", type, megabytes(size));
  text += "\n";
  if (predicted) text += fmt::format("divergence predicted {:.6f}\n", *predicted);
  if (measured) text += fmt::format("divergence measured  {:.6f} ({})\n", *measured, unit);
  return text;
}

Result<QuantizeReport> quantize_model(const std::filesystem::path& from,
                                      const std::filesystem::path& to,
                                      const QuantizeOptions& options) {
  return Quantization(from, to, options).run();
}

}  // namespace tack
