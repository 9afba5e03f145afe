// Embeddings as a learned router reads them: of a prompt's first tokens, by the encoder it was
// trained with.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text_encoder.h"
#include "gateway/router_card.h"

namespace tack::gateway {

// As a router's card has it. Errors: as embed_prompts().
Result<RouterEncoder> router_encoder_of(TextEncoder& encoder);
// `name` and `probe`, the embedding of kEncoderProbe, are of the encoder at hand: kUsage when it is
// another than the router was trained with, naming both.
Status check_router_encoder(const RouterCard& card, std::string_view name,
                            std::span<const float> probe);

// [texts, dims] of each text's first kEncoderTokens tokens. `progress`, may be empty, is called
// with how many more are done. Errors: an encoder without embeddings; interruption.
Result<std::vector<float>> embed_prompts(TextEncoder& encoder, std::span<const std::string> texts,
                                         const std::function<void(std::int64_t)>& progress = {});

}  // namespace tack::gateway
