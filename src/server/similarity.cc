#include "server/similarity.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <numeric>

#include "server/fields.h"
#include "server/model_choice.h"
#include "server/request_fields.h"

namespace tack::server {
namespace {

using net::Async;
using net::Request;
using net::Response;

// A string, or an array of them; of documents, entries may be {"text": ...}.
ApiResult<std::vector<std::string>> texts_of(const Json& body, std::string_view name,
                                             bool documents) {
  const Json* value = member(body, name);
  if (value == nullptr) return bad(name, fmt::format("'{}' is missing", name));
  if (value->is_string() && !documents) return std::vector{value->get<std::string>()};
  if (!value->is_array() || value->empty())
    return bad(name, fmt::format("'{}' must be {}an array, not empty, of strings{}", name,
                                 documents ? "" : "a string or ",
                                 documents ? " or objects with a 'text'" : ""));
  if (value->size() > kMaxInputs)
    return bad(name, fmt::format("'{}' has {} entries; at most {} in one request", name,
                                 value->size(), kMaxInputs));
  std::vector<std::string> texts;
  for (const Json& entry : *value) {
    const Json* text = documents && entry.is_object() ? member(entry, "text") : &entry;
    if (text == nullptr || !text->is_string())
      return bad(name, fmt::format("'{}[{}]' must be a string{}", name, texts.size(),
                                   documents ? " or an object with a 'text'" : ""));
    texts.push_back(text->get<std::string>());
  }
  return texts;
}

class Vectors {
 public:
  Vectors(const Embedded& embedded, const ModelInfo& model)
      : values_(embedded.vectors), dim_(static_cast<std::size_t>(model.embedding_dim)) {}

  double cosine(std::size_t i, std::size_t j) const {
    const double norms = std::sqrt(product(i, i) * product(j, j));
    return norms > 0 ? std::clamp(product(i, j) / norms, -1.0, 1.0) : 0;
  }

 private:
  double product(std::size_t i, std::size_t j) const {
    const auto a = values_.subspan(i * dim_, dim_), b = values_.subspan(j * dim_, dim_);
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  }

  std::span<const float> values_;
  std::size_t dim_;
};

// The members that both answers end with.
void add_totals(Json& answer, const Embedded& embedded) {
  std::int64_t tokens = 0, truncated = 0;
  for (const EncodedText& text : embedded.info) {
    tokens += text.tokens;
    truncated += text.truncated > 0 ? 1 : 0;
  }
  answer["usage"] = {{"prompt_tokens", tokens}, {"total_tokens", tokens}};
  answer["truncated"] = truncated;
}

// One coroutine for both: what differs is how requests are read and answers written.
template <class Wanted>
Async<Response> answer(EncoderService& encoders, const GenerationService& decoders,
                       ApiResult<Wanted> wanted,
                       Json (*write)(const Wanted&, const Embedded&, const ModelInfo&),
                       gateway::LocalUse& use) {
  if (!wanted) co_return wanted.error().response();
  const auto model = choose_encoder(encoders, decoders, wanted->model, embeds, "compare texts");
  if (!model) co_return model.error().response();
  const auto embedded = co_await encoders.embed(*model, wanted->texts, &use.cpu_seconds);
  if (!embedded) co_return to_api_error(embedded.error()).response();
  set_use(use, encoders.model(*model), embedded->info);
  co_return Response::json(200, write(*wanted, *embedded, encoders.model(*model)));
}

}  // namespace

ApiResult<RerankRequest> parse_rerank_request(std::string_view body) {
  const auto json = parse_object(body, fields::rerank);
  if (!json) return std::unexpected(json.error());
  RerankRequest request;
  auto model = optional_string(*json, "model");
  if (!model) return std::unexpected(model.error());
  request.model = *std::move(model);
  const Json* query = member(*json, "query");
  if (query == nullptr || !query->is_string())
    return bad("query", "'query' is missing or no string");
  request.texts.push_back(query->get<std::string>());
  const auto documents = texts_of(*json, "documents", true);
  if (!documents) return std::unexpected(documents.error());
  request.texts.insert(request.texts.end(), documents->begin(), documents->end());
  const auto top_n = optional_count(*json, "top_n");
  if (!top_n) return std::unexpected(top_n.error());
  request.top_n = static_cast<std::size_t>(top_n->value_or(0));
  const auto back = optional_flag(*json, "return_documents");
  if (!back) return std::unexpected(back.error());
  request.return_documents = *back;
  return request;
}

ApiResult<ScoreRequest> parse_score_request(std::string_view body) {
  const auto json = parse_object(body, fields::score);
  if (!json) return std::unexpected(json.error());
  ScoreRequest request;
  auto model = optional_string(*json, "model");
  if (!model) return std::unexpected(model.error());
  request.model = *std::move(model);
  auto first = texts_of(*json, "text_1", false);
  if (!first) return std::unexpected(first.error());
  const auto second = texts_of(*json, "text_2", false);
  if (!second) return std::unexpected(second.error());
  if (first->size() != 1 && first->size() != second->size())
    return bad("text_2", fmt::format("'text_1' has {} texts and 'text_2' {}: they must be as many, "
                                     "or one and any number",
                                     first->size(), second->size()));
  request.first = first->size();
  request.texts = *std::move(first);
  request.texts.insert(request.texts.end(), second->begin(), second->end());
  return request;
}

Json rerank_json(const RerankRequest& request, const Embedded& embedded, const ModelInfo& model) {
  const Vectors vectors(embedded, model);
  std::vector<std::pair<double, std::size_t>> scored;  // minus the score: best first when sorted
  for (std::size_t i = 0; i + 1 < request.texts.size(); ++i)
    scored.emplace_back(-vectors.cosine(0, i + 1), i);
  std::ranges::sort(scored);
  if (request.top_n > 0) scored.resize(std::min(scored.size(), request.top_n));
  Json results = Json::array();
  for (const auto& [minus, index] : scored) {
    Json result = {{"index", index}, {"relevance_score", -minus}};
    if (request.return_documents) result["document"] = {{"text", request.texts[index + 1]}};
    results.push_back(std::move(result));
  }
  Json json = {{"id", make_id("rerank")}, {"model", model.id}, {"results", std::move(results)}};
  add_totals(json, embedded);
  return json;
}

Json score_json(const ScoreRequest& request, const Embedded& embedded, const ModelInfo& model) {
  const Vectors vectors(embedded, model);
  Json data = Json::array();
  for (std::size_t i = 0; request.first + i < request.texts.size(); ++i)
    data.push_back({{"index", i},
                    {"object", "score"},
                    {"score", vectors.cosine(request.first == 1 ? 0 : i, request.first + i)}});
  Json json = {{"id", make_id("score")},
               {"object", "list"},
               {"created", static_cast<std::int64_t>(std::time(nullptr))},
               {"model", model.id},
               {"data", std::move(data)}};
  add_totals(json, embedded);
  return json;
}

void add_similarity_routes(const AddLocal& add, EncoderService& encoders,
                           const GenerationService& decoders) {
  for (const char* path : {"/v1/rerank", "/rerank"})
    add(path, [&](Request request, gateway::LocalUse& use) {
      return answer(encoders, decoders, parse_rerank_request(request.body), rerank_json, use);
    });
  for (const char* path : {"/v1/score", "/score"})
    add(path, [&](Request request, gateway::LocalUse& use) {
      return answer(encoders, decoders, parse_score_request(request.body), score_json, use);
    });
}

}  // namespace tack::server
