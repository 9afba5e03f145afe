// Llama 2 and 3 and Mistral (Touvron et al. 2023, Dubey et al. 2024): grouped queries, SwiGLU,
// rotary positions with or without Llama 3's scaling.

#include <cmath>

#include "models/decoder.h"

namespace tack {
namespace {

// A window shorter than the context is one of every layer: Mistral 7B of 2023.
Result<BuiltModel> finish(DecoderConfig c, std::int64_t window, std::string_view where) {
  c.interleaved = true;  // Hugging Face tensors become GGUF's
  c.local_rope = c.rope;
  if (c.attention_scale == 0) c.attention_scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
  if (window > 0 && window < c.positions && c.layers > 0 && c.layers < 1024) {
    c.window = window;
    c.local.assign(static_cast<std::size_t>(c.layers), true);
  }
  TACK_TRY(BuiltModel model, build_decoder(c, where));
  if (c.window > 0)
    model.gguf_keys.emplace_back("llama.attention.sliding_window",
                                 GgufValue::u32(static_cast<std::uint32_t>(c.window)));
  return model;
}

Result<BuiltModel> from_gguf(const GgufFile& file) {
  DecoderConfig c;
  c.architecture = "llama";
  TACK_RETURN_IF_ERROR(read_decoder_sizes(file, c));
  TACK_TRY(const double scale, file.number_or("llama.attention.scale", 0));
  c.attention_scale = static_cast<float>(scale);
  TACK_TRY(const std::int64_t window, file.integer_or("llama.attention.sliding_window", 0));
  return finish(std::move(c), window, file.name());
}

Result<BuiltModel> from_hf(const HuggingFaceDirectory& directory) {
  const Json& config = text_config(directory);
  DecoderConfig c;
  c.architecture = "llama";
  TACK_RETURN_IF_ERROR(read_decoder_sizes(config, c));
  TACK_TRY(const double base, config_number_or(config, "rope_theta", 10000));
  const Json* rope = config_find(config, "rope_parameters");
  if (rope == nullptr) rope = config_find(config, "rope_scaling");
  TACK_TRY(c.rope, rope_from_json(rope == nullptr ? Json() : *rope, base, c.positions));
  TACK_TRY(const std::int64_t window, config_integer_or(config, "sliding_window", 0));
  return finish(std::move(c), window, "config.json");
}

std::vector<std::string> hf_names(std::string_view name) {
  static constexpr NamePair kBlock[] = {
      {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
      {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
      {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
      {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
      {"ffn_down", "mlp.down_proj"},
  };
  return decoder_hf_names(name, kBlock);
}

// GGUF turns neighbouring columns, Hugging Face the halves of a head.
HfChange hf_change(std::string_view name) {
  return name.ends_with("attn_q.weight") || name.ends_with("attn_k.weight")
             ? HfChange::kInterleaveHeads
             : HfChange::kNone;
}

}  // namespace

Result<BuiltModel> new_llama(const DecoderConfig& sizes, std::string_view where) {
  DecoderConfig c = sizes;
  c.architecture = "llama";
  return finish(std::move(c), 0, where);
}

const Architecture& llama_architecture() {
  static constexpr std::string_view kTypes[] = {"llama", "mistral"};
  static constexpr Architecture kLlama = {.name = "llama",
                                          .hf_model_types = kTypes,
                                          .from_gguf = from_gguf,
                                          .from_hf = from_hf,
                                          .hf_names = hf_names,
                                          .keeps_precision = nullptr,
                                          .hf_change = hf_change};
  return kLlama;
}

}  // namespace tack
