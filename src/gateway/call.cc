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

Json error_object(const Failure& failure) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  return {{"error",
           {{"message", failure.message},
            {"type", failure.type},
            {"param", or_null(failure.param)},
            {"code", or_null(failure.code)}}}};
}

}  // namespace

net::Response failure_response(const Failure& failure) {
  net::Response response = net::Response::json(failure.status, error_object(failure));
  const bool try_later = failure.status == 429 || failure.status == 503;
  if (!failure.retry_after && !try_later) return response;
  const auto wait = failure.retry_after.value_or(std::chrono::seconds(1));
  const auto whole_seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();
  response.headers.set("Retry-After", std::to_string(std::max<std::int64_t>(1, whole_seconds)));
  response.headers.set("retry-after-ms", std::to_string(wait.count()));
  return response;
}

std::string failure_event(const Failure& failure) {
  return to_text(error_object(failure));
}

}  // namespace tack::gateway
