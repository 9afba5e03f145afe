// `tack convert`: any model this binary opens, written as one GGUF.

#include "tensor/convert.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/cpu.h"
#include "base/interrupt.h"
#include "models/architecture.h"
#include "models/chat_template.h"
#include "models/conversion.h"
#include "models/layers.h"
#include "models/model.h"
#include "models/smoothing.h"
#include "models/tokenizer_loading.h"
#include "tensor/blocks.h"
#include "tensor/convert_rows.h"

namespace tack {
namespace {

// Q3_K, Q4_K and Q5_K are file types 11, 14 and 16, "small", whose matrices are of one type but for
// a few.
constexpr ConversionTarget kTargets[] = {
    {"f32", DType::kF32, 0},
    {"f16", DType::kF16, 1},
    {"bf16", DType::kBF16, 32},
    {"int8", DType::kQ8_0, 7, true},
    {"q8_0", DType::kQ8_0, 7},
    {"q4_0", DType::kQ4_0, 2},
    {"q4_1", DType::kQ4_1, 3},
    {"q5_0", DType::kQ5_0, 8},
    {"q5_1", DType::kQ5_1, 9},
    {"iq4_nl", DType::kIQ4_NL, 25, false, DType::kQ6_K},
    {"iq4_xs", DType::kIQ4_XS, 30, false, DType::kQ6_K},
    {"q2_k", DType::kQ2_K, 10, false, DType::kQ6_K},
    {"q3_k", DType::kQ3_K, 11, false, DType::kQ6_K},
    {"q4_k", DType::kQ4_K, 14, false, DType::kQ6_K},
    {"q5_k", DType::kQ5_K, 16, false, DType::kQ6_K},
    {"q6_k", DType::kQ6_K, 18},
};

}  // namespace

Result<ConversionTarget> conversion_target(std::string_view type) {
  std::string known;
  for (const ConversionTarget& target : kTargets) {
    if (target.name == type) return target;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", target.name);
  }
  return fail(ErrorCode::kUsage, "unknown type '{}': choose one of {}", type, known);
}

DType wanted_dtype(const Architecture& architecture, const graph::Weight& weight,
                   const ConversionTarget& target) {
  if (weight.shape.size() < 2 || is_head(weight.name)) return DType::kF32;
  if (architecture.keeps_precision != nullptr && architecture.keeps_precision(weight.name)) {
    // Positions count in a small file; f16 is as exact as their training noise and llama.cpp
    // reads it. Token types are added as they are and stay f32.
    return info(target.dtype).block_elements > 1 && weight.name.starts_with("position")
               ? DType::kF16
               : DType::kF32;
  }
  const bool outer = weight.name == "token_embd.weight" || weight.name == "output.weight";
  return outer ? target.outer : target.dtype;
}

Status copy_metadata(const std::filesystem::path& from, const Model& model,
                     const Architecture& architecture, GgufWriter& writer) {
  if (const GgufFile* gguf = model.gguf()) {
    // Not the factors of an int8 that it may be.
    for (const auto& [key, value] : gguf->metadata())
      if (!key.starts_with(kSmoothKey)) writer.set(key, value);
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
    if (tokenizer) {
      pad_vocabulary(*tokenizer, model.vocab_size());
      TACK_TRY(const auto made, make_tokenizer(*tokenizer));
      if (made->vocab_size() > model.vocab_size())
        return fail("{}: its tokenizer has {} tokens, its table of tokens {} rows", from.string(),
                    made->vocab_size(), model.vocab_size());
      for (const auto& [key, value] : tokenizer_gguf_keys(*tokenizer)) writer.set(key, value);
    }
  }
  if (!writer.has("general.name")) writer.set("general.name", GgufValue::string(model.name()));
  writer.set("general.type", GgufValue::string("model"));
  return {};
}

namespace {

Status write_metadata(const std::filesystem::path& from, const Model& model,
                      const Architecture& architecture, const ConversionTarget& target,
                      const ConvertOptions& options, GgufWriter& writer) {
  TACK_RETURN_IF_ERROR(copy_metadata(from, model, architecture, writer));
  if (!options.name.empty()) writer.set("general.name", GgufValue::string(options.name));
  if (!options.licence.empty()) writer.set("general.license", GgufValue::string(options.licence));
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

Result<DType> converted_type(const Model& model, const graph::Weight& weight,
                             std::string_view type) {
  TACK_TRY(const ConversionTarget target, conversion_target(type));
  TACK_TRY(const Architecture* architecture, find_architecture(model.architecture()));
  return fitting_dtype(wanted_dtype(*architecture, weight, target), weight.shape.back());
}

Status convert_model(const std::filesystem::path& from, const std::filesystem::path& to,
                     const ConvertOptions& options) {
  TACK_TRY(const ConversionTarget target, conversion_target(options.type));
  TACK_TRY(const auto model, Model::open(from, Model::Use::kWeights));
  if (model->gguf() == nullptr && !std::filesystem::is_directory(from))
    return fail(ErrorCode::kUsage,
                "{} is an adapter: the merged model was written beside it when it was built",
                from.string());
  if (model->generates() && target.int8)
    return fail(ErrorCode::kUsage, "int8 is a type of encoders: choose q8_0 or another for {}",
                from.string());
  TACK_TRY(const Architecture* architecture, find_architecture(model->architecture()));
  GgufWriter writer;
  TACK_RETURN_IF_ERROR(write_metadata(from, *model, *architecture, target, options, writer));
  SmoothingExponents smoothing;
  // Encoders compute weights in blocks as int8.
  if (!model->generates() && info(target.dtype).block_elements > 1) {
    TACK_TRY(smoothing, measure_smoothing(*model));
  }
  ThreadPool pool(options.threads > 0 ? options.threads : cpu_info().logical_cores);
  const auto& weights = model->graph().weights();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const graph::Weight& weight = weights[i];
    const TensorView& view = model->tensor(weight);
    ConvertedTensor tensor{weight.name, view.dtype, wanted_dtype(*architecture, weight, target)};
    tensor.to = fitting_dtype(tensor.wanted, weight.shape.back());
    if (const auto factors = smoothing.find(weight.name);
        factors != smoothing.end() && info(tensor.to).block_elements > 1)
      writer.set(std::string(kSmoothKey) + weight.name, GgufValue::i8s(factors->second));
    writer.add_tensor_source(
        weight.name, tensor.to, view.shape, [&, i, tensor](const GgufWriter::Sink& sink) -> Status {
          if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
          if (Status status = convert_rows(view, tensor.to, pool, sink); !status)
            return std::unexpected(
                std::move(status).error().in(fmt::format("tensor '{}'", tensor.name)));
          if (options.tensor) options.tensor(tensor);
          if (options.progress)
            options.progress(static_cast<std::int64_t>(i + 1),
                             static_cast<std::int64_t>(weights.size()));
          return {};
        });
  }
  for (const auto& [name, values] : model->constants()) {
    const auto bytes = std::as_bytes(std::span(values));
    writer.add_tensor(name, DType::kF32, {static_cast<std::int64_t>(values.size())},
                      {bytes.begin(), bytes.end()});
  }
  return writer.write(to);
}

}  // namespace tack
