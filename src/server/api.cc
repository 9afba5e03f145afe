#include "server/api.h"

#include "server/decision_api.h"
#include "server/generation_api.h"
#include "server/model_choice.h"
#include "server/openai.h"
#include "server/openapi.h"
#include "server/similarity.h"
#include "server/tokens.h"

namespace tack::server {
namespace {

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

Async<Response> list_models(const EncoderService& service, const GenerationService& decoders) {
  Json list = {{"object", "list"}, {"data", Json::array()}};
  for (std::size_t i = 0; i < service.model_count(); ++i)
    list["data"].push_back(model_json(service.model(i)));
  for (std::size_t i = 0; i < decoders.model_count(); ++i)
    list["data"].push_back(decoder_json(decoders.model(i)));
  co_return Response::json(200, list);
}

Async<Response> one_model(const EncoderService& service, const GenerationService& decoders,
                          Request request) {
  const std::string& id = request.params.at("id");
  for (std::size_t i = 0; i < service.model_count(); ++i)
    if (service.model(i).id == id) co_return Response::json(200, model_json(service.model(i)));
  for (std::size_t i = 0; i < decoders.model_count(); ++i)
    if (decoders.model(i).id == id) co_return Response::json(200, decoder_json(decoders.model(i)));
  co_return no_such_model(served_ids(service, decoders), id).response();
}

Async<Response> embeddings(EncoderService& service, const GenerationService& decoders,
                           Request request) {
  auto parsed = parse_embedding_request(request.body);
  if (!parsed) co_return parsed.error().response();
  const auto model = choose_encoder(service, decoders, parsed->model, embeds, "give embeddings");
  if (!model) co_return model.error().response();
  const ModelInfo& info = service.model(*model);
  if (const auto valid = check(*parsed, info); !valid) co_return valid.error().response();
  const bool tokens = !parsed->input.tokens.empty();
  Result<Embedded> result;
  if (tokens)
    result = co_await service.embed_tokens(*model, std::move(parsed->input.tokens));
  else
    result = co_await service.embed(*model, std::move(parsed->input.texts));
  if (!result) co_return to_api_error(result.error()).response();
  co_return Response::json_text(200, embeddings_json(*result, info, parsed->base64));
}

Async<Response> classify(EncoderService& service, const GenerationService& decoders,
                         Request request) {
  auto parsed = parse_classify_request(request.body);
  if (!parsed) co_return parsed.error().response();
  const auto model = choose_encoder(service, decoders, parsed->model, classifies, "classify");
  if (!model) co_return model.error().response();
  const ModelInfo& info = service.model(*model);
  if (const auto valid = check(*parsed, info); !valid) co_return valid.error().response();
  const auto result = co_await service.classify(*model, std::move(parsed->texts));
  if (!result) co_return to_api_error(result.error()).response();
  co_return Response::json_text(200,
                                classifications_json(*result, info, parsed->top_k, parsed->head));
}

Async<Response> tag(EncoderService& service, const GenerationService& decoders, Request request) {
  auto parsed = parse_tag_request(request.body);
  if (!parsed) co_return parsed.error().response();
  const auto model = choose_encoder(service, decoders, parsed->model, tags, "find spans");
  if (!model) co_return model.error().response();
  const auto result = co_await service.tag(*model, std::move(parsed->texts));
  if (!result) co_return to_api_error(result.error()).response();
  co_return Response::json(200, entries_json(*result, service.model(*model), "tags"));
}

Async<Response> extract(EncoderService& service, const GenerationService& decoders,
                        Request request) {
  auto parsed = parse_extract_request(request.body);
  if (!parsed) co_return parsed.error().response();
  const auto model = choose_encoder(service, decoders, parsed->model, extracts, "answer questions");
  if (!model) co_return model.error().response();
  const auto result =
      co_await service.extract(*model, std::move(parsed->questions), std::move(parsed->contexts));
  if (!result) co_return to_api_error(result.error()).response();
  co_return Response::json(200, entries_json(*result, service.model(*model), "answer"));
}

}  // namespace

void add_routes(net::Router& router, EncoderService& service, GenerationService& decoders) {
  router.set_error_body([](int status, std::string_view message) {
    const char* const code = status == 404   ? "unknown_url"
                             : status == 405 ? "method_not_supported"
                                             : "";
    return ApiError{status, std::string(message), {}, code}.response();
  });
  router.add("GET", "/health", healthz);
  router.add("GET", "/healthz", healthz);
  router.add("GET", "/readyz", [&service](Request) { return readyz(service); });
  router.add("GET", "/v1/models", [&](Request) { return list_models(service, decoders); });
  router.add("GET", "/v1/models/{id}",
             [&](Request request) { return one_model(service, decoders, std::move(request)); });
  router.add("POST", "/v1/embeddings",
             [&](Request request) { return embeddings(service, decoders, std::move(request)); });
  router.add("POST", "/v1/classify",
             [&](Request request) { return classify(service, decoders, std::move(request)); });
  router.add("POST", "/v1/tag",
             [&](Request request) { return tag(service, decoders, std::move(request)); });
  router.add("POST", "/v1/extract",
             [&](Request request) { return extract(service, decoders, std::move(request)); });
  add_generation_routes(router, service, decoders);
  add_decision_routes(router, service, decoders);
  add_similarity_routes(router, service, decoders);
  add_token_routes(router, service, decoders);
  add_openapi_route(router);
}

}  // namespace tack::server
