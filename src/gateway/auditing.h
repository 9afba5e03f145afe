// What the audit log says of requests: who, what, when, how it ended; never what they say.
#pragma once

#include <string>

#include "gateway/exchange.h"
#include "guard/guard.h"
#include "store/audit_log.h"

namespace tack::gateway {

// Any strand; the log outlives it.
class Auditing {
 public:
  // `required`: nothing leaves the machine before its record is durable.
  Auditing(store::AuditLog& log, bool required) : log_(log), required_(required) {}

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
  store::AuditLog& log_;
  const bool required_;
};

}  // namespace tack::gateway
