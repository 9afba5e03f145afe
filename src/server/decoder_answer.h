// What a decoder generates, as the JSON of completions: whole or event by event.
#pragma once

#include "gateway/call.h"
#include "server/completions.h"
#include "server/generation_service.h"

namespace tack::server {

// `departure`: may be null; when the client leaves, the generation ends. `want_confidence`: the
// mean probability of the tokens is reckoned, at some cost a token.
net::Async<gateway::Expected<gateway::Reply>> decoder_answer(
    GenerationService& decoders, std::size_t model, CompletionRequest request, bool want_confidence,
    std::shared_ptr<net::Departure> departure);

}  // namespace tack::server
