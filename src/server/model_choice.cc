#include "server/model_choice.h"

#include <algorithm>

#include <fmt/ranges.h>

namespace tack::server {
namespace {

constexpr std::string_view kHowToAdd =
    "`tack serve NAME` serves a model by its file or short name, `tack build` makes one";

}  // namespace

bool embeds(const ModelInfo& model) {
  return model.embedding_dim > 0;
}
bool classifies(const ModelInfo& model) {
  return !model.labels.empty();
}
bool tags(const ModelInfo& model) {
  return model.tags;
}
bool extracts(const ModelInfo& model) {
  return model.extracts;
}

std::vector<std::string> served_ids(const EncoderService& encoders,
                                    const GenerationService& decoders) {
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < encoders.model_count(); ++i) ids.push_back(encoders.model(i).id);
  for (std::size_t i = 0; i < decoders.model_count(); ++i) ids.push_back(decoders.model(i).id);
  return ids;
}

ApiError no_such_model(const std::vector<std::string>& served, std::string_view id) {
  return {404,
          fmt::format("the model '{}' does not exist; served here: {}. {}", id,
                      fmt::join(served, ", "), kHowToAdd),
          "model", "model_not_found"};
}

ApiError no_model_for(std::string_view doing) {
  return {404, fmt::format("no model that can {} is served here. {}", doing, kHowToAdd), "model",
          "model_not_found"};
}

ApiResult<std::size_t> choose_encoder(const EncoderService& encoders,
                                      const GenerationService& decoders, std::string_view id,
                                      Suits suits, std::string_view doing) {
  std::vector<std::string> suitable;
  std::size_t last = 0;
  for (std::size_t i = 0; i < encoders.model_count(); ++i) {
    const ModelInfo& model = encoders.model(i);
    if (!suits(model)) continue;
    if (model.id == id) return i;
    suitable.push_back(model.id);
    last = i;
  }
  if (id.empty()) {
    if (suitable.size() == 1) return last;
    if (suitable.empty()) return std::unexpected(no_model_for(doing));
    return std::unexpected(ApiError{
        400, fmt::format("'model' is missing; one of: {}", fmt::join(suitable, ", ")), "model"});
  }
  const std::vector<std::string> all = served_ids(encoders, decoders);
  if (std::ranges::find(all, id) == all.end()) return std::unexpected(no_such_model(all, id));
  return std::unexpected(ApiError{400, fmt::format("the model '{}' cannot {}", id, doing), "model",
                                  "model_not_supported"});
}

}  // namespace tack::server
