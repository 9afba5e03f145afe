// The endpoints that generate: POST /v1/completions and /v1/chat/completions.
#pragma once

#include "net/router.h"
#include "server/encoder_service.h"
#include "server/generation_service.h"

namespace tack::server {

// Decoders generate. A task model answers a chat too: the last message of the user is what it
// classifies or tags, its label (or JSON) is the content, and the classes' probabilities stand in
// `logprobs`. Both services outlive the server's handlers.
void add_generation_routes(net::Router& router, EncoderService& encoders,
                           GenerationService& decoders);

}  // namespace tack::server
