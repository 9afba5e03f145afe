// What a configuration names outside itself.
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <unistd.h>

#include "gateway/config.h"
#include "gateway/key_file.h"
#include "models/model.h"

namespace tack::gateway {
namespace {

class Environment {
 public:
  explicit Environment(const GatewayConfig& config) : config_(config) {}

  std::vector<ConfigMistake> check() {
    for (const LocalModelConfig& model : config_.models)
      if (const auto path = resolve_model(model.path); !path)
        say(line_of("models." + model.name + ".path", model.line), "[models.{}] path: {}",
            model.name, path.error().message);
    for (const UpstreamConfig& upstream : config_.upstreams) check_upstream(upstream);
    for (const RouteConfig& route : config_.routes)
      if (route.learned)
        check_readable(line_of("routes." + route.name + ".learned.router", route.learned->line),
                       "[routes." + route.name + ".learned] router", route.learned->router,
                       "make it with `tack route train`");
    if (!config_.keys.file.empty())
      if (const Status status = check_key_file(config_.keys.file); !status)
        say(line_of("keys.file", config_.keys.line), "[keys] file: {}", status.error().message);
    std::ranges::stable_sort(mistakes_, {}, &ConfigMistake::line);
    return std::move(mistakes_);
  }

 private:
  template <class... Args>
  void say(int line, fmt::format_string<Args...> format, Args&&... args) {
    mistakes_.push_back({line, fmt::format(format, std::forward<Args>(args)...)});
  }

  // Of a setting; `otherwise` when it is not in the file, or its name needs quotes there.
  int line_of(const std::string& key, int otherwise) const {
    const auto found = std::ranges::find(config_.settings, key, &ConfigSetting::key);
    return found == config_.settings.end() || found->line == 0 ? otherwise : found->line;
  }

  void check_readable(int line, const std::string& what, const std::string& path,
                      std::string_view advice) {
    if (::access(path.c_str(), R_OK) == 0) return;
    say(line, "{}: {}: {}; {}", what, path, std::strerror(errno), advice);
  }

  void check_upstream(const UpstreamConfig& upstream) {
    const std::string path = "upstreams." + upstream.name;
    if (!upstream.ca_file.empty())
      check_readable(line_of(path + ".ca_file", upstream.line), "[" + path + "] ca_file",
                     upstream.ca_file, "it holds the certificates to trust, as PEM");
    if (upstream.key_env.empty()) return;
    const char* key = std::getenv(upstream.key_env.c_str());
    const auto breaks = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; };
    const char* problem = nullptr;
    if (key == nullptr)
      problem = "is not set";
    else if (*key == '\0')
      problem = "is empty";
    else if (std::ranges::any_of(std::string_view(key), breaks))
      problem = "holds a space or a line break, which no key does";
    if (problem != nullptr)
      say(line_of(path + ".key_env", upstream.line), "[{}] key_env: the environment variable {} {}",
          path, upstream.key_env, problem);
  }

  const GatewayConfig& config_;
  std::vector<ConfigMistake> mistakes_;
};

}  // namespace

std::vector<ConfigMistake> check_environment(const GatewayConfig& config) {
  return Environment(config).check();
}

}  // namespace tack::gateway
