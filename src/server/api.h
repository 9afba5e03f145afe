// The endpoints of `tack serve` that local models answer by themselves.
#pragma once

#include <functional>
#include <string_view>

#include "gateway/gateway.h"
#include "net/router.h"
#include "server/encoder_service.h"
#include "server/generation_service.h"

namespace tack::server {

// Puts a POST endpoint on the router, with its account; the handler says what it used.
using AddLocal = std::function<void(std::string_view path, gateway::LocalHandler handler)>;

// Health and /openapi.json, which need no key, and the lists of models. All errors of the server
// get the shape of the OpenAI API. The services outlive the server's handlers.
void add_open_routes(net::Router& router, const EncoderService& service);
using KeyedHandler = std::function<net::Async<net::Response>(net::Request, const gateway::Key*)>;
using AskKey = std::function<net::Handler(KeyedHandler)>;
// `ask_key` asks for a key where there are some (else it is null); a key is told of the models it
// may ask for. `others`: what else "model" may name, as entries of the list.
void add_listing_routes(net::Router& router, const AskKey& ask_key, const EncoderService& service,
                        const GenerationService& decoders, std::vector<Json> others);
// POST /v1/classify, /v1/tag, /v1/extract and those of the files beside: decisions, rerank, score,
// tokens. With the gateway's they are the endpoints() of openapi.h.
void add_local_routes(const AddLocal& add, EncoderService& service, GenerationService& decoders);

// What answers of texts used, and the model that gave them.
template <class Texts>
void set_use(gateway::LocalUse& use, const ModelInfo& model, const Texts& texts) {
  use.model = model.id;
  for (const auto& text : texts) use.tokens.prompt += text.tokens;
}

}  // namespace tack::server
