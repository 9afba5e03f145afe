// One question to an OpenAI-compatible chat-completions endpoint, and what became of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "net/client.h"

namespace tack {

struct ChatMessage {
  std::string role, content;
};

struct TokenUse {
  std::int64_t prompt = 0, completion = 0;
  std::int64_t estimated = 0;  // calls whose answer did not say what they used

  TokenUse& operator+=(const TokenUse& other);
};

struct ChatAnswer {
  std::string text;
  bool cut_off = false;  // at the limit of tokens
  TokenUse tokens;
};

struct ChatFailure {
  enum class Kind : std::uint8_t {
    kTransient,  // no connection, time-out, 408, 429, 5xx, not a chat completion: try again
    kRequest,    // another 4xx: this request never works
    kEndpoint,   // a redirect, 401 to 405: no request does
  };
  Kind kind = Kind::kTransient;
  Error error;
  std::chrono::milliseconds wait{0};  // as the server asked to (Retry-After)
  TokenUse tokens;                    // that may be charged: of a broken answer or a time-out
};

struct ChatOptions {
  std::string upstream;  // base URL ("http://host:8000/v1") or the endpoint's own
  std::string model;     // empty: not sent
  std::string key;       // sent as a bearer token; empty: none. In no message and no file.
  std::chrono::milliseconds timeout{60'000};  // of one call
  std::int64_t max_tokens = 256;              // of an answer
};

// Any thread may ask.
class ChatClient {
 public:
  static Result<ChatClient> create(ChatOptions options);  // kUsage for a bad URL

  const std::string& url() const { return url_; }
  const ChatOptions& options() const { return options_; }

  // Temperature 0. Blocks until the answer or the time-out.
  std::expected<ChatAnswer, ChatFailure> ask(std::span<const ChatMessage> messages) const;

 private:
  ChatClient(ChatOptions options, std::string url)
      : options_(std::move(options)), url_(std::move(url)) {}
  ChatFailure refusal(const net::Response& response) const;
  std::string address() const { return url_.substr(0, url_.find('?')); }  // for messages

  ChatOptions options_;
  std::string url_;
};

// "http://host" and "http://host/v1" get the path of chat completions.
Result<std::string> completions_url(std::string_view upstream);
// The body of a 200. Errors say what is missing. `asked_bytes`, the size of what was sent, serves
// to estimate the tokens when "usage" is missing: one for three bytes.
Result<ChatAnswer> parse_chat_answer(std::string_view body, std::size_t asked_bytes);
// Retry-After in seconds or as a date, or retry-after-ms; 0 when absent or unreadable.
std::chrono::milliseconds retry_after(const net::Headers& headers,
                                      std::chrono::system_clock::time_point now);

}  // namespace tack
