#include "cli/serve_models.h"

#include <algorithm>

#include "base/log.h"
#include "cli/kv_option.h"
#include "models/model.h"

namespace tack {

namespace {

Status open_one(gateway::LocalModelConfig& wanted, int threads, const PriorityLane& lane,
                ServeModels& opened) {
  const auto is_new = [&](const std::string& id) -> Status {
    if (std::ranges::find(opened.ids, id) == opened.ids.end()) return {};
    return fail(ErrorCode::kUsage, "two models are called '{}': give them names with --alias", id);
  };
  TACK_TRY(const auto path, resolve_model(wanted.path));
  TACK_TRY(const auto model, Model::open(path));
  if (model->generates()) {
    const GeneratorOptions generation{.decoder = {.threads = threads,
                                                  .context = wanted.context,
                                                  .sequences = wanted.parallel,
                                                  .lane = &lane,
                                                  .kv = kv_type(wanted.kv)}};
    TACK_TRY(auto decoder, server::open_served_decoder(model, wanted.name, generation));
    TACK_RETURN_IF_ERROR(is_new(decoder->id));
    wanted.name = decoder->id;
    opened.decoders.push_back(std::move(decoder));
  } else {
    TACK_TRY(auto served, server::open_served_model(path, wanted.name, {.threads = threads}));
    TACK_RETURN_IF_ERROR(is_new(served->info().id));
    wanted.name = served->info().id;
    opened.encoders.push_back(std::move(served));
  }
  opened.ids.push_back(wanted.name);
  return {};
}

}  // namespace

Result<ServeModels> open_serve_models(std::vector<gateway::LocalModelConfig>& models, int threads,
                                      const PriorityLane& lane, WhatFails what_fails) {
  ServeModels opened;
  std::vector<gateway::LocalModelConfig> kept;
  for (gateway::LocalModelConfig& wanted : models) {
    const Status status = open_one(wanted, threads, lane, opened);
    if (status) {
      kept.push_back(std::move(wanted));
      continue;
    }
    if (what_fails == WhatFails::kIsAnError || status.error().code == ErrorCode::kInterrupted)
      return std::unexpected(status.error());
    log_warn("left out: {}", status.error().message);
  }
  models = std::move(kept);
  return opened;
}

}  // namespace tack
