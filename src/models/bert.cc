// BERT encoders: MiniLM, BERT, BGE, E5 (Devlin et al. 2018). Post-norm blocks, absolute positions.
//
// Outputs: "hidden" [tokens, d]; "embedding" [sequences, d], pooled and, where the model says so,
// L2-normalised; "pooled" [sequences, d] = tanh(dense(hidden of [CLS])) where the file has a
// pooler; "logits" [sequences, labels] of a classification head; "tags" [tokens, tags] of a tagger;
// "span" [tokens, 2] of an extractor: how well an answer begins and ends at each token.

#include <charconv>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "models/architecture.h"

namespace tack {
namespace {

using graph::Graph;
using graph::ValueId;
using graph::WeightId;

// What the rows of a classification head look at.
enum class HeadInput { kNone, kEmbedding, kPooled };

struct BertConfig {
  std::int64_t layers = 0, d_model = 0, heads = 0, d_ff = 0;
  std::int64_t head_dim = 0;  // d_model / heads, but where heads were pruned
  std::int64_t vocab = 0, positions = 0, token_types = 0, max_tokens = 0;
  float norm_eps = 1e-12F;
  kernels::Activation activation = kernels::Activation::kGeluErf;
  graph::PoolKind pooling = graph::PoolKind::kMean;
  bool normalize = true;
  bool pooler = false;
  HeadInput head = HeadInput::kNone;
  std::vector<std::string> labels, tags;
  bool spans = false;  // whether it finds answers to questions
  bool crf = false;    // whether the tagger has scores for what follows what
};

// Sizes come from a file: bounded so that products fit and memory stays sane.
Status check(const BertConfig& c, std::string_view where) {
  const auto in_range = [&](std::string_view what, std::int64_t value,
                            std::int64_t most) -> Status {
    if (value < 1 || value > most)
      return fail("{}: {} is {}, expected 1 to {}", where, what, value, most);
    return {};
  };
  TACK_RETURN_IF_ERROR(in_range("number of layers", c.layers, 512));
  TACK_RETURN_IF_ERROR(in_range("hidden size", c.d_model, 65536));
  TACK_RETURN_IF_ERROR(in_range("number of attention heads", c.heads, 1024));
  TACK_RETURN_IF_ERROR(in_range("feed-forward size", c.d_ff, 131072));
  TACK_RETURN_IF_ERROR(in_range("vocabulary size", c.vocab, 1 << 24));
  TACK_RETURN_IF_ERROR(in_range("number of positions", c.positions, 1 << 20));
  TACK_RETURN_IF_ERROR(in_range("number of token types", c.token_types, 1024));
  TACK_RETURN_IF_ERROR(in_range("longest input", c.max_tokens, c.positions));
  if (c.head_dim == 0 && c.d_model % c.heads != 0)
    return fail("{}: hidden size {} is not a multiple of {} heads", where, c.d_model, c.heads);
  if (c.head_dim != 0) TACK_RETURN_IF_ERROR(in_range("head size", c.head_dim, 1024));
  return {};
}

Graph build_graph(const BertConfig& c) {
  Graph g;
  const std::int64_t d = c.d_model;
  const auto vector = [&](const std::string& name) { return g.weight(name, {d}); };
  const auto linear = [&](ValueId x, const std::string& name, std::int64_t out, std::int64_t in) {
    const WeightId w = g.weight(name + ".weight", {out, in}), b = g.weight(name + ".bias", {out});
    return g.linear(x, w, b);
  };
  const auto norm = [&](ValueId x, const std::string& name) {
    const WeightId gamma = vector(name + ".weight"), beta = vector(name + ".bias");
    return g.layer_norm(x, gamma, beta, c.norm_eps);
  };

  ValueId x = g.embedding(g.weight("token_embd.weight", {c.vocab, d}), graph::Index::kTokenId);
  x = g.add(
      x, g.embedding(g.weight("token_types.weight", {c.token_types, d}), graph::Index::kTokenType));
  x = g.add(
      x, g.embedding(g.weight("position_embd.weight", {c.positions, d}), graph::Index::kPosition));
  x = norm(x, "token_embd_norm");  // [tokens, d]

  const std::int64_t head_dim = c.head_dim != 0 ? c.head_dim : d / c.heads;
  const std::int64_t width = c.heads * head_dim;  // of queries, keys and values
  const graph::Attention attention{
      c.heads, c.heads, head_dim, 1.0F / std::sqrt(static_cast<float>(head_dim)), false, 0};
  for (std::int64_t layer = 0; layer < c.layers; ++layer) {
    const auto name = [&](std::string_view part) { return fmt::format("blk.{}.{}", layer, part); };
    const ValueId q = linear(x, name("attn_q"), width, d);
    const ValueId k = linear(x, name("attn_k"), width, d);
    const ValueId v = linear(x, name("attn_v"), width, d);
    const ValueId mixed = linear(g.attention(q, k, v, attention), name("attn_output"), d, width);
    x = norm(g.add(mixed, x), name("attn_output_norm"));
    const ValueId up = g.activate(linear(x, name("ffn_up"), c.d_ff, d), c.activation);
    x = norm(g.add(linear(up, name("ffn_down"), d, c.d_ff), x), name("layer_output_norm"));
  }
  g.output("hidden", x);

  ValueId embedding = g.pool(x, c.pooling);  // [sequences, d]
  if (c.normalize) embedding = g.l2_normalize(embedding);
  g.output("embedding", embedding);

  ValueId pooled = embedding;
  if (c.pooler) {
    pooled = g.activate(linear(g.pool(x, graph::PoolKind::kCls), "cls", d, d),
                        kernels::Activation::kTanh);
    g.output("pooled", pooled);
  }
  if (c.head != HeadInput::kNone) {
    const ValueId in = c.head == HeadInput::kPooled ? pooled : embedding;
    g.output("logits", linear(in, "cls.output", static_cast<std::int64_t>(c.labels.size()), d));
  }
  if (!c.tags.empty()) {
    const auto tags = static_cast<std::int64_t>(c.tags.size());
    g.output("tags", linear(x, "tag.output", tags, d));
    if (c.crf) {  // read by who decodes
      g.weight("tag.transitions", {tags, tags});
      g.weight("tag.start", {tags});
      g.weight("tag.end", {tags});
    }
  }
  if (c.spans) g.output("span", linear(x, "span.output", 2, d));
  return g;
}

// llama.cpp's numbers for bert.pooling_type.
constexpr std::int64_t kPoolMean = 1, kPoolCls = 2, kPoolLast = 3;

BuiltModel build(const BertConfig& c) {
  BuiltModel model;
  model.graph = build_graph(c);
  model.context_length = c.positions;
  model.max_tokens = c.max_tokens;
  model.embedding_dim = c.d_model;
  model.vocab_size = c.vocab;
  model.labels = c.labels;
  model.tags = c.tags;
  const auto u32 = [](std::int64_t v) { return GgufValue::u32(static_cast<std::uint32_t>(v)); };
  const std::int64_t pooling = c.pooling == graph::PoolKind::kMean  ? kPoolMean
                               : c.pooling == graph::PoolKind::kCls ? kPoolCls
                                                                    : kPoolLast;
  model.gguf_keys = {
      {"bert.context_length", u32(c.positions)},
      {"bert.embedding_length", u32(c.d_model)},
      {"bert.feed_forward_length", u32(c.d_ff)},
      {"bert.block_count", u32(c.layers)},
      {"bert.attention.head_count", u32(c.heads)},
      {"bert.attention.layer_norm_epsilon", GgufValue::f32(c.norm_eps)},
      {"bert.attention.causal", GgufValue::boolean(false)},
      {"bert.pooling_type", u32(pooling)},
      {"tokenizer.ggml.token_type_count", u32(c.token_types)},
      {"tack.max_tokens", u32(c.max_tokens)},
      {"tack.normalize", GgufValue::boolean(c.normalize)},
  };
  if (c.head_dim != 0) {
    model.gguf_keys.emplace_back("bert.attention.key_length", u32(c.head_dim));
    model.gguf_keys.emplace_back("bert.attention.value_length", u32(c.head_dim));
  }
  if (!c.labels.empty())
    model.gguf_keys.emplace_back("bert.classifier.output_labels", GgufValue::strings(c.labels));
  if (!c.tags.empty()) model.gguf_keys.emplace_back("tack.tags", GgufValue::strings(c.tags));
  if (c.head == HeadInput::kEmbedding)
    model.gguf_keys.emplace_back("tack.head_input", GgufValue::string("embedding"));
  return model;
}

Result<BuiltModel> from_gguf(const GgufFile& file) {
  BertConfig c;
  TACK_TRY(c.layers, file.integer("bert.block_count"));
  TACK_TRY(c.d_model, file.integer("bert.embedding_length"));
  TACK_TRY(c.heads, file.integer("bert.attention.head_count"));
  TACK_TRY(c.head_dim, file.integer_or("bert.attention.key_length", 0));
  TACK_TRY(const std::int64_t values, file.integer_or("bert.attention.value_length", c.head_dim));
  if (values != c.head_dim)
    return fail("{}: heads of {} keys and {} values are not supported", file.name(), c.head_dim,
                values);
  TACK_TRY(c.d_ff, file.integer("bert.feed_forward_length"));
  TACK_TRY(c.positions, file.integer("bert.context_length"));
  TACK_TRY(const double eps, file.number("bert.attention.layer_norm_epsilon"));
  c.norm_eps = static_cast<float>(eps);
  TACK_TRY(c.token_types, file.integer_or("tokenizer.ggml.token_type_count", 2));
  TACK_TRY(const auto tokens, file.strings("tokenizer.ggml.tokens"));
  c.vocab = static_cast<std::int64_t>(tokens.size());
  TACK_TRY(c.max_tokens, file.integer_or("tack.max_tokens", c.positions));
  TACK_TRY(c.normalize, file.boolean_or("tack.normalize", true));
  TACK_TRY(const std::int64_t pooling, file.integer_or("bert.pooling_type", kPoolMean));
  switch (pooling) {
    case kPoolMean:
      c.pooling = graph::PoolKind::kMean;
      break;
    case kPoolCls:
      c.pooling = graph::PoolKind::kCls;
      break;
    case kPoolLast:
      c.pooling = graph::PoolKind::kLast;
      break;
    default:
      return fail("{}: bert.pooling_type {} is not mean, cls or last", file.name(), pooling);
  }
  c.pooler = file.find_tensor("cls.weight") != nullptr;
  if (file.find_tensor("cls.output.weight") != nullptr) {
    TACK_TRY(const auto labels, file.strings("bert.classifier.output_labels"));
    c.labels.assign(labels.begin(), labels.end());
    if (c.labels.empty()) return fail("{}: bert.classifier.output_labels is empty", file.name());
    TACK_TRY(const auto input, file.string_or("tack.head_input", "pooled"));
    c.head = input == "embedding" ? HeadInput::kEmbedding : HeadInput::kPooled;
  }
  if (file.find_tensor("tag.output.weight") != nullptr) {
    TACK_TRY(const auto tags, file.strings("tack.tags"));
    c.tags.assign(tags.begin(), tags.end());
    if (c.tags.empty()) return fail("{}: tack.tags is empty", file.name());
    c.crf = file.find_tensor("tag.transitions") != nullptr;
  }
  c.spans = file.find_tensor("span.output.weight") != nullptr;
  TACK_RETURN_IF_ERROR(check(c, file.name()));
  return build(c);
}

Result<std::int64_t> integer(const Json& json, std::string_view key) {
  const auto it = json.find(key);
  if (it == json.end() || !it->is_number_integer())
    return fail("config.json: '{}' is missing or not an integer", key);
  return it->get<std::int64_t>();
}

Status read_activation(const Json& config, BertConfig& c) {
  const std::string name = config.contains("hidden_act") && config["hidden_act"].is_string()
                               ? config["hidden_act"].get<std::string>()
                               : "gelu";
  if (name == "gelu")
    c.activation = kernels::Activation::kGeluErf;
  else if (name == "gelu_new" || name == "gelu_pytorch_tanh")
    c.activation = kernels::Activation::kGeluTanh;
  else if (name == "relu")
    c.activation = kernels::Activation::kRelu;
  else
    return fail("config.json: hidden_act '{}' is not supported (gelu, gelu_new, relu)", name);
  return {};
}

// sentence-transformers' settings; without them, mean pooling and L2 as its default for plain BERT.
Status read_pooling(const HuggingFaceDirectory& directory, BertConfig& c) {
  if (!directory.pooling) return {};
  c.normalize = directory.normalizes;
  const auto chosen = [&](const char* key) {
    const auto it = directory.pooling->find(key);
    return it != directory.pooling->end() && it->is_boolean() && it->get<bool>();
  };
  if (chosen("pooling_mode_cls_token"))
    c.pooling = graph::PoolKind::kCls;
  else if (chosen("pooling_mode_lasttoken"))
    c.pooling = graph::PoolKind::kLast;
  else if (!chosen("pooling_mode_mean_tokens"))
    return fail("1_Pooling/config.json: only mean, cls and last-token pooling are supported");
  return {};
}

// Whether the model is one for `purpose`: "ForTokenClassification", whose classifier looks at every
// token.
bool is_for(const Json& config, std::string_view purpose) {
  const auto names = config.find("architectures");
  return names != config.end() && names->is_array() && !names->empty() &&
         names->front().is_string() && names->front().get<std::string>().ends_with(purpose);
}

Status read_head(const HuggingFaceDirectory& directory, BertConfig& c) {
  if (directory.find_tensor("classifier.weight") == nullptr) return {};
  const auto labels = directory.config.find("id2label");
  if (labels == directory.config.end() || !labels->is_object() || labels->empty())
    return fail("config.json: a classification model needs 'id2label'");
  c.labels.resize(labels->size());
  for (const auto& [key, value] : labels->items()) {
    std::size_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id >= c.labels.size() ||
        !value.is_string())
      return fail("config.json: id2label '{}' is not a class number with a name", key);
    c.labels[id] = value.get<std::string>();
  }
  if (is_for(directory.config, "ForTokenClassification"))
    c.tags = std::exchange(c.labels, {});
  else
    c.head = HeadInput::kPooled;
  return {};
}

Result<BuiltModel> from_hf(const HuggingFaceDirectory& directory) {
  const Json& config = directory.config;
  BertConfig c;
  TACK_TRY(c.layers, integer(config, "num_hidden_layers"));
  TACK_TRY(c.d_model, integer(config, "hidden_size"));
  TACK_TRY(c.heads, integer(config, "num_attention_heads"));
  TACK_TRY(c.d_ff, integer(config, "intermediate_size"));
  TACK_TRY(c.vocab, integer(config, "vocab_size"));
  TACK_TRY(c.positions, integer(config, "max_position_embeddings"));
  TACK_TRY(c.token_types, integer(config, "type_vocab_size"));
  if (const auto it = config.find("layer_norm_eps"); it != config.end() && it->is_number())
    c.norm_eps = it->get<float>();
  if (const auto it = config.find("position_embedding_type");
      it != config.end() && it->is_string() && it->get<std::string>() != "absolute")
    return fail("config.json: position_embedding_type '{}' is not supported (absolute)",
                it->get<std::string>());
  c.max_tokens = c.positions;
  if (directory.sentence_config)
    if (const auto it = directory.sentence_config->find("max_seq_length");
        it != directory.sentence_config->end() && it->is_number_integer())
      c.max_tokens = std::min(c.max_tokens, it->get<std::int64_t>());
  TACK_RETURN_IF_ERROR(read_activation(config, c));
  TACK_RETURN_IF_ERROR(read_pooling(directory, c));
  TACK_RETURN_IF_ERROR(read_head(directory, c));
  c.spans = is_for(directory.config, "ForQuestionAnswering");
  // sentence-transformers pools by itself and never runs BERT's pooler: left out, as llama.cpp
  // does.
  c.pooler = !directory.pooling && (directory.find_tensor("pooler.dense.weight") != nullptr ||
                                    directory.find_tensor("bert.pooler.dense.weight") != nullptr);
  if (c.head == HeadInput::kPooled && !c.pooler)
    return fail("classifier.weight without pooler.dense.weight is not supported");
  TACK_RETURN_IF_ERROR(check(c, "config.json"));
  return build(c);
}

// "blk.3.attn_q.bias" -> "encoder.layer.3.attention.self.query.bias".
std::vector<std::string> hf_names(std::string_view gguf_name) {
  struct Pair {
    std::string_view gguf, hf;
  };
  static constexpr Pair kWhole[] = {
      {"token_embd", "embeddings.word_embeddings"},
      {"token_types", "embeddings.token_type_embeddings"},
      {"position_embd", "embeddings.position_embeddings"},
      {"token_embd_norm", "embeddings.LayerNorm"},
      {"cls", "pooler.dense"},
      {"cls.output", "classifier"},
      {"tag.output", "classifier"},
      {"span.output", "qa_outputs"},
  };
  static constexpr Pair kBlock[] = {
      {"attn_q", "attention.self.query"},
      {"attn_k", "attention.self.key"},
      {"attn_v", "attention.self.value"},
      {"attn_output", "attention.output.dense"},
      {"attn_output_norm", "attention.output.LayerNorm"},
      {"ffn_up", "intermediate.dense"},
      {"ffn_down", "output.dense"},
      {"layer_output_norm", "output.LayerNorm"},
  };
  const auto dot = gguf_name.rfind('.');
  std::string_view stem = gguf_name.substr(0, dot);
  const std::string_view kind = gguf_name.substr(dot);  // ".weight" or ".bias"
  std::string base;
  if (stem.starts_with("blk.")) {
    stem.remove_prefix(4);
    const auto end = stem.find('.');
    for (const Pair& pair : kBlock)
      if (pair.gguf == stem.substr(end + 1))
        base = fmt::format("encoder.layer.{}.{}", stem.substr(0, end), pair.hf);
  } else {
    for (const Pair& pair : kWhole)
      if (pair.gguf == stem) base = pair.hf;
  }
  std::vector<std::string> names;
  for (const char* prefix : {"", "bert."}) {
    names.push_back(fmt::format("{}{}{}", prefix, base, kind));
    // Old checkpoints call a LayerNorm's weight and bias gamma and beta.
    if (base.ends_with("LayerNorm"))
      names.push_back(fmt::format("{}{}{}", prefix, base, kind == ".weight" ? ".gamma" : ".beta"));
  }
  return names;
}

bool keeps_precision(std::string_view name) {
  return name == "position_embd.weight" || name == "token_types.weight";
}

}  // namespace

const Architecture& bert_architecture() {
  static constexpr std::string_view kTypes[] = {"bert"};
  static constexpr Architecture kBert = {.name = "bert",
                                         .hf_model_types = kTypes,
                                         .from_gguf = from_gguf,
                                         .from_hf = from_hf,
                                         .hf_names = hf_names,
                                         .keeps_precision = keeps_precision};
  return kBert;
}

}  // namespace tack
