#include "gateway/policy.h"

#include <algorithm>

#include <fmt/format.h>

#include "gateway/masking.h"

namespace tack::gateway {

namespace {

// The masked body, sent as `call` is: a shadow asks for an answer in one piece where the client
// asked for a stream.
std::shared_ptr<const Call> masked_like(const Call& call, const MaskedCall& masked) {
  auto own = std::make_shared<Call>(call);
  own->body = masked.call()->body;
  for (const char* name : {"stream", "stream_options"})
    if (!call.body.contains(name)) own->body.erase(name);
  return own;
}

}  // namespace

Expected<ClearedCall> Policy::clear(std::shared_ptr<const Call> call, const Egress& egress,
                                    const std::string& upstream, std::string model) {
  const auto refuse = [&](std::string why) {
    return std::unexpected(Failure{.status = 403,
                                   .message = std::move(why),
                                   .type = "permission_error",
                                   .code = "egress_refused",
                                   .param = "model"});
  };
  if (egress.mode == PrivacyMode::kLocalOnly)
    return refuse(fmt::format("'{}/{}' is an upstream, and this request may not leave the machine",
                              upstream, model));
  if (!egress.allowed.empty() &&
      std::ranges::find(egress.allowed, upstream) == egress.allowed.end())
    return refuse(fmt::format("this key may not use the upstream '{}'", upstream));
  if (egress.mode == PrivacyMode::kMask) {
    if (egress.masked == nullptr)
      return refuse(
          "this request may leave the machine only without personal data, and that was "
          "not looked for");
    if (!egress.masked->why_not().empty()) return refuse(egress.masked->why_not());
    call = masked_like(*call, *egress.masked);
  }
  return ClearedCall(std::move(call), std::move(model));
}

}  // namespace tack::gateway
