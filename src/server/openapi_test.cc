#include "server/openapi.h"

#include <set>

#include <gtest/gtest.h>

#include "server/app.h"

namespace tack::server {
namespace {

using Route = std::pair<std::string, std::string>;

TEST(OpenApi, DescribesWhatTheRouterServesAndNothingElse) {
  EncoderService encoders({});
  GenerationService decoders({});
  net::Router router;
  const gateway::GatewayConfig config;
  App app(config, {}, encoders, decoders);
  app.add_routes(router);
  std::set<Route> served, described;
  for (const Route& route : router.routes()) served.insert(route);
  for (const Endpoint& endpoint : endpoints())
    EXPECT_TRUE(described.emplace(endpoint.method, endpoint.path).second) << endpoint.path;
  EXPECT_EQ(described, served);
}

// Every "$ref" leads somewhere inside the document.
void check_references(const Json& document, const Json& part) {
  if (part.is_object() && part.contains("$ref")) {
    const auto reference = part["$ref"].get<std::string>();
    ASSERT_TRUE(reference.starts_with('#'));
    EXPECT_TRUE(document.contains(Json::json_pointer(reference.substr(1)))) << reference;
  }
  if (part.is_structured())
    for (const Json& inner : part) check_references(document, inner);
}

TEST(OpenApi, IsWellFormed) {
  const Json document = openapi_json();
  EXPECT_EQ(document["openapi"], "3.1.0");
  check_references(document, document);
  std::set<std::string> ids;
  for (const auto& [path, methods] : document["paths"].items())
    for (const auto& [method, operation] : methods.items()) {
      EXPECT_TRUE(ids.insert(operation["operationId"]).second) << path;
      EXPECT_TRUE(operation["responses"].contains("200"));
      EXPECT_EQ(operation.contains("requestBody"), method == "post") << path;
    }
  const Json& chat = document["paths"]["/v1/chat/completions"]["post"];
  EXPECT_EQ(chat["operationId"], "post_v1_chat_completions");
  const Json& members = chat["requestBody"]["content"]["application/json"]["schema"];
  EXPECT_EQ(members["required"], Json::array({"messages"}));
  EXPECT_EQ(members["properties"]["store"]["enum"], Json::array({false}));
  EXPECT_FALSE(members["properties"].contains("audio"));  // refused
  const Json& one = document["paths"]["/v1/models/{id}"]["get"];
  EXPECT_EQ(one["parameters"][0]["name"], "id");
  EXPECT_EQ(one["parameters"][0]["in"], "path");
}

}  // namespace
}  // namespace tack::server
