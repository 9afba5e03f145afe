#include "tasks/trainable.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/random.h"
#include "graph/weights.h"
#include "kernels/kernels.h"
#include "tasks/artifact.h"
#include "tasks/features.h"
#include "tensor/convert.h"

namespace tack {
namespace {

constexpr std::string_view kTokenTable = "token_embd.weight";
constexpr std::string_view kHeadWeight = "cls.output.weight";
constexpr std::string_view kHeadBias = "cls.output.bias";

graph::WeightSource source_of(const Model& model) {
  return
      [&model](const graph::Weight& weight) -> const TensorView& { return model.tensor(weight); };
}

// The number of a layer in "blk.3.attn_q.weight"; -1 for what comes before the layers.
std::int64_t layer_of(std::string_view name) {
  if (!name.starts_with("blk.")) return -1;
  std::int64_t layer = -1;
  std::from_chars(name.data() + 4, name.data() + name.size(), layer);
  return layer;
}

// A starts random, B at zero: the adapted model is the base's at first.
std::vector<float> adapter_start(const graph::Weight& weight, Random& random) {
  std::vector<float> values(static_cast<std::size_t>(element_count(weight.shape)), 0.0F);
  if (weight.name.ends_with(".lora_a")) {
    const double scale = 1 / std::sqrt(static_cast<double>(weight.shape[1]));
    for (float& v : values) v = static_cast<float>(scale * random.normal());
  }
  return values;
}

}  // namespace

TrainingTexts::TrainingTexts(std::vector<Tokens> texts, std::int64_t vocab)
    : texts_(std::move(texts)) {
  std::vector<std::int32_t> row(static_cast<std::size_t>(vocab), -1);
  for (Tokens& tokens : texts_)
    for (TokenId& id : tokens.ids) {
      std::int32_t& at = row[static_cast<std::size_t>(id)];
      if (at < 0) {
        at = static_cast<std::int32_t>(used_.size());
        used_.push_back(id);
      }
      id = at;
    }
}

std::int64_t TrainingTexts::longest() const {
  std::size_t most = 1;
  for (const Tokens& tokens : texts_) most = std::max(most, tokens.ids.size());
  return static_cast<std::int64_t>(most);
}

std::int64_t TrainingTexts::truncated() const {
  return std::ranges::count_if(texts_, [](const Tokens& t) { return t.truncated > 0; });
}

Result<std::unique_ptr<TrainableModel>> TrainableModel::create(std::shared_ptr<const Model> base,
                                                               const LinearHead* head,
                                                               const TrainingTexts& texts,
                                                               const TrainableOptions& options) {
  auto model = std::make_unique<TrainableModel>();
  model->base_ = std::move(base);
  model->graph_ = model->base_->graph();
  model->used_tokens_ = texts.used();
  graph::Graph& g = model->graph_;
  const graph::Output* embedding = g.find_output("embedding");
  if (embedding == nullptr)
    return fail(ErrorCode::kUsage, "{}: has no embedding to train on",
                model->base_->path().string());
  model->output_ = embedding->value;
  if (head != nullptr) {
    // The base's own head, when it has one, is not used; this one takes its name.
    model->classes_ = head->classes;
    const graph::WeightId weight = g.weight(std::string(kHeadWeight), {head->classes, head->dims});
    const graph::WeightId bias = g.weight(std::string(kHeadBias), {head->classes});
    model->output_ = g.linear(embedding->value, weight, bias);
  }
  if (options.method == TrainMethod::kLora) {
    AdaptedGraph adapted =
        add_lora(g, options.rank, [](std::string_view name) { return layer_of(name) >= 0; });
    g = std::move(adapted.graph);
    model->output_ = adapted.values[static_cast<std::size_t>(model->output_.index)];
  }

  std::int64_t layers = 0;
  for (const graph::Weight& w : g.weights()) layers = std::max(layers, layer_of(w.name) + 1);
  Random random(options.seed);
  const auto load = [&](const graph::Weight& w) -> Result<std::vector<float>> {
    if (w.name == kHeadWeight) return head->weight;
    if (w.name == kHeadBias) return head->bias;
    if (w.name.ends_with(".lora_a") || w.name.ends_with(".lora_b")) return adapter_start(w, random);
    const TensorView& view = model->base_->tensor(w);
    if (w.name != kTokenTable) return graph::load_vector(w, source_of(*model->base_));
    const auto cols = static_cast<std::size_t>(view.cols());
    std::vector<float> rows(model->used_tokens_.size() * cols);
    for (std::size_t r = 0; r < model->used_tokens_.size(); ++r)
      TACK_RETURN_IF_ERROR(to_f32(view.dtype, view.row(model->used_tokens_[r]),
                                  std::span(rows).subspan(r * cols, cols)));
    return rows;
  };
  const auto rule = [&](const graph::Weight& w) -> TrainRule {
    if (w.name.starts_with("cls.output."))
      return {.trains = true, .decays = false, .rate_factor = options.head_rate};
    const std::int64_t layer = layer_of(w.name);
    const bool adapter = w.name.ends_with(".lora_a") || w.name.ends_with(".lora_b");
    const bool table = layer < 0 && w.shape.size() == 2;
    return {.trains = adapter || (options.method == TrainMethod::kFull &&
                                  (options.train_embeddings || !table)),
            // As everyone does: matrices of linear layers only.
            .decays = w.shape.size() == 2 && !table,
            .rate_factor = static_cast<float>(std::pow(static_cast<double>(options.layer_decay),
                                                       static_cast<double>(layers - 1 - layer)))};
  };
  const std::array<graph::ValueId, 1> outputs = {model->output_};
  TACK_TRY(auto parameters, ParameterSet::create(g, used_weights(g, outputs), load, rule));
  model->parameters_ = std::make_unique<ParameterSet>(std::move(parameters));
  return model;
}

Result<LinearHead> head_of(const Model& model) {
  LinearHead head;
  for (const graph::Weight& weight : model.graph().weights())
    if (weight.name == kHeadWeight) {
      TACK_TRY(head.weight, graph::load_vector(weight, source_of(model)));
      head.classes = static_cast<std::int32_t>(weight.shape[0]);
      head.dims = weight.shape[1];
    } else if (weight.name == kHeadBias) {
      TACK_TRY(head.bias, graph::load_vector(weight, source_of(model)));
    }
  return head;
}

LinearHead TrainableModel::head() const {
  LinearHead head;
  head.classes = classes_;
  for (const auto& w : parameters_->weights()) {
    const auto values = parameters_->values(w);
    if (w.name == kHeadWeight) head.weight.assign(values.begin(), values.end());
    if (w.name == kHeadBias) head.bias.assign(values.begin(), values.end());
  }
  if (classes_ > 0) head.dims = static_cast<std::int64_t>(head.weight.size()) / classes_;
  return head;
}

Result<std::map<std::string, std::vector<float>>> TrainableModel::tensors() const {
  std::map<std::string, std::vector<float>> out;
  for (const auto& w : parameters_->weights()) {
    if (!w.rule.trains || w.name.starts_with("cls.output.") || w.name.ends_with(".lora_a") ||
        w.name.ends_with(".lora_b"))
      continue;
    const auto values = parameters_->values(w);
    if (w.name != kTokenTable) {
      out[w.name].assign(values.begin(), values.end());
      continue;
    }
    const graph::Weight& weight = graph_.weight(w.id);
    TACK_TRY(auto table, graph::load_vector(weight, source_of(*base_)));
    const auto cols = static_cast<std::size_t>(weight.shape[1]);
    for (std::size_t r = 0; r < used_tokens_.size(); ++r)
      std::ranges::copy(values.subspan(r * cols, cols),
                        table.begin() + static_cast<std::ptrdiff_t>(
                                            static_cast<std::size_t>(used_tokens_[r]) * cols));
    out[w.name] = std::move(table);
  }
  const auto adapted = adapters();
  for (const auto& w : parameters_->weights()) {
    const auto found = adapted.find(w.name);
    if (found == adapted.end()) continue;
    const auto values = parameters_->values(w);
    std::vector<float>& merged = out[w.name];
    merged.assign(values.begin(), values.end());
    const Shape& shape = graph_.weight(w.id).shape;  // [rows, cols]
    const auto rank = static_cast<std::int64_t>(found->second.a.size()) / shape[1];
    for (std::int64_t i = 0; i < shape[0]; ++i)
      for (std::int64_t r = 0; r < rank; ++r)
        kernels::kernels().backward.axpy(
            shape[1], found->second.b[static_cast<std::size_t>(i * rank + r)],
            found->second.a.data() + r * shape[1], merged.data() + i * shape[1]);
  }
  return out;
}

Result<std::shared_ptr<const Model>> TrainableModel::save_encoder(const std::filesystem::path& path,
                                                                  const std::string& type,
                                                                  const std::string& name) const {
  const TemporaryFile full(path, ".f32");
  {
    TACK_TRY(const auto trained, tensors());
    TACK_RETURN_IF_ERROR(write_trained_encoder(*base_, trained, full.path()));
  }
  TACK_RETURN_IF_ERROR(convert_model(full.path(), path, {.type = type, .name = name}));
  return Model::open(path);
}

std::map<std::string, Adapter::Pair> TrainableModel::adapters() const {
  std::map<std::string, Adapter::Pair> out;
  for (const auto& w : parameters_->weights()) {
    const bool a = w.name.ends_with(".lora_a");
    if (!a && !w.name.ends_with(".lora_b")) continue;
    Adapter::Pair& pair = out[w.name.substr(0, w.name.size() - 7)];
    const auto values = parameters_->values(w);
    (a ? pair.a : pair.b).assign(values.begin(), values.end());
  }
  return out;
}

}  // namespace tack
