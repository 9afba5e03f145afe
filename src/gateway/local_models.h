// The models of this process, as the gateway sees them. The server implements it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/call.h"
#include "guard/guard.h"

namespace tack::gateway {

class LocalModels {
 public:
  virtual ~LocalModels() = default;

  virtual bool serves(std::string_view model) const = 0;
  // For a request that names no model: the only one that can do it. A failure says which there are.
  virtual Expected<std::string> only_model(Operation operation) const = 0;
  // The 404 for a name that nothing here has.
  virtual Failure no_such_model(std::string_view name) const = 0;

  // The call's own "model" does not count. Failures that are the request's own have status 400.
  virtual net::Async<Expected<Reply>> answer(std::shared_ptr<const Call> call,
                                             std::string model) = 0;

  // What a task model says of one text.
  struct Intent {
    std::string label;
    double probability = 0;
    bool out_of_scope = false;
  };
  virtual net::Async<Expected<Intent>> intent(std::string model, std::string text) = 0;
  // [embedding_dim] of an encoder, of the text's first `most_tokens` tokens.
  virtual net::Async<Expected<std::vector<float>>> embed(std::string model, std::string text,
                                                         std::int64_t most_tokens) = 0;
  // What a task model or a tagger says of all texts, for guards.
  virtual net::Async<Expected<guard::Answer>> ask(guard::Question question) = 0;
};

}  // namespace tack::gateway
