// Which of the models that are served here a request means.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/encoder_service.h"
#include "server/generation_service.h"
#include "server/openai.h"

namespace tack::server {

// What an endpoint needs of a model, as functions for choose_encoder().
bool embeds(const ModelInfo& model);
bool classifies(const ModelInfo& model);
bool tags(const ModelInfo& model);
bool extracts(const ModelInfo& model);
using Suits = bool (*)(const ModelInfo&);

// Encoders and task models first, then decoders.
std::vector<std::string> served_ids(const EncoderService& encoders,
                                    const GenerationService& decoders);

// 404: says which models there are, and how to add one.
ApiError no_such_model(const std::vector<std::string>& served, std::string_view id);
// 404: no model that can `doing` ("classify") is served.
ApiError no_model_for(std::string_view doing);

// The model called `id`, or the only one that suits when that is "". `doing` says what it is to do:
// "classify". Errors: none of that name (404), one that does not suit, several for "" (400).
ApiResult<std::size_t> choose_encoder(const EncoderService& encoders,
                                      const GenerationService& decoders, std::string_view id,
                                      Suits suits, std::string_view doing);

}  // namespace tack::server
