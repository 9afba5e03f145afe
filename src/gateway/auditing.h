// What the audit log says of requests: who, what, when, how it ended; never what they say.
#pragma once

#include <string>

#include "gateway/exchange.h"
#include "guard/guard.h"
#include "store/audit_log.h"

namespace tack::gateway {

// Any strand; both outlive it. Names that a client made up (its request id, a model that the
// configuration does not have) are written as their digests.
class Auditing {
 public:
  Auditing(store::AuditLog& log, const GatewayConfig& config) : log_(log), config_(config) {}

  // A request that has ended, however.
  void request(const store::CallRecord& record) const;
  // A stage of a guard in which something tripped or failed; the others are not worth a record.
  void guard(const Exchange& exchange, guard::Stage stage, const guard::Verdict& verdict) const;
  // What was found in a request, by kind.
  void mask(const Exchange& exchange, const MaskedCall& masked) const;
  // A call that is about to go to an upstream. A failure: it must not.
  net::Async<Expected<void>> egress(const Exchange& exchange, const std::string& upstream,
                                    const ClearedCall& cleared) const;

 private:
  std::string written_model(const std::string& model, const std::string& route) const;

  store::AuditLog& log_;
  const GatewayConfig& config_;
};

}  // namespace tack::gateway
