#include "tasks/chat_client.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <optional>

namespace tack {
namespace {

using std::chrono::milliseconds;
using Kind = ChatFailure::Kind;

// An answer is a label: a body beyond this is no answer.
constexpr std::size_t kBodyLimit = std::size_t{4} << 20;

std::int64_t estimated_tokens(std::size_t bytes) {
  return static_cast<std::int64_t>(bytes / 3 + 1);
}

std::optional<std::int64_t> count_of(const Json& usage, const char* key) {
  const auto found = usage.find(key);
  if (found == usage.end() || !found->is_number_unsigned()) return std::nullopt;
  const auto count = found->get<std::uint64_t>();
  if (count > 1'000'000'000) return std::nullopt;
  return static_cast<std::int64_t>(count);
}

std::optional<double> seconds_of(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0)) return {};
  return std::min(value, 1e9);
}

// The server's own words about an error, short; "" when it has none.
std::string words_of(std::string_view body) {
  std::string words;
  if (const auto json = parse_json(body, "body"); json && json->is_object()) {
    const auto error = json->find("error");
    if (error != json->end() && error->is_string()) words = error->get<std::string>();
    if (error != json->end() && error->is_object() && error->contains("message") &&
        (*error)["message"].is_string())
      words = (*error)["message"].get<std::string>();
  }
  if (words.size() > 300) words = words.substr(0, 300) + "...";
  return words;
}

}  // namespace

TokenUse& TokenUse::operator+=(const TokenUse& other) {
  prompt += other.prompt;
  completion += other.completion;
  estimated += other.estimated;
  return *this;
}

Result<std::string> completions_url(std::string_view upstream) {
  TACK_TRY(const net::Url url, net::parse_url(upstream));
  const std::string_view whole = upstream.substr(0, upstream.find('#'));
  const std::size_t mark = std::min(whole.find('?'), whole.size());
  std::string address(whole.substr(0, mark));
  while (address.ends_with('/')) address.pop_back();
  if (address.find('/', address.find("://") + 3) == address.npos) address += "/v1";
  if (!address.ends_with("/chat/completions")) address += "/chat/completions";
  return address.append(whole.substr(mark));
}

Result<ChatAnswer> parse_chat_answer(std::string_view body, std::size_t asked_bytes) {
  TACK_TRY(const Json json, parse_json(body, "the answer"));
  const auto missing = [](std::string_view what) {
    return fail("the answer is not a chat completion: no {}", what);
  };
  if (!json.is_object()) return missing("object");
  const auto choices = json.find("choices");
  if (choices == json.end() || !choices->is_array() || choices->empty() ||
      !choices->front().is_object())
    return missing("\"choices\"");
  const Json& choice = choices->front();
  const auto message = choice.find("message");
  if (message == choice.end() || !message->is_object()) return missing("\"message\"");
  // null is an answer without text: a refusal, or all tokens went into thoughts.
  const auto content = message->find("content");
  if (content == message->end() || !(content->is_string() || content->is_null()))
    return missing("\"content\"");

  ChatAnswer answer;
  if (content->is_string()) answer.text = content->get<std::string>();
  const auto reason = choice.find("finish_reason");
  answer.cut_off = reason != choice.end() && *reason == "length";
  const auto usage = json.find("usage");
  if (usage != json.end() && usage->is_object()) {
    const auto prompt = count_of(*usage, "prompt_tokens");
    const auto completion = count_of(*usage, "completion_tokens");
    if (prompt && completion) {
      answer.tokens = {.prompt = *prompt, .completion = *completion};
      return answer;
    }
  }
  answer.tokens = {.prompt = estimated_tokens(asked_bytes),
                   .completion = estimated_tokens(answer.text.size()),
                   .estimated = 1};
  return answer;
}

milliseconds retry_after(const net::Headers& headers, std::chrono::system_clock::time_point now) {
  if (const std::string* ms = headers.find("retry-after-ms"))
    if (const auto value = seconds_of(*ms))
      return milliseconds(static_cast<std::int64_t>(std::ceil(*value)));
  const std::string* text = headers.find("retry-after");
  if (text == nullptr) return milliseconds(0);
  if (const auto value = seconds_of(*text))
    return milliseconds(static_cast<std::int64_t>(std::ceil(*value * 1000)));
  std::tm date{};
  if (::strptime(text->c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date) == nullptr)
    return milliseconds(0);
  const auto then = std::chrono::system_clock::from_time_t(::timegm(&date));
  return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(then - now));
}

Result<ChatClient> ChatClient::create(ChatOptions options) {
  TACK_TRY(std::string url, completions_url(options.upstream));
  return ChatClient(std::move(options), std::move(url));
}

ChatFailure ChatClient::refusal(const net::Response& response) const {
  const int status = response.status;
  std::string words = words_of(response.body);
  // A server may repeat the key it did not like.
  for (std::size_t at = 0; !options_.key.empty() && (at = words.find(options_.key)) != words.npos;)
    words.replace(at, options_.key.size(), "***");
  const std::string_view phrase = net::reason_phrase(status);
  ChatFailure failure;
  failure.error = {ErrorCode::kUnreachable, fmt::format("{} answered {}{}{}{}{}", address(), status,
                                                        phrase.empty() ? "" : " ", phrase,
                                                        words.empty() ? "" : ": ", words)};
  if (status / 100 == 5 || status == 408 || status == 429) {
    failure.wait = retry_after(response.headers, std::chrono::system_clock::now());
  } else if (status / 100 != 4 || (status >= 401 && status <= 405)) {
    failure.kind = Kind::kEndpoint;
    if (status == 404) {
      failure.error.code = ErrorCode::kNotFound;
      failure.error.message += "; check --upstream and --model";
    } else if (status == 401 || status == 403) {
      failure.error.message +=
          options_.key.empty() ? "; it wants a key: --key-env VARIABLE" : "; check the key";
    }
  } else {
    failure.kind = Kind::kRequest;
  }
  return failure;
}

std::expected<ChatAnswer, ChatFailure> ChatClient::ask(
    std::span<const ChatMessage> messages) const {
  Json body;
  if (!options_.model.empty()) body["model"] = options_.model;
  std::size_t asked_bytes = 0;
  for (const ChatMessage& message : messages) {
    body["messages"].push_back({{"role", message.role}, {"content", message.content}});
    asked_bytes += message.content.size();
  }
  body["temperature"] = 0;
  body["max_tokens"] = options_.max_tokens;
  net::ClientRequest request{.method = "POST", .url = url_, .headers = {}, .body = to_text(body)};
  request.headers.add("Content-Type", "application/json");
  request.headers.add("Accept", "application/json");
  request.headers.add("User-Agent", "tackhammer");
  if (!options_.key.empty()) request.headers.add("Authorization", "Bearer " + options_.key);

  const auto start = std::chrono::steady_clock::now();
  const auto response = net::fetch_blocking(
      std::move(request), {.connect_timeout = std::min(options_.timeout, milliseconds(10'000)),
                           .io_timeout = options_.timeout,
                           .total_timeout = options_.timeout,
                           .body_limit = kBodyLimit});
  ChatFailure failure;
  failure.tokens = {.prompt = estimated_tokens(asked_bytes), .completion = 0, .estimated = 1};
  if (!response) {
    // After a time-out the server may have done the work, and charge for it.
    failure.tokens.completion = options_.max_tokens;
    if (std::chrono::steady_clock::now() - start < options_.timeout) failure.tokens = {};
    failure.error = response.error();
    return std::unexpected(std::move(failure));
  }
  if (response->status != 200) return std::unexpected(refusal(*response));
  auto answer = parse_chat_answer(response->body, asked_bytes);
  if (answer) return *std::move(answer);
  failure.error = std::move(answer).error().in(address());
  return std::unexpected(std::move(failure));
}

}  // namespace tack
