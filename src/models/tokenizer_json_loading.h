// Decoders' tokenizers from tokenizer.json. It can say more than is known here: whatever would
// change the ids and is not known is an error that names it.
#pragma once

#include <string_view>
#include <variant>

#include "base/result.h"
#include "formats/tokenizer_json.h"
#include "text/byte_bpe.h"
#include "text/sentencepiece.h"

namespace tack {

// `file` of model "BPE" (byte-level, or SentencePiece's with byte fallback) or "Unigram". What
// begins and ends a text is read from the post-processor. `where` stands in errors.
Result<std::variant<ByteBpeConfig, SentencePieceConfig>> decoder_from_tokenizer_json(
    TokenizerJson file, std::string_view where);

}  // namespace tack
