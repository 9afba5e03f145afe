// `tack keys`: API keys for the clients of `tack serve`.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <optional>

#include <fmt/ranges.h>

#include "base/duration.h"
#include "base/json.h"
#include "base/nearest.h"
#include "base/paths.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "gateway/key_file.h"

namespace tack {
namespace {

using gateway::Key;
using std::chrono::sys_seconds;

struct Options {
  std::string file, name, expires;
  std::int64_t requests = 0, tokens = 0;
  bool local_only = false, json = false;
  std::string privacy = "allow";
  std::vector<std::string> upstreams, models;
};

std::filesystem::path file_of(const Options& options) {
  return options.file.empty() ? tack_home() / "keys.toml" : std::filesystem::path(options.file);
}

sys_seconds now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

// "2030-12-31"
std::optional<std::chrono::year_month_day> parse_day(const std::string& text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return {};
  const auto number = [&](std::size_t from, std::size_t count) {
    int value = 0;
    const char* const end = text.data() + from + count;
    const auto [rest, error] = std::from_chars(text.data() + from, end, value);
    return error == std::errc() && rest == end ? value : -1;
  };
  const std::chrono::year_month_day day(std::chrono::year(number(0, 4)),
                                        std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(number(8, 2))));
  return day.ok() ? std::optional(day) : std::nullopt;
}

// "90d" from now, or the day that begins at 00:00 UTC.
Result<sys_seconds> parse_expiry(const std::string& text) {
  if (const auto span = parse_duration(text))
    return now() + std::chrono::floor<std::chrono::seconds>(*span);
  const auto day = parse_day(text);
  if (!day)
    return fail(ErrorCode::kUsage,
                "--expires {}: expected a span of time (90d) or a day (2030-12-31)", text);
  return std::chrono::sys_days(*day);
}

std::string day_text(const std::optional<sys_seconds>& time) {
  if (!time) return "-";
  const std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(*time));
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()),
                     static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()));
}

// None when there is no file yet.
Result<std::vector<Key>> keys_in(const std::filesystem::path& file) {
  auto keys = gateway::read_keys(file);
  if (!keys && keys.error().code == ErrorCode::kNotFound) return std::vector<Key>();
  return keys;
}

Status add(const Options& options) {
  const std::filesystem::path file = file_of(options);
  if (!gateway::is_key_name(options.name))
    return fail(ErrorCode::kUsage, "'{}' is no name of a key: letters, digits and -_.:@+",
                options.name);
  Key key{.name = options.name,
          .created = now(),
          .requests_per_minute = options.requests,
          .tokens_per_minute = options.tokens,
          .privacy = options.local_only ? gateway::PrivacyMode::kLocalOnly
                                        : *gateway::privacy_mode(options.privacy),
          .upstreams = options.upstreams,
          .models = options.models};
  if (!options.expires.empty()) {
    TACK_TRY(key.expires, parse_expiry(options.expires));
    if (key.expired(now()))
      return fail(ErrorCode::kUsage, "--expires {}: is over already", options.expires);
  }
  TACK_TRY(const std::string secret, gateway::make_key());
  key.hash = sha256(secret);
  std::error_code ignored;  // what cannot be made cannot be locked either, and that says why
  std::filesystem::create_directories(file.parent_path(), ignored);
  {
    TACK_TRY(const auto lock, gateway::KeyFileLock::take(file));
    TACK_TRY(std::vector<Key> keys, keys_in(file));
    if (std::ranges::find(keys, key.name, &Key::name) != keys.end())
      return fail(ErrorCode::kUsage,
                  "{}: there is a key '{}' already: `tack keys remove {}` first, "
                  "or take another name",
                  file.string(), key.name, key.name);
    keys.push_back(key);
    TACK_RETURN_IF_ERROR(gateway::write_keys(file, keys));
  }
  fmt::print(stderr, "the key '{}', shown this once; {} keeps its hash\n", key.name, file.string());
  return print_line(options.json ? to_text({{"name", key.name}, {"key", secret}}) : secret);
}

Json to_json(const Key& key) {
  const auto seconds = [](const std::optional<sys_seconds>& time) {
    return time ? Json(time->time_since_epoch().count()) : Json();
  };
  return {{"name", key.name},
          {"created", seconds(key.created)},
          {"expires", seconds(key.expires)},
          {"expired", key.expired(now())},
          {"requests_per_minute", key.requests_per_minute},
          {"tokens_per_minute", key.tokens_per_minute},
          {"privacy", gateway::name_of(key.privacy)},
          {"upstreams", key.upstreams},
          {"models", key.models}};
}

std::string limits(const Key& key) {
  std::vector<std::string> parts;
  if (key.requests_per_minute > 0)
    parts.push_back(fmt::format("{} requests a minute", key.requests_per_minute));
  if (key.tokens_per_minute > 0)
    parts.push_back(fmt::format("{} tokens a minute", key.tokens_per_minute));
  if (key.privacy != gateway::PrivacyMode::kAllow)
    parts.emplace_back(key.privacy == gateway::PrivacyMode::kMask ? "masked" : "local only");
  if (!key.upstreams.empty())
    parts.push_back(fmt::format("upstreams {}", fmt::join(key.upstreams, " ")));
  if (!key.models.empty()) parts.push_back(fmt::format("models {}", fmt::join(key.models, " ")));
  return parts.empty() ? "-" : fmt::format("{}", fmt::join(parts, ", "));
}

Status list(const Options& options) {
  const std::filesystem::path file = file_of(options);
  TACK_TRY(const std::vector<Key> keys, keys_in(file));
  if (options.json) {
    Json all = Json::array();
    for (const Key& key : keys) all.push_back(to_json(key));
    return print_line(to_text({{"file", file.string()}, {"keys", std::move(all)}}, 2));
  }
  if (keys.empty())
    return print_line(
        fmt::format("no keys in {}: make one with `tack keys add NAME`", file.string()));
  std::size_t width = 4;
  for (const Key& key : keys) width = std::max(width, key.name.size());
  TACK_RETURN_IF_ERROR(
      print_line(fmt::format("{:{}}  {:10}  {:10}  limits", "name", width, "created", "expires")));
  for (const Key& key : keys)
    TACK_RETURN_IF_ERROR(print_line(
        fmt::format("{:{}}  {:10}  {:10}  {}", key.name, width, day_text(key.created),
                    key.expired(now()) ? "expired" : day_text(key.expires), limits(key))));
  return {};
}

Status remove(const Options& options) {
  const std::filesystem::path file = file_of(options);
  TACK_TRY(const auto lock, gateway::KeyFileLock::take(file));
  TACK_TRY(std::vector<Key> keys, gateway::read_keys(file));
  if (std::erase_if(keys, [&](const Key& key) { return key.name == options.name; }) > 0) {
    TACK_RETURN_IF_ERROR(gateway::write_keys(file, keys));
    fmt::print(stderr, "removed the key '{}'\n", options.name);
    return {};
  }
  std::vector<std::string> names;
  for (const Key& key : keys) names.push_back(key.name);
  return fail(ErrorCode::kNotFound, "{}: no key '{}'{}", file.string(), options.name,
              did_you_mean(options.name, names));
}

}  // namespace

Verb make_keys(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("keys", "Make, list and remove API keys for `tack serve`");
  verb.require_verb();
  Command adding = verb.add_verb("add", "Make a key and print it, once");
  Command listing = verb.add_verb("list", "The keys and what each may do");
  Command removing =
      verb.add_verb("remove", "Remove a key; a running server refuses it within a second");
  for (Command* one : {&adding, &listing, &removing})
    one->option("--file", options->file, "File of keys; default: keys.toml under TACK_HOME")
        .environment("TACK_KEYS");
  adding.option("name", options->name, "Name in the ledger and in rules").required();
  adding.option("--requests-per-minute", options->requests, "Limit; 0: none").not_negative();
  adding
      .option("--tokens-per-minute", options->tokens,
              "Limit of prompts and answers together; 0: none")
      .not_negative();
  adding.flag("--local-only", options->local_only, "Nothing of its requests goes to an upstream");
  adding
      .option(
          "--privacy", options->privacy,
          "Its requests at the least: allow; mask: personal data leaves as pseudonyms; local-only")
      .one_of(gateway::privacy_mode_names());
  adding.option("--upstreams", options->upstreams, "The only upstreams it may use: a,b")
      .delimiter(',')
      .one_at_a_time();
  adding.option("--models", options->models, "The only models and routes it may ask for: a,b")
      .delimiter(',')
      .one_at_a_time();
  adding.option("--expires", options->expires, "A span of time (90d) or a day (2030-12-31)");
  adding.flag("--json", options->json, "One object");
  listing.flag("--json", options->json, "One object");
  removing.option("name", options->name, "Which").required();
  for (Command* one : {&verb, &adding, &listing, &removing})
    one->footer("Example: tack keys add support --requests-per-minute 60");
  return {verb, [options, adding, listing] {
            if (adding.given()) return add(*options);
            return listing.given() ? list(*options) : remove(*options);
          }};
}

}  // namespace tack
