#include "tasks/trainable.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/random.h"
#include "graph/weights.h"
#include "kernels/kernels.h"
#include "models/conversion.h"
#include "models/layers.h"
#include "tasks/features.h"
#include "tensor/block_parts.h"
#include "tensor/convert.h"

namespace tack {
namespace {

constexpr std::string_view kTokenTable = "token_embd.weight";
constexpr std::string_view kProjection = "distill.projection.weight";

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

// Whole blocks of a type.
std::size_t bytes_of(DType dtype, std::size_t values) {
  return values / static_cast<std::size_t>(info(dtype).block_elements) * info(dtype).block_bytes;
}

}  // namespace

Result<std::vector<float>> load_weight(const Model& model, const graph::Weight& weight,
                                       std::span<const TokenId> used) {
  if (weight.name != kTokenTable) return graph::load_vector(weight, source_of(model));
  const TensorView& view = model.tensor(weight);
  const auto cols = static_cast<std::size_t>(view.cols());
  std::vector<float> rows(used.size() * cols);
  for (std::size_t r = 0; r < used.size(); ++r)
    TACK_RETURN_IF_ERROR(
        to_f32(view.dtype, view.row(used[r]), std::span(rows).subspan(r * cols, cols)));
  return rows;
}

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
                                                               const Heads& heads,
                                                               const TrainingTexts& texts,
                                                               const TrainableOptions& options,
                                                               ThreadPool& pool) {
  auto model = std::make_unique<TrainableModel>();
  model->base_ = std::move(base);
  model->graph_ = model->base_->graph();
  model->used_tokens_ = texts.used();
  graph::Graph& g = model->graph_;
  const graph::Output* embedding = g.find_output("embedding");
  if (embedding == nullptr)
    return fail(ErrorCode::kUsage, "{}: has no embedding to train on",
                model->base_->path().string());
  // The base's own heads, when it has some, are not used; these take their names.
  const auto add_head = [&](const LinearHead& head, graph::ValueId from, std::string_view weight,
                            std::string_view bias) {
    const graph::WeightId w = g.weight(std::string(weight), {head.classes, head.dims});
    const graph::WeightId b = g.weight(std::string(bias), {head.classes});
    return g.linear(from, w, b);
  };
  if (heads.label != nullptr)
    model->output_ = add_head(*heads.label, embedding->value, kHeadWeight, kHeadBias);
  else if (heads.tags == nullptr && heads.spans == nullptr)
    model->output_ = embedding->value;
  if (heads.tags != nullptr || heads.spans != nullptr) {
    const graph::Output* hidden = g.find_output("hidden");
    if (hidden == nullptr)
      return fail(ErrorCode::kUsage, "{}: has no vectors of tokens to find spans with",
                  model->base_->path().string());
    if (heads.tags != nullptr)
      model->tags_ = add_head(heads.tags->emissions, hidden->value, kTagWeight, kTagBias);
    if (heads.spans != nullptr)
      model->spans_ = add_head(*heads.spans, hidden->value, kSpanWeight, kSpanBias);
  }
  if (options.method == TrainMethod::kLora) {
    AdaptedGraph adapted =
        add_lora(g, options.rank, [](std::string_view name) { return layer_of(name) >= 0; });
    g = std::move(adapted.graph);
    for (graph::ValueId* output : {&model->output_, &model->tags_, &model->spans_})
      if (output->index >= 0) *output = adapted.values[static_cast<std::size_t>(output->index)];
  }
  if (heads.projection != nullptr) {
    const graph::WeightId w =
        g.weight(std::string(kProjection), {heads.projection->dims, model->base_->embedding_dim()});
    for (const LayerValues& layer : layer_values(g))
      model->projected_.push_back(g.linear(layer.hidden, w));
  }
  std::vector<graph::ValueId> all = model->outputs();
  all.insert(all.end(), model->projected_.begin(), model->projected_.end());
  std::vector<bool> used = used_weights(g, all);
  if (heads.tags != nullptr) {
    const std::int64_t tags = heads.tags->emissions.classes;
    g.weight(std::string(kTransitions), {tags, tags});
    g.weight(std::string(kStart), {tags});
    g.weight(std::string(kEnd), {tags});
    used.resize(g.weights().size(), true);
  }

  if (!options.quantize.empty()) TACK_RETURN_IF_ERROR(model->quantize(used, options, pool));
  const QuantizedWeights* const quantized = model->quantized_.get();

  std::int64_t layers = 0;
  for (const graph::Weight& w : g.weights()) layers = std::max(layers, layer_of(w.name) + 1);
  Random random(options.seed);
  const auto load = [&](const graph::Weight& w) -> Result<std::vector<float>> {
    if (w.name == kHeadWeight) return heads.label->weight;
    if (w.name == kHeadBias) return heads.label->bias;
    if (w.name == kTagWeight) return heads.tags->emissions.weight;
    if (w.name == kTagBias) return heads.tags->emissions.bias;
    if (w.name == kSpanWeight) return heads.spans->weight;
    if (w.name == kSpanBias) return heads.spans->bias;
    if (w.name == kTransitions) return heads.tags->transitions;
    if (w.name == kStart) return heads.tags->start;
    if (w.name == kEnd) return heads.tags->end;
    if (w.name.ends_with(".lora_a") || w.name.ends_with(".lora_b")) return adapter_start(w, random);
    if (w.name == kProjection) return heads.projection->weight;
    if (quantized != nullptr)
      if (const auto* start = quantized->start(w.name)) return *start;
    return load_weight(*model->base_, w, model->used_tokens_);
  };
  const auto rule = [&](const graph::Weight& w) -> TrainRule {
    if (is_head(w.name) || w.name == kProjection)
      return {.trains = true, .decays = false, .rate_factor = options.head_rate};
    if (quantized != nullptr)
      if (const auto number = quantized->rule(w.name)) return *number;
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
  TACK_TRY(auto parameters, ParameterSet::create(g, used, load, rule));
  model->parameters_ = std::make_unique<ParameterSet>(std::move(parameters));
  if (quantized != nullptr) {
    model->quantized_->attach(*model->parameters_);
    model->quantized_->materialise(1, 1);
  }
  return model;
}

// Matrices of the base that the type's file has in blocks; of the token table the rows in use.
Status TrainableModel::quantize(std::vector<bool>& used, const TrainableOptions& options,
                                ThreadPool& pool) {
  if (options.method != TrainMethod::kFull || !options.train_embeddings)
    return fail(ErrorCode::kUsage,
                "weights are trained in {} with method \"full\" and their embeddings",
                options.quantize);
  quantized_ = std::make_unique<QuantizedWeights>(
      QuantizedTraining{.codes = true, .after = options.quantize_after}, pool);
  const std::vector<graph::Weight> weights = graph_.weights();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const graph::Weight& weight = weights[i];
    if (i >= used.size() || !used[i] || weight.shape.size() < 2 || is_head(weight.name) ||
        weight.name == kProjection)
      continue;
    TACK_TRY(const DType dtype, converted_type(*base_, weight, options.quantize));
    if (!has_parts(dtype)) continue;
    TACK_TRY(auto values, load_weight(*base_, weight, used_tokens_));
    std::vector<std::byte> blocks(bytes_of(dtype, values.size()));
    TACK_RETURN_IF_ERROR(from_f32(dtype, values, blocks));
    TACK_RETURN_IF_ERROR(quantized_->add(graph_, {static_cast<std::int32_t>(i)}, dtype, blocks,
                                         std::move(values), true));
  }
  quantized_->choose(used);
  return {};
}

Result<std::map<std::string, StoredTensor>> TrainableModel::stored() const {
  std::map<std::string, StoredTensor> out;
  if (quantized_ == nullptr) return out;
  for (const auto& w : parameters_->weights()) {
    if (!quantized_->has(w.name)) continue;
    StoredTensor tensor{quantized_->dtype(w.name), quantized_->blocks(w.name)};
    if (w.name == kTokenTable) {
      // The rows of other tokens as they were, in the same type.
      TACK_TRY(const auto table, graph::load_vector(graph_.weight(w.id), source_of(*base_)));
      std::vector<std::byte> whole(bytes_of(tensor.dtype, table.size()));
      TACK_RETURN_IF_ERROR(from_f32(tensor.dtype, table, whole));
      const std::size_t row = tensor.bytes.size() / used_tokens_.size();
      for (std::size_t r = 0; r < used_tokens_.size(); ++r)
        std::copy_n(tensor.bytes.begin() + static_cast<std::ptrdiff_t>(r * row), row,
                    whole.begin() + static_cast<std::ptrdiff_t>(
                                        static_cast<std::size_t>(used_tokens_[r]) * row));
      tensor.bytes = std::move(whole);
    }
    out.emplace(w.name, std::move(tensor));
  }
  return out;
}

LinearHead TrainableModel::head() const {
  return head_named(kHeadWeight, kHeadBias);
}

TagHead TrainableModel::tag_head() const {
  return {head_named(kTagWeight, kTagBias), values_of(kTransitions), values_of(kStart),
          values_of(kEnd)};
}

LinearHead TrainableModel::span_head() const {
  return head_named(kSpanWeight, kSpanBias);
}

std::vector<graph::ValueId> TrainableModel::outputs() const {
  std::vector<graph::ValueId> out;
  for (const graph::ValueId output : {output_, tags_, spans_})
    if (output.index >= 0) out.push_back(output);
  return out;
}

std::vector<float> TrainableModel::values_of(std::string_view name) const {
  const ParameterSet::Weight* weight = parameters_->find(name);
  if (weight == nullptr) return {};
  const auto values = parameters_->values(*weight);
  return {values.begin(), values.end()};
}

LinearHead TrainableModel::head_named(std::string_view weight, std::string_view bias) const {
  LinearHead head;
  head.weight = values_of(weight);
  head.bias = values_of(bias);
  head.classes = static_cast<std::int32_t>(head.bias.size());
  if (head.classes > 0) head.dims = static_cast<std::int64_t>(head.weight.size()) / head.classes;
  return head;
}

Result<std::map<std::string, std::vector<float>>> TrainableModel::tensors() const {
  std::map<std::string, std::vector<float>> out;
  for (const auto& w : parameters_->weights()) {
    if (!w.rule.trains || is_head(w.name) || w.name == kProjection || w.name.ends_with(".lora_a") ||
        w.name.ends_with(".lora_b") || (quantized_ != nullptr && !quantized_->is_plain(w.name)))
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
    TACK_TRY(const auto blocks, stored());
    TACK_RETURN_IF_ERROR(write_trained_encoder(*base_, trained, blocks, full.path()));
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
