#include "models/decoder.h"

#include <cmath>

#include <fmt/format.h>

namespace tack {
namespace {

using graph::Graph;
using graph::ValueId;
using graph::WeightId;

Status check(const DecoderConfig& c, std::string_view where) {
  const auto in_range = [&](std::string_view what, std::int64_t value,
                            std::int64_t most) -> Status {
    if (value < 1 || value > most)
      return fail("{}: {} is {}, expected 1 to {}", where, what, value, most);
    return {};
  };
  TACK_RETURN_IF_ERROR(in_range("number of layers", c.layers, 512));
  TACK_RETURN_IF_ERROR(in_range("hidden size", c.d_model, 65536));
  TACK_RETURN_IF_ERROR(in_range("number of attention heads", c.heads, 1024));
  TACK_RETURN_IF_ERROR(in_range("number of key/value heads", c.kv_heads, c.heads));
  TACK_RETURN_IF_ERROR(in_range("head size", c.head_dim, 1024));
  TACK_RETURN_IF_ERROR(in_range("feed-forward size", c.d_ff, 1 << 20));
  TACK_RETURN_IF_ERROR(in_range("vocabulary size", c.vocab, 1 << 24));
  TACK_RETURN_IF_ERROR(in_range("number of positions", c.positions, 1 << 28));
  if (c.heads % c.kv_heads != 0)
    return fail("{}: {} heads are no multiple of {} key/value heads", where, c.heads, c.kv_heads);
  if (c.head_dim % 2 != 0) return fail("{}: head size {} is odd", where, c.head_dim);
  if (!c.local.empty()) TACK_RETURN_IF_ERROR(in_range("sliding window", c.window, 1 << 28));
  if (!(c.norm_eps >= 0) || !std::isfinite(c.norm_eps))
    return fail("{}: the norm's epsilon is {}", where, c.norm_eps);
  return {};
}

graph::Rope turn(const DecoderConfig& c, bool local, std::int64_t heads) {
  const RopeConfig& rope = local ? c.local_rope : c.rope;
  graph::Rope out;
  out.heads = heads;
  out.head_dim = c.head_dim;
  out.interleaved = c.interleaved;
  out.frequency = rope_frequencies(rope, c.head_dim);
  out.scale = static_cast<float>(rope.attention_factor);
  return out;
}

Graph build_graph(const DecoderConfig& c) {
  Graph g;
  const std::int64_t d = c.d_model, q_dim = c.heads * c.head_dim, kv_dim = c.kv_heads * c.head_dim;
  const auto norm = [&](ValueId x, const std::string& name, std::int64_t groups = 1) {
    return g.rms_norm(x, g.weight(name + ".weight", {g.value(x).cols / groups}), c.norm_eps,
                      groups);
  };
  const auto linear = [&](ValueId x, const std::string& name, std::int64_t out) {
    return g.linear(x, g.weight(name + ".weight", {out, g.value(x).cols}));
  };
  const WeightId table = g.weight("token_embd.weight", {c.vocab, d});
  ValueId x = g.embedding(table, graph::Index::kTokenId);
  if (c.embedding_scale != 1) x = g.scale(x, c.embedding_scale);
  for (std::int64_t layer = 0; layer < c.layers; ++layer) {
    const auto name = [&](std::string_view part) { return fmt::format("blk.{}.{}", layer, part); };
    const bool local = c.is_local(layer);
    const ValueId in = norm(x, name("attn_norm"));
    ValueId q = linear(in, name("attn_q"), q_dim), k = linear(in, name("attn_k"), kv_dim);
    const ValueId v = linear(in, name("attn_v"), kv_dim);
    if (c.head_norms) {
      q = norm(q, name("attn_q_norm"), c.heads);
      k = norm(k, name("attn_k_norm"), c.kv_heads);
    }
    graph::Rope turn_q = turn(c, local, c.heads);
    turn_q.long_beta = static_cast<float>(c.long_beta);
    turn_q.long_context = c.long_context;
    const graph::Attention attention{c.heads,           c.kv_heads, c.head_dim,
                                     c.attention_scale, true,       local ? c.window : 0};
    const ValueId attended =
        g.attention(g.rope(q, turn_q), g.rope(k, turn(c, local, c.kv_heads)), v, attention);
    ValueId added = linear(attended, name("attn_output"), d);
    if (c.post_norms) added = norm(added, name("post_attention_norm"));
    x = g.add(added, x);
    const ValueId middle = norm(x, name("ffn_norm"));
    const ValueId gate = g.activate(linear(middle, name("ffn_gate"), c.d_ff), c.activation);
    const ValueId up = linear(middle, name("ffn_up"), c.d_ff);
    added = linear(g.multiply(gate, up), name("ffn_down"), d);
    if (c.post_norms) added = norm(added, name("post_ffw_norm"));
    x = g.add(added, x);
  }
  x = norm(x, "output_norm");
  g.output("hidden", x);
  g.output("logits", c.tied_head ? g.linear(x, table) : linear(x, "output", c.vocab));
  return g;
}

std::vector<std::pair<std::string, GgufValue>> gguf_keys(const DecoderConfig& c) {
  const auto u32 = [](std::int64_t v) { return GgufValue::u32(static_cast<std::uint32_t>(v)); };
  const std::string prefix = c.architecture + ".";
  std::vector<std::pair<std::string, GgufValue>> keys = {
      {prefix + "context_length", u32(c.positions)},
      {prefix + "embedding_length", u32(c.d_model)},
      {prefix + "block_count", u32(c.layers)},
      {prefix + "feed_forward_length", u32(c.d_ff)},
      {prefix + "attention.head_count", u32(c.heads)},
      {prefix + "attention.head_count_kv", u32(c.kv_heads)},
      {prefix + "attention.key_length", u32(c.head_dim)},
      {prefix + "attention.value_length", u32(c.head_dim)},
      {prefix + "attention.layer_norm_rms_epsilon", GgufValue::f32(c.norm_eps)},
      {prefix + "rope.dimension_count", u32(c.head_dim)},
      {prefix + "vocab_size", u32(c.vocab)},
  };
  for (auto& key : rope_gguf_keys(c.rope, c.architecture)) keys.push_back(std::move(key));
  return keys;
}

}  // namespace

Result<BuiltModel> build_decoder(const DecoderConfig& c, std::string_view where) {
  TACK_RETURN_IF_ERROR(check(c, where));
  BuiltModel model;
  model.graph = build_graph(c);
  model.generates = true;
  model.context_length = model.max_tokens = c.positions;
  model.embedding_dim = c.d_model;
  model.vocab_size = c.vocab;
  model.gguf_keys = gguf_keys(c);
  if (auto divisors = rope_divisors(c.rope, c.head_dim); !divisors.empty())
    model.constants.emplace_back("rope_freqs.weight", std::move(divisors));
  return model;
}

Status read_decoder_sizes(const GgufFile& file, DecoderConfig& c) {
  const std::string prefix = c.architecture + ".";
  TACK_TRY(const std::int64_t experts, file.integer_or(prefix + "expert_count", 0));
  if (experts > 0)
    return fail("{}: a mixture of {} experts, which is not supported", file.name(), experts);
  TACK_TRY(c.layers, file.integer(prefix + "block_count"));
  TACK_TRY(c.d_model, file.integer(prefix + "embedding_length"));
  TACK_TRY(c.d_ff, file.integer(prefix + "feed_forward_length"));
  TACK_TRY(c.positions, file.integer(prefix + "context_length"));
  TACK_TRY(c.heads, file.integer(prefix + "attention.head_count"));
  TACK_TRY(c.kv_heads, file.integer_or(prefix + "attention.head_count_kv", c.heads));
  const std::int64_t usual = c.heads > 0 ? c.d_model / c.heads : 0;
  TACK_TRY(c.head_dim, file.integer_or(prefix + "attention.key_length", usual));
  TACK_TRY(const std::int64_t values,
           file.integer_or(prefix + "attention.value_length", c.head_dim));
  TACK_TRY(const std::int64_t turned, file.integer_or(prefix + "rope.dimension_count", c.head_dim));
  if (values != c.head_dim || turned != c.head_dim)
    return fail("{}: heads of {} keys, {} values and {} rotary columns are not supported",
                file.name(), c.head_dim, values, turned);
  TACK_TRY(const double eps, file.number(prefix + "attention.layer_norm_rms_epsilon"));
  c.norm_eps = static_cast<float>(eps);
  if (const GgufTensor* table = file.find_tensor("token_embd.weight"); table != nullptr)
    c.vocab = table->view.rows();
  c.tied_head = file.find_tensor("output.weight") == nullptr;
  if (c.head_dim < 2 || c.head_dim > 1024)
    return fail("{}: head size {} is not in 2 to 1024", file.name(), c.head_dim);
  TACK_TRY(c.rope, rope_from_gguf(file, c.architecture, c.head_dim));
  return {};
}

Status read_decoder_sizes(const Json& config, DecoderConfig& c) {
  for (const char* key : {"num_local_experts", "num_experts", "n_routed_experts"})
    if (const Json* experts = config_find(config, key); experts != nullptr && *experts != 0)
      return fail("config.json: '{}': mixtures of experts are not supported", key);
  for (const char* key : {"attention_bias", "mlp_bias"})
    if (const Json* bias = config_find(config, key); bias != nullptr && *bias == true)
      return fail("config.json: '{}' is not supported", key);
  TACK_TRY(c.layers, config_integer(config, "num_hidden_layers"));
  TACK_TRY(c.d_model, config_integer(config, "hidden_size"));
  TACK_TRY(c.d_ff, config_integer(config, "intermediate_size"));
  TACK_TRY(c.positions, config_integer(config, "max_position_embeddings"));
  TACK_TRY(c.heads, config_integer(config, "num_attention_heads"));
  TACK_TRY(c.kv_heads, config_integer_or(config, "num_key_value_heads", c.heads));
  TACK_TRY(c.vocab, config_integer(config, "vocab_size"));
  TACK_TRY(c.head_dim,
           config_integer_or(config, "head_dim", c.heads > 0 ? c.d_model / c.heads : 0));
  TACK_TRY(const double eps, config_number_or(config, "rms_norm_eps", 1e-6));
  c.norm_eps = static_cast<float>(eps);
  if (const Json* tied = config_find(config, "tie_word_embeddings"); tied != nullptr)
    c.tied_head = *tied == true;
  return {};
}

const Json& text_config(const HuggingFaceDirectory& directory) {
  const auto text = directory.config.find("text_config");
  return text != directory.config.end() && text->is_object() ? *text : directory.config;
}

const Json* config_find(const Json& json, std::string_view key) {
  const auto it = json.find(key);
  return it == json.end() || it->is_null() ? nullptr : &*it;
}

Result<std::int64_t> config_integer(const Json& json, std::string_view key) {
  const Json* value = config_find(json, key);
  if (value == nullptr || !value->is_number_integer())
    return fail("config.json: '{}' is missing or not an integer", key);
  return value->get<std::int64_t>();
}

Result<std::int64_t> config_integer_or(const Json& json, std::string_view key,
                                       std::int64_t otherwise) {
  if (config_find(json, key) == nullptr) return otherwise;
  return config_integer(json, key);
}

Result<double> config_number_or(const Json& json, std::string_view key, double otherwise) {
  const Json* value = config_find(json, key);
  if (value == nullptr) return otherwise;
  if (!value->is_number()) return fail("config.json: '{}' is not a number", key);
  return value->get<double>();
}

std::vector<std::string> decoder_hf_names(std::string_view gguf_name,
                                          std::span<const NamePair> block) {
  static constexpr NamePair kWhole[] = {
      {"token_embd", "embed_tokens"}, {"output_norm", "norm"}, {"output", "lm_head"}};
  const auto dot = gguf_name.rfind('.');
  std::string_view stem = gguf_name.substr(0, dot);
  std::string base;
  if (stem.starts_with("blk.")) {
    stem.remove_prefix(4);
    const auto end = stem.find('.');
    for (const NamePair& pair : block)
      if (pair.gguf == stem.substr(end + 1))
        base = fmt::format("layers.{}.{}", stem.substr(0, end), pair.hf);
  } else {
    for (const NamePair& pair : kWhole)
      if (pair.gguf == stem) base = pair.hf;
  }
  base += gguf_name.substr(dot);
  std::vector<std::string> names;
  if (base.starts_with("lm_head")) {
    for (const char* prefix : {"", "language_model."}) names.push_back(prefix + base);
    return names;
  }
  for (const char* prefix :
       {"model.", "", "language_model.model.", "model.language_model.", "language_model."})
    names.push_back(prefix + base);
  return names;
}

}  // namespace tack
