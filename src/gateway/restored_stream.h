// Answers to masked calls, with the values put back. Parts of masking.cc.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "gateway/call.h"
#include "gateway/masking.h"

namespace tack::gateway {

std::string restored_body(const privacy::Vault& vault, const std::string& body);
// A pseudonym may come in pieces: what may be the beginning of one is held until more comes, and
// given out with the event that ends its choice, or in one of its own at the end.
std::unique_ptr<EventStream> restored_stream(std::shared_ptr<const MaskedCall> masked,
                                             std::unique_ptr<EventStream> events);

}  // namespace tack::gateway
