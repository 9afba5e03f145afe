// The mock upstream as a program: build/tack_mock_upstream --port 9100. What it can be asked for
// stands in src/gateway/mock_upstream.h.
#include "gateway/mock_upstream.h"

#include <cstdio>

#include <CLI/CLI.hpp>

#include "net/server.h"

int main(int argc, char** argv) {
  tack::gateway::MockOptions options;
  int latency_ms = 0, token_ms = 0;
  CLI::App app(
      "An OpenAI-compatible upstream for tests: deterministic answers, and faults by name.");
  app.add_option("--port", options.port, "0: any free one")->capture_default_str();
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--tokens", options.tokens, "of an answer")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--latency-ms", latency_ms, "before an answer")->capture_default_str();
  app.add_option("--token-ms", token_ms, "between the events of a stream; 0: all at once")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  options.latency = std::chrono::milliseconds(latency_ms);
  options.token_pause = std::chrono::milliseconds(token_ms);
  const auto mock = tack::gateway::MockUpstream::start(options);
  if (!mock) {
    std::fprintf(stderr, "%s\n", mock.error().message.c_str());
    return static_cast<int>(mock.error().code);
  }
  std::printf("listening on %s\n", (*mock)->url().c_str());
  std::fflush(stdout);
  tack::net::wait_for_stop_signal();
  std::printf("%d requests on %d connections, %d answers abandoned\n", (*mock)->requests(),
              (*mock)->connections(), (*mock)->abandoned());
}
