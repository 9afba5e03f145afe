#include "server/api.h"

#include <fmt/ranges.h>

#include "server/openai.h"

namespace tack::server {
namespace {

using net::Async;
using net::Request;
using net::Response;

bool classifies(const ModelInfo& model) {
  return !model.labels.empty();
}
bool tags(const ModelInfo& model) {
  return model.tags;
}

bool extracts(const ModelInfo& model) {
  return model.extracts;
}

std::vector<std::string> ids(const EncoderService& service, bool (*suits)(const ModelInfo&)) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < service.model_count(); ++i)
    if (suits(service.model(i))) names.push_back(service.model(i).id);
  return names;
}

Json decoder_json(const ServedDecoder& decoder) {
  return {{"id", decoder.id},           {"object", "model"},
          {"created", decoder.created}, {"owned_by", "tackhammer"},
          {"task", "generate"},         {"context_length", decoder.generator->context()}};
}

ApiError no_such_model(const EncoderService& service, std::string_view id) {
  const auto all = ids(service, [](const ModelInfo&) { return true; });
  return {404,
          fmt::format("the model '{}' does not exist; served here: {}", id, fmt::join(all, ", ")),
          "model", "model_not_found"};
}

// The model a request means; it may leave out the name when only one model suits.
ApiResult<std::size_t> choose(const EncoderService& service, std::string_view id,
                              bool (*suits)(const ModelInfo&), std::string_view doing) {
  const std::vector<std::string> suitable = ids(service, suits);
  if (id.empty() && suitable.size() > 1)
    return std::unexpected(ApiError{
        400, fmt::format("'model' is missing; one of: {}", fmt::join(suitable, ", ")), "model"});
  for (std::size_t i = 0; i < service.model_count(); ++i) {
    const ModelInfo& model = service.model(i);
    if (id.empty() ? suits(model) : model.id == id) {
      if (suits(model)) return i;
      return std::unexpected(ApiError{400, fmt::format("the model '{}' cannot {}", id, doing),
                                      "model", "model_not_supported"});
    }
  }
  if (id.empty())
    return std::unexpected(ApiError{404, fmt::format("no model that can {} is served here", doing),
                                    "model", "model_not_found"});
  return std::unexpected(no_such_model(service, id));
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
  co_return no_such_model(service, id).response();
}

Async<Response> classify(EncoderService& service, Request request) {
  auto parsed = parse_classify_request(request.body);
  if (!parsed) co_return parsed.error().response();
  const auto model = choose(service, parsed->model, classifies, "classify");
  if (!model) co_return model.error().response();
  const ModelInfo& info = service.model(*model);
  if (const auto valid = check(*parsed, info); !valid) co_return valid.error().response();
  const auto result = co_await service.classify(*model, std::move(parsed->texts));
  if (!result) co_return to_api_error(result.error()).response();
  co_return Response::json_text(200,
                                classifications_json(*result, info, parsed->top_k, parsed->head));
}

Async<Response> tag(EncoderService& service, Request request) {
  auto parsed = parse_classify_request(request.body);
  if (!parsed) co_return parsed.error().response();
  const auto model = choose(service, parsed->model, tags, "find spans");
  if (!model) co_return model.error().response();
  const auto result = co_await service.tag(*model, std::move(parsed->texts));
  if (!result) co_return to_api_error(result.error()).response();
  co_return Response::json(200, entries_json(*result, service.model(*model), "tags"));
}

Async<Response> extract(EncoderService& service, Request request) {
  auto parsed = parse_extract_request(request.body);
  if (!parsed) co_return parsed.error().response();
  const auto model = choose(service, parsed->model, extracts, "answer questions");
  if (!model) co_return model.error().response();
  const auto result =
      co_await service.extract(*model, std::move(parsed->questions), std::move(parsed->contexts));
  if (!result) co_return to_api_error(result.error()).response();
  co_return Response::json(200, entries_json(*result, service.model(*model), "answer"));
}

}  // namespace

void add_routes(net::Router& router, EncoderService& service, GenerationService& decoders) {
  router.set_error_body([](int status, std::string_view message) {
    return ApiError{status, std::string(message)}.response();
  });
  router.add("GET", "/healthz", healthz);
  router.add("GET", "/readyz", [&service](Request) { return readyz(service); });
  router.add("GET", "/v1/models", [&](Request) { return list_models(service, decoders); });
  router.add("GET", "/v1/models/{id}",
             [&](Request request) { return one_model(service, decoders, std::move(request)); });
  router.add("POST", "/v1/classify",
             [&service](Request request) { return classify(service, std::move(request)); });
  router.add("POST", "/v1/tag",
             [&service](Request request) { return tag(service, std::move(request)); });
  router.add("POST", "/v1/extract",
             [&service](Request request) { return extract(service, std::move(request)); });
}

}  // namespace tack::server
