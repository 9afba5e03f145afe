#include "server/completions.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <random>

#include "server/fields.h"
#include "server/request_fields.h"
#include "server/tool_choice.h"

namespace tack::server {
namespace {

constexpr std::int64_t kMostLogprobs = 20;
constexpr std::int64_t kDefaultCompletion = 16;  // tokens, as the OpenAI API

ApiResult<void> read_sampling(const Json& body, SamplingOptions& sampling) {
  for (const auto& [name, to] : {std::pair{"temperature", &sampling.temperature},
                                 {"top_p", &sampling.top_p},
                                 {"min_p", &sampling.min_p},
                                 {"repetition_penalty", &sampling.repetition_penalty},
                                 {"presence_penalty", &sampling.presence_penalty},
                                 {"frequency_penalty", &sampling.frequency_penalty}}) {
    const auto value = optional_number(body, name);
    if (!value) return std::unexpected(value.error());
    if (*value) *to = **value;
  }
  const Json* top_k = member(body, "top_k");
  if (top_k != nullptr) {
    if (!top_k->is_number_integer()) return bad("top_k", "'top_k' must be a whole number");
    sampling.top_k = std::max<std::int64_t>(0, top_k->get<std::int64_t>());  // -1 as vLLM: no limit
  }
  const Json* seed = member(body, "seed");
  if (seed != nullptr && !seed->is_number_integer())
    return bad("seed", "'seed' must be a whole number");
  sampling.seed = seed != nullptr ? seed->get<std::uint64_t>() : std::random_device{}();
  const Json* bias = member(body, "logit_bias");
  if (bias == nullptr) return {};
  if (!bias->is_object()) return bad("logit_bias", "'logit_bias' must map token ids to numbers");
  for (const auto& [key, value] : bias->items()) {
    TokenId id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || !value.is_number())
      return bad("logit_bias", "'logit_bias' must map token ids to numbers");
    sampling.logit_bias.emplace_back(id, value.get<float>());
  }
  return {};
}

ApiResult<void> read_stops(const Json& body, std::vector<std::string>& stops) {
  const Json* stop = member(body, "stop");
  if (stop == nullptr) return {};
  const char* const what = "'stop' must be a string or an array of strings";
  if (stop->is_string()) {
    stops.push_back(stop->get<std::string>());
    return {};
  }
  if (!stop->is_array()) return bad("stop", what);
  for (const Json& text : *stop) {
    if (!text.is_string()) return bad("stop", what);
    stops.push_back(text.get<std::string>());
  }
  return {};
}

ApiResult<void> read_form(const Json& body, OutputForm& form) {
  if (const Json* choices = member(body, "guided_choice")) {
    if (!choices->is_array() || choices->empty())
      return bad("guided_choice", "'guided_choice' must be an array of strings");
    for (const Json& choice : *choices) {
      if (!choice.is_string())
        return bad("guided_choice", "'guided_choice' must be an array of strings");
      form.choices.push_back(choice.get<std::string>());
    }
    form.kind = OutputForm::Kind::kChoices;
  }
  const Json* format = member(body, "response_format");
  if (format == nullptr) return {};
  const char* const what =
      "'response_format' must be {\"type\": \"text\"}, {\"type\": \"json_object\"} or {\"type\": "
      "\"json_schema\", \"json_schema\": {\"schema\": {...}}}";
  if (!format->is_object()) return bad("response_format", what);
  const auto type = optional_string(*format, "type");
  if (!type) return bad("response_format", what);
  if (*type == "text") return {};
  if (form.kind != OutputForm::Kind::kFree)
    return bad("response_format", "give 'response_format' or 'guided_choice', not both");
  form.kind = OutputForm::Kind::kSchema;
  if (*type == "json_object") {
    form.schema = Json{{"type", "object"}};
    return {};
  }
  const Json* named = *type == "json_schema" ? member(*format, "json_schema") : nullptr;
  const Json* schema = named != nullptr && named->is_object() ? member(*named, "schema") : nullptr;
  if (schema == nullptr) return bad("response_format", what);
  form.schema = *schema;
  return {};
}

ApiResult<void> read_common(const Json& body, CompletionRequest& request) {
  auto model = optional_string(body, "model");
  if (!model) return std::unexpected(model.error());
  request.model = *std::move(model);
  GenerationRequest& generation = request.generation;
  if (auto read = read_sampling(body, generation.sampling); !read) return read;
  if (auto read = read_stops(body, generation.stops); !read) return read;
  if (auto read = read_form(body, generation.form); !read) return read;
  const auto stream = optional_flag(body, "stream");
  if (!stream) return std::unexpected(stream.error());
  request.stream = *stream;
  const Json* options = member(body, "stream_options");
  if (options == nullptr) return {};
  if (!options->is_object()) return bad("stream_options", "'stream_options' must be an object");
  if (auto known = only_members(*options, fields::stream_options, "stream_options."); !known)
    return known;
  const auto usage = optional_flag(*options, "include_usage");
  if (!usage) return std::unexpected(usage.error());
  request.include_usage = *usage;
  return {};
}

std::string utf8_or_replaced(const std::string& bytes) {
  // The JSON library replaces what is no UTF-8.
  return Json::parse(Json(bytes).dump(-1, ' ', false, Json::error_handler_t::replace))
      .get<std::string>();
}

Json token_entry(const std::string& text, float logprob) {
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", utf8_or_replaced(text)}, {"logprob", logprob}, {"bytes", std::move(bytes)}};
}

}  // namespace

ApiResult<CompletionRequest> parse_completion_request(const Json& body) {
  if (auto known = only_members(body, fields::completion); !known)
    return std::unexpected(known.error());
  CompletionRequest request;
  if (auto read = read_common(body, request); !read) return std::unexpected(read.error());
  const Json* prompt = member(body, "prompt");
  const char* const what = "'prompt' must be a string or an array of token ids, one a request";
  if (prompt == nullptr) return bad("prompt", "'prompt' is missing");
  if (prompt->is_array() && prompt->size() == 1 && !prompt->front().is_number())
    prompt = &prompt->front();
  if (prompt->is_string()) {
    request.text = prompt->get<std::string>();
  } else if (prompt->is_array()) {
    for (const Json& id : *prompt) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() > std::numeric_limits<TokenId>::max())
        return bad("prompt", what);
      request.tokens.push_back(id.get<TokenId>());
    }
  } else {
    return bad("prompt", what);
  }
  const auto most = optional_count(body, "max_tokens", 0);
  if (!most) return std::unexpected(most.error());
  request.generation.max_tokens = most->value_or(kDefaultCompletion);
  const auto logprobs = optional_count(body, "logprobs", 0);
  if (!logprobs) return std::unexpected(logprobs.error());
  if (logprobs->value_or(0) > kMostLogprobs)
    return bad("logprobs", fmt::format("'logprobs' is at most {}", kMostLogprobs));
  request.generation.logprobs = logprobs->value_or(-1);
  return request;
}

ApiResult<CompletionRequest> parse_chat_request(const Json& body) {
  if (auto known = only_members(body, fields::chat); !known) return std::unexpected(known.error());
  CompletionRequest request;
  request.chat = true;
  if (auto read = read_common(body, request); !read) return std::unexpected(read.error());
  const Json* messages = member(body, "messages");
  if (messages == nullptr) return bad("messages", "'messages' is missing");
  auto parsed = chat::parse_messages(*messages);
  if (!parsed) return bad("messages", parsed.error().message);
  request.messages = *std::move(parsed);
  if (auto read = read_tools(body, request); !read) return std::unexpected(read.error());
  if (const Json* variables = member(body, "chat_template_kwargs")) {
    if (!variables->is_object())
      return bad("chat_template_kwargs", "'chat_template_kwargs' must be an object");
    request.variables = *variables;
  }
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    const auto most = optional_count(body, name, 0);
    if (!most) return std::unexpected(most.error());
    if (*most) request.generation.max_tokens = **most;
  }
  const auto logprobs = optional_flag(body, "logprobs");
  if (!logprobs) return std::unexpected(logprobs.error());
  const auto top = optional_count(body, "top_logprobs", 0);
  if (!top) return std::unexpected(top.error());
  if (*top && !*logprobs) return bad("top_logprobs", "'top_logprobs' needs 'logprobs': true");
  if (top->value_or(0) > kMostLogprobs)
    return bad("top_logprobs", fmt::format("'top_logprobs' is at most {}", kMostLogprobs));
  if (*logprobs) request.generation.logprobs = top->value_or(0);
  request.generation.show_special = !request.tools.is_null();
  return request;
}

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.output_tokens},
          {"total_tokens", usage.prompt_tokens + usage.output_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

CompletionWriter::CompletionWriter(bool chat, std::string id, std::string model,
                                   std::int64_t created)
    : chat_(chat), id_(std::move(id)), model_(std::move(model)), created_(created) {}

Json CompletionWriter::frame(std::string_view object) const {
  return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_}};
}

Json CompletionWriter::choice_event(Json content, Json logprobs, Json finish_reason) const {
  Json event = frame(chat_ ? "chat.completion.chunk" : "text_completion");
  event["choices"] = Json::array({{{"index", 0},
                                   {chat_ ? "delta" : "text", std::move(content)},
                                   {"logprobs", std::move(logprobs)},
                                   {"finish_reason", std::move(finish_reason)}}});
  return event;
}

Json CompletionWriter::event(std::string_view text, Json logprobs) const {
  return choice_event(chat_ ? Json{{"content", text}} : Json(text), std::move(logprobs), nullptr);
}

Json CompletionWriter::first_event() const {
  return choice_event(Json{{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
}

Json CompletionWriter::tool_calls_event(const std::vector<chat::ToolCall>& calls) const {
  Json list = Json::array();
  for (const chat::ToolCall& call : calls) {
    Json entry = {{"index", list.size()}};
    entry.update(chat::to_json(call));
    list.push_back(std::move(entry));
  }
  return choice_event(Json{{"tool_calls", std::move(list)}}, nullptr, nullptr);
}

Json CompletionWriter::last_event(std::string_view finish_reason) const {
  return choice_event(chat_ ? Json::object() : Json(""), nullptr, finish_reason);
}

Json CompletionWriter::usage_event(const Usage& usage) const {
  Json event = frame(chat_ ? "chat.completion.chunk" : "text_completion");
  event["choices"] = Json::array();
  event["usage"] = usage_json(usage);
  return event;
}

Json CompletionWriter::whole(const chat::Reply& reply, std::string_view finish_reason,
                             const Usage& usage, Json logprobs) const {
  Json choice = {{"index", 0}};
  if (chat_) {
    const bool calls = !reply.calls.empty();
    Json message = {{"role", "assistant"},
                    {"content", calls && reply.text.empty() ? Json() : Json(reply.text)},
                    {"refusal", nullptr}};
    for (const chat::ToolCall& call : reply.calls)
      message["tool_calls"].push_back(chat::to_json(call));
    choice["message"] = std::move(message);
  } else {
    choice["text"] = reply.text;
  }
  choice["logprobs"] = std::move(logprobs);
  choice["finish_reason"] = finish_reason;
  Json answer = frame(chat_ ? "chat.completion" : "text_completion");
  answer["choices"] = Json::array({std::move(choice)});
  answer["usage"] = usage_json(usage);
  return answer;
}

Json logprobs_json(const std::vector<SampledToken>& tokens, const Tokenizer& tokenizer, bool chat) {
  const auto text_of = [&](TokenId id) {
    std::string bytes = tokenizer.token_bytes(id);
    return bytes.empty() ? std::string(tokenizer.token(id)) : bytes;
  };
  if (chat) {
    Json content = Json::array();
    for (const SampledToken& token : tokens) {
      Json entry = token_entry(text_of(token.id), token.logprob);
      Json top = Json::array();
      for (const TokenLogprob& t : token.top) top.push_back(token_entry(text_of(t.id), t.logprob));
      entry["top_logprobs"] = std::move(top);
      content.push_back(std::move(entry));
    }
    return {{"content", std::move(content)}, {"refusal", nullptr}};
  }
  Json texts = Json::array(), values = Json::array(), top = Json::array(), offsets = Json::array();
  std::size_t offset = 0;
  for (const SampledToken& token : tokens) {
    const std::string text = text_of(token.id);
    texts.push_back(utf8_or_replaced(text));
    values.push_back(token.logprob);
    Json best = Json::object();
    for (const TokenLogprob& t : token.top) best[utf8_or_replaced(text_of(t.id))] = t.logprob;
    top.push_back(std::move(best));
    offsets.push_back(offset);
    offset += text.size();
  }
  return {{"tokens", std::move(texts)},
          {"token_logprobs", std::move(values)},
          {"top_logprobs", std::move(top)},
          {"text_offset", std::move(offsets)}};
}

Json label_logprobs_json(const Prediction& prediction, const std::vector<std::string>& labels,
                         std::int64_t top) {
  // A probability that rounds to 0 has no logarithm in JSON.
  const auto entry = [&](std::size_t k) {
    return token_entry(labels[k], std::log(std::max(prediction.probabilities[k], 1e-30F)));
  };
  std::vector<std::size_t> order(prediction.probabilities.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater(),
                           [&](std::size_t k) { return prediction.probabilities[k]; });
  order.resize(std::min(order.size(), static_cast<std::size_t>(top)));
  Json best = Json::array();
  for (const std::size_t k : order) best.push_back(entry(k));
  Json made = entry(prediction.label);
  made["top_logprobs"] = std::move(best);
  return {{"content", Json::array({std::move(made)})}, {"refusal", nullptr}};
}

}  // namespace tack::server
