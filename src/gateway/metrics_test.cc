#include "gateway/metrics.h"

#include <cmath>

#include <gtest/gtest.h>

namespace tack::gateway {
namespace {

// The value of a line of the text format; NaN when there is none.
double value(const std::string& text, const std::string& series) {
  const std::size_t at = text.find("\n" + series + " ");
  return at == text.npos ? std::nan("") : std::stod(text.substr(at + series.size() + 2));
}

TEST(Metrics, CountWhatHasEnded) {
  Metrics metrics;
  const store::CallRecord record{.endpoint = "/v1/chat/completions",
                                 .route = "auto",
                                 .model = "small",
                                 .total_ms = 3,
                                 .attempts = {{.model = "small",
                                               .local = true,
                                               .tokens = {.prompt = 7, .completion = 2},
                                               .cost = 500'000'000,
                                               .first_byte_ms = 2}},
                                 .baseline = "big",
                                 .baseline_cost = 250'000'000};
  metrics.begin();
  metrics.begin();
  metrics.begin();
  metrics.end(record);
  metrics.end(record);
  double waiting = 5;
  metrics.gauge("tack_queue_texts", "Texts that wait", {{"kind", "encoder"}},
                [&] { return waiting; });
  waiting = 6;
  const std::string text = metrics.text();
  EXPECT_EQ(
      value(
          text,
          R"(tack_requests_total{endpoint="/v1/chat/completions",model="small",route="auto",status="200"})"),
      2);
  EXPECT_EQ(
      value(
          text,
          R"(tack_request_seconds_bucket{endpoint="/v1/chat/completions",model="small",route="auto",le="0.0025"})"),
      0);
  EXPECT_EQ(
      value(
          text,
          R"(tack_request_seconds_bucket{endpoint="/v1/chat/completions",model="small",route="auto",le="0.005"})"),
      2);
  EXPECT_EQ(value(text, R"(tack_tokens_total{kind="prompt",model="small"})"), 14);
  EXPECT_EQ(value(text, R"(tack_cost_total{model="small"})"), 1);
  EXPECT_EQ(value(text, R"(tack_savings{route="auto"})"), -0.5);
  EXPECT_EQ(value(text, "tack_requests_running"), 1);
  EXPECT_EQ(value(text, R"(tack_queue_texts{kind="encoder"})"), 6);
  EXPECT_NE(text.find("# TYPE tack_request_seconds histogram"), text.npos) << text;
}

}  // namespace
}  // namespace tack::gateway
