#include "server/decision_api.h"

#include "server/decisions.h"
#include "server/model_choice.h"

namespace tack::server {
namespace {

net::Async<net::Response> decide(EncoderService& encoders, const GenerationService& decoders,
                                 net::Request request, gateway::LocalUse& use) {
  const auto parsed = parse_decision_request(request.body);
  if (!parsed) co_return parsed.error().response();
  const auto model =
      choose_encoder(encoders, decoders, parsed->model, classifies, "answer decisions");
  if (!model) co_return model.error().response();
  std::vector<std::string> texts{parsed->text};
  const auto said = co_await encoders.classify(*model, std::move(texts), &use.cpu_seconds);
  if (!said) co_return to_api_error(said.error()).response();
  use.model = encoders.model(*model).id;
  use.tokens.prompt = said->front().tokens;
  co_return net::Response::json(200, decision_json(*parsed, encoders.model(*model), *said));
}

}  // namespace

void add_decision_routes(const AddLocal& add, EncoderService& encoders,
                         const GenerationService& decoders) {
  add("/v1/decisions", [&](net::Request request, gateway::LocalUse& use) {
    return decide(encoders, decoders, std::move(request), use);
  });
}

}  // namespace tack::server
