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

}  // namespace

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
    } else if (key != model.architecture() + ".classifier.output_labels" &&
               key != "tack.head_input" && key != "tack.task" && key != "tack.calibration" &&
               key != "tack.metrics" && key != "tack.tags" && key != "tack.heads") {
      writer.set(key, value);
    }
  }
  for (const GgufTensor& tensor : gguf->tensors())
    if (const auto name = renamed(tensor.name)) writer.add_tensor_view(*name, tensor.view);
  return writer.write(path);
}

}  // namespace tack
