// A learned router from any bytes. A first byte of 0: its card as JSON, which comes out as it went
// in; else the whole file: an error of one line, or answers within bounds.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "gateway/learned_router.h"
#include "gateway/router_policy.h"

namespace {

using namespace tack::gateway;

void check_card(std::string_view text) {
  const auto json = tack::parse_json(text, "fuzz");
  if (!json) return;
  const auto card = router_card_from(*json);
  if (!card) return;
  const auto again = router_card_from(to_json(*card));
  if (!again || to_json(*again) != to_json(*card)) std::abort();
  const std::vector<float> quality(card->models.size(), 0.5F);
  for (const double share : {0.0, 0.3, 1.0}) {
    const auto policy = policy_for_share(*card, share);
    if (!policy || choose(*card, quality, *policy).model >= quality.size()) std::abort();
  }
}

void check_file(std::span<const std::byte> bytes) {
  const auto router = LearnedRouter::parse(bytes, "fuzz");
  if (!router) {
    if (router.error().message.find('\n') != std::string::npos) std::abort();
    return;
  }
  const RouterCard& card = (*router)->card();
  std::vector<float> quality((*router)->models());
  const std::vector<float> embedding(
      card.encoder ? static_cast<std::size_t>(card.encoder->dims) : 0, 0.1F);
  if (!(*router)->quality("Prove that 3 > 2", embedding, quality)) std::abort();
  for (const float chance : quality)
    if (!(chance >= 0 && chance <= 1)) std::abort();
  if (choose_model(card, quality, card.policy) >= quality.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto rest = std::span(data, size).subspan(1);
  if (data[0] == 0)
    check_card({reinterpret_cast<const char*>(rest.data()), rest.size()});
  else
    check_file(std::as_bytes(rest));
  return 0;
}
