// `tack serve`: models behind the OpenAI-compatible API.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace CLI {
class App;
}

namespace tack {

struct ServeOptions {
  std::vector<std::string> models;   // paths or short names; none: the default encoder
  std::vector<std::string> aliases;  // the names clients use, in the order of the models
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;                 // 0: any free one
  int threads = 0;                           // of the engine; 0: all usable cores
  std::uint64_t max_body = 8 * 1024 * 1024;  // bytes
};

// Declares the verb and its options under `root`; parsing fills `options`, which must outlive it.
// The caller runs run_serve() when the verb was given.
CLI::App* add_serve_options(CLI::App& root, ServeOptions& options);

// Serves until SIGINT or SIGTERM, then lets requests in flight finish.
Status run_serve(const ServeOptions& options);

}  // namespace tack
