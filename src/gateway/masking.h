// Requests without personal data: what is found is replaced by pseudonyms before a request leaves
// the machine, and put back into the answer that comes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "gateway/call.h"
#include "gateway/config.h"
#include "gateway/local_models.h"
#include "net/offload.h"
#include "privacy/finder.h"
#include "privacy/vault.h"

namespace tack::gateway {

// A call as it may leave, and what its pseudonyms stand for. Used on one strand.
class MaskedCall {
 public:
  const std::shared_ptr<const Call>& call() const { return call_; }
  const privacy::Vault& vault() const { return vault_; }
  // What of the call cannot be masked, so that none of it may leave; "": nothing.
  const std::string& why_not() const { return why_not_; }

  // An answer as it may be kept: with pseudonyms for what the request held, and for what is found
  // in the answer besides.
  Json kept(Json answer) const;

  // An answer to call(), with the values in their places: in texts, and escaped in the arguments of
  // tools. Pseudonyms that the model made up stay. The answer outlives neither this nor the strand.
  static Reply restored(std::shared_ptr<const MaskedCall> masked, Reply reply);

 private:
  friend class Masker;
  MaskedCall() = default;

  std::shared_ptr<const Call> call_;
  std::shared_ptr<const privacy::Finder> finder_;
  mutable privacy::Vault vault_;  // kept() adds what answers hold
  std::string why_not_;
};

// Any strand.
class Masker {
 public:
  // `locals` outlives it, and so do `workers`, who look at long bodies; they may be null. Errors:
  // an entity that is none.
  static Result<std::unique_ptr<const Masker>> create(const PrivacyConfig& config,
                                                      LocalModels& locals,
                                                      net::Workers* workers = nullptr);

  // Every text of the body is looked through but for names of models, roles, ids and the like; so
  // are the arguments of tools, as the JSON they are. Images, sounds and files cannot be. A failure
  // is the tagger's.
  net::Async<Expected<std::shared_ptr<const MaskedCall>>> mask(
      std::shared_ptr<const Call> call) const;

 private:
  Masker(std::shared_ptr<const privacy::Finder> finder, std::string names, LocalModels& locals,
         net::Workers* workers)
      : finder_(std::move(finder)), names_(std::move(names)), locals_(locals), workers_(workers) {}
  net::Async<Expected<std::vector<std::vector<privacy::Finding>>>> find_names(
      std::vector<std::string> texts) const;

  const std::shared_ptr<const privacy::Finder> finder_;
  const std::string names_;  // a tagger; "": none
  LocalModels& locals_;
  net::Workers* const workers_;
};

}  // namespace tack::gateway
