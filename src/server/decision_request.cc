#include "server/decision_request.h"

#include <algorithm>

#include "server/fields.h"
#include "server/request_fields.h"

namespace tack::server {
namespace {

constexpr std::size_t kMostQuestions = 400, kMostOptions = 255;

ApiResult<std::string> needed_string(const Json& object, std::string_view name,
                                     const std::string& place) {
  const std::string param = fmt::format("{}.{}", place, name);
  const Json* value = member(object, name);
  if (value == nullptr || !value->is_string())
    return bad(param, fmt::format("'{}' is missing or no string", param));
  return value->get<std::string>();
}

ApiResult<std::string> part_text(const Json& part, const std::string& place) {
  if (!part.is_object()) return bad(place, fmt::format("'{}' must be an object", place));
  const auto type = needed_string(part, "type", place);
  if (!type) return type;
  if (*type == "input_text" || *type == "output_text") return needed_string(part, "text", place);
  if (*type == "refusal") return needed_string(part, "refusal", place);
  if (*type == "input_image")
    return bad(place, fmt::format("'{}' is an image: only texts can be decided about here", place));
  const Json* data = *type == "input_json" ? member(part, "data") : nullptr;
  if (data != nullptr && data->is_structured()) return to_text(*data);
  return bad(place, fmt::format("'{}' must be of type input_text (with 'text') or input_json (with "
                                "'data', an object or a list of them)",
                                place));
}

// A string, or a list of parts, whose texts are joined with line breaks.
ApiResult<std::string> content_text(const Json* content, const std::string& place) {
  if (content == nullptr) return bad(place, fmt::format("'{}' is missing", place));
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array())
    return bad(place, fmt::format("'{}' must be a string or a list of parts", place));
  std::string joined;
  for (std::size_t i = 0; i < content->size(); ++i) {
    auto text = part_text((*content)[i], fmt::format("{}[{}]", place, i));
    if (!text) return text;
    if (i > 0) joined += '\n';
    joined += *text;
  }
  return joined;
}

// One entry of the input. The text of the user's messages replaces `text`; the others are checked
// only: task models are made for single texts.
ApiResult<void> read_item(const Json& item, const std::string& place,
                          std::optional<std::string>& text) {
  if (!item.is_object()) return bad(place, fmt::format("'{}' must be an object", place));
  const auto type = optional_string(item, "type");
  if (!type) return bad(place + ".type", fmt::format("'{}.type' must be a string", place));
  if (*type == "function_call" || *type == "custom_tool_call") return {};
  const bool output = *type == "function_call_output" || *type == "custom_tool_call_output";
  if (!output && !type->empty() && *type != "message")
    return bad(place + ".type", fmt::format("'{}.type' is none of message, function_call, "
                                            "function_call_output, custom_tool_call, "
                                            "custom_tool_call_output",
                                            place));
  const char* const where = output ? "output" : "content";
  auto content = content_text(member(item, where), fmt::format("{}.{}", place, where));
  if (!content) return std::unexpected(content.error());
  if (output) return {};
  const auto role = needed_string(item, "role", place);
  if (!role) return std::unexpected(role.error());
  if (*role == "user") text = *std::move(content);
  constexpr std::string_view kRoles[] = {"user", "developer", "system", "assistant"};
  if (std::ranges::find(kRoles, *role) != std::end(kRoles)) return {};
  return bad(place + ".role",
             fmt::format("'{}.role' is none of user, developer, system, assistant", place));
}

ApiResult<std::string> read_input(const Json& body) {
  const Json* input = member(body, "input");
  if (input == nullptr) return bad("input", "'input' is missing");
  if (input->is_string()) return input->get<std::string>();
  if (!input->is_array() || input->empty())
    return bad("input", "'input' must be a string or an array of messages");
  std::optional<std::string> text;
  for (std::size_t i = 0; i < input->size(); ++i)
    if (auto read = read_item((*input)[i], fmt::format("input[{}]", i), text); !read)
      return std::unexpected(read.error());
  if (!text) return bad("input", "'input' has no message of the user to decide about");
  return *std::move(text);
}

// "choices" or "levels", with a "value" or a "label" in each.
ApiResult<std::vector<Json>> read_options(const Json& question, const std::string& place,
                                          bool choice) {
  const std::string list = fmt::format("{}.{}", place, choice ? "choices" : "levels");
  const Json* options = member(question, choice ? "choices" : "levels");
  if (options == nullptr || !options->is_array() || options->size() < 2 ||
      options->size() > kMostOptions)
    return bad(list, fmt::format("'{}' must be an array of 2 to {} entries", list, kMostOptions));
  std::vector<Json> values;
  for (const Json& option : *options) {
    const std::string entry = fmt::format("{}[{}]", list, values.size());
    if (!option.is_object()) return bad(entry, fmt::format("'{}' must be an object", entry));
    auto known = only_members(option, choice ? fields::choice_of : fields::level, entry + ".");
    if (!known) return std::unexpected(known.error());
    const std::string param = entry + (choice ? ".value" : ".label");
    const Json* value = member(option, choice ? "value" : "label");
    if (value == nullptr || !(value->is_string() || (choice && value->is_boolean())))
      return bad(param,
                 fmt::format("'{}' must be a string{}", param, choice ? " or a boolean" : ""));
    if (std::ranges::find(values, *value) != values.end())
      return bad(param, fmt::format("'{}' is there twice: {}", param, to_text(*value)));
    values.push_back(*value);
  }
  return values;
}

ApiResult<DecisionQuestion> read_question(const Json& json, const std::string& place) {
  if (!json.is_object()) return bad(place, fmt::format("'{}' must be an object", place));
  const auto type = needed_string(json, "type", place);
  if (!type) return std::unexpected(type.error());
  const bool choice = *type == "choice", score = *type == "score";
  if (!choice && !score && *type != "predicate")
    return bad(place + ".type",
               fmt::format("'{}.type' is none of predicate, choice, score", place));
  const auto table = choice ? fields::choice : score ? fields::score_levels : fields::predicate;
  if (auto known = only_members(json, table, place + "."); !known)
    return std::unexpected(known.error());
  DecisionQuestion question;
  question.kind = choice  ? DecisionQuestion::Kind::kChoice
                  : score ? DecisionQuestion::Kind::kScore
                          : DecisionQuestion::Kind::kPredicate;
  if (member(json, "name") != nullptr) {
    auto name = needed_string(json, "name", place);
    if (!name) return std::unexpected(name.error());
    question.name = *std::move(name);
  }
  auto instructions = content_text(member(json, "instructions"), place + ".instructions");
  if (!instructions) return std::unexpected(instructions.error());
  question.instructions = *std::move(instructions);
  if (!choice && !score) return question;
  auto options = read_options(json, place, choice);
  if (!options) return std::unexpected(options.error());
  question.options = *std::move(options);
  return question;
}

}  // namespace

ApiResult<DecisionRequest> parse_decision_request(std::string_view body) {
  const auto json = parse_object(body, fields::decisions);
  if (!json) return std::unexpected(json.error());
  DecisionRequest request;
  auto model = optional_string(*json, "model");
  if (!model) return std::unexpected(model.error());
  request.model = *std::move(model);
  auto text = read_input(*json);
  if (!text) return std::unexpected(text.error());
  request.text = *std::move(text);
  const Json* questions = member(*json, "questions");
  if (questions == nullptr || !questions->is_array() || questions->empty() ||
      questions->size() > kMostQuestions)
    return bad("questions",
               fmt::format("'questions' must be an array of 1 to {} questions", kMostQuestions));
  for (std::size_t i = 0; i < questions->size(); ++i) {
    auto question = read_question((*questions)[i], fmt::format("questions[{}]", i));
    if (!question) return std::unexpected(question.error());
    request.questions.push_back(*std::move(question));
  }
  return request;
}

}  // namespace tack::server
