#include "server/openapi.h"

#include <algorithm>

#include "server/request_fields.h"

namespace tack::server {
namespace {

// Of answers, what clients can rely on; they may have more members.
constexpr std::pair<const char*, const char*> kSchemas[] = {
    {"Error", R"({"type":"object","required":["error"],"properties":{"error":{"type":"object",
        "required":["message","type","param","code"],"properties":{"message":{"type":"string"},
        "type":{"type":"string"},"param":{"type":["string","null"]},
        "code":{"type":["string","null"]}}}}})"},
    {"Status", R"({"type":"object","required":["status"],"properties":{
        "status":{"type":"string"}}})"},
    {"Model", R"({"type":"object","required":["id","object","created","owned_by","task"],
        "properties":{"id":{"type":"string"},"object":{"const":"model"},
        "created":{"type":"integer"},"owned_by":{"type":"string"},
        "task":{"enum":["classify","multilabel","tag","extract","embed","generate"]},
        "context_length":{"type":"integer"},"embedding_dim":{"type":"integer"},
        "labels":{"type":"array","items":{"type":"string"}},"heads":{"type":"object"}}})"},
    {"Models", R"({"type":"object","required":["object","data"],"properties":{
        "object":{"const":"list"},
        "data":{"type":"array","items":{"$ref":"#/components/schemas/Model"}}}})"},
    {"Usage", R"({"type":"object","properties":{"prompt_tokens":{"type":"integer"},
        "completion_tokens":{"type":"integer"},"total_tokens":{"type":"integer"}}})"},
    {"ChatCompletion", R"({"type":"object","required":["id","object","created","model","choices"],
        "properties":{"id":{"type":"string"},"object":{"const":"chat.completion"},
        "created":{"type":"integer"},"model":{"type":"string"},
        "choices":{"type":"array","items":{"type":"object","required":["index","message",
        "finish_reason"],"properties":{"index":{"type":"integer"},"message":{"type":"object"},
        "logprobs":{"type":["object","null"]},
        "finish_reason":{"enum":["stop","length","tool_calls","content_filter"]}}}},
        "usage":{"$ref":"#/components/schemas/Usage"}}})"},
    {"Completion", R"({"type":"object","required":["id","object","created","model","choices"],
        "properties":{"id":{"type":"string"},"object":{"const":"text_completion"},
        "created":{"type":"integer"},"model":{"type":"string"},
        "choices":{"type":"array","items":{"type":"object","required":["index","text",
        "finish_reason"],"properties":{"index":{"type":"integer"},"text":{"type":"string"},
        "logprobs":{"type":["object","null"]},
        "finish_reason":{"enum":["stop","length","content_filter"]}}}},
        "usage":{"$ref":"#/components/schemas/Usage"}}})"},
    {"List", R"({"type":"object","required":["object","data","model","usage"],"properties":{
        "object":{"const":"list"},"data":{"type":"array","items":{"type":"object"}},
        "model":{"type":"string"},"usage":{"$ref":"#/components/schemas/Usage"},
        "truncated":{"type":"integer","description":"Inputs that were cut."}}})"},
    {"Decision", R"({"type":"object","required":["answers","model","usage"],"properties":{
        "answers":{"type":"array","items":{"type":"object","required":["type","name"],
        "properties":{"type":{"enum":["predicate","choice","score","refusal"]},
        "name":{"type":["string","null"]},"probability":{"type":"number"},
        "choice":{"type":["string","boolean"]},"score":{"type":"number"},
        "confidence":{"type":"number"},"probabilities":{"type":"array",
        "items":{"type":"object"}}}}},"model":{"type":"string"},"usage":{"type":"object",
        "properties":{"input_tokens":{"type":"integer"},"output_tokens":{"type":"integer"},
        "total_tokens":{"type":"integer"}}},"truncated":{"type":"integer"}}})"},
    {"Ranking", R"({"type":"object","required":["id","model","results","usage"],"properties":{
        "id":{"type":"string"},"model":{"type":"string"},"results":{"type":"array",
        "items":{"type":"object","required":["index","relevance_score"],"properties":{
        "index":{"type":"integer"},"relevance_score":{"type":"number"},
        "document":{"type":"object"}}}},"usage":{"$ref":"#/components/schemas/Usage"},
        "truncated":{"type":"integer"}}})"},
    {"Moderation", R"({"type":"object","required":["id","model","results"],"properties":{
        "id":{"type":"string"},"model":{"type":"string"},"results":{"type":"array",
        "items":{"type":"object","required":["flagged","categories","category_scores"],
        "properties":{"flagged":{"type":"boolean"},"categories":{"type":"object"},
        "category_scores":{"type":"object"},"labels":{"type":"object"},
        "threshold":{"type":"number"}}}}}})"},
    {"Verdict", R"({"type":"object","required":["blocked","findings"],"properties":{
        "blocked":{"type":"boolean"},"findings":{"type":"array","items":{"type":"object"}},
        "stage":{"type":"string"}}})"},
    {"Tokens", R"({"type":"object","required":["count","max_model_len","tokens"],"properties":{
        "count":{"type":"integer"},"max_model_len":{"type":"integer"},
        "tokens":{"type":"array","items":{"type":"integer"}},
        "token_strs":{"type":"array","items":{"type":"string"}}}})"},
    {"Text", R"({"type":"object","required":["prompt"],"properties":{
        "prompt":{"type":"string"}}})"},
    {"Document", R"({"type":"object"})"},
};

constexpr const char* kAbout =
    "Local models take the members that are listed and refuse others by name; a request that is "
    "routed to an upstream is passed on as it is.";

Json schema_of(const Field& field) {
  const Json written = Json::parse(field.schema);
  Json schema = field.use == Field::Use::kOnly ? Json{{"enum", written}} : written;
  schema["description"] = field.about;
  return schema;
}

Json body_of(std::span<const Field> members) {
  Json properties = Json::object(), required = Json::array();
  for (const Field& field : members) {
    if (field.use == Field::Use::kRefused) continue;
    properties[std::string(field.name)] = schema_of(field);
    if (field.required) required.push_back(field.name);
  }
  Json schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = std::move(required);
  return {{"required", true}, {"content", {{"application/json", {{"schema", std::move(schema)}}}}}};
}

Json content_of(std::string_view answer) {
  if (answer.empty()) return {{"text/plain", {{"schema", {{"type", "string"}}}}}};
  const std::string reference = fmt::format("#/components/schemas/{}", answer);
  return {{"application/json", {{"schema", {{"$ref", reference}}}}}};
}

// "post_v1_chat_completions".
std::string operation_id(const Endpoint& endpoint) {
  std::string id;
  for (const char c : fmt::format("{}{}", endpoint.method, endpoint.path)) {
    if (c == '{' || c == '}') continue;
    id.push_back(std::isalnum(static_cast<unsigned char>(c)) != 0
                     ? static_cast<char>(std::tolower(static_cast<unsigned char>(c)))
                     : '_');
  }
  return id;
}

Json parameters_of(std::string_view path) {
  Json parameters = Json::array();
  for (std::size_t open = path.find('{'); open != path.npos; open = path.find('{', open + 1)) {
    const std::string_view name = path.substr(open + 1, path.find('}', open) - open - 1);
    parameters.push_back(
        {{"name", name}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}});
  }
  return parameters;
}

Json operation_of(const Endpoint& endpoint) {
  Json operation = {{"operationId", operation_id(endpoint)}, {"summary", endpoint.summary}};
  if (Json parameters = parameters_of(endpoint.path); !parameters.empty())
    operation["parameters"] = std::move(parameters);
  if (!endpoint.members.empty()) operation["requestBody"] = body_of(endpoint.members);
  Json content = content_of(endpoint.answer);
  if (endpoint.streams) content["text/event-stream"] = {{"schema", {{"type", "string"}}}};
  operation["responses"] = {
      {"200", {{"description", "The answer."}, {"content", std::move(content)}}},
      {"default", {{"description", "What is wrong."}, {"content", content_of("Error")}}}};
  return operation;
}

}  // namespace

std::span<const Endpoint> endpoints() {
  static const Endpoint kEndpoints[] = {
      {"POST", "/v1/chat/completions",
       "A decoder goes on with a conversation; a task model answers with its label.",
       "ChatCompletion", fields::chat, true},
      {"POST", "/v1/completions", "A decoder continues a text.", "Completion", fields::completion,
       true},
      {"POST", "/v1/embeddings", "One vector a text.", "List", fields::embeddings},
      {"POST", "/v1/decisions", "Typed questions about a text, answered with probabilities.",
       "Decision", fields::decisions},
      {"POST", "/v1/classify", "Labels of texts with their probabilities.", "List",
       fields::classify},
      {"POST", "/v1/tag", "Named spans of texts.", "List", fields::tag},
      {"POST", "/v1/extract", "Answers to questions, as stretches of their contexts.", "List",
       fields::extract},
      {"POST", "/v1/rerank", "Documents by how near they are to a query.", "Ranking",
       fields::rerank},
      {"POST", "/rerank", "The same as /v1/rerank.", "Ranking", fields::rerank},
      {"POST", "/v1/score", "How near texts are to each other.", "List", fields::score},
      {"POST", "/score", "The same as /v1/score.", "List", fields::score},
      {"POST", "/v1/moderations", "Whether texts are unsafe, by category.", "Moderation",
       fields::moderations},
      {"POST", "/v1/guard", "What the configured checks say of a request or an answer.", "Verdict",
       fields::guard},
      {"POST", "/tokenize", "The tokens of a text or a conversation.", "Tokens", fields::tokenize},
      {"POST", "/detokenize", "The text of tokens.", "Text", fields::detokenize},
      {"GET", "/v1/models", "The models that are served.", "Models", {}},
      {"GET", "/v1/models/{id}", "One of them.", "Model", {}},
      {"GET", "/v1/models/{upstream}/{id}", "One of an upstream's models.", "Model", {}},
      {"GET", "/v1/models/{upstream}/{owner}/{id}", "Likewise, of a name with '/'.", "Model", {}},
      {"GET", "/metrics", "Counts and times, in Prometheus' text.", "", {}},
      {"GET", "/health", "The process lives.", "Status", {}},
      {"GET", "/healthz", "The process lives.", "Status", {}},
      {"GET", "/readyz", "It takes requests; 503 while it is stopping.", "Status", {}},
      {"GET", "/openapi.json", "This document.", "Document", {}},
  };
  return kEndpoints;
}

Json openapi_json() {
  Json paths = Json::object(), schemas = Json::object();
  for (const Endpoint& endpoint : endpoints()) {
    std::string method(endpoint.method);
    std::ranges::transform(method, method.begin(), [](unsigned char c) { return std::tolower(c); });
    paths[std::string(endpoint.path)][method] = operation_of(endpoint);
  }
  for (const auto& [name, schema] : kSchemas) schemas[name] = Json::parse(schema);
  return {{"openapi", "3.1.0"},
          {"info", {{"title", "Tackhammer"}, {"version", "1"}, {"description", kAbout}}},
          {"paths", std::move(paths)},
          {"components",
           {{"schemas", std::move(schemas)},
            {"securitySchemes", {{"key", {{"type", "http"}, {"scheme", "bearer"}}}}}}},
          // A key, or none where the server asks for none.
          {"security", Json::array({{{"key", Json::array()}}, Json::object()})}};
}

void add_openapi_route(net::Router& router) {
  router.add("GET", "/openapi.json",
             [document = to_text(openapi_json())](net::Request) -> net::Async<net::Response> {
               co_return net::Response::json_text(200, document);
             });
}

}  // namespace tack::server
