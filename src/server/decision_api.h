// POST /v1/decisions.
#pragma once

#include "net/router.h"
#include "server/encoder_service.h"
#include "server/generation_service.h"

namespace tack::server {

// The services outlive the server's handlers.
void add_decision_routes(net::Router& router, EncoderService& encoders,
                         const GenerationService& decoders);

}  // namespace tack::server
