// The models of this process as the gateway asks for them: task models and encoders by the encoder
// service, decoders by the generation service.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/learned_routes.h"
#include "gateway/local_models.h"
#include "server/encoder_service.h"
#include "server/generation_service.h"

namespace tack::server {

// The encoders among `models`, with what they make of a learned router's probe. Before the service
// takes them over. Errors: those of running them.
Result<std::vector<gateway::ServedEncoder>> served_encoders(
    const std::vector<std::unique_ptr<ServedModel>>& models);

// What guards need to know of each, by name.
std::map<std::string, guard::GuardModel, std::less<>> guard_models(
    const std::vector<std::unique_ptr<ServedModel>>& models);

class ServedModels final : public gateway::LocalModels {
 public:
  // Both outlive it.
  ServedModels(EncoderService& encoders, GenerationService& decoders)
      : encoders_(encoders), decoders_(decoders) {}

  bool serves(std::string_view model) const override;
  gateway::Expected<std::string> only_model(gateway::Operation operation) const override;
  gateway::Failure no_such_model(std::string_view name) const override;
  net::Async<gateway::Expected<gateway::Reply>> answer(std::shared_ptr<const gateway::Call> call,
                                                       std::string model) override;
  net::Async<gateway::Expected<Intent>> intent(std::string model, std::string text) override;
  net::Async<gateway::Expected<std::vector<float>>> embed(std::string model, std::string text,
                                                          std::int64_t most_tokens) override;
  net::Async<gateway::Expected<guard::Answer>> ask(guard::Question question) override;

 private:
  std::vector<std::string> names(gateway::Operation operation) const;

  EncoderService& encoders_;
  GenerationService& decoders_;
};

}  // namespace tack::server
