// [routes.NAME] with rules, the learned router and the shadow.
#include <algorithm>
#include <cctype>

#include <fmt/ranges.h>

#include "base/nearest.h"
#include "gateway/config_reader.h"

namespace tack::gateway {
namespace {

class RouteReader {
 public:
  RouteReader(GatewayConfig& config, std::vector<std::string> routes)
      : config_(config), routes_(std::move(routes)) {
    for (const LocalModelConfig& model : config.models) names_.push_back(model.name);
    for (const UpstreamConfig& upstream : config.upstreams)
      names_.push_back(upstream.name + "/MODEL");
  }

  void read(TomlSection& section) {
    RouteConfig route{.name = section.name(), .line = section.line()};
    check_name(section, /*slash=*/false);
    if (config_.model(route.name) != nullptr)
      section.mistake(nullptr, "has the name of a model: call one of them otherwise");
    read_target(section, route.to);
    if (!route.to.models.empty()) route.baseline = route.to.models.back();
    if (section.read("baseline", route.baseline) && check(section, "baseline", route.baseline))
      warn_without_price(section, "baseline", route.baseline, "savings are not counted against it");
    for (TomlSection& rule : section.list("rules")) read_rule(rule, route.rules);
    if (TomlSection learned = section.section("learned"); learned.exists())
      route.learned = read_learned(learned);
    if (TomlSection shadow = section.section("shadow"); shadow.exists())
      route.shadow = read_shadow(shadow);
    read_privacy_mode(section, "privacy", route.privacy);
    section.finish();
    config_.routes.push_back(std::move(route));
  }

 private:
  // What is wrong with the name of a model that a route sends to; "" when it is right.
  std::string why_not(const std::string& name) const {
    if (config_.model(name) != nullptr) return {};
    const std::string head = name.substr(0, name.find('/'));
    if (config_.upstream(head) != nullptr)
      return name.size() > head.size() + 1
                 ? ""
                 : fmt::format("'{}' is an upstream: name one of its models, \"{}/MODEL\"", head,
                               head);
    if (std::ranges::find(routes_, name) != routes_.end())
      return fmt::format("'{}' is a route, and a route sends to models only", name);
    std::vector<std::string> heads = names_;
    if (name.contains('/'))
      for (std::string& known : heads)
        if (known.ends_with("/MODEL")) known.resize(known.size() - 6);
    std::string text = name.contains('/') ? fmt::format("there is no upstream '{}'", head)
                                          : fmt::format("there is no model '{}'", name);
    const std::string suggestion = did_you_mean(name.contains('/') ? head : name, heads);
    text += suggestion.empty() ? "." : suggestion;
    return text + (names_.empty() ? " Add it as [models.NAME] or [upstreams.NAME]"
                                  : fmt::format(" There are: {}", fmt::join(names_, ", ")));
  }

  bool check(TomlSection& section, const char* key, const std::string& name) const {
    const std::string why = why_not(name);
    if (!why.empty()) section.mistake(key, "is wrong: {}", why);
    return why.empty();
  }

  // An upstream that has prices, but none for this model: a typing error, as a rule.
  void warn_without_price(TomlSection& section, const char* key, const std::string& name,
                          std::string_view so) const {
    if (config_.model(name) != nullptr) return;
    const auto found = split_upstream(config_, name);
    if (!found || found->upstream->prices.contains(found->model) ||
        found->upstream->prices.contains("*"))
      return;
    std::vector<std::string> priced;
    for (const auto& [model, price] : found->upstream->prices) priced.push_back(model);
    section.warn(key, "names '{}', which has no price in [upstreams.{}]: {}{}", name,
                 found->upstream->name, so, did_you_mean(found->model, priced));
  }

  void read_target(TomlSection& section, TargetConfig& target) const {
    section.read_texts("to", target.models);
    if (!section.has("to"))
      section.mistake(nullptr,
                      "to is missing: the model that answers, or a list of models that are "
                      "asked in their order");
    for (std::size_t i = 0; i < target.models.size(); ++i) {
      const std::string& name = target.models[i];
      if (std::find(target.models.begin(), target.models.begin() + static_cast<std::ptrdiff_t>(i),
                    name) != target.models.begin() + static_cast<std::ptrdiff_t>(i))
        section.mistake("to", "names '{}' twice", name);
      else if (const auto found = split_upstream(config_, name);
               check(section, "to", name) && found && !found->upstream->prices.empty())
        warn_without_price(section, "to", name, "it counts as free");
    }
    if (section.read("min_confidence", 0, 1, target.min_confidence) && target.models.size() == 1)
      section.mistake("min_confidence",
                      "needs a second model in to: the one that is asked when the "
                      "first is not sure");
  }

  void read_rule(TomlSection& section, std::vector<RuleConfig>& rules) const {
    RuleConfig rule{.name = "rule " + section.name(), .line = section.line()};
    if (section.read("name", rule.name))
      for (const RuleConfig& other : rules)
        if (other.name == rule.name)
          section.mistake("name", "'{}' is the name of another rule", rule.name);
    TomlSection when = section.section("when");
    read_conditions(when, rule);
    if (!section.has("when") || (when.exists() && when.size() == 0))
      section.mistake("when",
                      "is missing: a rule has at least one condition, such as "
                      "when = {{ min_chars = 4000 }}; what always holds is the route's own to");
    read_target(section, rule.to);
    section.finish();
    rules.push_back(std::move(rule));
  }

  void read_conditions(TomlSection& when, RuleConfig& rule) const {
    if (when.read_texts("key", rule.keys) && config_.keys.file.empty())
      when.mistake("key", "never holds: without a section [keys] no client has a key");
    when.read_texts("language", rule.languages);
    for (const std::string& language : rule.languages)
      if (language.size() != 2 || !std::islower(static_cast<unsigned char>(language[0])) ||
          !std::islower(static_cast<unsigned char>(language[1])))
        when.mistake("language", "must be codes of two letters (ISO 639-1), such as \"de\"");
    std::map<std::string, std::string> headers;
    when.read_map("header", headers);
    for (const auto& [name, value] : headers) {
      if (!is_header_name(name) || !is_header_value(value))
        when.mistake("header", "holds '{}', which is no header", name);
      std::string lower = name;
      std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
      rule.headers[lower] = value;
    }
    constexpr std::int64_t kMost = 1'000'000'000;
    when.read("min_chars", 0, kMost, rule.min_chars);
    when.read("max_chars", 0, kMost, rule.max_chars);
    if (rule.min_chars && rule.max_chars && *rule.min_chars > *rule.max_chars)
      when.mistake("max_chars", "is below min_chars: no request is like that");
    when.read_texts("contains", rule.contains);
    when.read("tools", rule.tools);
    when.read("images", rule.images);
    if (TomlSection intent = when.section("intent"); intent.exists())
      rule.intent = read_intent(intent);
    when.finish();
  }

  RuleConfig::Intent read_intent(TomlSection& section) const {
    RuleConfig::Intent intent;
    if (!section.read("model", intent.model)) {
      if (!section.has("model"))
        section.mistake(nullptr, "has no model: the task model that labels the text");
    } else if (config_.model(intent.model) == nullptr) {
      std::vector<std::string> local;
      for (const LocalModelConfig& model : config_.models) local.push_back(model.name);
      section.mistake("model", "must be a model of this file, since every text is shown to it{}{}",
                      did_you_mean(intent.model, local),
                      local.empty() ? "; there is none: add [models.NAME]"
                                    : fmt::format(" (there are: {})", fmt::join(local, ", ")));
    }
    section.read_texts("label", intent.labels);
    section.read("min_probability", 0, 1, intent.min_probability);
    section.read("out_of_scope", intent.out_of_scope);
    if (intent.out_of_scope && !intent.labels.empty())
      section.mistake("out_of_scope",
                      "must be left out beside label: a text out of scope has none");
    section.finish();
    return intent;
  }

  LearnedConfig read_learned(TomlSection& section) const {
    LearnedConfig learned{.line = section.line()};
    if (section.read("router", learned.router))
      learned.router = (directory_of(config_) / learned.router).lexically_normal().string();
    else if (!section.has("router"))
      section.mistake(nullptr, "router is missing: a file that `tack route train` wrote");
    section.read_map("models", learned.models);
    for (const auto& [theirs, ours] : learned.models)
      if (const std::string why = why_not(ours); !why.empty())
        section.mistake("models", "'{}' is wrong: {}", theirs, why);
    section.read("strong_share", 0, 1, learned.strong_share);
    section.finish();
    return learned;
  }

  ShadowConfig read_shadow(TomlSection& section) const {
    ShadowConfig shadow{.line = section.line()};
    if (section.read("model", shadow.model))
      check(section, "model", shadow.model);
    else if (!section.has("model"))
      section.mistake(nullptr, "model is missing: the one that is asked beside the answer");
    section.read("share", 0, 1, shadow.share);
    section.finish();
    return shadow;
  }

  GatewayConfig& config_;
  std::vector<std::string> routes_, names_;
};

}  // namespace

void read_routes(TomlSection& root, GatewayConfig& config) {
  std::vector<TomlSection> sections = root.sections("routes");
  std::vector<std::string> names;
  for (const TomlSection& section : sections) names.push_back(section.name());
  RouteReader reader(config, std::move(names));
  for (TomlSection& section : sections) reader.read(section);
}

}  // namespace tack::gateway
