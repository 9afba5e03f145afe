#include "server/openai.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

#include "server/base64.h"

namespace tack::server {
namespace {

std::unexpected<ApiError> bad(std::string_view param, std::string message) {
  return std::unexpected(ApiError{400, std::move(message), std::string(param), {}});
}

ApiResult<Json> parse_object(std::string_view body) {
  auto json = parse_json(body, "request body");
  if (!json) return bad("", json.error().message);
  if (!json->is_object()) return bad("", "request body: must be a JSON object");
  return *std::move(json);
}

// The member, or null when it is absent or null.
const Json* member(const Json& object, std::string_view name) {
  const auto at = object.find(name);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

ApiResult<std::string> optional_string(const Json& object, std::string_view name) {
  const Json* value = member(object, name);
  if (!value) return std::string();
  if (!value->is_string()) return bad(name, fmt::format("'{}' must be a string", name));
  return value->get<std::string>();
}

ApiResult<std::optional<std::int64_t>> optional_count(const Json& object, std::string_view name) {
  const Json* value = member(object, name);
  if (!value) return std::nullopt;
  const bool whole = value->is_number_integer() &&
                     !(value->is_number_unsigned() &&
                       value->get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max());
  if (!whole || value->get<std::int64_t>() < 1)
    return bad(name, fmt::format("'{}' must be a whole number from 1 up", name));
  return value->get<std::int64_t>();
}

ApiResult<Tokens> token_ids(const Json& list) {
  Tokens tokens;
  tokens.ids.reserve(list.size());
  for (const Json& id : list) {
    const bool fits =
        id.is_number_unsigned() && id.get<std::uint64_t>() <= std::numeric_limits<TokenId>::max();
    if (!fits) return bad("input", "'input': token ids must be whole numbers from 0 up");
    tokens.ids.push_back(id.get<TokenId>());
  }
  if (tokens.ids.empty()) return bad("input", "'input' holds an empty list of tokens");
  return tokens;
}

// A string, strings, token ids, or lists of token ids.
ApiResult<Inputs> inputs(const Json& body, bool allow_tokens) {
  const char* what = allow_tokens
                         ? "'input' must be a string, an array of strings, an array of token ids "
                           "or an array of such arrays"
                         : "'input' must be a string or an array of strings";
  const Json* input = member(body, "input");
  if (!input) return bad("input", "'input' is missing");
  Inputs result;
  if (input->is_string()) {
    result.texts.push_back(input->get<std::string>());
    return result;
  }
  if (!input->is_array()) return bad("input", what);
  if (input->empty()) return bad("input", "'input' is an empty array");
  const Json& first = input->front();
  if (allow_tokens && first.is_number()) {
    auto tokens = token_ids(*input);
    if (!tokens) return std::unexpected(tokens.error());
    result.tokens.push_back(*std::move(tokens));
    return result;
  }
  if (input->size() > kMaxInputs)
    return bad("input", fmt::format("'input' has {} entries; at most {} in one request",
                                    input->size(), kMaxInputs));
  for (const Json& entry : *input) {
    if (entry.is_string() && first.is_string()) {
      result.texts.push_back(entry.get<std::string>());
    } else if (allow_tokens && entry.is_array() && first.is_array()) {
      auto tokens = token_ids(entry);
      if (!tokens) return std::unexpected(tokens.error());
      result.tokens.push_back(*std::move(tokens));
    } else {
      return bad("input", what);
    }
  }
  return result;
}

void append_float(std::string& out, float value) {
  if (!std::isfinite(value)) {  // JSON has no such numbers
    out += "null";
    return;
  }
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, end);
}

std::string quoted(const std::string& text) {
  return to_text(Json(text));
}

// Closes an answer: the sums over its texts. `truncated` counts texts that were cut.
void append_totals(std::string& out, const std::string& model, std::int64_t tokens,
                   std::int64_t truncated) {
  fmt::format_to(
      std::back_inserter(out),
      R"(],"model":{},"usage":{{"prompt_tokens":{},"total_tokens":{}}},"truncated":{}}})",
      quoted(model), tokens, tokens, truncated);
}

}  // namespace

net::Response ApiError::response() const {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  Json error;
  error["message"] = message;
  error["type"] = status >= 500 ? "server_error" : "invalid_request_error";
  error["param"] = or_null(param);
  error["code"] = or_null(code);
  net::Response response = net::Response::json(status, Json{{"error", std::move(error)}});
  if (status == 503) response.headers.set("Retry-After", "1");
  return response;
}

ApiError to_api_error(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUsage:
      return {400, error.message};
    case ErrorCode::kNotFound:
      return {404, error.message};
    case ErrorCode::kUnreachable:
      return {503, error.message, {}, "overloaded"};
    case ErrorCode::kInterrupted:
      return {503, error.message, {}, "stopping"};
    default:
      return {500, error.message};
  }
}

ApiResult<EmbeddingRequest> parse_embedding_request(std::string_view body) {
  const auto json = parse_object(body);
  if (!json) return std::unexpected(json.error());
  auto model = optional_string(*json, "model");
  if (!model) return std::unexpected(model.error());
  auto input = inputs(*json, true);
  if (!input) return std::unexpected(input.error());
  const auto format = optional_string(*json, "encoding_format");
  if (!format) return std::unexpected(format.error());
  if (!format->empty() && *format != "float" && *format != "base64")
    return bad("encoding_format", "'encoding_format' must be \"float\" or \"base64\"");
  const auto dimensions = optional_count(*json, "dimensions");
  if (!dimensions) return std::unexpected(dimensions.error());
  return EmbeddingRequest{*std::move(model), *std::move(input), *format == "base64", *dimensions};
}

ApiResult<void> check(const EmbeddingRequest& request, const ModelInfo& model) {
  if (request.dimensions && *request.dimensions != model.embedding_dim)
    return bad("dimensions", fmt::format("'{}' gives {} dimensions; others are not supported",
                                         model.id, model.embedding_dim));
  for (const Tokens& tokens : request.input.tokens) {
    if (std::cmp_greater(tokens.ids.size(), model.context_length))
      return bad("input", fmt::format("an input has {} tokens; '{}' takes at most {}",
                                      tokens.ids.size(), model.id, model.context_length));
    const auto largest = *std::ranges::max_element(tokens.ids);
    if (largest >= model.vocab_size)
      return bad("input", fmt::format("token id {} is out of range: '{}' has {} tokens", largest,
                                      model.id, model.vocab_size));
  }
  return {};
}

ApiResult<ClassifyRequest> parse_classify_request(std::string_view body) {
  const auto json = parse_object(body);
  if (!json) return std::unexpected(json.error());
  ClassifyRequest request;
  auto model = optional_string(*json, "model");
  if (!model) return std::unexpected(model.error());
  request.model = *std::move(model);
  auto input = inputs(*json, false);
  if (!input) return std::unexpected(input.error());
  request.texts = std::move(input->texts);
  const auto top_k = optional_count(*json, "top_k");
  if (!top_k) return std::unexpected(top_k.error());
  if (*top_k) request.top_k = static_cast<std::size_t>(**top_k);
  return request;
}

std::string embeddings_json(const Embedded& embedded, const ModelInfo& model, bool as_base64) {
  const auto dim = static_cast<std::size_t>(model.embedding_dim);
  const std::span<const float> vectors = embedded.vectors;
  std::string out = R"({"object":"list","data":[)";
  out.reserve(embedded.info.size() * (dim * (as_base64 ? 6 : 14) + 64) + 128);
  std::int64_t tokens = 0, truncated = 0;
  for (std::size_t i = 0; i < embedded.info.size(); ++i) {
    const auto row = vectors.subspan(i * dim, dim);
    fmt::format_to(std::back_inserter(out), R"({}{{"object":"embedding","index":{},"embedding":)",
                   i ? "," : "", i);
    if (as_base64) {
      out.append("\"").append(base64_floats(row)).append("\"}");
    } else {
      char separator = '[';
      for (const float value : row) {
        out.push_back(separator);
        append_float(out, value);
        separator = ',';
      }
      out += "]}";
    }
    tokens += embedded.info[i].tokens;
    truncated += embedded.info[i].truncated > 0;
  }
  append_totals(out, model.id, tokens, truncated);
  return out;
}

namespace {

// "key":[{"label":...,"probability":...},...]
void append_list(std::string& out, std::string_view key, std::span<const std::size_t> labels,
                 const std::vector<std::string>& names, const std::vector<float>& probabilities) {
  out.append("\"").append(key).append("\":[");
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (i > 0) out.push_back(',');
    out.append("{\"label\":").append(names[labels[i]]);
    append_float(out.append(",\"probability\":"), probabilities[labels[i]]);
    out.push_back('}');
  }
  out.push_back(']');
}

}  // namespace

std::string classifications_json(const std::vector<Prediction>& predictions, const ModelInfo& model,
                                 std::size_t top_k) {
  std::vector<std::string> names(model.labels.size());
  std::ranges::transform(model.labels, names.begin(), quoted);
  const std::size_t shown = std::min(top_k, names.size());
  std::vector<std::size_t> order(names.size());
  std::string out = R"({"object":"list","data":[)";
  std::int64_t tokens = 0, truncated = 0;
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    const Prediction& p = predictions[i];
    const std::vector<float>& probabilities = p.probabilities;
    fmt::format_to(std::back_inserter(out), R"({}{{"object":"classification","index":{},)",
                   i ? "," : "", i);
    if (model.multilabel) {
      append_list(out, "labels", p.labels, names, probabilities);
      out.push_back(',');
    } else {
      fmt::format_to(std::back_inserter(out), R"("label":{},"probability":)", names[p.label]);
      append_float(out, probabilities[p.label]);
      fmt::format_to(std::back_inserter(out), R"(,"out_of_scope":{},)", p.out_of_scope);
    }
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(shown), {},
                              [&](std::size_t k) { return std::pair(-probabilities[k], k); });
    append_list(out, "probabilities", std::span(order).first(shown), names, probabilities);
    fmt::format_to(std::back_inserter(out), R"(,"tokens":{},"truncated_tokens":{}}})", p.tokens,
                   p.truncated);
    tokens += p.tokens;
    truncated += p.truncated > 0;
  }
  append_totals(out, model.id, tokens, truncated);
  return out;
}

Json tags_json(const std::vector<Tagged>& tagged, const ModelInfo& model) {
  Json data = Json::array();
  std::int64_t tokens = 0, truncated = 0;
  for (const Tagged& text : tagged) {
    Json entry = text.answer;
    entry["object"] = "tags";
    entry["index"] = data.size();
    tokens += text.tokens;
    truncated += text.truncated > 0 ? 1 : 0;
    data.push_back(std::move(entry));
  }
  return {{"object", "list"},
          {"data", std::move(data)},
          {"model", model.id},
          {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}},
          {"truncated", truncated}};
}

Json model_json(const ModelInfo& model) {
  Json json;
  json["id"] = model.id;
  json["object"] = "model";
  json["created"] = model.created;
  json["owned_by"] = "tackhammer";
  json["task"] = model.tags             ? "tag"
                 : model.labels.empty() ? "embed"
                 : model.multilabel     ? "multilabel"
                                        : "classify";
  json["context_length"] = model.context_length;
  if (model.embedding_dim > 0) json["embedding_dim"] = model.embedding_dim;
  if (!model.labels.empty()) json["labels"] = model.labels;
  return json;
}

}  // namespace tack::server
