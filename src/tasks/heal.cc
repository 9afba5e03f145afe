#include "tasks/heal.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/hash.h"
#include "base/random.h"
#include "compress/quantized_weights.h"
#include "graph/weights.h"
#include "models/layers.h"
#include "tasks/distill.h"
#include "tasks/generator.h"
#include "tasks/text_pieces.h"
#include "tensor/block_parts.h"
#include "train/losses.h"
#include "train/vocabulary_loss.h"

namespace tack {
namespace {

constexpr std::int64_t kUsualLength = 512;
constexpr std::int64_t kMostValidation = 16384;  // tokens

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

Result<std::vector<float>> load(const Model& model, const graph::Weight& weight) {
  return graph::load_vector(
      weight, [&](const graph::Weight& w) -> const TensorView& { return model.tensor(w); });
}

Status check_fit(const Model& quantized, const Model& original) {
  for (const Model* model : {&quantized, &original})
    if (!model->generates() || model->gguf() == nullptr)
      return fail(ErrorCode::kUsage, "{}: is no decoder in a GGUF file", model->path().string());
  if (quantized.architecture() != original.architecture())
    return fail(ErrorCode::kUsage,
                "{} is a {}, {} a {}: heal a model with the one it was made from",
                quantized.path().string(), quantized.architecture(), original.path().string(),
                original.architecture());
  if (!same_vocabulary(quantized.tokenizer(), original.tokenizer()))
    return fail(ErrorCode::kUsage,
                "{} and {} have different tokens: heal a model with the one it "
                "was made from",
                quantized.path().string(), original.path().string());
  const auto &mine = quantized.graph().weights(), &theirs = original.graph().weights();
  for (const graph::Weight& weight : mine) {
    const auto same = std::ranges::find(theirs, weight.name, &graph::Weight::name);
    if (same == theirs.end() || same->shape != weight.shape || mine.size() != theirs.size())
      return fail(ErrorCode::kUsage,
                  "{} and {} differ in '{}': heal a model with the one it was made from",
                  quantized.path().string(), original.path().string(), weight.name);
  }
  return {};
}

// A decoder of a training: its hidden vectors, its head, and some layers.
struct Values {
  graph::ValueId hidden;
  graph::WeightId head;
  std::vector<graph::ValueId> layers;

  std::vector<graph::ValueId> outputs() const {
    std::vector<graph::ValueId> all = {hidden};
    for (const graph::ValueId layer : layers)
      if (std::ranges::find(all, layer) == all.end()) all.push_back(layer);
    return all;
  }
};
Result<Values> values_of(const Model& model, const HealSettings& settings) {
  TACK_TRY(const VocabularyOutput head, vocabulary_output(model));
  Values out{head.hidden, head.weight, {}};
  const auto layers = layer_values(model.graph());
  if (settings.hidden <= 0 || layers.empty()) return out;
  const auto all = static_cast<std::int64_t>(layers.size());
  // Counted from the last, whose error is all that the head sees.
  for (const std::int64_t layer : spread_layers(all, std::min(settings.layers, all)))
    out.layers.push_back(layers[at(all - 1 - layer)].hidden);
  return out;
}

// The unquantized model, forward only.
class Original {
 public:
  static Result<std::unique_ptr<Original>> create(const std::shared_ptr<const Model>& model,
                                                  const Values& values, const TapeOptions& options,
                                                  ThreadPool& pool) {
    const auto outputs = values.outputs();
    std::vector<bool> used = used_weights(model->graph(), outputs);
    used[at(values.head.index)] = true;
    TACK_TRY(ParameterSet parameters,
             ParameterSet::create(
                 model->graph(), used, [&](const graph::Weight& w) { return load(*model, w); },
                 [](const graph::Weight&) { return TrainRule{.trains = false}; }));
    std::unique_ptr<Original> out(new Original(model, values, std::move(parameters)));
    TACK_TRY(out->tape_, Tape::create(model->graph(), outputs, out->parameters_.tape_parameters(),
                                      options, pool));
    return out;
  }

  void run(const PackedExamples& texts) { tape_->forward(texts.view()); }
  std::span<const float> hidden() const { return tape_->value(values_.hidden); }
  std::span<const float> layer(std::size_t l) const { return tape_->value(values_.layers[l]); }
  VocabularyHead head() {
    const auto& shape = model_->graph().weight(values_.head).shape;
    return {parameters_.tape_parameters()[at(values_.head.index)].value, nullptr, shape[0],
            shape[1]};
  }

 private:
  Original(std::shared_ptr<const Model> model, Values values, ParameterSet parameters)
      : model_(std::move(model)), values_(std::move(values)), parameters_(std::move(parameters)) {}
  std::shared_ptr<const Model> model_;
  Values values_;
  ParameterSet parameters_;
  std::unique_ptr<Tape> tape_;
};

// Pieces of text, pass after pass in another order; an epoch is what lies between two validations.
class Healing final : public Curriculum {
 public:
  Healing(const TextPieces& train, const TextPieces& validation, std::int64_t per_epoch,
          const HealSettings& settings, const Values& values, Original& original,
          VocabularyDistillation& loss, ThreadPool& pool)
      : train_(train),
        validation_(validation),
        per_epoch_(at(per_epoch)),
        settings_(settings),
        values_(values),
        original_(original),
        loss_(loss),
        pool_(pool),
        mean_tokens_(static_cast<double>(train.predictions()) / static_cast<double>(train.size())) {
  }

  void begin_epoch(std::int64_t epoch) override {
    pieces_.clear();
    std::vector<std::size_t> order(train_.size());
    std::size_t pass = SIZE_MAX;
    for (std::size_t i = 0; i < per_epoch_; ++i) {
      const std::size_t number = at(epoch) * per_epoch_ + i;
      if (number / order.size() != pass) {
        pass = number / order.size();
        std::iota(order.begin(), order.end(), std::size_t{0});
        Random random(settings_.seed * 0x9e3779b97f4a7c15ULL + pass);
        random.shuffle(std::span(order));
      }
      pieces_.push_back(order[number % order.size()]);
    }
  }
  std::size_t size() const override { return per_epoch_; }
  ExampleTokens tokens(std::size_t example) const override {
    return {train_.inputs(pieces_[example]), {}};
  }
  bool has_validation() const override { return true; }
  std::int64_t longest_validation() const override {
    return std::max(train_.longest(), validation_.longest());
  }

  double loss(Tape& tape, std::span<const std::size_t> examples, double scale) override {
    packed_.clear();
    for (const std::size_t example : examples) packed_.add(tokens(example));
    original_.run(packed_);
    const double per_token = scale / mean_tokens_;
    double sum = loss_.learn(tape.value(values_.hidden), original_.hidden(), per_token,
                             tape.gradient(values_.hidden));
    for (std::size_t l = 0; l < values_.layers.size(); ++l)
      sum += layer_loss(tape.value(values_.layers[l]), original_.layer(l),
                        per_token * settings_.hidden / static_cast<double>(values_.layers.size()),
                        tape.gradient(values_.layers[l]));
    return sum;
  }

  Result<double> validate(const Forward& forward) override {
    std::vector<ExampleTokens> texts;
    std::int64_t tokens = 0;
    for (std::size_t p = 0; p < validation_.size() && tokens < kMostValidation; ++p) {
      texts.push_back({validation_.inputs(p), {}});
      tokens += static_cast<std::int64_t>(texts.back().ids.size());
    }
    double sum = 0;
    TACK_RETURN_IF_ERROR(
        forward(texts, [&](std::size_t first, std::size_t count, const Tape& tape) {
          packed_.clear();
          for (std::size_t p = first; p < first + count; ++p) packed_.add(texts[p]);
          original_.run(packed_);
          sum += loss_.measure(tape.value(values_.hidden), original_.hidden());
        }));
    return -sum / static_cast<double>(tokens);
  }
  std::string validation_text(double value) const override {
    return fmt::format("validation KL {:.5f}", -value);
  }

 private:
  // Squared distance of each token's vector, as a share of the original's power: the first tokens
  // of some models are thousands of times as large as the rest.
  double layer_loss(std::span<const float> mine, std::span<const float> theirs, double scale,
                    std::span<float> slope) {
    const std::int64_t rows = packed_.tokens();
    const std::size_t cols = mine.size() / at(rows);
    losses_.resize(at(rows));
    pool_.parallel_for(rows, [&](std::int64_t r) {
      const auto theirs_row = theirs.subspan(at(r) * cols, cols);
      double power = 0;
      for (const float v : theirs_row) power += static_cast<double>(v) * static_cast<double>(v);
      power = std::max(power / static_cast<double>(cols), 1e-12);
      losses_[at(r)] = mean_squared(mine.subspan(at(r) * cols, cols), theirs_row,
                                    static_cast<std::int64_t>(cols), scale / power,
                                    slope.subspan(at(r) * cols, cols));
    });
    return std::accumulate(losses_.begin(), losses_.end(), 0.0);
  }

  const TextPieces& train_;
  const TextPieces& validation_;
  const std::size_t per_epoch_;
  const HealSettings& settings_;
  const Values& values_;
  Original& original_;
  VocabularyDistillation& loss_;
  ThreadPool& pool_;
  double mean_tokens_;
  std::vector<std::size_t> pieces_;  // of the epoch
  PackedExamples packed_;
  std::vector<double> losses_;
};

// The quantized model's numbers, as they are trained.
class Patient {
 public:
  static Result<std::unique_ptr<Patient>> create(const std::shared_ptr<const Model>& quantized,
                                                 const Model& original, const Values& values,
                                                 const HealSettings& settings, ThreadPool& pool) {
    std::unique_ptr<Patient> out(new Patient(quantized, settings, pool));
    const auto outputs = values.outputs();
    std::vector<bool> used = used_weights(out->graph_, outputs);
    used[at(values.head.index)] = true;
    const std::vector<graph::Weight> weights = out->graph_.weights();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const TensorView& view = quantized->tensor(weights[i]);
      if (!used[i] || weights[i].shape.size() < 2 || !has_parts(view.dtype)) continue;
      std::vector<float> latents;
      if (settings.codes) {
        TACK_TRY(latents, load(original, weights[i]));
        latents = within_codes(view.dtype, view.bytes, latents);
      }
      TACK_RETURN_IF_ERROR(out->blocks_.add(out->graph_, {static_cast<std::int32_t>(i)}, view.dtype,
                                            view.bytes, std::move(latents), false));
      ++out->tensors_;
    }
    if (out->tensors_ == 0)
      return fail(ErrorCode::kUsage, "{}: no tensor of it is quantized: there is nothing to heal",
                  quantized->path().string());
    out->blocks_.choose(used);
    TACK_TRY(auto parameters, ParameterSet::create(
                                  out->graph_, used,
                                  [&](const graph::Weight& w) -> Result<std::vector<float>> {
                                    if (const auto* start = out->blocks_.start(w.name))
                                      return *start;
                                    return load(*quantized, w);
                                  },
                                  [&](const graph::Weight& w) { return out->rule_of(w); }));
    out->parameters_.emplace(std::move(parameters));
    out->blocks_.attach(*out->parameters_);
    out->blocks_.materialise(0, 1);
    return out;
  }

  const graph::Graph& graph() const { return graph_; }
  ParameterSet& parameters() { return *parameters_; }
  QuantizedWeights& blocks() { return blocks_; }
  std::int64_t tensors() const { return tensors_; }

  // The quantized model's file with what was trained in place of what it had.
  Status write(const Json& lineage, const std::filesystem::path& path) const {
    GgufWriter writer;
    for (const auto& [key, value] : quantized_->gguf()->metadata()) writer.set(key, value);
    writer.set("tack.lineage", GgufValue::string(to_text(lineage)));
    for (const GgufTensor& tensor : quantized_->gguf()->tensors()) {
      const ParameterSet::Weight* weight = parameters_->find(tensor.name);
      if (blocks_.has(tensor.name)) {
        writer.add_tensor(tensor.name, tensor.view.dtype, tensor.view.shape,
                          blocks_.blocks(tensor.name));
      } else if (weight != nullptr && weight->rule.trains) {
        const auto bytes = std::as_bytes(parameters_->values(*weight));
        writer.add_tensor(tensor.name, DType::kF32, tensor.view.shape,
                          {bytes.begin(), bytes.end()});
      } else {
        writer.add_tensor_view(tensor.name, tensor.view);
      }
    }
    return writer.write(path);
  }

 private:
  Patient(std::shared_ptr<const Model> quantized, const HealSettings& settings, ThreadPool& pool)
      : quantized_(std::move(quantized)),
        settings_(settings),
        graph_(quantized_->graph()),
        blocks_({.codes = settings.codes}, pool) {}

  // Rates are shares of what is trained: of a code's step, of a vector's mean size. Matrices that
  // are not quantized stay.
  TrainRule rule_of(const graph::Weight& w) const {
    if (const auto rule = blocks_.rule(w.name)) return *rule;
    if (blocks_.has(w.name))
      return {.rate_factor = static_cast<float>(settings_.code_rate * blocks_.mean_step(w.name))};
    if (w.shape.size() != 1 || quantized_->tensor(w).dtype != DType::kF32) return {.trains = false};
    double square = 0;
    if (const auto values = load(*quantized_, w))
      for (const float v : *values)
        square +=
            static_cast<double>(v) * static_cast<double>(v) / static_cast<double>(values->size());
    return {.rate_factor = static_cast<float>(std::sqrt(square))};
  }

  std::shared_ptr<const Model> quantized_;
  const HealSettings& settings_;
  graph::Graph graph_;
  QuantizedWeights blocks_;
  std::optional<ParameterSet> parameters_;
  std::int64_t tensors_ = 0;
};

Result<std::string> hash_of(const Model& model) {
  TACK_TRY(const auto file, MappedFile::open(model.path()));
  return sha256_hex(file.text());
}

}  // namespace

Json HealSettings::to_json() const {
  Json json = {{"codes", codes ? "learned" : "frozen"},
               {"steps", steps},
               {"batch_tokens", batch_tokens},
               {"length", length},
               {"rate", rate},
               {"hidden", hidden},
               {"layers", layers},
               {"validations", validations},
               {"seed", seed}};
  if (codes) json["code_rate"] = code_rate;
  if (!bf16) json["bf16"] = false;
  return json;
}

Result<Healed> heal(const std::shared_ptr<const Model>& quantized,
                    const std::shared_ptr<const Model>& original, const Dataset& train_texts,
                    const Dataset& validation_texts, const HealSettings& settings,
                    const std::filesystem::path& path, const HealOptions& options) {
  TACK_RETURN_IF_ERROR(check_fit(*quantized, *original));
  const std::int64_t length =
      settings.length > 0 ? settings.length : std::min(kUsualLength, quantized->context_length());
  if (length > quantized->context_length())
    return fail(ErrorCode::kUsage, "pieces of {} tokens are longer than the context of {}: {}",
                length, quantized->path().string(), quantized->context_length());
  const TextPieces pieces(*quantized, train_texts, length),
      held_out(*quantized, validation_texts, length);
  for (const auto& [found, texts] :
       {std::pair{&pieces, &train_texts}, std::pair{&held_out, &validation_texts}})
    if (found->size() == 0) return fail("{}: no token to predict in it", texts->name);

  ThreadPool pool(options.threads);
  TACK_TRY(const Values values, values_of(*quantized, settings));
  TACK_TRY(const Values theirs, values_of(*original, settings));
  TACK_TRY(const auto patient, Patient::create(quantized, *original, values, settings, pool));
  TrainerOptions loop;
  loop.steps = settings.steps;
  loop.batch = std::max<std::int64_t>(1, std::llround(static_cast<double>(settings.batch_tokens) *
                                                      static_cast<double>(pieces.size()) /
                                                      static_cast<double>(pieces.predictions())));
  loop.rate = settings.rate;
  loop.warmup = 0.05;
  loop.schedule = Schedule::kCosine;
  loop.dropout = 0;
  loop.adamw.decay = 0;
  loop.seed = settings.seed;
  loop.bf16 = settings.bf16;
  loop.validates_start = true;
  loop.weights = &patient->blocks();
  loop.label = "healing";
  loop.checkpoint = options.checkpoint;
  loop.checkpoint_seconds = options.checkpoint_seconds;
  TACK_TRY(const std::string mine_hash, hash_of(*quantized));
  TACK_TRY(const std::string their_hash, hash_of(*original));
  loop.description = fmt::format("quantized {}\noriginal {}\ntext {}\nvalidation text {}\n{}",
                                 mine_hash, their_hash, train_texts.sha256, validation_texts.sha256,
                                 to_text(settings.to_json(), 1));

  const std::int64_t longest = std::max(pieces.longest(), held_out.longest());
  TACK_TRY(const auto teacher,
           Original::create(original, theirs,
                            {.max_tokens = std::max(loop.micro_tokens, longest),
                             .max_sequences = std::max<std::int64_t>(loop.batch, 128),
                             .max_length = longest,
                             .bf16 = settings.bf16},
                            pool));
  const Parameter head = patient->blocks().tape_parameters()[at(values.head.index)];
  const auto& shape = quantized->graph().weight(values.head).shape;
  VocabularyDistillation loss({head.value, head.gradient, shape[0], shape[1]}, teacher->head(),
                              settings.bf16, pool);
  const std::int64_t between = (settings.steps + settings.validations - 1) / settings.validations;
  Healing curriculum(pieces, held_out, between * loop.batch, settings, values, *teacher, loss,
                     pool);
  Healed out;
  TACK_TRY(out.training, train(patient->graph(), values.outputs(), patient->parameters(),
                               curriculum, loop, pool));
  out.before = -out.training.start_validation;
  out.after = -out.training.best_validation;
  out.trained_parameters = patient->parameters().trained();
  out.tensors = patient->tensors();

  Json lineage = {{"base", {{"name", quantized->name()}, {"sha256", mine_hash}}},
                  {"teacher", {{"name", original->name()}, {"sha256", their_hash}}},
                  {"train", {{"path", train_texts.name}, {"sha256", train_texts.sha256}}},
                  {"healing", settings.to_json()},
                  {"divergence", {{"before", out.before}, {"after", out.after}}},
                  {"command", options.command}};
  if (const Json* before = quantized->tack_metadata("lineage"))
    lineage["base"]["lineage"] = *before;
  TACK_RETURN_IF_ERROR(patient->write(lineage, path));
  TACK_TRY(out.model, Model::open(path));
  return out;
}

}  // namespace tack
