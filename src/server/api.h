// The endpoints of `tack serve`.
#pragma once

#include "net/router.h"
#include "server/encoder_service.h"
#include "server/generation_service.h"

namespace tack::server {

// The endpoints of endpoints() in openapi.h. All errors of the server get the shape of the OpenAI
// API. The services outlive the server's handlers.
void add_routes(net::Router& router, EncoderService& service, GenerationService& decoders);

}  // namespace tack::server
