// A stream whose events pass once what they say has been checked.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "gateway/guarding.h"

namespace tack::gateway {

// `read`: events that were taken from the stream already; `events` null: there are no more. What is
// not checked yet is held until the next check, for 16 events or 50 ms at most, and of what was
// checked the bytes that Guard::held_back() names. With a check that needs the whole answer all of
// it is held.
std::unique_ptr<EventStream> guarded_stream(const Guarding& guarding,
                                            std::shared_ptr<const Exchange> exchange,
                                            std::deque<std::string> read,
                                            std::unique_ptr<EventStream> events, Outcome outcome);

}  // namespace tack::gateway
