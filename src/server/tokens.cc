#include "server/tokens.h"

#include <algorithm>
#include <limits>

#include <fmt/ranges.h>

#include "server/fields.h"
#include "server/model_choice.h"
#include "server/request_fields.h"

namespace tack::server {
namespace {

using net::Async;
using net::Request;
using net::Response;

ApiResult<void> read_flag(const Json& body, std::string_view name, bool& to) {
  if (member(body, name) == nullptr) return {};
  const auto flag = optional_flag(body, name);
  if (!flag) return std::unexpected(flag.error());
  to = *flag;
  return {};
}

ApiResult<void> read_conversation(const Json& body, TokenizeRequest& request) {
  auto messages = chat::parse_messages(*member(body, "messages"));
  if (!messages) return bad("messages", messages.error().message);
  request.messages = *std::move(messages);
  if (const Json* tools = member(body, "tools")) {
    auto parsed = chat::parse_tools(*tools);
    if (!parsed) return bad("tools", parsed.error().message);
    request.tools = *std::move(parsed);
  }
  const Json* variables = member(body, "chat_template_kwargs");
  if (variables == nullptr) return {};
  if (!variables->is_object())
    return bad("chat_template_kwargs", "'chat_template_kwargs' must be an object");
  request.variables = *variables;
  return {};
}

// A model that is served, of either kind.
struct Place {
  const ServedDecoder* decoder = nullptr;
  std::size_t encoder = 0;
};

ApiResult<Place> choose(const EncoderService& encoders, const GenerationService& decoders,
                        std::string_view id) {
  const std::vector<std::string> all = served_ids(encoders, decoders);
  if (id.empty() && all.size() != 1)
    return bad("model", fmt::format("'model' is missing; one of: {}", fmt::join(all, ", ")));
  const auto found = id.empty() ? all.begin() : std::ranges::find(all, id);
  if (found == all.end()) return std::unexpected(no_such_model(all, id));
  const auto index = static_cast<std::size_t>(found - all.begin());
  if (index < encoders.model_count()) return Place{nullptr, index};
  return Place{&decoders.model(index - encoders.model_count()), 0};
}

// A task model sees the last message of the user.
ApiResult<std::vector<TokenId>> encoder_tokens(const Tokenizer& tokenizer,
                                               const TokenizeRequest& request) {
  std::string_view text = request.text;
  if (!request.messages.empty()) {
    const auto last = std::find_if(request.messages.rbegin(), request.messages.rend(),
                                   [](const chat::Message& m) { return m.role == "user"; });
    if (last == request.messages.rend() || !last->content)
      return bad("messages", "'messages' has no message of the user");
    text = *last->content;
  }
  return request.add_special_tokens ? tokenizer.encode(text).ids : bare_tokens(tokenizer, text);
}

ApiResult<std::vector<TokenId>> decoder_tokens(const ServedDecoder& decoder,
                                               const TokenizeRequest& request) {
  if (!request.messages.empty()) {
    auto prompt = decoder.format.prompt(request.messages, request.tools, request.variables,
                                        request.add_generation_prompt);
    if (!prompt) return std::unexpected(to_api_error(prompt.error()));
    return *std::move(prompt);
  }
  if (request.add_special_tokens) return text_prompt(*decoder.model, request.text);
  return bare_tokens(decoder.model->tokenizer(), request.text);
}

Response tokenize(const EncoderService& encoders, const GenerationService& decoders,
                  std::string_view body) {
  const auto request = parse_tokenize_request(body);
  if (!request) return request.error().response();
  const auto place = choose(encoders, decoders, request->model);
  if (!place) return place.error().response();
  if (place->decoder == nullptr) {
    const Tokenizer& tokenizer = encoders.tokenizer(place->encoder);
    const auto ids = encoder_tokens(tokenizer, *request);
    if (!ids) return ids.error().response();
    return Response::json(
        200, tokens_json(*ids, tokenizer, encoders.model(place->encoder).context_length,
                         request->return_strings));
  }
  const ServedDecoder& decoder = *place->decoder;
  const auto ids = decoder_tokens(decoder, *request);
  if (!ids) return ids.error().response();
  return Response::json(200, tokens_json(*ids, decoder.model->tokenizer(),
                                         decoder.generator->context(), request->return_strings));
}

Response detokenize(const EncoderService& encoders, const GenerationService& decoders,
                    std::string_view body) {
  const auto request = parse_detokenize_request(body);
  if (!request) return request.error().response();
  const auto place = choose(encoders, decoders, request->model);
  if (!place) return place.error().response();
  const Tokenizer& tokenizer = place->decoder != nullptr ? place->decoder->model->tokenizer()
                                                         : encoders.tokenizer(place->encoder);
  for (const TokenId id : request->tokens)
    if (id >= tokenizer.vocab_size())
      return bad("tokens", fmt::format("token id {} is out of range: the model has {} tokens", id,
                                       tokenizer.vocab_size()))
          .error()
          .response();
  return Response::json(200, Json{{"prompt", tokenizer.decode(request->tokens)}});
}

ApiResult<Json> small_object(std::string_view body, std::span<const Field> known) {
  if (body.size() > kMaxTokenizedBytes)
    return std::unexpected(ApiError{413, fmt::format("request body: {} bytes; at most {} here",
                                                     body.size(), kMaxTokenizedBytes)});
  return parse_object(body, known);
}

}  // namespace

ApiResult<TokenizeRequest> parse_tokenize_request(std::string_view body) {
  const auto json = small_object(body, fields::tokenize);
  if (!json) return std::unexpected(json.error());
  TokenizeRequest request;
  auto model = optional_string(*json, "model");
  if (!model) return std::unexpected(model.error());
  request.model = *std::move(model);
  for (const auto& [name, to] : {std::pair{"add_special_tokens", &request.add_special_tokens},
                                 {"add_generation_prompt", &request.add_generation_prompt},
                                 {"return_token_strs", &request.return_strings}})
    if (auto read = read_flag(*json, name, *to); !read) return std::unexpected(read.error());
  const Json* prompt = member(*json, "prompt");
  const bool conversation = member(*json, "messages") != nullptr;
  if ((prompt != nullptr) == conversation)
    return bad("prompt", "give one of 'prompt' and 'messages'");
  if (conversation) {
    if (auto read = read_conversation(*json, request); !read) return std::unexpected(read.error());
    return request;
  }
  if (!prompt->is_string()) return bad("prompt", "'prompt' must be a string");
  request.text = prompt->get<std::string>();
  return request;
}

ApiResult<DetokenizeRequest> parse_detokenize_request(std::string_view body) {
  const auto json = small_object(body, fields::detokenize);
  if (!json) return std::unexpected(json.error());
  DetokenizeRequest request;
  auto model = optional_string(*json, "model");
  if (!model) return std::unexpected(model.error());
  request.model = *std::move(model);
  const Json* tokens = member(*json, "tokens");
  if (tokens == nullptr || !tokens->is_array())
    return bad("tokens", "'tokens' must be an array of token ids");
  for (const Json& id : *tokens) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > std::numeric_limits<TokenId>::max())
      return bad("tokens", "'tokens': token ids must be whole numbers from 0 up");
    request.tokens.push_back(id.get<TokenId>());
  }
  return request;
}

std::vector<TokenId> bare_tokens(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<TokenId> ids = tokenizer.encode(text).ids;
  if (tokenizer.special().add_eos && !ids.empty()) ids.pop_back();
  if (tokenizer.special().add_bos && !ids.empty()) ids.erase(ids.begin());
  return ids;
}

Json tokens_json(const std::vector<TokenId>& ids, const Tokenizer& tokenizer, std::int64_t context,
                 bool strings) {
  Json json = {{"count", ids.size()}, {"max_model_len", context}, {"tokens", ids}};
  if (!strings) return json;
  json["token_strs"] = Json::array();
  for (const TokenId id : ids) json["token_strs"].push_back(tokenizer.token(id));
  return json;
}

void add_token_routes(const AddLocal& add, EncoderService& encoders, GenerationService& decoders) {
  add("/tokenize", [&](Request request, gateway::LocalUse&) -> Async<Response> {
    co_return tokenize(encoders, decoders, request.body);
  });
  add("/detokenize", [&](Request request, gateway::LocalUse&) -> Async<Response> {
    co_return detokenize(encoders, decoders, request.body);
  });
}

}  // namespace tack::server
