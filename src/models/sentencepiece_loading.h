// SentencePiece vocabularies from model files, and into GGUF.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "formats/sentencepiece_model.h"
#include "text/sentencepiece.h"

namespace tack {

// tokenizer.ggml.model "llama" (BPE) or "t5" (unigram).
Result<SentencePieceConfig> sentencepiece_from_gguf(const GgufFile& file);
// Settings that GGUF has no key for go into tack.tokenizer. Of a BPE made of merges, the merges are
// written, and scores that order its pieces as they do, for programs that know scores only.
std::vector<std::pair<std::string, GgufValue>> sentencepiece_gguf_keys(
    const SentencePieceConfig& config);

// tokenizer.model. Texts get a beginning (BPE) or an end (unigram), as the models that have such
// files expect. `where` stands in errors.
Result<SentencePieceConfig> sentencepiece_from_model(SentencePieceModel model,
                                                     std::string_view where);

}  // namespace tack
