#include "cli/explain_plan.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/ranges.h>

#include "base/nearest.h"
#include "cli/serve_models.h"
#include "gateway/learned_routes.h"
#include "server/served_models.h"

namespace tack {
namespace {

using gateway::Plan;
using gateway::Step;

Result<const gateway::RouteConfig*> find_route(const gateway::GatewayConfig& config,
                                               const std::string& name) {
  if (const auto* route = config.route(name)) return route;
  std::vector<std::string> names;
  for (const auto& route : config.routes) names.push_back(route.name);
  return fail(ErrorCode::kNotFound, "{}: there is no route '{}'; there are: {}{}", config.file,
              name, fmt::join(names, ", "), did_you_mean(name, names));
}

Json steps_json(const std::vector<Step>& steps, const Plan& plan) {
  Json list = Json::array();
  for (const Step& step : steps)
    list.push_back({{"step", step.name}, {"decided", step.decided}, {"why", step.why}});
  Json json = {{"route", plan.route}, {"steps", std::move(list)}, {"models", plan.models}};
  if (plan.min_confidence) json["min_confidence"] = *plan.min_confidence;
  json["reason"] = plan.reason;
  return json;
}

void print_steps(const std::vector<Step>& steps, const Plan& plan) {
  for (const Step& step : steps)
    fmt::print("{} {}: {}\n", step.decided ? "*" : " ", step.name, step.why);
  fmt::print("asks {}\n",
             fmt::join(plan.models, plan.min_confidence
                                        ? fmt::format(", below {} then ", *plan.min_confidence)
                                        : ", should it fail "));
}

}  // namespace

Status explain_plan(const ExplainPlanOptions& options) {
  TACK_TRY(gateway::GatewayConfig config, gateway::read_config(options.config));
  TACK_TRY(const gateway::RouteConfig* const route, find_route(config, options.route));
  PriorityLane lane;
  TACK_TRY(ServeModels models,
           open_serve_models(config.models, config.serve.threads, lane, WhatFails::kIsAnError));
  TACK_TRY(const auto encoders, server::served_encoders(models.encoders));
  TACK_TRY(const auto learned, gateway::LearnedRoutes::open(config, encoders));
  server::EncoderService service(std::move(models.encoders), {}, &lane);
  server::GenerationService decoders(std::move(models.decoders));
  server::ServedModels locals(service, decoders);
  const gateway::RouteDecider decider(locals, learned.asker(locals));

  const gateway::Call call{
      .body = {{"messages", Json::array({{{"role", "user"}, {"content", options.prompt}}})}},
      .client = options.client};
  const gateway::CallFacts facts = gateway::facts_of(call, {});
  std::vector<Step> steps;
  Plan plan;
  const auto decide = [&]() -> net::Async<void> {
    plan = co_await decider.decide(*route, facts, &steps);
  };
  boost::asio::io_context io;
  boost::asio::co_spawn(io, decide(), [](std::exception_ptr thrown) {
    if (thrown) std::rethrow_exception(thrown);
  });
  io.run();
  if (options.json)
    fmt::print("{}\n", to_text(steps_json(steps, plan)));
  else
    print_steps(steps, plan);
  return {};
}

}  // namespace tack
