// One request on its way, and the answer of one model to it. Used on one strand.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "gateway/account.h"
#include "gateway/facts.h"
#include "gateway/fold.h"
#include "gateway/policy.h"
#include "gateway/route.h"

namespace tack::gateway {

struct Exchange {
  std::shared_ptr<Account> account;
  std::shared_ptr<const Call> call;
  CallFacts facts;
  Plan plan;
  Egress egress;
  std::string cache_key;   // "": not cached
  bool keep_text = false;  // what the answer says is compared with a shadow's
  bool personal = false;   // something personal was found in it, and where it may not be kept
};

// The beginning of an answer, or all of it.
struct Answer {
  std::string model;
  Reply reply;
  std::deque<std::string> events;  // read already, not sent yet
  bool complete = true;
  store::Attempt attempt;  // counted when the answer is complete
  AttemptClock clock;
};

}  // namespace tack::gateway
