#include "models/layers.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "models/smoothing.h"

namespace tack {
namespace {

// "blk.12.attn_q.weight" -> 12 and "attn_q.weight".
struct LayerName {
  std::int64_t layer = 0;
  std::string_view rest;
};
std::optional<LayerName> parse_layer(std::string_view name) {
  if (!name.starts_with("blk.")) return std::nullopt;
  LayerName out;
  const char* const end = name.data() + name.size();
  const auto [at, error] = std::from_chars(name.data() + 4, end, out.layer);
  if (error != std::errc() || at == end || *at != '.') return std::nullopt;
  out.rest = name.substr(static_cast<std::size_t>(at + 1 - name.data()));
  return out;
}

// The layer whose weight an operator reads; -1: none.
std::int64_t layer_of(const graph::Graph& graph, const graph::Op& op) {
  graph::WeightId weight;
  if (const auto* linear = std::get_if<graph::Linear>(&op)) weight = linear->weight;
  if (const auto* norm = std::get_if<graph::LayerNorm>(&op)) weight = norm->gamma;
  if (const auto* norm = std::get_if<graph::RmsNorm>(&op)) weight = norm->gamma;
  if (weight.index < 0) return -1;
  const auto parsed = parse_layer(graph.weight(weight).name);
  return parsed ? parsed->layer : -1;
}

}  // namespace

std::vector<LayerValues> layer_values(const graph::Graph& graph) {
  std::vector<LayerValues> layers;
  std::int64_t current = -1;
  graph::ValueId before;  // of the node before
  for (const graph::Node& node : graph.nodes()) {
    if (const std::int64_t layer = layer_of(graph, node.op); layer > current) {
      if (current >= 0) layers[static_cast<std::size_t>(current)].hidden = before;
      current = layer;
      layers.resize(static_cast<std::size_t>(current) + 1);
      layers.back().input = node.inputs[0];
    }
    if (current >= 0 && std::holds_alternative<graph::Attention>(node.op)) {
      LayerValues& values = layers[static_cast<std::size_t>(current)];
      values.q = node.inputs[0];
      values.k = node.inputs[1];
      values.v = node.inputs[2];
      values.attended = node.output;
    }
    before = node.output;
  }
  if (const graph::Output* hidden = graph.find_output("hidden"); hidden != nullptr && current >= 0)
    layers.back().hidden = hidden->value;
  return layers;
}

bool is_task_key(std::string_view key) {
  return key.ends_with(".classifier.output_labels") || key == "tack.head_input" ||
         key == "tack.task" || key == "tack.calibration" || key == "tack.metrics" ||
         key == "tack.tags" || key == "tack.heads";
}

std::int64_t layer_count(const Model& model) {
  std::int64_t count = 0;
  for (const graph::Weight& weight : model.graph().weights())
    if (const auto parsed = parse_layer(weight.name)) count = std::max(count, parsed->layer + 1);
  return count;
}

std::vector<std::int64_t> spread_layers(std::int64_t layers, std::int64_t count) {
  std::vector<std::int64_t> keep;
  for (std::int64_t i = 0; i < count; ++i) keep.push_back(i * layers / count);
  return keep;
}

Status write_layers(const Model& model, const std::vector<std::int64_t>& keep,
                    const std::filesystem::path& path) {
  const GgufFile* gguf = model.gguf();
  if (gguf == nullptr)
    return fail(ErrorCode::kUsage, "{}: convert the model to GGUF first (tack convert)",
                model.path().string());
  const std::int64_t layers = layer_count(model);
  std::map<std::int64_t, std::int64_t> number;  // old -> new
  for (std::int64_t layer : keep) {
    if (layer < 0 || layer >= layers)
      return fail(ErrorCode::kUsage, "{}: there is no layer {}: it has {}, from 0",
                  model.path().string(), layer, layers);
    number.emplace(layer, static_cast<std::int64_t>(number.size()));
  }
  if (number.size() != keep.size() || !std::ranges::is_sorted(keep) || keep.empty())
    return fail(ErrorCode::kUsage,
                "the layers to keep must be a list of different numbers, ascending");

  // The new name, or nothing when it goes.
  const auto renamed = [&](std::string_view name) -> std::optional<std::string> {
    if (name.starts_with("cls.output.") || name.starts_with("tag.") || name.starts_with("span."))
      return std::nullopt;
    const auto parsed = parse_layer(name);
    if (!parsed) return std::string(name);
    const auto found = number.find(parsed->layer);
    if (found == number.end()) return std::nullopt;
    return fmt::format("blk.{}.{}", found->second, parsed->rest);
  };
  GgufWriter writer;
  for (const auto& [key, value] : gguf->metadata()) {
    if (key.starts_with(kSmoothKey)) {
      if (const auto name = renamed(std::string_view(key).substr(kSmoothKey.size())))
        writer.set(std::string(kSmoothKey) + *name, value);
    } else if (key == model.architecture() + ".block_count") {
      writer.set(key, GgufValue::u32(static_cast<std::uint32_t>(keep.size())));
    } else if (!is_task_key(key)) {
      writer.set(key, value);
    }
  }
  for (const GgufTensor& tensor : gguf->tensors())
    if (const auto name = renamed(tensor.name)) writer.add_tensor_view(*name, tensor.view);
  return writer.write(path);
}

}  // namespace tack
