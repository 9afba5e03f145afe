// For tests: a tiny Llama that reads text, with a token for each byte and two special ones.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "base/json.h"
#include "models/made_up_decoder.h"
#include "text/byte_bpe.h"

namespace tack {

// Bytes are tokens 0 to 255, in GPT-2's spelling; 256 is "<bos>", 257 "<eos>", which
// tokenizer_config.json names.
inline constexpr int kMadeUpVocabulary = 258, kMadeUpEos = 257;

inline void write_made_up_tokenizer(const std::filesystem::path& directory) {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte)
    vocab[printable_of_bytes(std::string(1, static_cast<char>(byte)))] = byte;
  Json added = Json::array();
  for (const auto& [id, text] : {std::pair{256, "<bos>"}, {257, "<eos>"}}) {
    vocab[text] = id;
    added.push_back({{"id", id},
                     {"content", text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  const Json tokenizer = {
      {"version", "1.0"},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level},
      {"post_processor", nullptr},
      {"decoder", byte_level},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}}};
  std::ofstream(directory / "tokenizer.json") << tokenizer.dump();
  std::ofstream(directory / "tokenizer_config.json")
      << Json{{"bos_token", "<bos>"}, {"eos_token", "<eos>"}}.dump();
}

// A decoder of made-up weights with that tokenizer.
inline Status write_made_up_llama(const std::filesystem::path& directory, int context) {
  write_made_up_tokenizer(directory);
  return write_made_up_checkpoint(directory, {{"model_type", "llama"},
                                              {"hidden_size", 32},
                                              {"intermediate_size", 64},
                                              {"num_hidden_layers", 2},
                                              {"num_attention_heads", 4},
                                              {"num_key_value_heads", 2},
                                              {"max_position_embeddings", context},
                                              {"rms_norm_eps", 1e-5},
                                              {"rope_theta", 10000.0},
                                              {"vocab_size", kMadeUpVocabulary},
                                              {"eos_token_id", kMadeUpEos},
                                              {"tie_word_embeddings", true}});
}

}  // namespace tack
