// A model with some of its tokens.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "formats/gguf_draft.h"
#include "models/model.h"

namespace tack {

// The tokens that keys of the file name ("tokenizer.ggml.bos_token_id"): none of them may go.
std::vector<TokenId> named_tokens(const GgufFile& file);

// The model with the tokens `kept` (ascending ids), numbered anew in that order: their rows of the
// table and of the head as they are, whatever their type, and everything that names tokens changed
// with them. Everything else is the model's. The draft views the model, which must outlive it, and
// `kept` too. Errors: kUsage for a model that is no GGUF or has no tokenizer, for ids that are not
// ascending ones of it, or that lack one the file names.
Result<GgufDraft> with_tokens(const Model& model, std::span<const TokenId> kept);

}  // namespace tack
