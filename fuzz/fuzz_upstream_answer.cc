// Any bytes as what an upstream answers: a kind, counts that can be added up, a confidence within
// [0, 1], and a failure that is one.
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "gateway/answer_meter.h"
#include "gateway/upstream_failure.h"

namespace {

using tack::gateway::AnswerMeter;
using tack::gateway::FailedTry;
using tack::gateway::Operation;

void check(const FailedTry& failed) {
  const int status = failed.failure.status;
  if (status < 400 || status > 599 || failed.failure.message.empty()) std::abort();
  if (failed.failure.retry_after && failed.failure.retry_after->count() < 0) std::abort();
  if (failure_event(failed.failure).empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto call = std::make_shared<tack::gateway::Call>();
  call->operation = static_cast<Operation>(data[0] % 3);
  AnswerMeter meter(call);
  const bool stream = (data[0] & 0x80U) != 0;
  for (int i = 0; i < 2; ++i) {
    const auto kind = stream ? meter.add_chunk(bytes) : meter.add_body(bytes);
    if ((kind == AnswerMeter::Kind::kInvalid) == meter.why().empty()) std::abort();
    if (kind == AnswerMeter::Kind::kError) check(tack::gateway::failed_inside("up", bytes));
  }
  const auto outcome = meter.outcome();
  constexpr std::int64_t kMost = std::int64_t{1} << 41;
  for (const auto count : {outcome.tokens.prompt, outcome.tokens.completion, outcome.tokens.cached})
    if (count < 0 || count > kMost) std::abort();
  if (outcome.tokens.cached > outcome.tokens.prompt) std::abort();
  if (!std::isnan(outcome.confidence) && !(outcome.confidence >= 0 && outcome.confidence <= 1))
    std::abort();
  tack::net::Headers headers;
  headers.add("Retry-After", bytes.substr(0, 40));
  const int status = 300 + (data[0] * 256 + data[1]) % 300;
  check(tack::gateway::failed_status("up", status, headers, bytes));
  return 0;
}
