// Tokenizers from model files, and back into GGUF keys.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "formats/huggingface.h"
#include "text/byte_bpe.h"
#include "text/sentencepiece.h"
#include "text/tokenizer.h"
#include "text/wordpiece.h"

namespace tack {

using TokenizerConfig = std::variant<WordPieceConfig, ByteBpeConfig, SentencePieceConfig>;

// By tokenizer.ggml.model: "bert", "gpt2", "llama", "t5".
Result<TokenizerConfig> tokenizer_config_from_gguf(const GgufFile& file);
// Of a directory as Hugging Face lays it out: tokenizer.json, tokenizer.model, spiece.model, or
// tekken.json, the first that is there, and what tokenizer_config.json says of special and added
// tokens. Or one of these files. kNotFound when there is none.
Result<TokenizerConfig> tokenizer_config_from_files(const std::filesystem::path& path);

// Names ids behind the last token "[PAD7]", unused, so that there are so many: a model may have
// more rows than its tokenizer has tokens, and llama.cpp wants one for each. Nothing when there are
// more.
void pad_vocabulary(TokenizerConfig& config, std::int64_t tokens);

// Of the bytes of one of these files; `name` is its path, whose last part says which it is.
Result<TokenizerConfig> tokenizer_config_from_bytes(std::string_view bytes,
                                                    const std::filesystem::path& name);

// llama.cpp's tokenizer.ggml.* keys, and tack.tokenizer for what they cannot say.
std::vector<std::pair<std::string, GgufValue>> tokenizer_gguf_keys(const TokenizerConfig& config);

Result<std::unique_ptr<Tokenizer>> make_tokenizer(TokenizerConfig config);
// Of whatever has one: a GGUF file, with or without tensors, a directory, a file of a tokenizer.
Result<std::unique_ptr<Tokenizer>> open_tokenizer(const std::filesystem::path& path);

Result<WordPieceConfig> wordpiece_from_gguf(const GgufFile& file);
Result<WordPieceConfig> wordpiece_from_hf(const HuggingFaceDirectory& directory);
std::vector<std::pair<std::string, GgufValue>> wordpiece_gguf_keys(const WordPieceConfig& config);

}  // namespace tack
