// What the verbs of `tack route` share: logged prompts in, with the embeddings that a router reads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "engine/text_encoder.h"
#include "gateway/router_training.h"

namespace tack {

struct RouteDataOptions {
  std::vector<std::string> data, columns;
  std::string text, format = "auto", against;
  int threads = 0;
};
void add_route_data_options(Command& verb, RouteDataOptions& options);

// Rows with their embeddings, none without an encoder.
struct RoutePart {
  gateway::RouterData data;
  std::vector<float> embeddings;
  gateway::EmbeddedRows rows() const { return {&data, embeddings}; }
};

// Reads the files named, with the columns of these models. kUsage as well for --column of a model
// that is none of them.
Result<gateway::RouterData> read_route_files(const RouteDataOptions& options,
                                             const std::vector<std::string>& models,
                                             const std::vector<std::string>& paths);
Result<RoutePart> embed_route_rows(gateway::RouterData data, TextEncoder* encoder);

// "MODEL=VALUE" of an option that may stand several times, for these models only.
Result<std::map<std::string, std::string>> model_values(const std::vector<std::string>& given,
                                                        const std::vector<std::string>& models,
                                                        const char* option);

// Null for "none".
Result<std::unique_ptr<TextEncoder>> open_route_encoder(const std::string& name, int threads);
// The encoder a router was trained with: the one named, or with "" the one its card names; null
// when the router needs none.
Result<std::unique_ptr<TextEncoder>> open_route_encoder(const gateway::LearnedRouter& router,
                                                        const std::string& name, int threads);

}  // namespace tack
