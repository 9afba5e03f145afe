// The models that `tack serve` runs, opened.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/priority_lane.h"
#include "base/result.h"
#include "gateway/config.h"
#include "server/generation_service.h"
#include "server/served_model.h"

namespace tack {

struct ServeModels {
  std::vector<std::unique_ptr<server::ServedModel>> encoders;
  std::vector<std::unique_ptr<server::ServedDecoder>> decoders;
  std::vector<std::string> ids;  // in the order they were given
};

enum class WhatFails : std::uint8_t { kIsAnError, kLeftOut };

// Opens the configuration's models, and gives those without a name their file's; what is left out
// is taken from the list, with a warning. `threads`: that compute; 0: all cores. Errors: of the
// first model that does not open; two of the same name (kUsage).
Result<ServeModels> open_serve_models(std::vector<gateway::LocalModelConfig>& models, int threads,
                                      const PriorityLane& lane, WhatFails what_fails);

}  // namespace tack
