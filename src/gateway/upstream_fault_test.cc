// An upstream that misbehaves in every way the mock knows: what the caller gets, and how often it
// was asked.
#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "gateway/upstream_fixture.h"

namespace tack::gateway {
namespace {

struct Fault {
  std::string name;
  bool stream;
  int status;  // 0: an answer after all
  std::string code;
  int tries;
  bool another = true;
  int events = 0;  // before the failure
};

std::ostream& operator<<(std::ostream& out, const Fault& fault) {
  return out << fault.name << (fault.stream ? ", streamed" : "");
}

class UpstreamFault : public UpstreamTest, public testing::WithParamInterface<Fault> {};

TEST_P(UpstreamFault, IsTyped) {
  start();
  const Fault& fault = GetParam();
  const auto begin = steady_clock::now();
  const Got got = ask("fault-" + fault.name, fault.stream);
  EXPECT_LT(steady_clock::now() - begin, std::chrono::seconds(20));
  EXPECT_EQ(mock_->requests(), fault.tries) << (got.failure ? got.failure->message : "");
  EXPECT_EQ(static_cast<int>(got.events.size()), fault.events);
  ASSERT_EQ(got.failure.has_value(), fault.status != 0);
  if (!got.failure) return;
  EXPECT_EQ(got.failure->status, fault.status) << got.failure->message;
  EXPECT_EQ(got.failure->code, fault.code) << got.failure->message;
  EXPECT_EQ(got.failure->another_may_answer, fault.another);
  EXPECT_FALSE(got.failure->message.empty());
  if (fault.events > 0) {
    EXPECT_TRUE(got.failure->tokens.estimated);
    EXPECT_EQ(got.failure->tokens.prompt, 3);
  }
}

std::vector<Fault> faults() {
  std::vector<Fault> all;
  for (const bool stream : {false, true}) {
    const std::vector<Fault> both = {
        // The client's request: said as the upstream said it, at once.
        {"400", stream, 400, "mock_400", 1, false},
        {"413", stream, 413, "mock_413", 1, false},
        {"422", stream, 422, "mock_422", 1, false},
        {"404", stream, 404, "mock_404", 1, true},
        // The gateway's own account there.
        {"401", stream, 502, "upstream_error", 1},
        {"401-text", stream, 502, "upstream_error", 1},
        {"403", stream, 502, "upstream_error", 1},
        // May work in a moment.
        {"408", stream, 504, "mock_408", 3},
        {"409", stream, 409, "mock_409", 3},
        {"429", stream, 429, "mock_429", 3},
        {"500", stream, 502, "mock_500", 3},
        {"503", stream, 503, "mock_503", 3},
        {"504", stream, 504, "mock_504", 3},
        {"529", stream, 503, "mock_529", 3},
        {"flaky-1", stream, 0, "", 2},
        {"flaky-2", stream, 0, "", 3},
        {"flaky-3", stream, 503, "mock_503", 3},
        // Not before a minute has passed.
        {"429-retry-after-60", stream, 429, "mock_429", 1},
        {"close", stream, 502, "upstream_broke_off", 3},
        {"cut-headers", stream, 502, "upstream_broke_off", 3},
        {"garbage", stream, 502, "upstream_malformed", 3},
        {"redirect", stream, 502, "upstream_error", 1},
        {"html", stream, 502, "upstream_malformed", 3},
        {"malformed-json", stream, 502, "upstream_malformed", 3},
        {"not-utf8", stream, 502, "upstream_malformed", 3},
        {"not-an-answer", stream, 502, "upstream_malformed", 3},
        {"silent", stream, 504, "upstream_timeout", 1},
        {"slow-first-byte-100", stream, 0, "", 1},
        {"slow-first-byte-2000", stream, 504, "upstream_timeout", 1},
    };
    all.insert(all.end(), both.begin(), both.end());
  }
  // The stream of the mock has 4 tokens: 1 + 4 + 1 events.
  for (Fault& fault : all)
    if (fault.stream && fault.status == 0) fault.events = 6;
  const std::vector<Fault> special = {
      {"cut-20", false, 502, "upstream_broke_off", 3},
      {"error-in-body", false, 502, "bad_luck", 3},
      {"huge", false, 502, "upstream_too_large", 1},
      {"cut-0", true, 502, "upstream_broke_off", 3},
      {"error-in-stream-0", true, 502, "bad_luck", 3},
      {"malformed-sse", true, 502, "upstream_malformed", 3},
      {"huge", true, 502, "upstream_malformed", 3},
      {"stall-0", true, 504, "upstream_timeout", 1},
      // After the first event nothing is tried again.
      {"cut-1", true, 502, "upstream_broke_off", 1, true, 1},
      {"cut-3", true, 502, "upstream_broke_off", 1, true, 3},
      {"error-in-stream-2", true, 502, "bad_luck", 1, true, 2},
      {"stall-2", true, 504, "upstream_timeout", 1, true, 2},
      {"no-finish", true, 502, "upstream_malformed", 1, true, 3},
      // No faults to speak of.
      {"no-done", true, 0, "", 1, true, 6},
      {"comments", true, 0, "", 1, true, 6},
      {"slow-tokens-20", true, 0, "", 1, true, 6},
      {"no-stream-options", true, 0, "", 2, true, 6},
  };
  all.insert(all.end(), special.begin(), special.end());
  return all;
}

std::string fault_name(const testing::TestParamInfo<Fault>& info) {
  std::string name = info.param.name + (info.param.stream ? "_streamed" : "");
  std::ranges::replace(name, '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Every, UpstreamFault, testing::ValuesIn(faults()), fault_name);

}  // namespace
}  // namespace tack::gateway
