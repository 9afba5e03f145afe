// Tokenizers from model files, and back into GGUF keys.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "formats/huggingface.h"
#include "text/tokenizer.h"
#include "text/wordpiece.h"

namespace tack {

// Whichever the file has: WordPiece, or byte-level BPE. Null for a decoder's tokenizer of another
// kind.
Result<std::unique_ptr<Tokenizer>> tokenizer_from_gguf(const GgufFile& file);
Result<WordPieceConfig> wordpiece_from_gguf(const GgufFile& file);
Result<WordPieceConfig> wordpiece_from_hf(const HuggingFaceDirectory& directory);

// llama.cpp's tokenizer.ggml.* keys, and tack.tokenizer for what they cannot say.
std::vector<std::pair<std::string, GgufValue>> wordpiece_gguf_keys(const WordPieceConfig& config);

}  // namespace tack
