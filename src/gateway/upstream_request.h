// What is sent to an upstream: the client's body, with as little changed as possible.
#pragma once

#include <cstdint>
#include <string>

#include "gateway/call.h"
#include "gateway/config.h"

namespace tack::gateway {

// Members that the gateway adds for its own sake. An upstream that does not know one is asked
// again without.
struct AddedMembers {
  bool usage = true;     // "stream_options": {"include_usage": true}, so that tokens are known
  bool logprobs = true;  // "logprobs": true, where the confidence is needed
};

// The body, with the upstream's name of the model; what the gateway does not know stays as it is.
std::string upstream_body(const Call& call, const std::string& model, const AddedMembers& added);

// Which of `added` stand in the body of this call, and not because the client wrote them.
AddedMembers added_to(const Call& call, const AddedMembers& added);

// `key`: sent as a bearer token; "": none. The configuration's own headers win.
net::Headers upstream_headers(const Call& call, const UpstreamConfig& config,
                              const std::string& key);

// One token for four bytes of the texts and tools: where the answer does not say.
std::int64_t estimate_prompt_tokens(const Call& call);

}  // namespace tack::gateway
