// What rules and routers look at in a request.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gateway/call.h"

namespace tack::gateway {

struct CallFacts {
  std::string text;        // of the user's last message, or the prompt
  std::string whole;       // all messages' texts, a line break between
  std::int64_t chars = 0;  // of `whole`, in characters
  bool tools = false, images = false;
  std::string client;  // the key's name
  net::Headers headers;
};

// The member of a body that holds what is asked: "messages", "prompt", "input".
std::string_view input_member(Operation operation);

// Never fails: members that are not what they should be count as absent, and whoever answers the
// call says what is wrong with them.
CallFacts facts_of(const Call& call, const net::Headers& headers);

// Tokens of a text whose tokenizer is not here: one for four bytes, at least one unless empty.
std::int64_t estimated_tokens(std::string_view text);

}  // namespace tack::gateway
