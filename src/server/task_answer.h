// A task model in the place of a chat model: the label as the message.
#pragma once

#include "gateway/call.h"
#include "server/completions.h"
#include "server/encoder_service.h"

namespace tack::server {

// `model`: with labels or tags. The last message of the user is what is classified.
net::Async<gateway::Expected<gateway::Reply>> task_answer(EncoderService& encoders,
                                                          std::size_t model,
                                                          CompletionRequest request);

}  // namespace tack::server
