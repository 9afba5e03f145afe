// The endpoints of `tack serve`.
#pragma once

#include "net/router.h"
#include "server/encoder_service.h"
#include "server/generation_service.h"

namespace tack::server {

// GET /healthz, /readyz, /v1/models, /v1/models/{id}; POST /v1/classify, /v1/tag, /v1/extract. All
// errors of the server get the shape of the OpenAI API. The services outlive the server's handlers.
void add_routes(net::Router& router, EncoderService& service, GenerationService& decoders);

}  // namespace tack::server
