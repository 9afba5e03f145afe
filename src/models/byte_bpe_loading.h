// Byte-level BPE vocabularies from model files.
#pragma once

#include "base/result.h"
#include "formats/gguf.h"
#include "text/byte_bpe.h"

namespace tack {

// tokenizer.ggml.model "gpt2" with tokenizer.ggml.pre "gpt-2", "llama-bpe", "qwen2" or "tekken".
Result<ByteBpeConfig> byte_bpe_from_gguf(const GgufFile& file);

// From the tokens and merges as GPT-2's files and GGUF write them: printable characters for bytes,
// "left right". `types`: llama.cpp's numbers (3 and 4: special), or empty. `where` stands in
// errors.
Result<ByteBpeConfig> byte_bpe_from_lists(std::span<const std::string> tokens,
                                          std::span<const std::string> merges,
                                          std::span<const std::int64_t> types,
                                          std::string_view pre_tokenizer, std::string_view where);

}  // namespace tack
