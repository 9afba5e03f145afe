#include "gateway/policy.h"

#include <algorithm>

#include <fmt/format.h>

namespace tack::gateway {

Expected<ClearedCall> Policy::clear(std::shared_ptr<const Call> call, const Egress& egress,
                                    const std::string& upstream, std::string model) {
  const auto refuse = [&](std::string why) {
    return std::unexpected(Failure{.status = 403,
                                   .message = std::move(why),
                                   .type = "permission_error",
                                   .code = "egress_refused",
                                   .param = "model"});
  };
  if (egress.local_only)
    return refuse(fmt::format("'{}/{}' is an upstream, and this request may not leave the machine",
                              upstream, model));
  if (!egress.allowed.empty() &&
      std::ranges::find(egress.allowed, upstream) == egress.allowed.end())
    return refuse(fmt::format("this key may not use the upstream '{}'", upstream));
  return ClearedCall(std::move(call), std::move(model));
}

}  // namespace tack::gateway
