#include "gateway/upstream_failure.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <optional>

#include <fmt/format.h>

namespace tack::gateway {
namespace {

using net::ClientFault;
using std::chrono::milliseconds;

constexpr std::size_t kLongestMessage = 2'000;  // bytes of what an upstream says

std::string text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  return found->is_number() ? to_text(*found) : std::string();
}

void cut(std::string& text) {
  if (text.size() <= kLongestMessage) return;
  std::size_t end = kLongestMessage;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  text.resize(end);
  text += "...";
}

// {"error": {"message", ...}}, {"error": "..."}, {"message": ...} (vLLM), {"detail": ...}
// (FastAPI), or what else an error may be. Empty message: it says nothing.
Failure read_error_object(std::string_view body) {
  Failure failure;
  const auto json = parse_json(body, "error");
  if (!json || !json->is_object()) return failure;
  const auto error = json->find("error");
  const Json& object = error != json->end() && error->is_object() ? *error : *json;
  failure.message = text_of(object, "message");
  failure.type = text_of(object, "type");
  failure.code = text_of(object, "code");
  failure.param = text_of(object, "param");
  for (const char* name : {"error", "detail"})
    if (failure.message.empty()) failure.message = text_of(object, name);
  if (const auto detail = json->find("detail"); failure.message.empty() && detail != json->end())
    failure.message = to_text(*detail);
  cut(failure.message);
  return failure;
}

// Seconds, or a date.
std::optional<milliseconds> read_retry_after(const net::Headers& headers) {
  const auto number = [](const std::string& text) -> std::optional<double> {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    if (!std::isfinite(value) || value < 0 || value > 1e9) return std::nullopt;
    return value;
  };
  if (const std::string* ms = headers.find("Retry-After-Ms"))
    if (const auto value = number(*ms)) return milliseconds(std::llround(*value));
  const std::string* text = headers.find("Retry-After");
  if (text == nullptr) return std::nullopt;
  if (const auto value = number(*text)) return milliseconds(std::llround(*value * 1000));
  std::tm date{};
  if (::strptime(text->c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date) == nullptr) return std::nullopt;
  const std::time_t seconds = ::timegm(&date) - std::time(nullptr);
  return milliseconds(std::clamp<std::int64_t>(seconds, 0, 1'000'000) * 1000);
}

// The client's fault, where it is; what ails the upstream or the gateway's account there is not.
int status_for_client(int status) {
  if (status == 408 || status == 504) return 504;
  if (status == 503 || status == 529) return 503;  // 529: overloaded
  const bool account = status == 401 || status == 402 || status == 403;
  return status >= 400 && status < 500 && !account ? status : 502;
}

// Whether another model could take what this one refused.
bool another_may_answer(const Failure& failure, int status) {
  if (status < 400 || status >= 500) return true;
  if (failure.code == "context_length_exceeded") return true;
  constexpr int kOthersOwn[] = {401, 402, 403, 404, 408, 409, 425, 429};
  return std::ranges::find(kOthersOwn, status) != std::end(kOthersOwn);
}

FailedTry by_status(std::string_view upstream, int status, Failure failure) {
  FailedTry out;
  out.breaks = status >= 500 || status == 408;
  const bool out_of_money = failure.code == "insufficient_quota";
  out.retry = (out.breaks || status == 409 || status == 429) && !out_of_money;
  failure.status = status_for_client(status);
  failure.another_may_answer = another_may_answer(failure, status);
  if (failure.message.empty())
    failure.message = fmt::format("the upstream '{}' answered with status {}", upstream, status);
  if (status == 401 || status == 403)
    failure.message = fmt::format("the upstream '{}' refused the gateway's key ({}): {}", upstream,
                                  status, failure.message);
  if (status / 100 == 3)
    failure.message += "; redirects are not followed: set base_url to where it leads";
  // "invalid_api_key" is not for the client, whose key was right.
  if (status == 401 || status == 402 || status == 403)
    failure.type = failure.code = failure.param = {};
  if (failure.status >= 500 && failure.code.empty()) failure.code = "upstream_error";
  out.failure = std::move(failure);
  return out;
}

struct FaultInfo {
  int status;
  const char* code;
  bool retry, breaks;
};

FaultInfo info_of(ClientFault fault) {
  switch (fault) {
    case ClientFault::kNoConnection:
      return {502, "upstream_unreachable", true, true};
    case ClientFault::kTimedOut:  // who was slow once is not asked to be slow again
      return {504, "upstream_timeout", false, true};
    case ClientFault::kBroken:
      return {502, "upstream_broke_off", true, true};
    case ClientFault::kMalformed:
      return {502, "upstream_malformed", true, true};
    case ClientFault::kTooLarge:
      return {502, "upstream_too_large", false, true};
    case ClientFault::kBusy:
      return {503, "upstream_busy", false, false};
    case ClientFault::kCancelled:
      return {499, "client_left", false, false};
  }
  return {502, "upstream_error", false, true};
}

}  // namespace

FailedTry failed_exchange(std::string_view upstream, const net::ClientError& error) {
  const FaultInfo info = info_of(error.fault);
  FailedTry out{.retry = info.retry, .breaks = info.breaks};
  out.failure.status = info.status;
  out.failure.code = info.code;
  out.failure.message = fmt::format("the upstream '{}': {}", upstream, error.message);
  out.failure.another_may_answer = error.fault != ClientFault::kCancelled;
  return out;
}

FailedTry failed_status(std::string_view upstream, int status, const net::Headers& headers,
                        std::string_view body) {
  FailedTry out = by_status(upstream, status, read_error_object(body));
  out.failure.retry_after = read_retry_after(headers);
  return out;
}

FailedTry failed_answer(std::string_view upstream, std::string_view why) {
  FailedTry out{.retry = true, .breaks = true};
  out.failure.code = "upstream_malformed";
  out.failure.message = fmt::format("the upstream '{}': {}", upstream, why);
  return out;
}

FailedTry failed_inside(std::string_view upstream, std::string_view json) {
  Failure failure = read_error_object(json);
  int status = 500;
  const auto [end, error] =
      std::from_chars(failure.code.data(), failure.code.data() + failure.code.size(), status);
  const bool is_status = error == std::errc() && end == failure.code.data() + failure.code.size() &&
                         status >= 400 && status < 600;
  if (!is_status) status = 500;
  if (failure.message.empty()) failure.message = "an error without a message";
  return by_status(upstream, status, std::move(failure));
}

}  // namespace tack::gateway
