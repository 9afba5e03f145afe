// `tack config`: what is wrong with tack.toml, and what holds.

#include <algorithm>
#include <filesystem>
#include <memory>

#include <fmt/ranges.h>

#include "base/atomic_file.h"
#include "base/paths.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "gateway/config.h"
#include "gateway/egress_summary.h"
#include "net/address.h"
#include "net/client.h"

namespace tack {
namespace {

namespace fs = std::filesystem;
using gateway::ConfigMistake;
using gateway::ConfigSetting;
using gateway::GatewayConfig;

constexpr std::size_t kMaxBytes = std::size_t{1} << 20;

struct Options {
  std::string file;
  bool origin = false, json = false;
};

// The file that was named, else tack.toml here, else under TACK_HOME; "" when there is none.
fs::path find_file(const Options& options) {
  if (!options.file.empty()) return options.file;
  std::error_code error;
  for (const fs::path& path : {fs::path("tack.toml"), tack_home() / "tack.toml"})
    if (fs::exists(path, error)) return path;
  return {};
}

std::string where(const std::string& file, int line) {
  return line > 0 ? fmt::format("{}:{}", file, line) : file;
}

// "2 models (tickets, triage)".
template <class T>
std::string names(const std::vector<T>& all, const char* what) {
  std::vector<std::string> list;
  for (const T& one : all) list.push_back(one.name);
  return fmt::format("{} {}{}{}", list.size(), what, list.size() == 1 ? "" : "s",
                     list.empty() ? "" : fmt::format(" ({})", fmt::join(list, ", ")));
}

std::string summary(const GatewayConfig& config) {
  return fmt::format("{}: good: {}, {}, {}; {}", config.file, names(config.models, "model"),
                     names(config.upstreams, "upstream"), names(config.routes, "route"),
                     gateway::what_may_leave(config));
}

Json to_json(const std::vector<ConfigMistake>& mistakes) {
  Json list = Json::array();
  for (const ConfigMistake& mistake : mistakes)
    list.push_back(
        {{"line", mistake.line > 0 ? Json(mistake.line) : Json()}, {"message", mistake.message}});
  return list;
}

template <class T>
Json name_list(const std::vector<T>& all) {
  Json list = Json::array();
  for (const T& one : all) list.push_back(one.name);
  return list;
}

Json report(const std::string& file, const std::vector<ConfigMistake>& mistakes,
            const GatewayConfig* config) {
  Json json = {{"file", file}, {"valid", mistakes.empty()}, {"mistakes", to_json(mistakes)}};
  if (config == nullptr) return json;
  json["warnings"] = to_json(config->warnings);
  json["models"] = name_list(config->models);
  json["upstreams"] = name_list(config->upstreams);
  json["routes"] = name_list(config->routes);
  json["leaves_for"] = gateway::hosts_outside(*config);
  return json;
}

Status validate(const Options& options) {
  const fs::path path = find_file(options);
  if (path.empty())
    return fail(ErrorCode::kNotFound, "no tack.toml here nor in {}: name a file",
                tack_home().string());
  const std::string file = path.string();
  TACK_TRY(const std::string text, read_file(path, kMaxBytes));
  const auto config = gateway::parse_config(text, path, gateway::environment_overrides());
  const std::vector<ConfigMistake> mistakes =
      config ? gateway::check_environment(*config) : config.error();
  if (options.json) {
    TACK_RETURN_IF_ERROR(
        print_line(to_text(report(file, mistakes, config ? &*config : nullptr), 2)));
  } else {
    for (const ConfigMistake& mistake : mistakes)
      TACK_RETURN_IF_ERROR(
          print_line(fmt::format("{}: {}", where(file, mistake.line), mistake.message)));
    for (const ConfigMistake& warning : config ? config->warnings : std::vector<ConfigMistake>())
      TACK_RETURN_IF_ERROR(
          print_line(fmt::format("{}: warning: {}", where(file, warning.line), warning.message)));
  }
  if (!mistakes.empty())
    return fail(ErrorCode::kUsage, "{}: {} mistake{}", file, mistakes.size(),
                mistakes.size() == 1 ? "" : "s");
  return options.json ? Status() : print_line(summary(*config));
}

std::string origin_of(const ConfigSetting& setting, const std::string& file) {
  return setting.origin == "file" ? where(file, setting.line) : setting.origin;
}

Status print_settings(const GatewayConfig& config, bool origin) {
  constexpr std::size_t kWidest = 60;
  std::size_t width = 0;
  std::vector<std::string> lines;
  for (const ConfigSetting& setting : config.settings) {
    lines.push_back(fmt::format("{} = {}", setting.key, to_text(setting.value)));
    width = std::max(width, std::min(lines.back().size(), kWidest));
  }
  for (std::size_t i = 0; i < lines.size(); ++i)
    TACK_RETURN_IF_ERROR(print_line(origin ? fmt::format("{:{}}  # {}", lines[i], width,
                                                         origin_of(config.settings[i], config.file))
                                           : lines[i]));
  return {};
}

Status show(const Options& options) {
  const fs::path path = find_file(options);  // without one: the defaults
  std::string text;
  if (!path.empty()) {
    TACK_TRY(text, read_file(path, kMaxBytes));
  }
  const auto config = gateway::parse_config(text, path, gateway::environment_overrides());
  if (!config) {
    const ConfigMistake& first = config.error().front();
    return fail(ErrorCode::kUsage, "{}: {} (all mistakes: tack config validate)",
                where(path.string(), first.line), first.message);
  }
  if (!options.json) return print_settings(*config, options.origin);
  Json settings = Json::array();
  for (const ConfigSetting& setting : config->settings)
    settings.push_back({{"key", setting.key},
                        {"value", setting.value},
                        {"origin", setting.origin},
                        {"line", setting.line > 0 ? Json(setting.line) : Json()}});
  return print_line(to_text({{"file", path.string()}, {"settings", std::move(settings)}}, 2));
}

}  // namespace

Verb make_config(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("config", "Check and show the configuration of `tack serve`");
  verb.require_verb();
  const std::string file_help = "File; default: tack.toml here, else under TACK_HOME";
  Command check = verb.add_verb("validate", "Say every mistake with its line");
  Command list = verb.add_verb("show", "Every setting as it holds");
  for (Command* one : {&check, &list})
    one->option("file", options->file, file_help).environment("TACK_CONFIG");
  check.flag("--json", options->json, "One object");
  list.flag("--origin", options->origin, "Say where each comes from: line, variable or default");
  list.flag("--json", options->json, "One object, with origins");
  for (Command* one : {&verb, &check, &list})
    one->footer("Example: tack config validate tack.toml && tack serve --config tack.toml");
  return {verb, [options, check] { return check.given() ? validate(*options) : show(*options); }};
}

}  // namespace tack
