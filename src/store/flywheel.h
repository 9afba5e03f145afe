// Requests and answers as training data, in the log schema of NVIDIA's data flywheel blueprint
// (github.com/NVIDIA-AI-Blueprints/data-flywheel, README.md "Log schema"): one JSON object a line,
//
//   timestamp    seconds since 1970, when the request came
//   workload_id  what the request is for; the flywheel compares models within one
//   client_id    who asked
//   request      the body of the chat completion that was asked for
//   response     the chat completion
#pragma once

#include <cstdint>
#include <filesystem>

#include "store/state_store.h"

namespace tack::store {

struct FlywheelCounts {
  std::int64_t written = 0;
  // And those that were not, each for its first reason.
  std::int64_t without_contents = 0;  // request or response were not logged
  std::int64_t other_endpoints = 0;   // no chat completions: the schema has nothing else
  std::int64_t failed = 0;            // the response is an error
  std::int64_t unreadable = 0;        // the contents are no JSON objects
};

// Writes the period's records to `out`, whole or not at all. What a record has no name for is
// "default".
Result<FlywheelCounts> export_flywheel(StateStore& store, const Period& period,
                                       const std::filesystem::path& out);

}  // namespace tack::store
