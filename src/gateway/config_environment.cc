// What a configuration names outside itself.
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <unistd.h>

#include "base/nearest.h"
#include "gateway/config.h"
#include "gateway/key_file.h"
#include "guard/guard.h"
#include "guard/guard_model.h"
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
    for (const RouteConfig& route : config_.routes) {
      for (const RuleConfig& rule : route.rules)
        if (rule.intent) check_intent(route, rule);
      if (route.learned)
        check_readable(line_of("routes." + route.name + ".learned.router", route.learned->line),
                       "[routes." + route.name + ".learned] router", route.learned->router,
                       "make it with `tack route train`");
    }
    if (!config_.keys.file.empty()) check_keys();
    if (config_.guard.enabled)
      for (const guard::Stage stage :
           {guard::Stage::kPreFlight, guard::Stage::kInput, guard::Stage::kOutput})
        for (const guard::CheckConfig& check : config_.guard.checks(stage))
          check_guard(stage, check);
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

  // What a check needs of its model: the head, the labels. A model that cannot be opened is said
  // here too: without it the check would block everything.
  void check_guard(guard::Stage stage, const guard::CheckConfig& check) {
    const auto models = [this](const std::string& name) -> Result<guard::GuardModel> {
      const LocalModelConfig* named = config_.model(name);
      if (named == nullptr) return fail(ErrorCode::kNotFound, "there is no [models.{}]", name);
      TACK_TRY(const auto path, resolve_model(named->path));
      TACK_TRY(const auto model, Model::open(path, Model::Use::kWeights));
      return guard::guard_model_of(*model);
    };
    if (const Status status = guard::validate(stage, check, config_.guard, models); !status)
      say(check.line, "[[guard.{}]] {}: {}", guard::stage_name(stage), check.name,
          status.error().message);
  }

  void check_keys() {
    const auto keys = read_keys(config_.keys.file);
    if (!keys)
      return say(line_of("keys.file", config_.keys.line), "[keys] file: {}", keys.error().message);
    std::vector<std::string> names;
    for (const Key& key : *keys) names.push_back(key.name);
    // A rule that is to keep a client's texts here must not fail for a typing error.
    for (const RouteConfig& route : config_.routes)
      for (const RuleConfig& rule : route.rules)
        for (const std::string& name : rule.keys)
          if (std::ranges::find(names, name) == names.end())
            say(rule.line,
                "[[routes.{}.rules]] when.key: there is no key '{}'{} (`tack keys list`)",
                route.name, name, did_you_mean(name, names));
  }

  // Labels that the model does not have would never be met.
  void check_intent(const RouteConfig& route, const RuleConfig& rule) {
    const LocalModelConfig* named = config_.model(rule.intent->model);
    const auto path = resolve_model(named->path);
    if (!path) return;  // said already
    const auto model = Model::open(*path, Model::Use::kWeights);
    if (!model)
      return say(rule.line, "[[routes.{}.rules]] when.intent model: {}", route.name,
                 model.error().message);
    if ((*model)->tack_metadata("heads") != nullptr) return;  // of several heads, each has its own
    const std::vector<std::string>& labels = (*model)->labels();
    if (labels.empty())
      return say(rule.line, "[[routes.{}.rules]] when.intent model: '{}' gives no labels",
                 route.name, named->name);
    for (const std::string& label : rule.intent->labels)
      if (std::ranges::find(labels, label) == labels.end())
        say(rule.line,
            "[[routes.{}.rules]] when.intent label: '{}' has no label '{}'{} (`tack show "
            "{}` lists them)",
            route.name, named->name, label, did_you_mean(label, labels), path->string());
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
