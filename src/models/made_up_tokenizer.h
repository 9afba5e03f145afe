// For tests: a tokenizer.json with a token for each byte, and two special ones.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "base/json.h"

namespace tack {

// Bytes are tokens 0 to 255, in GPT-2's spelling; 256 is "<bos>", 257 "<eos>", which
// tokenizer_config.json names.
inline constexpr int kMadeUpVocabulary = 258, kMadeUpEos = 257;

inline void write_made_up_tokenizer(const std::filesystem::path& directory) {
  Json vocab = Json::object();
  unsigned other = 256;  // bytes that print are themselves
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool prints =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    const unsigned code = prints ? byte : other++;
    std::string text;
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else {
      text += static_cast<char>(0xC0U | code >> 6U);
      text += static_cast<char>(0x80U | (code & 0x3FU));
    }
    vocab[text] = byte;
  }
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

}  // namespace tack
