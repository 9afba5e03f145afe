// [guard] with its checks, and the files it names: OpenAI's Guardrails, JSON schemas, word lists.
#include <algorithm>

#include <fmt/ranges.h>

#include "base/atomic_file.h"
#include "base/nearest.h"
#include "gateway/config_reader.h"
#include "guard/guard.h"
#include "guard/openai_guardrails.h"

namespace tack::gateway {
namespace {

using guard::CheckConfig;
using guard::CheckKind;
using guard::GuardConfig;
using guard::Stage;
using namespace std::chrono_literals;

constexpr std::size_t kMaxBytes = std::size_t{16} << 20;  // of a file that [guard] names

std::vector<std::string> kind_names() {
  std::vector<std::string> names;
  for (int kind = 0; kind <= static_cast<int>(CheckKind::kGrounded); ++kind)
    names.emplace_back(guard::check_kind_name(static_cast<CheckKind>(kind)));
  return names;
}

// Checks that show their texts to a model when they name none.
bool asks_guard_model(const CheckConfig& check) {
  return check.model.empty() &&
         (check.kind == CheckKind::kUnsafe || check.kind == CheckKind::kInjection);
}

class GuardReader {
 public:
  GuardReader(TomlSection section, GatewayConfig& config)
      : section_(std::move(section)), config_(config), guard_(config.guard) {}

  void read() {
    guard_.enabled = true;
    guard_.line = section_.line();
    read_settings();
    read_stage("pre_flight", Stage::kPreFlight, guard_.pre_flight);
    read_stage("input", Stage::kInput, guard_.input);
    read_stage("output", Stage::kOutput, guard_.output);
    read_openai();
    section_.finish();
    if (guard_.pre_flight.empty() && guard_.input.empty() && guard_.output.empty())
      section_.warn(nullptr, "has no checks: add [[guard.input]] with check = \"injection\"");
    add_guard_model();
  }

 private:
  void read_settings() {
    section_.read("enabled", guard_.enabled);
    std::string mode = "enforce", on_error = "block";
    section_.read_word("mode", {"enforce", "observe"}, mode);
    section_.read_word("on_error", {"block", "pass"}, on_error);
    guard_.observe = mode == "observe";
    guard_.pass_on_error = on_error == "pass";
    section_.read_duration("timeout", 1ms, 10min, guard_.timeout);
    section_.read("max_windows", 1, 100'000, guard_.max_windows);
    if (section_.read("model", guard_.model)) check_model(section_, "model", guard_.model);
    if (section_.has("refusal")) section_.read("refusal", guard_.refusal);
  }

  void read_stage(const char* name, Stage stage, std::vector<CheckConfig>& checks) {
    for (TomlSection& section : section_.list(name)) {
      CheckConfig check{.line = section.line()};
      if (!read_kind(section, check)) continue;
      read_common(section, check);
      read_own(section, stage, check);
      section.finish();
      for (const CheckConfig& other : checks)
        if (other.name == check.name)
          section.mistake(section.has("name") ? "name" : nullptr,
                          "'{}' is the name of another check of this stage: give one a name of "
                          "its own by name",
                          check.name);
      say_what_is_wrong(section, stage, check);
      checks.push_back(std::move(check));
    }
  }

  static bool read_kind(TomlSection& section, CheckConfig& check) {
    const std::vector<std::string> names = kind_names();
    std::string kind;
    if (!section.has("check")) {
      section.mistake(nullptr, "check is missing: one of {}", fmt::join(names, ", "));
      return false;
    }
    if (!section.read_word("check", names, kind)) return false;
    check.kind = static_cast<CheckKind>(std::ranges::find(names, kind) - names.begin());
    check.name = kind;
    return true;
  }

  void read_common(TomlSection& section, CheckConfig& check) const {
    section.read("name", check.name);
    std::string mode = guard_.observe ? "observe" : "enforce";
    if (section.has("mode")) section.read_word("mode", {"enforce", "observe"}, mode);
    check.observe = mode == "observe";
    if (section.has("mode") && mode == "enforce" && guard_.observe)
      section.mistake("mode", "has no effect while [guard] mode is \"observe\"");
  }

  void read_own(TomlSection& section, Stage stage, CheckConfig& check) const {
    constexpr std::int64_t kMost = 1'000'000'000;
    switch (check.kind) {
      case CheckKind::kUnsafe:
      case CheckKind::kInjection:
        section.read_numbers("thresholds", 0, 1, check.thresholds);
        [[fallthrough]];
      case CheckKind::kTopic:
      case CheckKind::kGrounded:
        read_model(section, check);
        break;
      case CheckKind::kPii:
        if (section.has("model")) read_model(section, check);
        section.read_texts("only", check.only);
        section.read_texts("allow", check.allow);
        section.read("threshold", 0, 1, check.threshold);
        if (stage == Stage::kPreFlight) section.read("mask", check.mask);
        break;
      case CheckKind::kSecrets:
        section.read("threshold", 0, 1, check.threshold);
        section.read_texts("only", check.only);
        section.read_texts("allow", check.allow);
        break;
      case CheckKind::kWords:
        read_words(section, check);
        break;
      case CheckKind::kRegex:
        section.read_texts("patterns", check.patterns);
        break;
      case CheckKind::kUrls:
        section.read_texts("allow", check.allow);
        break;
      case CheckKind::kLanguage:
        section.read_texts("only", check.only);
        break;
      case CheckKind::kLength:
        section.read("min_chars", 0, kMost, check.min_chars);
        section.read("max_chars", 0, kMost, check.max_chars);
        section.read("max_tokens", 0, kMost, check.max_tokens);
        break;
      case CheckKind::kSchema:
        read_schema(section, check);
        break;
    }
  }

  void read_model(TomlSection& section, CheckConfig& check) const {
    if (section.has("model") && section.read("model", check.model))
      check_model(section, "model", check.model);
    if (section.has("head")) section.read("head", check.head);
    section.read("threshold", 0, 1, check.threshold);
    section.read_texts("only", check.only);
  }

  // Words in the file, and those of a list with one on each line.
  void read_words(TomlSection& section, CheckConfig& check) const {
    section.read_texts("words", check.words);
    std::string path;
    if (!section.has("file") || !section.read("file", path)) return;
    const auto text = read_named(section, "file", path);
    if (!text) return;
    for (std::size_t at = 0; at < text->size();) {
      const std::size_t end = std::min(text->find('\n', at), text->size());
      std::string line = text->substr(at, end - at);
      while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
      if (!line.empty() && line.front() != '#') check.words.push_back(std::move(line));
      at = end + 1;
    }
    if (check.words.empty()) section.mistake("file", "'{}' has no words", path);
  }

  void read_schema(TomlSection& section, CheckConfig& check) const {
    if (!section.read("schema", check.schema) || check.schema.starts_with('{')) return;
    const auto text = read_named(section, "schema", check.schema);
    check.schema = text ? *text : "{}";
  }

  std::optional<std::string> read_named(TomlSection& section, const char* key,
                                        const std::string& name) const {
    const auto path = (directory_of(config_) / name).lexically_normal();
    auto text = read_file(path, kMaxBytes);
    if (text) return *std::move(text);
    section.mistake(key, "cannot be read: {}", text.error().message);
    return {};
  }

  // What a check says of itself without its model; that one is checked when it can be opened.
  void say_what_is_wrong(TomlSection& section, Stage stage, const CheckConfig& check) const {
    bool asked = false;
    const auto models = [&asked](const std::string&) -> Result<guard::GuardModel> {
      asked = true;
      return fail("not now");
    };
    const Status status = guard::validate(stage, check, guard_, models);
    if (status || asked) return;
    // "patterns: ..." and "max_chars is ..." belong to that key's line.
    const std::string& message = status.error().message;
    const std::size_t end = std::min(message.find_first_of(": "), message.size());
    const std::string key = message.substr(0, end);
    const std::size_t rest = std::min(message.find_first_not_of(": ", end), message.size());
    if (section.has(key.c_str()))
      section.mistake(key.c_str(), "{}", message.substr(rest));
    else
      section.mistake(nullptr, "{}", message);
  }

  void check_model(TomlSection& section, const char* key, const std::string& name) const {
    if (config_.model(name) != nullptr || name == GuardConfig().model) return;
    std::vector<std::string> local;
    for (const LocalModelConfig& model : config_.models) local.push_back(model.name);
    section.mistake(key, "must be a model of this file, since every text is shown to it{}{}",
                    did_you_mean(name, local),
                    local.empty() ? "; there is none: add [models.NAME]"
                                  : fmt::format(" (there are: {})", fmt::join(local, ", ")));
  }

  void read_openai() {
    std::string path;
    if (!section_.has("config") || !section_.read("config", path)) return;
    const auto text = read_named(section_, "config", path);
    if (!text) return;
    auto parsed = guard::parse_openai_guardrails(*text, path);
    if (!parsed) return section_.mistake("config", "{}", parsed.error().message);
    for (const std::string& warning : parsed->warnings)
      section_.warn("config", "{}: {}", path, warning);
    take(Stage::kPreFlight, std::move(parsed->pre_flight), guard_.pre_flight);
    take(Stage::kInput, std::move(parsed->input), guard_.input);
    take(Stage::kOutput, std::move(parsed->output), guard_.output);
  }

  // Checks of that file, after those of this one.
  void take(Stage stage, std::vector<CheckConfig> from, std::vector<CheckConfig>& to) {
    for (CheckConfig& check : from) {
      check.line = section_.line("config");
      say_what_is_wrong(section_, stage, check);
      to.push_back(std::move(check));
    }
  }

  // The guard model is served as any other; the one that comes with tack needs no section.
  void add_guard_model() {
    const auto asks = [](const std::vector<CheckConfig>& checks) {
      return std::ranges::any_of(checks, asks_guard_model);
    };
    const bool needed =
        guard_.enabled && (asks(guard_.pre_flight) || asks(guard_.input) || asks(guard_.output));
    if (!needed || config_.model(guard_.model) != nullptr || guard_.model != GuardConfig().model)
      return;
    config_.models.push_back({.name = guard_.model, .path = guard_.model, .line = guard_.line});
  }

  TomlSection section_;
  GatewayConfig& config_;
  GuardConfig& guard_;
};

}  // namespace

void read_guard(TomlSection& root, GatewayConfig& config) {
  TomlSection section = root.section("guard");
  if (section.exists()) GuardReader(std::move(section), config).read();
}

}  // namespace tack::gateway
