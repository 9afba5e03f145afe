// The JSON of /v1/completions and /v1/chat/completions: requests in, answers and events out.
// No I/O: tested as functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/generator.h"
#include "server/openai.h"
#include "text/chat.h"

namespace tack::server {

struct CompletionRequest {
  std::string model;  // "": not given
  bool chat = false;
  // Of a chat.
  std::vector<chat::Message> messages;
  Json tools;                       // null: none
  bool must_call = false;           // one of them: generation.form is {"name", "parameters"}
  Json variables = Json::object();  // chat_template_kwargs
  // Else one of the two.
  std::string text;
  std::vector<TokenId> tokens;

  GenerationRequest generation;  // without its prompt
  bool stream = false, include_usage = false;
};

// Members that are not known are errors, and those that would change the answer and are not
// supported (n > 1, best_of, suffix, echo, images): server/request_fields.h.
ApiResult<CompletionRequest> parse_completion_request(const Json& body);
ApiResult<CompletionRequest> parse_chat_request(const Json& body);

// What one answer is made of, besides its text.
struct Usage {
  std::int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;
};

// Writes the answer of one request, whole or as events.
class CompletionWriter {
 public:
  // id: "chatcmpl-..." or "cmpl-...". `bytes_of`: what a token stands for, in logprobs.
  CompletionWriter(bool chat, std::string id, std::string model, std::int64_t created);

  // The data of an event. `logprobs`: null or of logprobs_json().
  Json event(std::string_view text, Json logprobs = nullptr) const;
  Json first_event() const;  // of a chat: the role
  Json tool_calls_event(const std::vector<chat::ToolCall>& calls) const;
  Json last_event(std::string_view finish_reason) const;
  Json usage_event(const Usage& usage) const;

  Json whole(const chat::Reply& reply, std::string_view finish_reason, const Usage& usage,
             Json logprobs) const;

 private:
  Json frame(std::string_view object) const;
  Json choice_event(Json content, Json logprobs, Json finish_reason) const;

  bool chat_;
  std::string id_, model_;
  std::int64_t created_;
};

Json usage_json(const Usage& usage);

// In the shape of a chat's or a completion's "logprobs". Texts that are no UTF-8 by themselves show
// U+FFFD; "bytes" are exact.
Json logprobs_json(const std::vector<SampledToken>& tokens, const Tokenizer& tokenizer, bool chat);

// The answer of a task model in the place of a token: its label, with the probabilities of the
// classes as if they were tokens'.
Json label_logprobs_json(const Prediction& prediction, const std::vector<std::string>& labels,
                         std::int64_t top);

}  // namespace tack::server
