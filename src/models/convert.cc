// `tack convert`: any model this binary opens, written as one GGUF.

#include "tensor/convert.h"

#include <algorithm>
#include <map>
#include <vector>

#include "models/architecture.h"
#include "models/chat_template.h"
#include "models/model.h"
#include "models/smoothing.h"
#include "models/tokenizer_loading.h"

namespace tack {
namespace {

struct Target {
  DType dtype;              // of matrices
  bool int8 = false;        // with smoothing factors
  std::uint32_t file_type;  // llama.cpp's general.file_type
};

Result<Target> target_of(std::string_view type) {
  if (type == "f32") return Target{DType::kF32, false, 0};
  if (type == "f16") return Target{DType::kF16, false, 1};
  if (type == "bf16") return Target{DType::kBF16, false, 32};
  if (type == "int8") return Target{DType::kQ8_0, true, 7};
  return fail(ErrorCode::kUsage, "unknown type '{}': choose f32, f16, bf16 or int8", type);
}

DType choose_dtype(const Architecture& architecture, const graph::Weight& weight,
                   const Target& target) {
  if (weight.shape.size() < 2) return DType::kF32;
  if (architecture.keeps_precision != nullptr && architecture.keeps_precision(weight.name)) {
    // Positions count in a small file; f16 is as exact as their training noise and llama.cpp
    // reads it. Token types are added as they are and stay f32.
    return target.int8 && weight.name.starts_with("position") ? DType::kF16 : DType::kF32;
  }
  // Rows that are no whole number of blocks stay exact.
  if (weight.shape.back() % info(target.dtype).block_elements != 0) return DType::kF16;
  return target.dtype;
}

Result<std::vector<std::byte>> convert_tensor(const TensorView& from, DType dtype) {
  const auto bytes = storage_bytes(dtype, static_cast<std::uint64_t>(element_count(from.shape)));
  if (!bytes) return fail("does not fit type {}", info(dtype).name);
  std::vector<std::byte> out(*bytes);
  const std::size_t row_bytes = out.size() / static_cast<std::size_t>(from.rows());
  std::vector<float> row(static_cast<std::size_t>(from.cols()));
  for (std::int64_t r = 0; r < from.rows(); ++r) {
    const std::span<std::byte> to(out.data() + static_cast<std::size_t>(r) * row_bytes, row_bytes);
    TACK_RETURN_IF_ERROR(to_f32(from.dtype, from.row(r), row));
    TACK_RETURN_IF_ERROR(from_f32(dtype, row, to));
  }
  return out;
}

// General and tokenizer keys of the source, whichever kind it is, then the architecture's own.
Status write_metadata(const std::filesystem::path& from, const Model& model,
                      const Architecture& architecture, const Target& target,
                      const ConvertOptions& options, GgufWriter& writer) {
  if (const GgufFile* gguf = model.gguf()) {
    for (const auto& [key, value] : gguf->metadata()) writer.set(key, value);
  } else {
    TACK_TRY(const auto directory, HuggingFaceDirectory::open(from));
    TACK_TRY(const auto built, architecture.from_hf(directory));
    writer.set("general.architecture", GgufValue::string(std::string(architecture.name)));
    for (const auto& [key, value] : built.gguf_keys) writer.set(key, value);
    auto tokenizer = model.generates() ? tokenizer_config_from_files(from)
                                       : Result<TokenizerConfig>(wordpiece_from_hf(directory));
    // A decoder's weights may come alone.
    const bool alone =
        model.generates() && !tokenizer && tokenizer.error().code == ErrorCode::kNotFound;
    if (!tokenizer && !alone) return std::unexpected(std::move(tokenizer).error());
    if (!model.chat_template().empty())
      writer.set(kChatTemplateKey, GgufValue::string(model.chat_template()));
    if (tokenizer)
      for (const auto& [key, value] : tokenizer_gguf_keys(*tokenizer)) writer.set(key, value);
  }
  if (!options.name.empty() || !writer.has("general.name"))
    writer.set("general.name",
               GgufValue::string(options.name.empty() ? model.name() : options.name));
  if (!options.licence.empty()) writer.set("general.license", GgufValue::string(options.licence));
  writer.set("general.type", GgufValue::string("model"));
  writer.set("general.file_type", GgufValue::u32(target.file_type));
  writer.set("general.quantization_version", GgufValue::u32(2));
  if (!writer.has("tack.lineage")) {
    const Json lineage = {{"base", model.name()},
                          {"licence", options.licence},
                          {"command", "tack convert --type " + options.type}};
    writer.set("tack.lineage", GgufValue::string(to_text(lineage)));
  }
  return {};
}

}  // namespace

Status convert_model(const std::filesystem::path& from, const std::filesystem::path& to,
                     const ConvertOptions& options) {
  TACK_TRY(const Target target, target_of(options.type));
  TACK_TRY(const auto model, Model::open(from, Model::Use::kWeights));
  if (model->gguf() == nullptr && !std::filesystem::is_directory(from))
    return fail(ErrorCode::kUsage,
                "{} is an adapter: the merged model was written beside it when it was built",
                from.string());
  if (model->generates() && target.int8)
    return fail(ErrorCode::kUsage, "int8 is a type of encoders: choose f32, f16 or bf16 for {}",
                from.string());
  TACK_TRY(const Architecture* architecture, find_architecture(model->architecture()));
  GgufWriter writer;
  TACK_RETURN_IF_ERROR(write_metadata(from, *model, *architecture, target, options, writer));
  SmoothingExponents smoothing;
  if (target.int8) {
    TACK_TRY(smoothing, measure_smoothing(*model));
  }
  const auto& weights = model->graph().weights();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const TensorView& view = model->tensor(weights[i]);
    const DType dtype = choose_dtype(*architecture, weights[i], target);
    auto bytes = convert_tensor(view, dtype);
    if (const auto factors = smoothing.find(weights[i].name);
        factors != smoothing.end() && dtype == DType::kQ8_0)
      writer.set(std::string(kSmoothKey) + weights[i].name, GgufValue::i8s(factors->second));
    if (!bytes)
      return std::unexpected(std::move(bytes.error()).in("tensor '" + weights[i].name + "'"));
    writer.add_tensor(weights[i].name, dtype, view.shape, *std::move(bytes));
    if (options.progress)
      options.progress(static_cast<std::int64_t>(i + 1), static_cast<std::int64_t>(weights.size()));
  }
  for (const auto& [name, values] : model->constants()) {
    const auto bytes = std::as_bytes(std::span(values));
    writer.add_tensor(name, DType::kF32, {static_cast<std::int64_t>(values.size())},
                      {bytes.begin(), bytes.end()});
  }
  return writer.write(to);
}

}  // namespace tack
