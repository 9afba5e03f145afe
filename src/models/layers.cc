#include "models/layers.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "models/architecture.h"
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

namespace {

// The layer of each node; -1: before or behind them all. A layer goes from the first node that
// reads its weights to the next layer's, or to what reads other weights or all tokens at once.
std::vector<std::int64_t> layers_of_nodes(const graph::Graph& graph) {
  std::vector<std::int64_t> out;
  std::int64_t current = -1;
  bool behind = false;
  for (const graph::Node& node : graph.nodes()) {
    const std::int64_t layer = layer_of(graph, node.op);
    const bool weighted = std::holds_alternative<graph::Linear>(node.op) ||
                          std::holds_alternative<graph::LayerNorm>(node.op) ||
                          std::holds_alternative<graph::RmsNorm>(node.op);
    if (layer > current) current = layer;
    behind = behind || std::holds_alternative<graph::Pool>(node.op) ||
             (current >= 0 && weighted && layer < 0);
    out.push_back(behind ? -1 : current);
  }
  return out;
}

// Of each layer's attention, the tokens it sees; 0: all.
std::vector<std::int64_t> windows_of(const graph::Graph& graph) {
  std::vector<std::int64_t> windows;
  for (const graph::Node& node : graph.nodes())
    if (const auto* attention = std::get_if<graph::Attention>(&node.op))
      windows.push_back(attention->window);
  return windows;
}

// Every n-th layer sees everything: n; 1 when they are all alike.
std::int64_t window_period(const std::vector<std::int64_t>& windows) {
  if (std::ranges::adjacent_find(windows, std::ranges::not_equal_to()) == windows.end()) return 1;
  return std::ranges::find(windows, 0) - windows.begin() + 1;
}

// By new number, the old one; errors for what cannot be kept.
Status check_layers(const Model& model, const std::vector<std::int64_t>& keep) {
  const std::int64_t layers = layer_count(model);
  for (const std::int64_t layer : keep)
    if (layer < 0 || layer >= layers)
      return fail(ErrorCode::kUsage, "{}: there is no layer {}: it has {}, from 0",
                  model.path().string(), layer, layers);
  if (keep.empty() || std::ranges::adjacent_find(keep, std::ranges::greater_equal()) != keep.end())
    return fail(ErrorCode::kUsage,
                "the layers to keep must be a list of different numbers, ascending");
  const std::vector<std::int64_t> windows = windows_of(model.graph());
  const std::int64_t period = window_period(windows);
  for (std::size_t i = 0; i < keep.size() && period > 1; ++i)
    if ((windows[static_cast<std::size_t>(keep[i])] == 0) !=
        (static_cast<std::int64_t>(i + 1) % period == 0))
      return fail(ErrorCode::kUsage,
                  "{}: every {}th layer sees everything and the others a window, so layers can "
                  "only go {} neighbours at a time, or at the end",
                  model.path().string(), period, period);
  return {};
}

// What stays of a list with an entry for each layer.
void pick_layers(GgufValue& value, std::size_t layers, const std::vector<std::int64_t>& keep) {
  const auto pick = [&](auto& list) {
    if (list.size() != layers) return;
    auto all = std::move(list);
    list.clear();
    for (const std::int64_t layer : keep) list.push_back(all[static_cast<std::size_t>(layer)]);
  };
  if (auto* integers = std::get_if<std::vector<std::int64_t>>(&value.value)) pick(*integers);
  if (auto* numbers = std::get_if<std::vector<double>>(&value.value)) pick(*numbers);
}

Result<GgufDraft> draft_of_layers(const Model& model, const std::vector<std::int64_t>& keep,
                                  bool with_task) {
  const GgufFile* gguf = model.gguf();
  if (gguf == nullptr)
    return fail(ErrorCode::kUsage, "{}: convert the model to GGUF first (tack convert)",
                model.path().string());
  TACK_RETURN_IF_ERROR(check_layers(model, keep));
  // The new name, or nothing when it goes.
  const auto renamed = [&](std::string_view name) -> std::optional<std::string> {
    if (!with_task && is_head(name)) return std::nullopt;
    const auto parsed = parse_layer(name);
    if (!parsed) return std::string(name);
    const auto found = std::ranges::find(keep, parsed->layer);
    if (found == keep.end()) return std::nullopt;
    return fmt::format("blk.{}.{}", found - keep.begin(), parsed->rest);
  };
  const auto layers = static_cast<std::size_t>(layer_count(model));
  const std::string prefix = model.architecture() + ".";
  GgufDraft draft;
  for (const auto& [key, value] : gguf->metadata()) {
    if (key.starts_with(kSmoothKey)) {
      if (const auto name = renamed(std::string_view(key).substr(kSmoothKey.size())))
        draft.set(std::string(kSmoothKey) + *name, value);
    } else if (key == prefix + "block_count") {
      draft.set(key, GgufValue::u32(static_cast<std::uint32_t>(keep.size())));
    } else if (with_task || !is_task_key(key)) {
      GgufValue changed = value;
      if (key.starts_with(prefix) && !key.ends_with(".output_labels"))
        pick_layers(changed, layers, keep);
      draft.set(key, std::move(changed));
    }
  }
  // What a file may leave to the number of layers to say.
  if (model.generates()) {
    TACK_TRY(const auto* architecture, find_architecture(model.architecture()));
    TACK_TRY(const auto built, architecture->from_gguf(*gguf));
    for (const auto& [key, value] : built.gguf_keys)
      if (gguf->find(key) == nullptr) draft.set(key, value);
  }
  for (const GgufTensor& tensor : gguf->tensors())
    if (const auto name = renamed(tensor.name)) draft.add_view(*name, tensor.view);
  return draft;
}

}  // namespace

graph::Graph without_layers(const graph::Graph& graph, const std::vector<bool>& dropped) {
  graph::Graph out;
  for (const graph::Weight& weight : graph.weights()) out.weight(weight.name, weight.shape);
  std::vector<graph::ValueId> values(graph.value_count());
  const auto now = [&](graph::ValueId old) -> graph::ValueId& {
    return values[static_cast<std::size_t>(old.index)];
  };
  const std::vector<std::int64_t> layers = layers_of_nodes(graph);
  std::int64_t inside = -1;  // the dropped layer that the node before was in
  graph::ValueId read;       // by that layer
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const graph::Node& node = graph.nodes()[i];
    if (layers[i] >= 0 && dropped[static_cast<std::size_t>(layers[i])]) {
      if (layers[i] != inside) read = now(node.inputs[0]);
      inside = layers[i];
      now(node.output) = read;  // of the last one it is what the layer's result becomes
      continue;
    }
    inside = -1;
    std::vector<graph::ValueId> inputs;
    for (const graph::ValueId input : node.inputs) inputs.push_back(now(input));
    now(node.output) = out.append(node.op, inputs, graph.value(node.output));
  }
  for (const graph::Output& output : graph.outputs()) out.output(output.name, now(output.value));
  return out;
}

std::int64_t layer_unit(const Model& model) {
  return window_period(windows_of(model.graph()));
}

Result<GgufDraft> with_layers(const Model& model, const std::vector<std::int64_t>& keep) {
  return draft_of_layers(model, keep, true);
}

Status write_layers(const Model& model, const std::vector<std::int64_t>& keep,
                    const std::filesystem::path& path) {
  TACK_TRY(const GgufDraft draft, draft_of_layers(model, keep, false));
  return draft.write(path);
}

}  // namespace tack
