// The JSON of the OpenAI API (and of /v1/classify, /v1/tag and /v1/extract, made in its image):
// requests in, answers out.
#pragma once

#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "gateway/call.h"
#include "net/http.h"
#include "server/served_model.h"

namespace tack::server {

// {"error": {"message", "type", "param", "code"}}: what the published clients turn into exceptions
// (which one, they decide by the status). Types and codes are those of OpenAI's own answers.
struct ApiError {
  int status = 400;
  std::string message;
  std::string param = {}, code = {};  // "" is sent as null; of 401 and 429 as their usual code
  std::string type = {};  // "": of the status: invalid_request_error, requests (429), server_error
  std::optional<std::chrono::milliseconds> retry_after = {};  // of 429 and 503: a second

  // 429 and 503 have Retry-After (whole seconds, rounded up) and retry-after-ms.
  net::Response response() const;
};
template <class T>
using ApiResult = std::expected<T, ApiError>;

// The same in the terms of the gateway. Errors of the request are errors at every model.
gateway::Failure to_failure(const ApiError& error);

// The HTTP status an Error of the layers below stands for.
ApiError to_api_error(const Error& error);

// "chatcmpl-..." of "chatcmpl": another one each time. Any thread.
std::string make_id(std::string_view prefix);

constexpr std::size_t kMaxInputs = 2048;  // per request, as the OpenAI API

// One of the two is filled.
struct Inputs {
  std::vector<std::string> texts;
  std::vector<Tokens> tokens;
};

struct EmbeddingRequest {
  std::string model;  // "": not given
  Inputs input;
  bool base64 = false;
  std::optional<std::int64_t> dimensions;
};
ApiResult<EmbeddingRequest> parse_embedding_request(const Json& body);
// What only the model can tell: token ids in range and not too many, dimensions.
ApiResult<void> check(const EmbeddingRequest& request, const ModelInfo& model);

struct ClassifyRequest {
  std::string model, head;  // "": not given
  std::vector<std::string> texts;
  std::size_t top_k = 5;
};
ApiResult<ClassifyRequest> parse_classify_request(std::string_view body);
ApiResult<ClassifyRequest> parse_tag_request(std::string_view body);  // without head and top_k
// What only the model can tell: whether it has the head.
ApiResult<void> check(const ClassifyRequest& request, const ModelInfo& model);

// {"question", "context"}, or {"input": [{"question", "context"}, ...]}.
struct ExtractRequest {
  std::string model;
  std::vector<std::string> questions, contexts;  // as many of both
};
ApiResult<ExtractRequest> parse_extract_request(std::string_view body);

// Answers, as JSON text: written by hand since a float's shortest digits are a third of a double's.
std::string embeddings_json(const Embedded& embedded, const ModelInfo& model, bool base64);
// Of a model with several heads `predictions` are [texts, heads], and an answer has "heads", or is
// that of `head` alone.
std::string classifications_json(const std::vector<Prediction>& predictions, const ModelInfo& model,
                                 std::size_t top_k, std::string_view head = "");
// `object` says what each entry is: "tags" or "answer".
Json entries_json(const std::vector<Tagged>& entries, const ModelInfo& model,
                  std::string_view object);
Json model_json(const ModelInfo& model);

}  // namespace tack::server
