// What may leave the machine. An upstream takes a ClearedCall and nothing else, and only
// Policy::clear() makes one: a path to an upstream that forgets to ask does not compile. Where
// personal data may not leave, it holds the masked call, which only the Masker makes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/call.h"
#include "gateway/privacy_mode.h"

namespace tack::gateway {

class ClearedCall {
 public:
  const Call& call() const { return *call_; }
  const std::shared_ptr<const Call>& shared_call() const { return call_; }
  const std::string& model() const { return model_; }  // as the upstream knows it

 private:
  friend class Policy;
  ClearedCall(std::shared_ptr<const Call> call, std::string model)
      : call_(std::move(call)), model_(std::move(model)) {}

  std::shared_ptr<const Call> call_;
  std::string model_;
};

class MaskedCall;

// What the configuration, a client's key and its request say of upstreams: the strictest of them.
struct Egress {
  PrivacyMode mode = PrivacyMode::kAllow;
  std::shared_ptr<const MaskedCall> masked;  // of kMask: what may leave
  std::vector<std::string> allowed;          // names of upstreams; empty: all
};

class Policy {
 public:
  // Refuses with a 403 that says what forbids it.
  static Expected<ClearedCall> clear(std::shared_ptr<const Call> call, const Egress& egress,
                                     const std::string& upstream, std::string model);
};

}  // namespace tack::gateway
