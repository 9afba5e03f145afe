#include "gateway/learned_routes.h"

#include "gateway/router_encoder.h"
#include "gateway/router_policy.h"

namespace tack::gateway {

struct LearnedRoutes::Route {
  std::shared_ptr<const LearnedRouter> router;
  RoutingPolicy policy;
  std::vector<std::string> models;  // ours, in the router's order
  std::string encoder;              // "": it needs none
};

namespace {

net::Async<Expected<LearnedChoice>> ask(std::shared_ptr<const LearnedRouter> router,
                                        RoutingPolicy policy, std::vector<std::string> models,
                                        std::string encoder, LocalModels& locals,
                                        std::string text) {
  std::vector<float> embedding;
  if (!encoder.empty()) {
    std::string text_of_embedding = text;
    auto made = co_await locals.embed(encoder, std::move(text_of_embedding), kEncoderTokens);
    if (!made) co_return std::unexpected(made.error());
    embedding = *std::move(made);
  }
  std::vector<float> quality(router->models());
  if (const Status status = router->quality(text, embedding, quality); !status)
    co_return std::unexpected(Failure{.status = 500, .message = status.error().message});
  RouterChoice choice = choose(router->card(), quality, policy);
  co_return LearnedChoice{models[choice.model], std::move(choice.reason)};
}

}  // namespace

Result<std::shared_ptr<const LearnedRoutes::Route>> LearnedRoutes::open_one(
    const GatewayConfig& config, const RouteConfig& route,
    const std::vector<ServedEncoder>& encoders) {
  const LearnedConfig& learned = *route.learned;
  TACK_TRY(auto router, LearnedRouter::open(learned.router));
  auto opened = std::make_shared<Route>(Route{router, router->card().policy, {}, ""});
  for (const RoutedModel& model : router->card().models) {
    const auto mapped = learned.models.find(model.name);
    const std::string& ours = mapped != learned.models.end() ? mapped->second : model.name;
    if (config.model(ours) == nullptr && !split_upstream(config, ours))
      return fail(
          ErrorCode::kUsage,
          "{}: knows the model '{}': say which of yours it is in [routes.{}.learned] models",
          learned.router, model.name, route.name);
    opened->models.push_back(ours);
  }
  if (learned.strong_share) {
    TACK_TRY(opened->policy, policy_for_share(router->card(), *learned.strong_share));
  }
  if (!router->needs_embedding()) return opened;
  for (const ServedEncoder& encoder : encoders)
    if (check_router_encoder(router->card(), encoder.name, encoder.probe))
      opened->encoder = encoder.name;
  if (opened->encoder.empty())
    return fail(ErrorCode::kUsage,
                "{}: was trained with the encoder '{}', which is not served: add a [models.NAME] "
                "with its path",
                learned.router, router->card().encoder->name);
  return opened;
}

Result<LearnedRoutes> LearnedRoutes::open(const GatewayConfig& config,
                                          const std::vector<ServedEncoder>& encoders) {
  LearnedRoutes all;
  for (const RouteConfig& route : config.routes) {
    if (!route.learned) continue;
    TACK_TRY(all.routes_[&*route.learned], open_one(config, route, encoders));
  }
  return all;
}

AskLearned LearnedRoutes::asker(LocalModels& locals) const {
  return [routes = routes_, &locals](const LearnedConfig& config, const CallFacts& facts) {
    const Route& route = *routes.at(&config);
    return ask(route.router, route.policy, route.models, route.encoder, locals, facts.text);
  };
}

}  // namespace tack::gateway
