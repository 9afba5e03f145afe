// Ministral 3 (mistral3 in GGUF): Llama's blocks with YaRN, and queries that grow with the position
// beyond the original context. The text part of the multimodal checkpoints.

#include <cmath>

#include "models/decoder.h"

namespace tack {
namespace {

Result<BuiltModel> finish(DecoderConfig c, std::string_view where) {
  c.interleaved = true;
  c.attention_scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
  if (c.long_beta != 0 && c.long_context < 1)
    return fail("{}: queries grow beyond a context of {} tokens", where, c.long_context);
  if (c.long_beta == 0) c.long_context = 0;
  TACK_TRY(BuiltModel model, build_decoder(c, where));
  if (c.long_beta != 0) {
    const auto beta = static_cast<float>(c.long_beta);
    model.gguf_keys.emplace_back("mistral3.attention.temperature_scale", GgufValue::f32(beta));
    model.gguf_keys.emplace_back("mistral3.attention.temperature_length",
                                 GgufValue::u32(static_cast<std::uint32_t>(c.long_context)));
  }
  return model;
}

Result<BuiltModel> from_gguf(const GgufFile& file) {
  DecoderConfig c;
  c.architecture = "mistral3";
  TACK_RETURN_IF_ERROR(read_decoder_sizes(file, c));
  TACK_TRY(c.long_beta, file.number_or("mistral3.attention.temperature_scale", 0));
  // Not in every file; the original context then, as llama.cpp takes it.
  TACK_TRY(c.long_context,
           file.integer_or("mistral3.attention.temperature_length", c.rope.original_context));
  return finish(c, file.name());
}

Result<BuiltModel> from_hf(const HuggingFaceDirectory& directory) {
  const Json& config = text_config(directory);
  DecoderConfig c;
  c.architecture = "mistral3";
  TACK_RETURN_IF_ERROR(read_decoder_sizes(config, c));
  const Json* rope = config_find(config, "rope_parameters");
  if (rope == nullptr) rope = config_find(config, "rope_scaling");
  if (rope == nullptr || !rope->is_object())
    return fail("config.json: 'rope_parameters' is missing");
  TACK_TRY(const double base, config_number_or(config, "rope_theta", 1e6));
  TACK_TRY(c.rope, rope_from_json(*rope, base, c.positions));
  c.long_context = c.rope.original_context;
  TACK_TRY(c.long_beta, config_number_or(*rope, "llama_4_scaling_beta", 0));
  if (const Json* growth = config_find(config, "llama_4_scaling")) {
    TACK_TRY(c.long_beta, config_number_or(*growth, "beta", c.long_beta));
    TACK_TRY(c.long_context,
             config_integer_or(*growth, "original_max_position_embeddings", c.long_context));
  }
  return finish(c, "config.json");
}

}  // namespace

const Architecture& ministral3_architecture() {
  static constexpr std::string_view kTypes[] = {"ministral3"};
  static const Architecture kMinistral3 = {.name = "mistral3",
                                           .hf_model_types = kTypes,
                                           .from_gguf = from_gguf,
                                           .from_hf = from_hf,
                                           .hf_names = llama_architecture().hf_names,
                                           .keeps_precision = nullptr,
                                           .hf_change = llama_architecture().hf_change};
  return kMinistral3;
}

}  // namespace tack
