// For tests and load: what the mock upstream answers. The same request always gets the same bytes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <simdjson.h>

namespace tack::gateway {

// What the mock reads of a request.
struct MockRequest {
  std::string_view endpoint;  // "chat/completions", "completions", "embeddings"
  std::string model;
  bool stream = false, include_usage = false;
  std::vector<std::string> inputs;  // of embeddings
  std::int64_t prompt_bytes = 0;    // of all texts together

  std::int64_t prompt_tokens() const { return std::max<std::int64_t>(1, (prompt_bytes + 3) / 4); }
};

// nullopt: no JSON object.
inline std::optional<MockRequest> read_mock_request(std::string_view target,
                                                    std::string_view body) {
  thread_local simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(body.data(), body.size()).get(root) || !root.is_object()) return std::nullopt;
  MockRequest out;
  for (const std::string_view name : {"chat/completions", "completions", "embeddings"})
    if (out.endpoint.empty() && target.ends_with(name)) out.endpoint = name;
  std::string_view text;
  if (!root["model"].get(text)) out.model = text;
  if (root["stream"].get(out.stream)) out.stream = false;
  if (root["stream_options"]["include_usage"].get(out.include_usage)) out.include_usage = false;
  if (!root["prompt"].get(text)) out.prompt_bytes = static_cast<std::int64_t>(text.size());
  simdjson::dom::array list;
  if (!root["messages"].get(list))
    for (const auto message : list)
      if (!message["content"].get(text)) out.prompt_bytes += static_cast<std::int64_t>(text.size());
  if (!root["input"].get(text)) out.inputs.emplace_back(text);
  if (!root["input"].get(list))
    for (const auto item : list)
      if (!item.get(text)) out.inputs.emplace_back(text);
  for (const std::string& input : out.inputs)
    out.prompt_bytes += static_cast<std::int64_t>(input.size());
  return out;
}

class MockAnswers {
 public:
  MockAnswers(const MockRequest& request, int tokens) : request_(request), tokens_(tokens) {}

  // "12 bytes", then one word a token.
  std::string token(int index) const {
    if (index == 0) return std::to_string(request_.prompt_bytes);
    return index == 1 ? " bytes" : fmt::format(" w{}", index);
  }
  std::string text() const {
    std::string out;
    for (int i = 0; i < tokens_; ++i) out += token(i);
    return out;
  }
  std::string usage() const {
    return fmt::format(
        R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}}}})",
        request_.prompt_tokens(), tokens_, request_.prompt_tokens() + tokens_,
        request_.prompt_tokens() / 2);
  }

  std::string body(bool with_usage, bool with_logprobs) const {
    const std::string tail = with_usage ? R"(,"usage":)" + usage() : "";
    if (request_.endpoint == "embeddings") return embeddings(with_usage);
    if (request_.endpoint == "completions")
      return fmt::format(
          R"({{"id":"cmpl-mock","object":"text_completion","created":1700000000,"model":"{}","choices":[{{"index":0,"text":"{}","logprobs":null,"finish_reason":"stop"}}]{}}})",
          request_.model, text(), tail);
    return fmt::format(
        R"({{"id":"chatcmpl-mock","object":"chat.completion","created":1700000000,"model":"{}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},"logprobs":{},"finish_reason":"stop"}}]{}}})",
        request_.model, text(), with_logprobs ? logprobs(0, tokens_) : "null", tail);
  }

  // The JSON of each event of a stream, without "[DONE]".
  std::vector<std::string> events(bool with_usage, bool with_logprobs) const {
    std::vector<std::string> out;
    const bool chat = request_.endpoint != "completions";
    if (chat) out.push_back(chunk(R"("delta":{"role":"assistant","content":""})", ""));
    for (int i = 0; i < tokens_; ++i) {
      std::string what = chat ? fmt::format(R"("delta":{{"content":"{}"}})", token(i))
                              : fmt::format(R"("text":"{}")", token(i));
      if (with_logprobs) what += R"(,"logprobs":)" + logprobs(i, i + 1);
      out.push_back(chunk(what, ""));
    }
    out.push_back(chunk(chat ? R"("delta":{})" : R"("text":"")", "stop"));
    if (with_usage) out.push_back(usage_chunk());
    return out;
  }
  // A call whose arguments come in fragments.
  std::vector<std::string> tool_events(bool with_usage) const {
    std::vector<std::string> out;
    out.push_back(chunk(
        R"("delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]})",
        ""));
    for (const char* part : {R"({\"city\")", R"(: \"Par)", R"(is\"})"})
      out.push_back(chunk(
          fmt::format(R"("delta":{{"tool_calls":[{{"index":0,"function":{{"arguments":"{}"}}}}]}})",
                      part),
          ""));
    out.push_back(chunk(R"("delta":{})", "tool_calls"));
    if (with_usage) out.push_back(usage_chunk());
    return out;
  }

 private:
  std::string chunk(std::string_view what, std::string_view finish) const {
    const bool chat = request_.endpoint != "completions";
    return fmt::format(
        R"({{"id":"chatcmpl-mock","object":"{}","created":1700000000,"model":"{}","choices":[{{"index":0,{},"finish_reason":{}}}]{}}})",
        chat ? "chat.completion.chunk" : "text_completion", request_.model, what,
        finish.empty() ? "null" : fmt::format("\"{}\"", finish),
        request_.include_usage ? R"(,"usage":null)" : "");
  }
  std::string usage_chunk() const {
    return fmt::format(
        R"({{"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1700000000,"model":"{}","choices":[],"usage":{}}})",
        request_.model, usage());
  }
  // Every token has probability 1/2.
  std::string logprobs(int begin, int end) const {
    std::string out = R"({"content":[)";
    for (int i = begin; i < end; ++i)
      out += fmt::format(R"({}{{"token":"{}","logprob":-0.6931471805599453}})",
                         i > begin ? "," : "", token(i));
    return out + "]}";
  }
  std::string embeddings(bool with_usage) const {
    std::string out = R"({"object":"list","data":[)";
    for (std::size_t i = 0; i < request_.inputs.size(); ++i)
      out += fmt::format(R"({}{{"object":"embedding","index":{},"embedding":[{},0.5]}})",
                         i > 0 ? "," : "", i, request_.inputs[i].size());
    out += fmt::format(R"(],"model":"{}")", request_.model);
    if (with_usage)
      out += fmt::format(R"(,"usage":{{"prompt_tokens":{0},"total_tokens":{0}}})",
                         request_.prompt_tokens());
    return out + "}";
  }

  const MockRequest& request_;
  const int tokens_;
};

}  // namespace tack::gateway
