#include "guard/openai_guardrails.h"

#include <algorithm>
#include <array>
#include <functional>

#include <fmt/ranges.h>

#include "base/json.h"
#include "base/nearest.h"
#include "privacy/finder.h"

namespace tack::guard {
namespace {

using Texts = std::vector<std::string>;

// Where the categories of their moderation end up: labels of the guard's head "harm".
const std::map<std::string_view, Texts>& moderation_labels() {
  static const std::map<std::string_view, Texts> kLabels{
      {"sexual", {"sexual"}},
      {"sexual/minors", {"sexual"}},
      {"hate", {"hate"}},
      {"hate/threatening", {"hate"}},
      {"harassment", {"harassment"}},
      {"harassment/threatening", {"harassment"}},
      {"self-harm", {"self_harm"}},
      {"self-harm/intent", {"self_harm"}},
      {"self-harm/instructions", {"self_harm"}},
      {"violence", {"violence"}},
      {"violence/graphic", {"violence"}},
      {"illicit", {"cybercrime", "fraud", "drugs_weapons", "privacy"}},
      {"illicit/violent", {"drugs_weapons"}}};
  return kLabels;
}

// Entities that their configuration may name and that no pattern of ours finds.
constexpr std::array<std::string_view, 34> kTheirEntities{"CRYPTO",
                                                          "DATE_TIME",
                                                          "NRP",
                                                          "MEDICAL_LICENSE",
                                                          "URL",
                                                          "CVV",
                                                          "BIC_SWIFT",
                                                          "US_BANK_NUMBER",
                                                          "US_DRIVER_LICENSE",
                                                          "US_ITIN",
                                                          "US_PASSPORT",
                                                          "UK_NHS",
                                                          "UK_NINO",
                                                          "ES_NIF",
                                                          "ES_NIE",
                                                          "IT_FISCAL_CODE",
                                                          "IT_DRIVER_LICENSE",
                                                          "IT_VAT_CODE",
                                                          "IT_PASSPORT",
                                                          "IT_IDENTITY_CARD",
                                                          "PL_PESEL",
                                                          "SG_NRIC_FIN",
                                                          "SG_UEN",
                                                          "AU_ABN",
                                                          "AU_ACN",
                                                          "AU_TFN",
                                                          "AU_MEDICARE",
                                                          "IN_PAN",
                                                          "IN_AADHAAR",
                                                          "IN_VEHICLE_REGISTRATION",
                                                          "IN_VOTER",
                                                          "IN_PASSPORT",
                                                          "FI_PERSONAL_IDENTITY_CODE",
                                                          "KR_RRN"};

// One guardrail's config; every member must be asked for.
class Fields {
 public:
  explicit Fields(const Json& config) : config_(config) {}

  Status texts(const char* key, Texts& out, bool required) {
    const Json* value = take(key);
    if (value == nullptr)
      return required ? fail(ErrorCode::kUsage, "{} is missing", key) : Status();
    if (!value->is_array()) return fail(ErrorCode::kUsage, "{} must be a list of texts", key);
    out.clear();
    for (const Json& one : *value) {
      if (!one.is_string()) return fail(ErrorCode::kUsage, "{} must be a list of texts", key);
      out.push_back(one.get<std::string>());
    }
    return {};
  }
  Status flag(const char* key, bool& out) {
    const Json* value = take(key);
    if (value == nullptr) return {};
    if (!value->is_boolean()) return fail(ErrorCode::kUsage, "{} must be true or false", key);
    out = value->get<bool>();
    return {};
  }
  const Json* take(const char* key) {
    known_.emplace_back(key);
    return find_member(config_, key);
  }
  Status finish() const {
    for (const auto& [key, value] : config_.items())
      if (std::ranges::find(known_, key) == known_.end())
        return fail(ErrorCode::kUsage, "unknown key '{}'{}{}", key, did_you_mean(key, known_),
                    known_.empty() ? "" : fmt::format(" Known here: {}", fmt::join(known_, ", ")));
    return {};
  }

 private:
  const Json& config_;
  Texts known_;
};

// What a guardrail becomes.
struct Made {
  std::vector<CheckConfig> checks;
  Texts warnings;
};
using Reader = std::function<Result<Made>(Fields&, const std::string& stage)>;

CheckConfig check_of(CheckKind kind, std::string name) {
  return {.kind = kind, .name = std::move(name)};
}

// The settings of guardrails that ask a large model: ours have their own model and thresholds.
Texts take_model_settings(Fields& fields) {
  for (const char* key : {"max_turns", "include_reasoning"}) fields.take(key);
  const Json* model = fields.take("model");
  const Json* threshold = fields.take("confidence_threshold");
  if (model == nullptr && threshold == nullptr) return {};
  return {
      "model and confidence_threshold are about a large model and are not used: the guard model's "
      "own threshold holds (`tack guard tune` sets it)"};
}

Result<Made> read_keywords(Fields& fields, const std::string& name) {
  CheckConfig check = check_of(CheckKind::kWords, name);
  TACK_RETURN_IF_ERROR(fields.texts("keywords", check.words, /*required=*/true));
  for (std::string& word : check.words) {
    word.erase(word.find_last_not_of(".,!?;:") + 1);
    if (word.empty()) return fail(ErrorCode::kUsage, "keywords: one has no characters");
  }
  return Made{{std::move(check)}, {}};
}

Result<Made> read_urls(Fields& fields, const std::string&) {
  CheckConfig check = check_of(CheckKind::kUrls, "URL Filter");
  Texts hosts, schemes{"https"};
  bool subdomains = false, block_user = true;
  TACK_RETURN_IF_ERROR(fields.texts("url_allow_list", hosts, false));
  TACK_RETURN_IF_ERROR(fields.texts("allowed_schemes", schemes, false));
  TACK_RETURN_IF_ERROR(fields.flag("allow_subdomains", subdomains));
  TACK_RETURN_IF_ERROR(fields.flag("block_userinfo", block_user));
  for (const std::string& host : hosts) {
    const bool address = host.find_first_not_of("0123456789./:") == std::string::npos;
    if (address && host.contains('/'))
      return fail(ErrorCode::kUsage,
                  "url_allow_list: '{}' is a range of addresses; name single addresses", host);
    check.allow.push_back(host);
    const std::size_t scheme = host.find("://");
    if (subdomains && !address)
      check.allow.push_back("*." + (scheme == std::string::npos ? host : host.substr(scheme + 3)));
  }
  for (std::string scheme : schemes) {
    scheme.erase(std::min(scheme.find(':'), scheme.size()));
    check.allow.push_back(scheme + ":");
  }
  Made made{{std::move(check)}, {}};
  if (!block_user)
    made.warnings.emplace_back("block_userinfo = false is not used: links with a user's name trip");
  return made;
}

Result<Made> read_pii(Fields& fields, const std::string& stage) {
  CheckConfig check = check_of(CheckKind::kPii, "Contains PII");
  Texts wanted, missing;
  bool block = false, encoded = false;
  TACK_RETURN_IF_ERROR(fields.texts("entities", wanted, false));
  TACK_RETURN_IF_ERROR(fields.flag("block", block));
  TACK_RETURN_IF_ERROR(fields.flag("detect_encoded_pii", encoded));
  for (const std::string& name : wanted) {
    const privacy::EntityInfo* info = privacy::entity(name);
    if (info != nullptr && !info->by_model) {
      check.only.push_back(name);
    } else if (info != nullptr || std::ranges::find(kTheirEntities, name) != kTheirEntities.end()) {
      missing.push_back(name);
    } else {
      return fail(ErrorCode::kUsage, "entities: there is no '{}'", name);
    }
  }
  if (!wanted.empty() && check.only.empty())
    return fail(ErrorCode::kUsage,
                "entities: patterns find none of these: {}; persons and places need a tagger: "
                "[[guard.{}]] check = \"pii\", model = ...",
                fmt::join(missing, ", "), stage);
  check.mask = !block && stage == "pre_flight";
  check.observe = !block && !check.mask;  // as there: without `block` only pre_flight acts
  Made made{{std::move(check)}, {}};
  if (!missing.empty())
    made.warnings.push_back(fmt::format("entities: not looked for, since no pattern finds them: {}",
                                        fmt::join(missing, ", ")));
  return made;
}

Result<Made> read_moderation(Fields& fields, const std::string&) {
  CheckConfig check = check_of(CheckKind::kUnsafe, "Moderation");
  Texts categories;
  TACK_RETURN_IF_ERROR(fields.texts("categories", categories, false));
  for (const std::string& category : categories) {
    const auto labels = moderation_labels().find(category);
    if (labels == moderation_labels().end())
      return fail(ErrorCode::kUsage, "categories: there is no '{}'", category);
    for (const std::string& label : labels->second)
      if (std::ranges::find(check.only, label) == check.only.end()) check.only.push_back(label);
  }
  if (categories.size() >= moderation_labels().size()) check.only.clear();  // all there are
  return Made{{std::move(check)}, {}};
}

Result<Made> read_secrets(Fields& fields, const std::string&) {
  Texts patterns;
  fields.take("threshold");
  TACK_RETURN_IF_ERROR(fields.texts("custom_regex", patterns, false));
  Made made{{check_of(CheckKind::kSecrets, "Secret Keys")}, {}};
  if (!patterns.empty()) {
    made.checks.push_back(check_of(CheckKind::kRegex, "Secret Keys (custom_regex)"));
    made.checks.back().patterns = std::move(patterns);
  }
  return made;
}

Reader model_check(CheckKind kind, std::string name, Texts only = {}) {
  return [kind, name = std::move(name), only = std::move(only)](
             Fields& fields, const std::string&) -> Result<Made> {
    Made made{{check_of(kind, name)}, take_model_settings(fields)};
    made.checks.back().only = only;
    return made;
  };
}

Reader unsupported(std::string instead) {
  return [instead = std::move(instead)](Fields&, const std::string& stage) -> Result<Made> {
    return fail(ErrorCode::kUsage,
                "asks a large model, which tack does not do for a check. Leave it out here, and "
                "{} under [[guard.{}]] of tack.toml",
                instead, stage);
  };
}

const std::map<std::string, Reader>& readers() {
  static const auto words = [](std::string name) -> Reader {
    return [name](Fields& fields, const std::string&) { return read_keywords(fields, name); };
  };
  static const std::string kTopic =
      "train a small model on examples of what is on topic (`tack build`) and name it by "
      "check = \"topic\", model = ...";
  static const std::map<std::string, Reader> kReaders{
      {"Keyword Filter", words("Keyword Filter")},
      {"Competitors", words("Competitors")},
      {"URL Filter", read_urls},
      {"Contains PII", read_pii},
      {"Moderation", read_moderation},
      {"Secret Keys", read_secrets},
      {"NSFW Text", model_check(CheckKind::kUnsafe, "NSFW Text", {"sexual"})},
      {"Jailbreak", model_check(CheckKind::kInjection, "Jailbreak")},
      {"Prompt Injection Detection",
       model_check(CheckKind::kInjection, "Prompt Injection Detection")},
      {"Off Topic Prompts", unsupported(kTopic)},
      {"Custom Prompt Check", unsupported(kTopic)},
      {"Hallucination Detection",
       unsupported("name a task model that compares an answer with the retrieved texts by "
                   "check = \"grounded\", model = ...")}};
  return kReaders;
}

Result<Made> read_guardrail(const Json& guardrail, const std::string& stage) {
  const Json* name = find_member(guardrail, "name");
  if (name == nullptr || !name->is_string()) return fail(ErrorCode::kUsage, "name is missing");
  const auto reader = readers().find(name->get<std::string>());
  if (reader == readers().end()) {
    Texts known;
    for (const auto& [one, unused] : readers()) known.push_back(one);
    return fail(ErrorCode::kUsage, "there is no guardrail of this name{} Known: {}",
                did_you_mean(name->get<std::string>(), known), fmt::join(known, ", "));
  }
  static const Json kEmpty = Json::object();
  const Json* config = find_member(guardrail, "config");
  if (config != nullptr && !config->is_object())
    return fail(ErrorCode::kUsage, "config must be an object");
  Fields fields(config == nullptr ? kEmpty : *config);
  TACK_TRY(Made made, reader->second(fields, stage));
  TACK_RETURN_IF_ERROR(fields.finish());
  return made;
}

Status check_version(const Json& object) {
  const Json* version = find_member(object, "version");
  if (version == nullptr || *version == Json(1)) return {};
  return fail(ErrorCode::kUsage, "version must be 1");
}

Status check_keys(const Json& object, const Texts& known) {
  for (const auto& [key, value] : object.items())
    if (std::ranges::find(known, key) == known.end())
      return fail(ErrorCode::kUsage, "unknown key '{}'{} Known here: {}", key,
                  did_you_mean(key, known), fmt::join(known, ", "));
  return {};
}

Status read_stage(const Json& bundle, const std::string& stage, std::vector<CheckConfig>& checks,
                  Texts& warnings) {
  if (!bundle.is_object()) return fail(ErrorCode::kUsage, "must be an object");
  TACK_RETURN_IF_ERROR(check_version(bundle));
  TACK_RETURN_IF_ERROR(check_keys(bundle, {"version", "stage_name", "guardrails", "config"}));
  const Json* list = find_member(bundle, "guardrails");
  if (list == nullptr || !list->is_array())
    return fail(ErrorCode::kUsage, "guardrails must be a list");
  const Json* config = find_member(bundle, "config");
  const Json* suppress = config == nullptr ? nullptr : find_member(*config, "suppress_tripwire");
  const bool observe = suppress != nullptr && *suppress == Json(true);
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Json& one = (*list)[i];
    const Json* name = find_member(one, "name");
    const std::string where =
        fmt::format("guardrails {}{}", i + 1,
                    name != nullptr && name->is_string()
                        ? fmt::format(" ({})", name->get<std::string>().substr(0, 60))
                        : "");
    Result<Made> made = read_guardrail(one, stage);
    if (!made) return std::unexpected(std::move(made).error().in(where));
    for (CheckConfig& check : made->checks) {
      check.observe = check.observe || observe;
      checks.push_back(std::move(check));
    }
    for (const std::string& warning : made->warnings)
      warnings.push_back(fmt::format("{}: {}: {}", stage, where, warning));
  }
  return {};
}

}  // namespace

Result<OpenAiGuardrails> parse_openai_guardrails(std::string_view text, std::string_view name) {
  TACK_TRY(const Json json, parse_json(text, name));
  const auto in_file = [&](Status status) -> Status {
    if (status) return status;
    return std::unexpected(std::move(status).error().in(name));
  };
  if (!json.is_object()) return fail(ErrorCode::kUsage, "{}: must be an object", name);
  TACK_RETURN_IF_ERROR(in_file(check_version(json)));
  TACK_RETURN_IF_ERROR(in_file(check_keys(json, {"version", "pre_flight", "input", "output"})));
  OpenAiGuardrails all;
  bool any = false;
  for (auto [stage, checks] : {std::pair("pre_flight", &all.pre_flight),
                               std::pair("input", &all.input), std::pair("output", &all.output)}) {
    const Json* bundle = find_member(json, stage);
    if (bundle == nullptr) continue;
    any = true;
    if (Status status = read_stage(*bundle, stage, *checks, all.warnings); !status)
      return std::unexpected(std::move(status).error().in(fmt::format("{}: {}", name, stage)));
  }
  if (!any)
    return fail(ErrorCode::kUsage, "{}: has none of the stages pre_flight, input and output", name);
  return all;
}

}  // namespace tack::guard
