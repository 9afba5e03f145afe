#include "gateway/metrics.h"

#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace tack::gateway {
namespace {

// Seconds: from an encoder's answer to a long generation.
const prometheus::Histogram::BucketBoundaries kSeconds = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120};

template <class T>
prometheus::Family<T>& family(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::detail::Builder<T>().Name(name).Help(help).Register(registry);
}

const char* purpose_name(store::Purpose purpose) {
  switch (purpose) {
    case store::Purpose::kAnswer:
      return "answer";
    case store::Purpose::kEscalated:
      return "escalated";
    case store::Purpose::kFailed:
      return "failed";
    case store::Purpose::kShadow:
      return "shadow";
  }
  return "";
}

constexpr double kUnits = 1e-9;  // of the currency in a Nano

}  // namespace

struct Metrics::Impl {
  explicit Impl(const GatewayConfig& c) : config(c) {
    const auto know = [this](const TargetConfig& target) {
      known.insert(target.models.begin(), target.models.end());
    };
    for (const RouteConfig& route : config.routes) {
      know(route.to);
      for (const RuleConfig& rule : route.rules) know(rule.to);
      if (route.shadow) known.insert(route.shadow->model);
      if (route.learned)
        for (const auto& [theirs, ours] : route.learned->models) known.insert(ours);
    }
  }
  // Clients may write any name behind an upstream's: those are one series.
  std::string label_of(const std::string& model) const {
    if (model.empty() || config.model(model) != nullptr || known.contains(model)) return model;
    const auto split = split_upstream(config, model);
    if (!split || split->upstream->prices.contains(split->model)) return model;
    return split->upstream->name + "/*";
  }

  const GatewayConfig& config;
  std::set<std::string, std::less<>> known;
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests =
      family<prometheus::Counter>(registry, "tack_requests_total", "Requests that have ended");
  prometheus::Family<prometheus::Histogram>& seconds = family<prometheus::Histogram>(
      registry, "tack_request_seconds", "From a request's coming to the end of its answer");
  prometheus::Family<prometheus::Histogram>& first_byte = family<prometheus::Histogram>(
      registry, "tack_first_byte_seconds", "From asking a model to the beginning of its answer");
  prometheus::Family<prometheus::Counter>& attempts = family<prometheus::Counter>(
      registry, "tack_attempts_total", "Times a model was asked, by what became of it");
  prometheus::Family<prometheus::Counter>& tokens =
      family<prometheus::Counter>(registry, "tack_tokens_total", "Tokens read and written");
  prometheus::Family<prometheus::Counter>& cost = family<prometheus::Counter>(
      registry, "tack_cost_total", "What attempts cost, in the currency of the prices");
  prometheus::Family<prometheus::Counter>& cpu = family<prometheus::Counter>(
      registry, "tack_cpu_seconds_total", "Processor time of local models");
  prometheus::Family<prometheus::Counter>& cached = family<prometheus::Counter>(
      registry, "tack_cache_hits_total", "Requests answered from the cache");
  prometheus::Family<prometheus::Counter>& checks = family<prometheus::Counter>(
      registry, "tack_guard_findings_total", "Checks of the guard that tripped or failed");
  prometheus::Family<prometheus::Histogram>& guard_seconds = family<prometheus::Histogram>(
      registry, "tack_guard_seconds", "What a stage of the guard took");
  // Savings can be negative, and a counter never falls.
  prometheus::Family<prometheus::Gauge>& saved =
      family<prometheus::Gauge>(registry, "tack_savings", "Saved since the start, by route");
  prometheus::Family<prometheus::Gauge>& running =
      family<prometheus::Gauge>(registry, "tack_requests_running", "Requests being answered now");
  prometheus::Gauge& running_now = running.Add({});

  // The series of one kind of request: looking labels up each time costs more than counting.
  struct CallSeries {
    prometheus::Counter* requests;
    prometheus::Histogram* seconds;
  };
  struct AttemptSeries {
    prometheus::Counter *attempts, *prompt, *completion, *cached, *cost, *cpu;
    prometheus::Histogram* first_byte;
  };
  std::mutex mutex;
  std::unordered_map<std::string, CallSeries> calls;
  std::unordered_map<std::string, AttemptSeries> by_attempt;
  struct Reading {
    std::string name, help;
    prometheus::MetricType type;
    std::vector<std::pair<Labels, std::function<double()>>> series;
  };
  std::vector<Reading> readings;

  CallSeries& series_of(const store::CallRecord& record) {
    const std::string model = label_of(record.model);
    const std::string key =
        fmt::format("{}\n{}\n{}\n{}", record.endpoint, record.route, model, record.status);
    const auto found = calls.find(key);
    if (found != calls.end()) return found->second;
    const Labels labels = {
        {"endpoint", record.endpoint}, {"route", record.route}, {"model", model}};
    Labels with_status = labels;
    with_status["status"] = std::to_string(record.status);
    return calls[key] = {&requests.Add(with_status), &seconds.Add(labels, kSeconds)};
  }
  AttemptSeries& series_of(const store::Attempt& attempt) {
    const std::string name = label_of(attempt.model);
    const std::string key = fmt::format("{}\n{}", name, static_cast<int>(attempt.purpose));
    const auto found = by_attempt.find(key);
    if (found != by_attempt.end()) return found->second;
    const Labels model = {{"model", name}};
    const auto kind = [&](const char* what) {
      return &tokens.Add({{"model", name}, {"kind", what}});
    };
    return by_attempt[key] = {
               &attempts.Add({{"model", name}, {"outcome", purpose_name(attempt.purpose)}}),
               kind("prompt"),
               kind("completion"),
               kind("cached"),
               &cost.Add(model),
               &cpu.Add(model),
               &first_byte.Add(model, kSeconds)};
  }
  void add_reading(const std::string& name, const std::string& help, prometheus::MetricType type,
                   const Labels& labels, std::function<double()> read) {
    const std::lock_guard lock(mutex);
    for (Reading& reading : readings)
      if (reading.name == name) return reading.series.emplace_back(labels, std::move(read)), void();
    readings.push_back({name, help, type, {}});
    readings.back().series.emplace_back(labels, std::move(read));
  }
};

Metrics::Metrics(const GatewayConfig& config) : impl_(std::make_unique<Impl>(config)) {}
Metrics::~Metrics() = default;

void Metrics::begin() {
  impl_->running_now.Increment();
}

void Metrics::end(const store::CallRecord& record) {
  const std::lock_guard lock(impl_->mutex);
  impl_->running_now.Decrement();
  Impl::CallSeries& call = impl_->series_of(record);
  call.requests->Increment();
  call.seconds->Observe(record.total_ms / 1000);
  if (record.from_cache) impl_->cached.Add({}).Increment();
  if (!record.baseline.empty())
    impl_->saved.Add({{"route", record.route}})
        .Increment(static_cast<double>(record.savings()) * kUnits);
  for (const store::Attempt& attempt : record.attempts) {
    Impl::AttemptSeries& series = impl_->series_of(attempt);
    series.attempts->Increment();
    series.prompt->Increment(static_cast<double>(attempt.tokens.prompt));
    series.completion->Increment(static_cast<double>(attempt.tokens.completion));
    series.cached->Increment(static_cast<double>(attempt.tokens.cached));
    series.cost->Increment(static_cast<double>(attempt.cost) * kUnits);
    series.cpu->Increment(attempt.cpu_seconds);
    if (attempt.purpose != store::Purpose::kFailed)
      series.first_byte->Observe(attempt.first_byte_ms / 1000);
  }
}

void Metrics::guard(const std::string& stage, double seconds,
                    const std::vector<CheckOutcome>& findings) {
  impl_->guard_seconds.Add({{"stage", stage}}, kSeconds).Observe(seconds);
  for (const CheckOutcome& one : findings)
    impl_->checks.Add({{"stage", stage}, {"check", one.check}, {"outcome", one.outcome}})
        .Increment();
}

void Metrics::gauge(const std::string& name, const std::string& help, const Labels& labels,
                    std::function<double()> read) {
  impl_->add_reading(name, help, prometheus::MetricType::Gauge, labels, std::move(read));
}

void Metrics::counter(const std::string& name, const std::string& help, const Labels& labels,
                      std::function<double()> read) {
  impl_->add_reading(name, help, prometheus::MetricType::Counter, labels, std::move(read));
}

std::string Metrics::text() {
  std::vector<prometheus::MetricFamily> families = impl_->registry.Collect();
  std::vector<Impl::Reading> readings;
  {
    const std::lock_guard lock(impl_->mutex);
    readings = impl_->readings;
  }
  for (const Impl::Reading& reading : readings) {
    prometheus::MetricFamily one{reading.name, reading.help, reading.type, {}};
    for (const auto& [labels, read] : reading.series) {
      prometheus::ClientMetric metric;
      for (const auto& [name, value] : labels) metric.label.push_back({name, value});
      (reading.type == prometheus::MetricType::Gauge ? metric.gauge.value : metric.counter.value) =
          read();
      one.metric.push_back(std::move(metric));
    }
    families.push_back(std::move(one));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace tack::gateway
