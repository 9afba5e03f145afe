// Gemma 3 (Gemma Team 2025), text: layers with a sliding window and layers that see everything,
// each kind with its own rotary base; norms of query and key heads, before and after each block;
// GeGLU.

#include <algorithm>
#include <cmath>

#include "models/decoder.h"

namespace tack {
namespace {

constexpr std::int64_t kUsualPattern = 6;  // every sixth layer sees everything
constexpr double kGlobalBase = 1e6, kLocalBase = 1e4;

std::vector<bool> pattern(std::int64_t layers, std::int64_t period) {
  std::vector<bool> local;
  for (std::int64_t i = 0; i < std::min<std::int64_t>(layers, 1024); ++i)
    local.push_back(period > 0 && (i + 1) % period != 0);
  return local;
}

Result<BuiltModel> finish(DecoderConfig c, std::string_view where) {
  c.activation = kernels::Activation::kGeluTanh;
  c.embedding_scale = std::sqrt(static_cast<float>(c.d_model));
  c.head_norms = c.post_norms = true;
  TACK_TRY(BuiltModel model, build_decoder(c, where));
  if (!c.local.empty()) {
    const auto base = static_cast<float>(c.local_rope.base);
    model.gguf_keys.emplace_back("gemma3.attention.sliding_window",
                                 GgufValue::u32(static_cast<std::uint32_t>(c.window)));
    model.gguf_keys.emplace_back("gemma3.rope.freq_base_swa", GgufValue::f32(base));
  }
  return model;
}

// The window of the published sizes, for files that do not say it: 512 up to 1B, else 1024.
std::int64_t usual_window(const DecoderConfig& c) {
  return c.layers <= 26 ? 512 : 1024;
}

Result<BuiltModel> from_gguf(const GgufFile& file) {
  DecoderConfig c;
  c.architecture = "gemma3";
  TACK_RETURN_IF_ERROR(read_decoder_sizes(file, c));
  if (file.find("gemma3.rope.freq_base") == nullptr) c.rope.base = kGlobalBase;
  TACK_TRY(c.local_rope.base, file.number_or("gemma3.rope.freq_base_swa", kLocalBase));
  TACK_TRY(c.window, file.integer_or("gemma3.attention.sliding_window", usual_window(c)));
  TACK_TRY(const std::int64_t period,
           file.integer_or("gemma3.attention.sliding_window_pattern", kUsualPattern));
  if (c.window > 0) c.local = pattern(c.layers, period);
  TACK_TRY(const double cap, file.number_or("gemma3.final_logit_softcapping", 0));
  if (cap != 0) return fail("{}: capped logits are not supported", file.name());
  // The 27B scales by the model's width over its heads; the key is ours, for other files.
  const std::int64_t head = c.layers == 62 && c.heads > 0 ? c.d_model / c.heads : c.head_dim;
  TACK_TRY(const double scale,
           file.number_or("gemma3.attention.scale", 1 / std::sqrt(static_cast<double>(head))));
  c.attention_scale = static_cast<float>(scale);
  return finish(c, file.name());
}

// "layer_types", or the older "sliding_window_pattern".
Status read_windows(const Json& config, DecoderConfig& c) {
  TACK_TRY(c.window, config_integer_or(config, "sliding_window", 0));
  if (c.window <= 0) return {};
  const Json* types = config_find(config, "layer_types");
  if (types == nullptr) {
    TACK_TRY(const std::int64_t period,
             config_integer_or(config, "sliding_window_pattern", kUsualPattern));
    c.local = pattern(c.layers, period);
    return {};
  }
  if (!types->is_array() || static_cast<std::int64_t>(types->size()) != c.layers)
    return fail("config.json: 'layer_types' does not list {} layers", c.layers);
  for (const Json& type : *types) c.local.push_back(type == "sliding_attention");
  if (c.local != pattern(c.layers, kUsualPattern))
    return fail("config.json: 'layer_types' other than five local layers and a global one");
  return {};
}

Status read_ropes(const Json& config, DecoderConfig& c) {
  const Json* parameters = config_find(config, "rope_parameters");
  if (parameters != nullptr && parameters->contains("full_attention")) {
    TACK_TRY(c.rope, rope_from_json((*parameters)["full_attention"], kGlobalBase, c.positions));
    const Json* local = config_find(*parameters, "sliding_attention");
    TACK_TRY(c.local_rope,
             rope_from_json(local == nullptr ? Json() : *local, kLocalBase, c.positions));
    return {};
  }
  TACK_TRY(const double base, config_number_or(config, "rope_theta", kGlobalBase));
  const Json* scaling = config_find(config, "rope_scaling");
  TACK_TRY(c.rope, rope_from_json(scaling == nullptr ? Json() : *scaling, base, c.positions));
  TACK_TRY(c.local_rope.base, config_number_or(config, "rope_local_base_freq", kLocalBase));
  return {};
}

Result<BuiltModel> from_hf(const HuggingFaceDirectory& directory) {
  const Json& config = text_config(directory);
  DecoderConfig c;
  c.architecture = "gemma3";
  c.tied_head = true;
  TACK_RETURN_IF_ERROR(read_decoder_sizes(config, c));
  for (const char* key : {"final_logit_softcapping", "attn_logit_softcapping"})
    if (config_find(config, key) != nullptr) return fail("config.json: '{}' is not supported", key);
  if (const Json* both = config_find(config, "use_bidirectional_attention");
      both != nullptr && *both == true)
    return fail("config.json: 'use_bidirectional_attention' is not supported");
  TACK_RETURN_IF_ERROR(read_windows(config, c));
  TACK_RETURN_IF_ERROR(read_ropes(config, c));
  TACK_TRY(const double scalar,
           config_number_or(config, "query_pre_attn_scalar", static_cast<double>(c.head_dim)));
  c.attention_scale = static_cast<float>(1 / std::sqrt(scalar));
  TACK_TRY(BuiltModel model, finish(c, "config.json"));
  model.gguf_keys.emplace_back("gemma3.attention.scale", GgufValue::f32(c.attention_scale));
  return model;
}

std::vector<std::string> hf_names(std::string_view name) {
  static constexpr NamePair kBlock[] = {
      {"attn_norm", "input_layernorm"},
      {"attn_q", "self_attn.q_proj"},
      {"attn_k", "self_attn.k_proj"},
      {"attn_v", "self_attn.v_proj"},
      {"attn_q_norm", "self_attn.q_norm"},
      {"attn_k_norm", "self_attn.k_norm"},
      {"attn_output", "self_attn.o_proj"},
      {"post_attention_norm", "post_attention_layernorm"},
      {"ffn_norm", "pre_feedforward_layernorm"},
      {"ffn_gate", "mlp.gate_proj"},
      {"ffn_up", "mlp.up_proj"},
      {"ffn_down", "mlp.down_proj"},
      {"post_ffw_norm", "post_feedforward_layernorm"},
  };
  return decoder_hf_names(name, kBlock);
}

// Checkpoints store what a norm's weight is away from 1.
HfChange hf_change(std::string_view name) {
  return name.ends_with("norm.weight") ? HfChange::kAddOne : HfChange::kNone;
}

}  // namespace

const Architecture& gemma3_architecture() {
  static constexpr std::string_view kTypes[] = {"gemma3_text"};
  static constexpr Architecture kGemma3 = {.name = "gemma3",
                                           .hf_model_types = kTypes,
                                           .from_gguf = from_gguf,
                                           .from_hf = from_hf,
                                           .hf_names = hf_names,
                                           .keeps_precision = nullptr,
                                           .hf_change = hf_change};
  return kGemma3;
}

}  // namespace tack
