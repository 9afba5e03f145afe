// POST /tokenize and /detokenize, in the shapes of vLLM: what a model sees of a text or a
// conversation, and the text of token ids.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/api.h"
#include "server/openai.h"
#include "text/chat.h"

namespace tack::server {

// Longer ones are refused: tokenizing runs on the thread that moves everybody's bytes.
constexpr std::size_t kMaxTokenizedBytes = 1 << 20;  // of the request's body

struct TokenizeRequest {
  std::string model;  // "": not given
  std::string text;
  std::vector<chat::Message> messages;  // when there are any, `text` is not read
  Json tools;                           // null: none
  Json variables = Json::object();      // chat_template_kwargs
  bool add_special_tokens = true;       // around a text
  bool add_generation_prompt = true;    // behind messages
  bool return_strings = false;          // token_strs
};
ApiResult<TokenizeRequest> parse_tokenize_request(std::string_view body);

struct DetokenizeRequest {
  std::string model;
  std::vector<TokenId> tokens;
};
ApiResult<DetokenizeRequest> parse_detokenize_request(std::string_view body);

// Without the special tokens that encode() puts around a text.
std::vector<TokenId> bare_tokens(const Tokenizer& tokenizer, std::string_view text);

// `context`: tokens that the model takes.
Json tokens_json(const std::vector<TokenId>& ids, const Tokenizer& tokenizer, std::int64_t context,
                 bool strings);

// The services outlive the server's handlers.
void add_token_routes(const AddLocal& add, EncoderService& encoders, GenerationService& decoders);

}  // namespace tack::server
