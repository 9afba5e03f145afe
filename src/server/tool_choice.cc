#include "server/tool_choice.h"

#include <algorithm>

#include "server/fields.h"

namespace tack::server {
namespace {

// References inside a schema that becomes the part `place` ("#/anyOf/0/...") of another.
void move_references(Json& schema, const std::string& place) {
  if (schema.is_object())
    if (const auto reference = schema.find("$ref");
        reference != schema.end() && reference->is_string()) {
      const auto target = reference->get<std::string>();
      if (target.starts_with('#')) *reference = place + target.substr(1);
    }
  if (schema.is_structured())
    for (Json& part : schema) move_references(part, place);
}

Json schema_of(const Json& tool, const std::string& place) {
  const Json& function = tool["function"];
  const Json* given = member(function, "parameters");
  Json parameters = given != nullptr && !given->empty() ? *given : Json{{"type", "object"}};
  move_references(parameters, place + "/properties/parameters");
  return {{"type", "object"},
          {"properties",
           {{"name", {{"const", function["name"]}}}, {"parameters", std::move(parameters)}}},
          {"required", Json::array({"name", "parameters"})}};
}

// The tools that may be called; those of a named function are that one.
ApiResult<Json> forced_tools(const Json& choice, const Json& tools) {
  if (choice == "required") return tools;
  const char* const what =
      "'tool_choice' must be \"auto\", \"none\", \"required\" or {\"type\": \"function\", "
      "\"function\": {\"name\": ...}}";
  if (!choice.is_object() || choice.value("type", Json()) != "function")
    return bad("tool_choice", what);
  const Json* function = member(choice, "function");
  const Json* name =
      function != nullptr && function->is_object() ? member(*function, "name") : nullptr;
  if (name == nullptr || !name->is_string()) return bad("tool_choice", what);
  const auto found = std::ranges::find_if(
      tools, [&](const Json& tool) { return tool["function"]["name"] == *name; });
  if (found == tools.end())
    return bad("tool_choice", fmt::format("'tool_choice' names the function {}, which is not among "
                                          "'tools'",
                                          to_text(*name)));
  return Json::array({*found});
}

ApiResult<void> read_choice(const Json& body, CompletionRequest& request) {
  const Json* choice = member(body, "tool_choice");
  if (choice == nullptr || *choice == "auto") return {};
  if (*choice == "none") {
    request.tools = nullptr;
    return {};
  }
  const Json none = Json::array();
  const auto tools = forced_tools(*choice, request.tools.is_null() ? none : request.tools);
  if (!tools) return std::unexpected(tools.error());
  if (tools->empty())
    return bad("tool_choice", "'tool_choice' asks for a call; 'tools' is missing");
  OutputForm& form = request.generation.form;
  if (form.kind != OutputForm::Kind::kFree)
    return bad("tool_choice",
               "'tool_choice' asks for a call, 'response_format' or 'guided_choice' for an answer: "
               "give one of them");
  form.kind = OutputForm::Kind::kSchema;
  form.schema = call_schema(*tools);
  request.must_call = true;
  return {};
}

}  // namespace

Json call_schema(const Json& tools) {
  if (tools.size() == 1) return schema_of(tools.front(), "#");
  Json any = Json::array();
  for (const Json& tool : tools)
    any.push_back(schema_of(tool, fmt::format("#/anyOf/{}", any.size())));
  return {{"anyOf", std::move(any)}};
}

ApiResult<void> read_tools(const Json& body, CompletionRequest& request) {
  if (const Json* tools = member(body, "tools")) {
    auto parsed = chat::parse_tools(*tools);
    if (!parsed) return bad("tools", parsed.error().message);
    request.tools = *std::move(parsed);
  }
  if (auto read = read_choice(body, request); !read) return read;
  const Json* parallel = member(body, "parallel_tool_calls");
  if (parallel == nullptr) return {};
  if (!parallel->is_boolean())
    return bad("parallel_tool_calls", "'parallel_tool_calls' must be true or false");
  if (*parallel || request.tools.is_null() || request.must_call) return {};
  return std::unexpected(
      ApiError{400,
               "'parallel_tool_calls' can be false only where 'tool_choice' asks for a call: how "
               "many calls a free answer has is not limited",
               "parallel_tool_calls", "unsupported_value"});
}

}  // namespace tack::server
