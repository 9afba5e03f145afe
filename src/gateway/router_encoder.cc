#include "gateway/router_encoder.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "gateway/learned_router.h"

namespace tack::gateway {

Result<RouterEncoder> router_encoder_of(TextEncoder& encoder) {
  const std::string text(kEncoderProbe);
  TACK_TRY(std::vector<float> probe, embed_prompts(encoder, std::span(&text, 1)));
  const auto dims = static_cast<std::int64_t>(probe.size());
  probe.resize(std::min(probe.size(), kProbeNumbers));
  return RouterEncoder{encoder.model().name(), dims, std::move(probe)};
}

Status check_router_encoder(const RouterCard& card, std::string_view name,
                            std::span<const float> probe) {
  // The same encoder in another type differs by thousandths, another one by hundredths.
  constexpr float kFar = 0.02F;
  if (!card.encoder) return {};
  const RouterEncoder& trained = *card.encoder;
  bool same = trained.dims == static_cast<std::int64_t>(probe.size());
  for (std::size_t i = 0; same && i < std::min(trained.probe.size(), probe.size()); ++i)
    same = std::abs(trained.probe[i] - probe[i]) < kFar;
  if (same) return {};
  return fail(ErrorCode::kUsage,
              "the router was trained with the encoder '{}' ({} dimensions); '{}' ({}) is another",
              trained.name, trained.dims, name, probe.size());
}

Result<std::vector<float>> embed_prompts(TextEncoder& encoder, std::span<const std::string> texts,
                                         const std::function<void(std::int64_t)>& progress) {
  constexpr std::size_t kBatch = 256;
  constexpr std::array<std::string_view, 1> kOutputs = {"embedding"};
  if (encoder.output_dim("embedding") == 0)
    return fail(ErrorCode::kUsage, "{} makes no embeddings", encoder.model().name());
  const std::int64_t limit = std::min(kEncoderTokens, encoder.model().context_length());
  std::vector<float> embeddings;
  for (std::size_t begin = 0; begin < texts.size(); begin += kBatch) {
    std::vector<Tokens> inputs;
    for (const std::string& text : texts.subspan(begin, std::min(kBatch, texts.size() - begin)))
      inputs.push_back(encoder.model().tokenizer().encode(text, limit));
    TACK_TRY(const Encoded encoded, encoder.run_tokens(inputs, kOutputs));
    embeddings.insert(embeddings.end(), encoded.outputs[0].begin(), encoded.outputs[0].end());
    if (progress) progress(static_cast<std::int64_t>(inputs.size()));
  }
  return embeddings;
}

}  // namespace tack::gateway
