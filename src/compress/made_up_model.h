// For tests: tiny decoders with a vocabulary of one's choice, as GGUF files.
#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "models/decoder.h"
#include "models/made_up_decoder.h"
#include "models/tokenizer_loading.h"

namespace tack {

inline Json golden_json(const char* name) {
  std::ifstream file(std::string(TACK_SOURCE_DIR) + "/tests/golden/" + name);
  return file ? Json::parse(file) : Json();
}

// The vocabulary of tests/golden/byte_bpe.json, with two control tokens in front, a user-defined
// one of two spaces, and two that nothing makes.
inline ByteBpeConfig golden_byte_bpe(PreTokenizer pre_tokenizer, bool merge_by_id) {
  const Json file = golden_json("byte_bpe.json");
  ByteBpeConfig config;
  config.pre_tokenizer = pre_tokenizer;
  config.merge_by_id = merge_by_id;
  config.whole_words =
      pre_tokenizer == PreTokenizer::kLlama3 || pre_tokenizer == PreTokenizer::kTekken;
  config.tokens = {{"<s>", TokenKind::kControl}, {"</s>", TokenKind::kControl}};
  std::unordered_map<std::string, TokenId> ids;
  for (const Json& token : file["tokens"]) {
    const auto text = token.get<std::string>();
    ids.emplace(text, static_cast<TokenId>(config.tokens.size()));
    config.tokens.push_back({bytes_of_printable(text)});
  }
  for (const Json& merge : file["merges"]) {
    const auto text = merge.get<std::string>();
    const auto space = text.find(' ');
    config.merges.push_back({ids.at(text.substr(0, space)), ids.at(text.substr(space + 1))});
  }
  if (merge_by_id) config.merges.clear();
  config.tokens.push_back({"  ", TokenKind::kUserDefined});
  config.tokens.push_back({"[PAD]", TokenKind::kUnused});
  config.tokens.push_back({" unreachable?"});  // looked up whole, where words are
  config.special = {.bos = 0, .eos = 1, .eot = {}, .add_bos = true, .add_eos = false};
  return config;
}

// One of tests/golden/sentencepiece.json: "bpe" or "unigram".
inline SentencePieceConfig golden_sentencepiece(const char* name) {
  const Json file = golden_json("sentencepiece.json");
  SentencePieceConfig config;
  if (std::string_view(name) == "unigram") {
    config.model = SentencePieceConfig::Model::kUnigram;
    config.squeeze_spaces = true;
  }
  for (const Json& piece : file[name]["pieces"])
    config.pieces.push_back({piece[0].get<std::string>(),
                             static_cast<TokenKind>(piece[2].get<int>()), piece[1].get<float>()});
  config.special = {.bos = 1, .eos = 2, .eot = {}, .add_bos = true, .add_eos = false};
  return config;
}

// Lines of real text, with misspellings.
inline std::vector<std::string> golden_lines() {
  std::vector<std::string> lines;
  for (const char* name : {"byte_bpe.json", "sentencepiece.json"}) {
    const Json file = golden_json(name);
    for (const Json& line : file["lines"]) lines.push_back(line.get<std::string>());
  }
  return lines;
}

struct MadeUpSizes {
  std::int64_t layers = 2, width = 32, heads = 4, kv_heads = 2, ffn = 64, positions = 128;
  bool tied = false;
};
// A Llama of made-up weights in f32 that reads text with that tokenizer.
inline Status write_llama(const std::filesystem::path& path, const TokenizerConfig& tokenizer,
                          const MadeUpSizes& sizes = {}) {
  const auto keys = tokenizer_gguf_keys(tokenizer);
  DecoderConfig c;
  c.layers = sizes.layers;
  c.d_model = sizes.width;
  c.heads = sizes.heads;
  c.kv_heads = sizes.kv_heads;
  c.head_dim = sizes.width / sizes.heads;
  c.d_ff = sizes.ffn;
  c.positions = sizes.positions;
  c.tied_head = sizes.tied;
  for (const auto& [key, value] : keys)
    if (key == "tokenizer.ggml.tokens")
      c.vocab = static_cast<std::int64_t>(std::get<GgufValue::Strings>(value.value).size());
  TACK_TRY(const BuiltModel built, new_llama(c, "made up"));
  GgufWriter writer;
  writer.set("general.architecture", GgufValue::string("llama"));
  writer.set("general.name", GgufValue::string("made up"));
  for (const auto& [key, value] : built.gguf_keys) writer.set(key, value);
  for (const auto& [key, value] : keys) writer.set(key, value);
  for (const graph::Weight& weight : built.graph.weights()) {
    const auto values = made_up_weight(weight.name, weight.shape, weight.shape.size() == 1);
    const auto bytes = std::as_bytes(std::span(values));
    writer.add_tensor(weight.name, DType::kF32, weight.shape, {bytes.begin(), bytes.end()});
  }
  return writer.write(path);
}

}  // namespace tack
