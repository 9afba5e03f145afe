#include "models/narrow.h"

#include <charconv>
#include <cstring>
#include <numeric>
#include <optional>

#include "graph/weights.h"
#include "models/layers.h"
#include "models/smoothing.h"

namespace tack {
namespace {

using Numbers = std::vector<std::int64_t>;

// A row of Q8_0 is whole blocks of this.
constexpr std::int64_t kBlock = 32;

bool is_head(std::string_view name) {
  return name.starts_with("cls.output.") || name.starts_with("tag.") || name.starts_with("span.");
}

// The numbers of the columns of whole heads.
Numbers columns_of(const Numbers& heads, std::int64_t head_dim) {
  Numbers columns;
  for (std::int64_t head : heads)
    for (std::int64_t d = 0; d < head_dim; ++d) columns.push_back(head * head_dim + d);
  return columns;
}

// Which rows and columns of a tensor stay; null: all. A vector has rows only.
struct Selection {
  const Numbers* rows = nullptr;
  const Numbers* cols = nullptr;
};

// By tensor name, in one layer or outside ("" as `part` before the layers).
std::optional<Selection> selection(std::string_view part, const Numbers& dims,
                                   const Numbers* attention, const Numbers* channels) {
  const bool vector = !part.ends_with(".weight") || part.ends_with("_norm.weight");
  const std::string_view stem = part.substr(0, part.rfind('.'));
  const auto linear = [&](const Numbers* out, const Numbers* in) {
    return vector ? Selection{out, nullptr} : Selection{out, in};
  };
  if (stem.ends_with("_norm")) return Selection{&dims, nullptr};
  if (stem == "token_embd" || stem == "token_types" || stem == "position_embd")
    return Selection{nullptr, &dims};
  if (stem == "cls") return linear(&dims, &dims);
  if (attention == nullptr) return std::nullopt;
  if (stem == "attn_q" || stem == "attn_k" || stem == "attn_v") return linear(attention, &dims);
  if (stem == "attn_output") return linear(&dims, attention);
  if (stem == "ffn_up") return linear(channels, &dims);
  if (stem == "ffn_down") return linear(&dims, channels);
  return std::nullopt;
}

std::vector<float> select(const std::vector<float>& values, const Shape& shape,
                          const Selection& what) {
  const std::int64_t cols = shape.size() == 2 ? shape[1] : 1;
  Numbers all_rows(static_cast<std::size_t>(shape[0])), all_cols(static_cast<std::size_t>(cols));
  std::iota(all_rows.begin(), all_rows.end(), 0);
  std::iota(all_cols.begin(), all_cols.end(), 0);
  std::vector<float> out;
  for (std::int64_t r : what.rows != nullptr ? *what.rows : all_rows)
    for (std::int64_t c : what.cols != nullptr ? *what.cols : all_cols)
      out.push_back(values[static_cast<std::size_t>(r * cols + c)]);
  return out;
}

}  // namespace

Result<EncoderShape> encoder_shape(const Model& model) {
  EncoderShape shape{.width = model.embedding_dim()};
  for (const graph::Node& node : model.graph().nodes())
    if (const auto* attention = std::get_if<graph::Attention>(&node.op)) {
      shape.heads = attention->heads;
      if (attention->heads * attention->head_dim != shape.width)
        return fail(ErrorCode::kUsage, "{}: heads were pruned, so it cannot be made narrower",
                    model.name());
      break;
    }
  for (const graph::Weight& weight : model.graph().weights())
    if (weight.name == "blk.0.ffn_up.weight") shape.ffn = weight.shape[0];
  if (model.architecture() != "bert" || shape.heads == 0 || shape.ffn == 0)
    return fail(ErrorCode::kUsage,
                "{}: a model of architecture {} cannot be made narrower, BERT's can", model.name(),
                model.architecture());
  return shape;
}

Result<EncoderShape> narrowed_shape(const Model& model, std::int64_t width, std::int64_t ffn) {
  TACK_TRY(const EncoderShape full, encoder_shape(model));
  const EncoderShape out{.width = width > 0 ? width : full.width,
                         .heads = (width > 0 ? width : full.width) * full.heads / full.width,
                         .ffn = ffn > 0 ? ffn : full.ffn};
  const std::int64_t head_dim = full.width / full.heads, unit = std::lcm(head_dim, kBlock);
  if (out.width > full.width || out.width % unit != 0)
    return fail(ErrorCode::kUsage,
                "width {}: {} is {} wide in heads of {}; choose a multiple of {} up to that",
                out.width, model.name(), full.width, head_dim, unit);
  if (out.ffn > full.ffn || out.ffn % kBlock != 0)
    return fail(ErrorCode::kUsage,
                "ffn {}: the feed-forward layers of {} are {} wide; choose a multiple of {} up to "
                "that",
                out.ffn, model.name(), full.ffn, kBlock);
  return out;
}

Status write_narrow(const Model& model, const Narrowing& kept, const std::filesystem::path& path) {
  const GgufFile* gguf = model.gguf();
  if (gguf == nullptr)
    return fail(ErrorCode::kUsage, "{}: convert the model to GGUF first (tack convert)",
                model.path().string());
  TACK_TRY(const EncoderShape full, encoder_shape(model));
  const std::int64_t head_dim = full.width / full.heads;
  const auto u32 = [](std::size_t n) { return GgufValue::u32(static_cast<std::uint32_t>(n)); };
  GgufWriter writer;
  // Smoothing factors belong to the columns that were there.
  for (const auto& [key, value] : gguf->metadata())
    if (!key.starts_with(kSmoothKey) && !is_task_key(key)) writer.set(key, value);
  writer.set("bert.embedding_length", u32(kept.dims.size()));
  writer.set("bert.attention.head_count", u32(kept.heads.front().size()));
  writer.set("bert.feed_forward_length", u32(kept.channels.front().size()));
  writer.set("general.file_type", GgufValue::u32(0));
  for (const graph::Weight& weight : model.graph().weights()) {
    if (is_head(weight.name)) continue;
    std::string_view part = weight.name;
    Numbers attention;
    const Numbers* channels = nullptr;
    std::size_t layer = 0;
    const bool in_layer = part.starts_with("blk.");
    if (in_layer) {
      const auto [end, error] = std::from_chars(part.data() + 4, part.data() + part.size(), layer);
      part = part.substr(static_cast<std::size_t>(end + 1 - part.data()));
      attention = columns_of(kept.heads[layer], head_dim);
      channels = &kept.channels[layer];
    }
    const auto what = selection(part, kept.dims, in_layer ? &attention : nullptr, channels);
    if (!what)
      return fail(ErrorCode::kUsage, "{}: the tensor {} cannot be made narrower", model.name(),
                  weight.name);
    TACK_TRY(const auto values,
             graph::load_vector(weight, [&](const graph::Weight& w) -> const TensorView& {
               return model.tensor(w);
             }));
    const std::vector<float> piece = select(values, weight.shape, *what);
    Shape shape = weight.shape;
    if (what->rows != nullptr) shape[0] = static_cast<std::int64_t>(what->rows->size());
    if (what->cols != nullptr) shape[1] = static_cast<std::int64_t>(what->cols->size());
    std::vector<std::byte> bytes(piece.size() * sizeof(float));
    std::memcpy(bytes.data(), piece.data(), bytes.size());
    writer.add_tensor(weight.name, DType::kF32, std::move(shape), std::move(bytes));
  }
  return writer.write(path);
}

}  // namespace tack
