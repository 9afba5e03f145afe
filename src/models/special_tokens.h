// Which tokens of a decoder's vocabulary begin and end texts and turns.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "formats/gguf.h"
#include "text/decoder_tokenizer.h"

namespace tack {

// tokenizer.ggml.{bos,eos,eot}_token_id and add_{bos,eos}_token; `defaults` says what a file means
// that has none of the latter. Ids are checked against the number of tokens.
Result<SpecialTokens> special_tokens_from_gguf(const GgufFile& file,
                                               const std::vector<VocabularyToken>& tokens,
                                               const SpecialTokens& defaults);
void add_special_token_keys(const SpecialTokens& special,
                            std::vector<std::pair<std::string, GgufValue>>& keys);

// The id of a control or user-defined token.
std::optional<TokenId> find_special(const std::vector<VocabularyToken>& tokens,
                                    std::string_view text);
// The token that ends a turn, by the names models give it.
std::optional<TokenId> find_end_of_turn(const std::vector<VocabularyToken>& tokens);

// Some files (Phi 3's, Gemma's tokenizer.model) have tokens that begin or end texts and turns as
// user-defined ones, which any text could then spell out. They are control tokens, as llama.cpp has
// it.
void take_frames_as_control(std::vector<VocabularyToken>& tokens);

// What GGUF has no key for goes into tack.tokenizer: the ids of tokens that take the white space
// around them along.
void add_stripping(const std::vector<VocabularyToken>& tokens, Json& settings);
void read_stripping(const Json& settings, std::vector<VocabularyToken>& tokens);
Result<Json> tokenizer_settings(const GgufFile& file);

}  // namespace tack
