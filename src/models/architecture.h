// What an architecture's file gives the rest: how to recognise it, its configuration, tensor names
// and graph. One file per architecture (bert.cc ...), listed in registry.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "formats/huggingface.h"
#include "graph/graph.h"

namespace tack {

// A model built from its configuration; the weights come later, by name.
struct BuiltModel {
  graph::Graph graph;
  std::int64_t context_length = 0;  // rows of positions
  std::int64_t max_tokens = 0;      // longest input the model was made for; <= context_length
  std::int64_t embedding_dim = 0;
  std::int64_t vocab_size = 0;
  std::vector<std::string> labels;  // of output "logits"
  std::vector<std::string> tags;    // of output "tags"
  bool generates = false;           // a decoder: output "logits" is [tokens, vocab_size]
  // Tensors of the file that the graph has taken in already: f32 vectors, for `tack convert`.
  std::vector<std::pair<std::string, std::vector<float>>> constants;
  // The configuration as GGUF keys, in llama.cpp's names; also what `tack convert` writes.
  std::vector<std::pair<std::string, GgufValue>> gguf_keys;
};

// How a tensor of a Hugging Face checkpoint differs from the GGUF one.
enum class HfChange : std::uint8_t {
  kNone,
  kInterleaveHeads,  // rows i and i + head_dim / 2 of a head become neighbours
  kAddOne,
};

struct Architecture {
  std::string_view name;  // general.architecture of GGUF
  std::span<const std::string_view>
      hf_model_types;  // "model_type" of config.json, of its text part
  Result<BuiltModel> (*from_gguf)(const GgufFile& file);
  Result<BuiltModel> (*from_hf)(const HuggingFaceDirectory& directory);
  // The Hugging Face names a GGUF tensor may have, best first.
  std::vector<std::string> (*hf_names)(std::string_view gguf_name);
  // Which matrices keep f32 or f16 whatever the conversion type, as llama.cpp needs them. Null:
  // none.
  bool (*keeps_precision)(std::string_view gguf_name);
  HfChange (*hf_change)(std::string_view gguf_name) = nullptr;  // null: none
};

// Errors: kFailed naming the architecture and those that are known.
Result<const Architecture*> find_architecture(std::string_view gguf_name);
Result<const Architecture*> find_hf_architecture(std::string_view model_type);

const Architecture& bert_architecture();
const Architecture& gemma3_architecture();
const Architecture& llama_architecture();
const Architecture& ministral3_architecture();

}  // namespace tack
