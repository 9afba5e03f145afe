#include "server/openai.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <ctime>
#include <limits>
#include <numeric>

#include "server/base64.h"
#include "server/fields.h"
#include "server/request_fields.h"

namespace tack::server {
namespace {

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

ApiResult<void> add_question(const Json& object, ExtractRequest& request) {
  for (const auto& [name, to] :
       {std::pair{"question", &request.questions}, std::pair{"context", &request.contexts}}) {
    const Json* value = object.is_object() ? member(object, name) : nullptr;
    if (value == nullptr || !value->is_string())
      return bad(name, fmt::format("'{}' is missing or no string", name));
    to->push_back(value->get<std::string>());
  }
  return {};
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

// The members of one answer: "label", "probability", "out_of_scope" and "probabilities".
class LabelWriter {
 public:
  LabelWriter(const TaskHead& head, std::size_t top_k)
      : names_(head.labels.size()),
        order_(head.labels.size()),
        shown_(std::min(top_k, head.labels.size())),
        multilabel_(head.calibration.multilabel) {
    std::ranges::transform(head.labels, names_.begin(), quoted);
  }

  void append(std::string& out, const Prediction& p) {
    if (multilabel_) {
      append_list(out, "labels", p.labels, names_, p.probabilities);
    } else {
      append_float(out.append("\"label\":").append(names_[p.label]).append(",\"probability\":"),
                   p.probabilities[p.label]);
      fmt::format_to(std::back_inserter(out), R"(,"out_of_scope":{})", p.out_of_scope);
    }
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::ranges::partial_sort(order_, order_.begin() + static_cast<std::ptrdiff_t>(shown_), {},
                              [&](std::size_t k) { return std::pair(-p.probabilities[k], k); });
    out.push_back(',');
    append_list(out, "probabilities", std::span(order_).first(shown_), names_, p.probabilities);
  }

 private:
  std::vector<std::string> names_;  // as JSON
  std::vector<std::size_t> order_;
  std::size_t shown_;
  bool multilabel_;
};

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
  return gateway::failure_response(to_failure(*this));
}

gateway::Failure to_failure(const ApiError& error) {
  return {.status = error.status,
          .message = error.message,
          .type = error.type,
          .code = error.code,
          .param = error.param,
          .another_may_answer = error.status >= 500,
          .retry_after = error.retry_after};
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

std::string make_id(std::string_view prefix) {
  static std::atomic<std::uint64_t> count{static_cast<std::uint64_t>(std::time(nullptr)) << 20U};
  return fmt::format("{}-{:016x}", prefix, count.fetch_add(1));
}

ApiResult<EmbeddingRequest> parse_embedding_request(const Json& body) {
  if (auto known = only_members(body, fields::embeddings); !known)
    return std::unexpected(known.error());
  auto model = optional_string(body, "model");
  if (!model) return std::unexpected(model.error());
  auto input = inputs(body, true);
  if (!input) return std::unexpected(input.error());
  const auto format = optional_string(body, "encoding_format");
  if (!format) return std::unexpected(format.error());
  if (!format->empty() && *format != "float" && *format != "base64")
    return bad("encoding_format", "'encoding_format' must be \"float\" or \"base64\"");
  const auto dimensions = optional_count(body, "dimensions");
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

namespace {

ApiResult<ClassifyRequest> parse_texts(std::string_view body, std::span<const Field> known) {
  const auto json = parse_object(body, known);
  if (!json) return std::unexpected(json.error());
  ClassifyRequest request;
  auto model = optional_string(*json, "model");
  if (!model) return std::unexpected(model.error());
  request.model = *std::move(model);
  auto head = optional_string(*json, "head");
  if (!head) return std::unexpected(head.error());
  request.head = *std::move(head);
  auto input = inputs(*json, false);
  if (!input) return std::unexpected(input.error());
  request.texts = std::move(input->texts);
  const auto top_k = optional_count(*json, "top_k");
  if (!top_k) return std::unexpected(top_k.error());
  if (*top_k) request.top_k = static_cast<std::size_t>(**top_k);
  return request;
}

}  // namespace

ApiResult<ClassifyRequest> parse_classify_request(std::string_view body) {
  return parse_texts(body, fields::classify);
}

ApiResult<ClassifyRequest> parse_tag_request(std::string_view body) {
  return parse_texts(body, fields::tag);
}

ApiResult<void> check(const ClassifyRequest& request, const ModelInfo& model) {
  if (request.head.empty() ||
      std::ranges::find(model.heads, request.head, &TaskHead::name) != model.heads.end())
    return {};
  std::string names;
  for (const TaskHead& head : model.heads) names += (names.empty() ? "" : ", ") + head.name;
  return bad("head", names.empty() ? fmt::format("'{}' has one head, without a name", model.id)
                                   : fmt::format("'{}' has no head '{}'; it has: {}", model.id,
                                                 request.head, names));
}

ApiResult<ExtractRequest> parse_extract_request(std::string_view body) {
  const auto json = parse_object(body, fields::extract);
  if (!json) return std::unexpected(json.error());
  ExtractRequest request;
  auto model = optional_string(*json, "model");
  if (!model) return std::unexpected(model.error());
  request.model = *std::move(model);
  const Json* input = member(*json, "input");
  if (input == nullptr) {
    if (auto added = add_question(*json, request); !added) return std::unexpected(added.error());
    return request;
  }
  if (!input->is_array() || input->empty())
    return bad("input", "'input' must be an array of {\"question\", \"context\"}");
  if (input->size() > kMaxInputs)
    return bad("input", fmt::format("'input' has {} entries; at most {} in one request",
                                    input->size(), kMaxInputs));
  for (std::size_t i = 0; i < input->size(); ++i) {
    const Json& entry = (*input)[i];
    if (entry.is_object())
      if (auto known = only_members(entry, fields::question, fmt::format("input[{}].", i)); !known)
        return std::unexpected(known.error());
    if (auto added = add_question(entry, request); !added) return std::unexpected(added.error());
  }
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

std::string classifications_json(const std::vector<Prediction>& predictions, const ModelInfo& model,
                                 std::size_t top_k, std::string_view head) {
  const std::vector<TaskHead> one = {{"", 0, model.labels, {.multilabel = model.multilabel}}};
  const std::vector<TaskHead>& heads = model.heads.empty() ? one : model.heads;
  std::vector<LabelWriter> writers;
  for (const TaskHead& h : heads) writers.emplace_back(h, top_k);
  const std::size_t chosen =
      static_cast<std::size_t>(std::ranges::find(heads, head, &TaskHead::name) - heads.begin());
  std::string out = R"({"object":"list","data":[)";
  std::int64_t tokens = 0, truncated = 0;
  for (std::size_t i = 0; i * heads.size() < predictions.size(); ++i) {
    const Prediction* const answers = &predictions[i * heads.size()];
    fmt::format_to(std::back_inserter(out), R"({}{{"object":"classification","index":{},)",
                   i ? "," : "", i);
    if (chosen < heads.size()) {
      writers[chosen].append(out, answers[chosen]);
    } else {
      for (std::size_t h = 0; h < heads.size(); ++h) {
        fmt::format_to(std::back_inserter(out), "{}{}:{{", h ? "," : R"("heads":{)",
                       quoted(heads[h].name));
        writers[h].append(out, answers[h]);
        out.push_back('}');
      }
      out.push_back('}');
    }
    fmt::format_to(std::back_inserter(out), R"(,"tokens":{},"truncated_tokens":{}}})",
                   answers->tokens, answers->truncated);
    tokens += answers->tokens;
    truncated += answers->truncated > 0;
  }
  append_totals(out, model.id, tokens, truncated);
  return out;
}

Json entries_json(const std::vector<Tagged>& entries, const ModelInfo& model,
                  std::string_view object) {
  Json data = Json::array();
  std::int64_t tokens = 0, truncated = 0;
  for (const Tagged& text : entries) {
    Json entry = text.answer;
    entry["object"] = object;
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
  json["task"] = model.extracts         ? "extract"
                 : model.tags           ? "tag"
                 : model.labels.empty() ? "embed"
                 : model.multilabel     ? "multilabel"
                                        : "classify";
  json["context_length"] = model.context_length;
  if (model.embedding_dim > 0) json["embedding_dim"] = model.embedding_dim;
  if (!model.labels.empty() && model.heads.empty()) json["labels"] = model.labels;
  for (const TaskHead& head : model.heads) json["heads"][head.name] = head.labels;
  return json;
}

}  // namespace tack::server
