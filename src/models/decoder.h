// What the decoders have in common: pre-norm blocks of attention and a gated feed-forward. Each
// architecture's file reads a DecoderConfig; the graph is written here once, and behaviour follows
// the configuration.
//
// Outputs: "hidden" [tokens, d], normalised; "logits" [tokens, vocabulary].
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/activation.h"
#include "models/architecture.h"
#include "models/rope.h"

namespace tack {

struct DecoderConfig {
  std::string architecture;  // the prefix of its keys in GGUF
  std::int64_t layers = 0, d_model = 0, heads = 0, kv_heads = 0, head_dim = 0, d_ff = 0;
  std::int64_t vocab = 0, positions = 0;
  float norm_eps = 1e-5F;
  kernels::Activation activation = kernels::Activation::kSilu;
  bool tied_head = false;  // the head is the embedding's table
  float embedding_scale = 1;
  float attention_scale = 0;  // of q k^T
  bool head_norms = false;    // RMS norms of every query and key head
  bool post_norms = false;    // RMS norms of what attention and feed-forward add
  bool interleaved = false;   // rotary pairs are (2i, 2i + 1)
  RopeConfig rope;            // of layers that see everything
  RopeConfig local_rope;      // of layers with a window
  std::int64_t window = 0;    // tokens that a local layer sees, itself included
  std::vector<bool> local;    // [layers], or empty: none
  double long_beta = 0;       // growth of queries, graph::Rope
  std::int64_t long_context = 0;

  bool is_local(std::int64_t layer) const {
    return !local.empty() && local[static_cast<std::size_t>(layer)];
  }
};

// Checks the sizes, then builds. `where` stands in error messages.
Result<BuiltModel> build_decoder(const DecoderConfig& config, std::string_view where);

// A Llama that no file describes yet: layers, sizes, heads, vocabulary, positions, norm, rope.base
// and tied_head of `sizes` count.
Result<BuiltModel> new_llama(const DecoderConfig& sizes, std::string_view where);

// The keys that every decoder has in GGUF: layers, sizes, heads, norm.
Status read_decoder_sizes(const GgufFile& file, DecoderConfig& config);
// Those of a Hugging Face configuration.
Status read_decoder_sizes(const Json& config, DecoderConfig& out);
// The part of config.json that describes the text model.
const Json& text_config(const HuggingFaceDirectory& directory);

// "config.json: 'x' is missing or not an integer"; the second takes `otherwise` for a missing one.
Result<std::int64_t> config_integer(const Json& json, std::string_view key);
Result<std::int64_t> config_integer_or(const Json& json, std::string_view key,
                                       std::int64_t otherwise);
Result<double> config_number_or(const Json& json, std::string_view key, double otherwise);
// Null for a key that is missing or null.
const Json* config_find(const Json& json, std::string_view key);

struct NamePair {
  std::string_view gguf, hf;
};
// The Hugging Face names of a decoder's tensor: those of `block` within "layers.N.", behind each of
// the prefixes that text and multimodal checkpoints use.
std::vector<std::string> decoder_hf_names(std::string_view gguf_name,
                                          std::span<const NamePair> block);

}  // namespace tack
