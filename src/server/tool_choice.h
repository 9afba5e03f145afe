// "tools" and "tool_choice" of a chat. Where a call must be made (required, or a function that is
// named), the answer is bound to be one: JSON of a schema made of the tools' own.
#pragma once

#include "base/json.h"
#include "server/completions.h"

namespace tack::server {

// Fills tools, must_call and, where a call must be made, generation.form. Errors: tools that are
// none, a choice that names none of them, a response_format beside a forced call.
ApiResult<void> read_tools(const Json& body, CompletionRequest& request);

// What {"name", "parameters"} of one of `tools` (of chat::parse_tools) must satisfy.
Json call_schema(const Json& tools);

}  // namespace tack::server
