// The endpoints of `tack serve`.
#pragma once

#include "net/router.h"
#include "server/encoder_service.h"

namespace tack::server {

// GET /healthz, /readyz, /v1/models, /v1/models/{id}; POST /v1/embeddings, /v1/classify. All errors
// of the server get the shape of the OpenAI API. `service` outlives the server's handlers.
void add_routes(net::Router& router, EncoderService& service);

}  // namespace tack::server
