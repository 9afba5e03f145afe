// What a route of tack.toml would do with a prompt, and why: `tack route explain --config`.
#pragma once

#include <string>

#include "base/result.h"

namespace tack {

struct ExplainPlanOptions {
  std::string config;          // tack.toml
  std::string route = "auto";  // as "model" names it
  std::string prompt;
  std::string client;  // the name of a key; "": none
  bool json = false;
};

// Runs the local models that the route's rules and its learned router ask, sends nothing anywhere,
// and prints each step. Errors: those of reading the configuration and opening its models;
// kNotFound for a route that is not there.
Status explain_plan(const ExplainPlanOptions& options);

}  // namespace tack
