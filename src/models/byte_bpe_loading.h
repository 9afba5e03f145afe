// Byte-level BPE vocabularies from model files, and into GGUF.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "formats/ranked_tokens.h"
#include "text/byte_bpe.h"

namespace tack {

// tokenizer.ggml.model "gpt2" with tokenizer.ggml.pre "gpt-2", "llama-bpe", "qwen2" or "tekken".
Result<ByteBpeConfig> byte_bpe_from_gguf(const GgufFile& file);
std::vector<std::pair<std::string, GgufValue>> byte_bpe_gguf_keys(const ByteBpeConfig& config);

// From the tokens and merges as GPT-2's files and GGUF write them: printable characters for bytes,
// "left right". `types`: llama.cpp's numbers (TokenKind's), or empty. `where` stands in errors.
Result<ByteBpeConfig> byte_bpe_from_lists(std::span<const std::string> tokens,
                                          std::span<const std::string> merges,
                                          std::span<const std::int64_t> types,
                                          std::string_view pre_tokenizer, std::string_view where);

// tekken.json: special tokens first, "<s>" in front of every text.
Result<ByteBpeConfig> byte_bpe_from_tekken(RankedTokens file, std::string_view where);
// Llama 3's tokenizer.model: tiktoken's ranks, and 256 special tokens that Meta's code names.
Result<ByteBpeConfig> byte_bpe_from_llama3(RankedTokens file, std::string_view where);

// The pre-tokenizer of a regular expression as the models' files have it.
Result<PreTokenizer> pre_tokenizer_of_expression(std::string_view expression,
                                                 std::string_view where);

}  // namespace tack
