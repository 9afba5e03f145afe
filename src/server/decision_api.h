// POST /v1/decisions.
#pragma once

#include "server/api.h"

namespace tack::server {

// The services outlive the server's handlers.
void add_decision_routes(const AddLocal& add, EncoderService& encoders,
                         const GenerationService& decoders);

}  // namespace tack::server
