#include "gateway/upstream_request.h"

#include <utility>

namespace tack::gateway {
namespace {

// The bytes of all strings under "content", "text" or right here: not those of pictures.
std::size_t text_bytes(const Json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().size();
  std::size_t sum = 0;
  if (value.is_array())
    for (const Json& item : value) sum += text_bytes(item);
  if (value.is_object())
    for (const char* name : {"content", "text"})
      if (const Json* inner = find_member(value, name)) sum += text_bytes(*inner);
  return sum;
}

void append_member(std::string& out, std::string_view name, std::string_view json) {
  out.append(out.size() > 1 ? "," : "").append(to_text(Json(name))).append(":").append(json);
}

}  // namespace

AddedMembers added_to(const Call& call, const AddedMembers& added) {
  return {.usage = added.usage && call.stream && !call.include_usage &&
                   call.operation != Operation::kEmbeddings,
          .logprobs = added.logprobs && call.want_confidence &&
                      call.operation == Operation::kChat && !call.body.contains("logprobs")};
}

// Not by a changed copy of the JSON: a request may hold megabytes of pictures.
std::string upstream_body(const Call& call, const std::string& model, const AddedMembers& added) {
  const AddedMembers add = added_to(call, added);
  std::string out = "{";
  for (const auto& [name, value] : call.body.items()) {
    if (name == "model" || (add.usage && name == "stream_options")) continue;
    append_member(out, name, to_text(value));
  }
  append_member(out, "model", to_text(Json(model)));
  if (add.usage) {
    const Json* given = find_member(call.body, "stream_options");
    Json options = given != nullptr && given->is_object() ? *given : Json::object();
    options["include_usage"] = true;
    append_member(out, "stream_options", to_text(options));
  }
  if (add.logprobs) append_member(out, "logprobs", "true");
  return out.append("}");
}

net::Headers upstream_headers(const Call& call, const UpstreamConfig& config,
                              const std::string& key) {
  net::Headers headers;
  headers.add("Content-Type", "application/json");
  headers.add("Accept", call.stream ? "text/event-stream" : "application/json");
  if (!key.empty()) headers.add("Authorization", "Bearer " + key);
  if (!call.id.empty()) headers.add("x-request-id", call.id);
  for (const auto& [name, value] : config.headers) headers.set(name, value);
  return headers;
}

std::int64_t estimate_prompt_tokens(const Call& call) {
  std::size_t bytes = 0;
  for (const char* name : {"messages", "prompt", "input"})
    if (const Json* texts = find_member(call.body, name)) bytes += text_bytes(*texts);
  if (const Json* tools = find_member(call.body, "tools")) bytes += to_text(*tools).size();
  return static_cast<std::int64_t>((bytes + 3) / 4);
}

}  // namespace tack::gateway
