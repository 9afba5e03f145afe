// The learned routers of a configuration, ready to be asked.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/config.h"
#include "gateway/learned_router.h"
#include "gateway/local_models.h"
#include "gateway/route.h"

namespace tack::gateway {

// An encoder that is served: its name there, and the embedding of kEncoderProbe.
struct ServedEncoder {
  std::string name;
  std::vector<float> probe;
};

class LearnedRoutes {
 public:
  // Opens the routers of all routes. Errors: of the first that does not open, that knows a model
  // which is none of ours, or whose encoder is not served; each says what to do.
  static Result<LearnedRoutes> open(const GatewayConfig& config,
                                    const std::vector<ServedEncoder>& encoders);

  bool empty() const { return routes_.empty(); }

  // For a RouteDecider; `locals` outlives it.
  AskLearned asker(LocalModels& locals) const;

 private:
  struct Route;
  static Result<std::shared_ptr<const Route>> open_one(const GatewayConfig& config,
                                                       const RouteConfig& route,
                                                       const std::vector<ServedEncoder>& encoders);

  std::map<const LearnedConfig*, std::shared_ptr<const Route>> routes_;
};

}  // namespace tack::gateway
