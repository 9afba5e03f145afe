#include "gateway/call.h"

#include <algorithm>

namespace tack::gateway {

std::string_view endpoint(Operation operation) {
  switch (operation) {
    case Operation::kChat:
      return "/v1/chat/completions";
    case Operation::kCompletion:
      return "/v1/completions";
    case Operation::kEmbeddings:
      return "/v1/embeddings";
  }
  return "";
}

namespace {

std::string_view usual_type(int status) {
  if (status >= 500) return "server_error";
  return status == 429 ? "requests" : "invalid_request_error";
}
std::string_view usual_code(int status) {
  if (status == 429) return "rate_limit_exceeded";
  return status == 401 ? "invalid_api_key" : "";
}

Json error_object(const Failure& failure) {
  const auto or_null = [](std::string_view text) { return text.empty() ? Json() : Json(text); };
  const auto& [type, code] =
      std::pair(failure.type.empty() ? usual_type(failure.status) : std::string_view(failure.type),
                failure.code.empty() ? usual_code(failure.status) : std::string_view(failure.code));
  return {{"error",
           {{"message", failure.message},
            {"type", type},
            {"param", or_null(failure.param)},
            {"code", or_null(code)}}}};
}

}  // namespace

net::Response failure_response(const Failure& failure) {
  net::Response response = net::Response::json(failure.status, error_object(failure));
  if (failure.status != 429 && failure.status != 503) return response;
  const auto wait = failure.retry_after.value_or(std::chrono::seconds(1));
  const auto whole = std::chrono::ceil<std::chrono::seconds>(wait).count();
  response.headers.set("Retry-After", std::to_string(whole));
  response.headers.set("Retry-After-Ms", std::to_string(wait.count()));
  return response;
}

std::string failure_event(const Failure& failure) {
  return to_text(error_object(failure));
}

}  // namespace tack::gateway
