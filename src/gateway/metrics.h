// What Prometheus reads from /metrics: counts and times of requests by route and model, and what
// waits and runs now. Labels come from the configuration and the models, never from a client.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/config.h"
#include "store/ledger.h"

namespace tack::gateway {

class Metrics {
 public:
  // Models that the configuration does not name are counted together, by upstream ("openai/*").
  explicit Metrics(const GatewayConfig& config);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // A request has come; one that has ended. Any thread.
  void begin();
  void end(const store::CallRecord& record);

  // A guard's stage has judged, in so many seconds; `findings` says for each check that tripped or
  // failed what became of it: "blocked", "observed", "failed". Any thread.
  struct CheckOutcome {
    std::string check, outcome;
  };
  void guard(const std::string& stage, double seconds, const std::vector<CheckOutcome>& findings);

  // A value that is asked for whenever the metrics are read: "tack_queue_texts" with a help text
  // and labels. `read` is called from an I/O thread.
  using Labels = std::map<std::string, std::string>;
  void gauge(const std::string& name, const std::string& help, const Labels& labels,
             std::function<double()> read);
  // The same for what only grows ("tack_ledger_dropped_total").
  void counter(const std::string& name, const std::string& help, const Labels& labels,
               std::function<double()> read);

  // In the text format 0.0.4.
  std::string text();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tack::gateway
