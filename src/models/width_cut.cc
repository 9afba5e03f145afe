#include "models/width_cut.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <string_view>

#include "models/smoothing.h"
#include "tensor/convert.h"

namespace tack {
namespace {

using Numbers = std::vector<std::int64_t>;

// "blk.3.ffn_up.weight": layer 3, "ffn_up".
struct LayerTensor {
  std::size_t layer = 0;
  std::string_view stem;
};
LayerTensor parse(std::string_view name) {
  LayerTensor out;
  if (!name.starts_with("blk.")) return out;
  const auto [end, error] = std::from_chars(name.data() + 4, name.data() + name.size(), out.layer);
  if (error != std::errc() || end == name.data() + name.size() || *end != '.') return {};
  out.stem = name.substr(static_cast<std::size_t>(end + 1 - name.data()));
  out.stem = out.stem.substr(0, out.stem.rfind('.'));
  return out;
}

Numbers columns_of(const Numbers& heads, std::int64_t head_dim) {
  Numbers columns;
  for (const std::int64_t head : heads)
    for (std::int64_t d = 0; d < head_dim; ++d) columns.push_back(head * head_dim + d);
  return columns;
}

// Rows of a matrix, or elements of a vector, as they lie.
void add_rows(const GgufTensor& tensor, const Numbers& rows, GgufDraft& draft) {
  Shape shape = tensor.view.shape;
  const std::size_t row_bytes = tensor.view.bytes.size() / static_cast<std::size_t>(shape[0]);
  shape[0] = static_cast<std::int64_t>(rows.size());
  const auto owned = std::make_shared<const Numbers>(rows);
  draft.add_source(
      tensor.name, tensor.view.dtype, std::move(shape),
      [owned, row_bytes, bytes = tensor.view.bytes](const GgufWriter::Sink& sink) -> Status {
        for (const std::int64_t row : *owned)
          TACK_RETURN_IF_ERROR(
              sink(bytes.subspan(static_cast<std::size_t>(row) * row_bytes, row_bytes)));
        return {};
      });
}

Status add_refit(const GgufTensor& tensor, const std::vector<float>& values, GgufDraft& draft) {
  const DType dtype = info(tensor.view.dtype).block_elements > 1 ? DType::kF16 : tensor.view.dtype;
  Shape shape = tensor.view.shape;
  if (shape.size() == 2) shape[1] = static_cast<std::int64_t>(values.size()) / shape[0];
  const auto bytes =
      std::make_shared<std::vector<std::byte>>(storage_bytes(dtype, values.size()).value_or(0));
  TACK_RETURN_IF_ERROR(from_f32(dtype, values, *bytes));
  draft.add_source(tensor.name, dtype, std::move(shape),
                   [bytes](const GgufWriter::Sink& sink) { return sink(*bytes); });
  return {};
}

void set_sizes(const Model& model, const WidthCut& cut, GgufDraft& draft) {
  const std::string prefix = model.architecture() + ".";
  const auto u32 = [](std::size_t n) { return GgufValue::u32(static_cast<std::uint32_t>(n)); };
  if (!cut.channels.empty())
    draft.set(prefix + "feed_forward_length", u32(cut.channels.front().size()));
  if (cut.heads.empty()) return;
  // Without keys for it, a head would be as wide as the model over their number.
  const auto head_dim = static_cast<std::size_t>(layer_width(model).head_dim);
  draft.set(prefix + "attention.head_count", u32(cut.heads.front().size()));
  draft.set(prefix + "attention.key_length", u32(head_dim));
  draft.set(prefix + "attention.value_length", u32(head_dim));
}

}  // namespace

LayerWidth layer_width(const Model& model) {
  LayerWidth width;
  for (const graph::Node& node : model.graph().nodes())
    if (const auto* attention = std::get_if<graph::Attention>(&node.op)) {
      width.heads = attention->heads;
      width.kv_heads = attention->kv_heads;
      width.head_dim = attention->head_dim;
      break;
    }
  for (const graph::Weight& weight : model.graph().weights())
    if (weight.name == "blk.0.ffn_up.weight") width.ffn = weight.shape[0];
  return width;
}

Result<GgufDraft> with_width(const Model& model, const WidthCut& cut) {
  const GgufFile* gguf = model.gguf();
  if (gguf == nullptr)
    return fail(ErrorCode::kUsage, "{}: convert the model to GGUF first (tack convert)",
                model.path().string());
  if (!cut.heads.empty() && model.architecture() != "bert")
    return fail(ErrorCode::kUsage, "{}: heads of {} models cannot be pruned, BERT's can",
                model.name(), model.architecture());
  GgufDraft draft;
  for (const auto& [key, value] : gguf->metadata()) {
    // Smoothing factors belong to the columns that were there.
    const bool stale =
        key.starts_with(kSmoothKey) &&
        cut.refit.contains(std::string(std::string_view(key).substr(kSmoothKey.size())));
    if (!stale) draft.set(key, value);
  }
  set_sizes(model, cut, draft);
  const std::int64_t head_dim = layer_width(model).head_dim;
  for (const GgufTensor& tensor : gguf->tensors()) {
    const auto [layer, stem] = parse(tensor.name);
    // A file may have tensors that the model does not read: they are copied.
    const bool known = std::ranges::find(model.graph().weights(), tensor.name,
                                         &graph::Weight::name) != model.graph().weights().end();
    const bool of_head = known && (stem == "attn_q" || stem == "attn_k" || stem == "attn_v");
    const bool of_channel = known && (stem == "ffn_up" || stem == "ffn_gate");
    if (const auto values = cut.refit.find(tensor.name); values != cut.refit.end())
      TACK_RETURN_IF_ERROR(add_refit(tensor, values->second, draft));
    else if (of_head && !cut.heads.empty())
      add_rows(tensor, columns_of(cut.heads[layer], head_dim), draft);
    else if (of_channel && !cut.channels.empty())
      add_rows(tensor, cut.channels[layer], draft);
    else
      draft.add_view(tensor.name, tensor.view);
  }
  return draft;
}

}  // namespace tack
