#include "cli/serve_models.h"

#include <algorithm>

#include "cli/kv_option.h"
#include "models/model.h"

namespace tack {

Result<ServeModels> open_serve_models(const std::vector<gateway::LocalModelConfig>& models,
                                      int threads, const PriorityLane& lane) {
  ServeModels opened;
  for (const gateway::LocalModelConfig& wanted : models) {
    TACK_TRY(const auto path, resolve_model(wanted.path));
    TACK_TRY(const auto model, Model::open(path));
    std::string id;
    if (model->generates()) {
      const GeneratorOptions generation{.decoder = {.threads = threads,
                                                    .context = wanted.context,
                                                    .sequences = wanted.parallel,
                                                    .lane = &lane,
                                                    .kv = kv_type(wanted.kv)}};
      TACK_TRY(auto decoder, server::open_served_decoder(model, wanted.name, generation));
      id = decoder->id;
      opened.decoders.push_back(std::move(decoder));
    } else {
      TACK_TRY(auto served, server::open_served_model(path, wanted.name, {.threads = threads}));
      id = served->info().id;
      opened.encoders.push_back(std::move(served));
    }
    if (std::ranges::find(opened.ids, id) != opened.ids.end())
      return fail(ErrorCode::kUsage, "two models are called '{}': give them names with --alias",
                  id);
    opened.ids.push_back(id);
  }
  return opened;
}

}  // namespace tack
