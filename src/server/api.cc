#include "server/api.h"

#include "server/decision_api.h"
#include "server/model_choice.h"
#include "server/openai.h"
#include "server/openapi.h"
#include "server/similarity.h"
#include "server/tokens.h"

namespace tack::server {
namespace {

using gateway::LocalUse;
using net::Async;
using net::Request;
using net::Response;

Json decoder_json(const ServedDecoder& decoder) {
  return {{"id", decoder.id},           {"object", "model"},
          {"created", decoder.created}, {"owned_by", "tackhammer"},
          {"task", "generate"},         {"context_length", decoder.generator->context()}};
}

Async<Response> healthz(Request) {
  co_return Response::json_text(200, R"({"status":"ok"})");
}

Async<Response> readyz(const EncoderService& service) {
  if (!service.accepting()) co_return ApiError{503, "stopping", {}, "stopping"}.response();
  co_return Response::json_text(200, R"({"status":"ready"})");
}

// What "model" may name.
std::vector<Json> entries(const EncoderService& service, const GenerationService& decoders,
                          const std::vector<Json>& others, const gateway::Key* key) {
  std::vector<Json> all;
  for (std::size_t i = 0; i < service.model_count(); ++i)
    all.push_back(model_json(service.model(i)));
  for (std::size_t i = 0; i < decoders.model_count(); ++i)
    all.push_back(decoder_json(decoders.model(i)));
  all.insert(all.end(), others.begin(), others.end());
  if (key != nullptr)
    std::erase_if(all, [&](const Json& entry) {
      return !key->may_ask(entry["id"].get_ref<const std::string&>());
    });
  return all;
}

Async<Response> list_models(std::vector<Json> all) {
  co_return Response::json(200, {{"object", "list"}, {"data", std::move(all)}});
}

Async<Response> one_model(std::vector<Json> all, std::string id) {
  std::vector<std::string> ids;
  for (const Json& entry : all) {
    if (entry["id"] == id) co_return Response::json(200, entry);
    ids.push_back(entry["id"]);
  }
  co_return no_such_model(ids, id).response();
}

Async<Response> classify(EncoderService& service, const GenerationService& decoders,
                         Request request, LocalUse& use) {
  auto parsed = parse_classify_request(request.body);
  if (!parsed) co_return parsed.error().response();
  const auto model = choose_encoder(service, decoders, parsed->model, classifies, "classify");
  if (!model) co_return model.error().response();
  const ModelInfo& info = service.model(*model);
  if (const auto valid = check(*parsed, info); !valid) co_return valid.error().response();
  const auto result = co_await service.classify(*model, std::move(parsed->texts), &use.cpu_seconds);
  if (!result) co_return to_api_error(result.error()).response();
  use.model = info.id;
  const std::size_t heads = std::max<std::size_t>(1, info.heads.size());
  for (std::size_t i = 0; i < result->size(); i += heads) use.tokens.prompt += (*result)[i].tokens;
  co_return Response::json_text(200,
                                classifications_json(*result, info, parsed->top_k, parsed->head));
}

Async<Response> tag(EncoderService& service, const GenerationService& decoders, Request request,
                    LocalUse& use) {
  auto parsed = parse_tag_request(request.body);
  if (!parsed) co_return parsed.error().response();
  const auto model = choose_encoder(service, decoders, parsed->model, tags, "find spans");
  if (!model) co_return model.error().response();
  const auto result = co_await service.tag(*model, std::move(parsed->texts), &use.cpu_seconds);
  if (!result) co_return to_api_error(result.error()).response();
  set_use(use, service.model(*model), *result);
  co_return Response::json(200, entries_json(*result, service.model(*model), "tags"));
}

Async<Response> extract(EncoderService& service, const GenerationService& decoders, Request request,
                        LocalUse& use) {
  auto parsed = parse_extract_request(request.body);
  if (!parsed) co_return parsed.error().response();
  const auto model = choose_encoder(service, decoders, parsed->model, extracts, "answer questions");
  if (!model) co_return model.error().response();
  const auto result = co_await service.extract(*model, std::move(parsed->questions),
                                               std::move(parsed->contexts), &use.cpu_seconds);
  if (!result) co_return to_api_error(result.error()).response();
  set_use(use, service.model(*model), *result);
  co_return Response::json(200, entries_json(*result, service.model(*model), "answer"));
}

}  // namespace

void add_open_routes(net::Router& router, const EncoderService& service) {
  router.set_error_body([](int status, std::string_view message) {
    const char* const code = status == 404   ? "unknown_url"
                             : status == 405 ? "method_not_supported"
                                             : "";
    return ApiError{status, std::string(message), {}, code}.response();
  });
  router.add("GET", "/health", healthz);
  router.add("GET", "/healthz", healthz);
  router.add("GET", "/readyz", [&service](Request) { return readyz(service); });
  add_openapi_route(router);
}

void add_listing_routes(net::Router& router, const AskKey& ask_key, const EncoderService& service,
                        const GenerationService& decoders, std::vector<Json> others) {
  const auto all = [&service, &decoders, others = std::move(others)](const gateway::Key* key) {
    return entries(service, decoders, others, key);
  };
  router.add("GET", "/v1/models",
             ask_key([all](Request, const gateway::Key* key) { return list_models(all(key)); }));
  // "upstream/model"; a model of an upstream may have a '/' too
  for (const std::vector<std::string>& parts :
       {std::vector<std::string>{"id"}, {"upstream", "id"}, {"upstream", "owner", "id"}}) {
    std::string path = "/v1/models";
    for (const std::string& part : parts) path += "/{" + part + "}";
    router.add("GET", path, ask_key([all, parts](Request request, const gateway::Key* key) {
                 std::string id;
                 for (const std::string& part : parts)
                   id += (id.empty() ? "" : "/") + request.params.at(part);
                 return one_model(all(key), std::move(id));
               }));
  }
}

void add_local_routes(const AddLocal& add, EncoderService& service, GenerationService& decoders) {
  add("/v1/classify", [&](Request request, LocalUse& use) {
    return classify(service, decoders, std::move(request), use);
  });
  add("/v1/tag", [&](Request request, LocalUse& use) {
    return tag(service, decoders, std::move(request), use);
  });
  add("/v1/extract", [&](Request request, LocalUse& use) {
    return extract(service, decoders, std::move(request), use);
  });
  add_decision_routes(add, service, decoders);
  add_similarity_routes(add, service, decoders);
  add_token_routes(add, service, decoders);
}

}  // namespace tack::server
