// Load on an OpenAI-compatible server, printed as JSON.
//
//   build/tack_load --url http://127.0.0.1:8080/v1/chat/completions --rate 500 --seconds 20
//   build/tack_load --url ... --connections 64 --seconds 10            as fast as it goes
//   build/tack_load --url ... --connections 1000 --stream --ramp-ms 500
//
// With --rate, requests are due at fixed times and latency counts from then on, sent or not: a
// server that stalls cannot hide the requests that were due meanwhile.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "load_connection.h"

namespace tack::load {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

struct Options {
  std::string url = "http://127.0.0.1:8080/v1/chat/completions";
  double rate = 0;  // requests/s; 0: each connection sends when it has its answer
  int connections = 0;
  double seconds = 10, warmup = 1;
  std::uint64_t requests = 0;  // stop after so many; 0: after the time
  bool stream = false, unique = false;
  std::string model = "mock", key;
  int prompt_bytes = 200, ramp_ms = 0, timeout_ms = 60'000;
  std::vector<std::string> headers;
};

struct Target {
  sockaddr_in address{};
  std::string host, path;
};

bool parse_target(const std::string& url, Target& target) {
  const std::string_view scheme = "http://";
  if (!url.starts_with(scheme)) return false;
  const std::size_t slash = std::min(url.find('/', scheme.size()), url.size());
  target.host = url.substr(scheme.size(), slash - scheme.size());
  target.path = slash < url.size() ? url.substr(slash) : "/";
  const std::size_t colon = target.host.find(':');
  const std::string name = target.host.substr(0, colon);
  target.address.sin_family = AF_INET;
  target.address.sin_port = htons(static_cast<std::uint16_t>(
      colon == name.npos ? 80 : std::atoi(target.host.c_str() + colon + 1)));
  return ::inet_pton(AF_INET, name == "localhost" ? "127.0.0.1" : name.c_str(),
                     &target.address.sin_addr) == 1;
}

// In ms. Sorts.
std::string percentiles(std::vector<float>& values) {
  std::ranges::sort(values);
  const auto at = [&](double part) {
    if (values.empty()) return 0.0f;
    const auto index =
        static_cast<std::size_t>(std::ceil(part * static_cast<double>(values.size())));
    return values[std::min(values.size() - 1, std::max<std::size_t>(index, 1) - 1)];
  };
  double sum = 0;
  for (const float value : values) sum += value;
  return fmt::format(
      R"({{"mean": {:.3f}, "p50": {:.3f}, "p90": {:.3f}, "p99": {:.3f}, "p999": {:.3f}, "max": {:.3f}}})",
      values.empty() ? 0 : sum / static_cast<double>(values.size()), at(0.5), at(0.9), at(0.99),
      at(0.999), at(1));
}

float ms_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<float, std::milli>(to - from).count();
}

class Load {
 public:
  Load(const Options& options, const Target& target) : options_(options) {
    make_request(target);
    const int most = options.connections > 0 ? options.connections : 256;
    for (int i = 0; i < most; ++i)
      connections_.push_back(std::make_unique<Connection>(target.address));
    epoll_ = ::epoll_create1(0);
    timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = kTimer}};
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, timer_, &event);
  }
  ~Load() {
    ::close(timer_);
    ::close(epoll_);
  }

  void run() {
    begin_ = Clock::now();
    const auto warm =
        std::chrono::duration_cast<nanoseconds>(std::chrono::duration<double>(options_.warmup));
    const auto time =
        std::chrono::duration_cast<nanoseconds>(std::chrono::duration<double>(options_.seconds));
    measured_from_ = begin_ + warm;
    end_ = options_.requests > 0 ? Clock::time_point::max() : measured_from_ + time;
    for (std::size_t i = 0; i < connections_.size(); ++i)
      idle_.push_back(connections_.size() - 1 - i);
    while (true) {
      const auto now = Clock::now();
      if (now < end_) start_due(now);
      if (finished(now)) break;
      check_timeouts(now);
      wait(now);
    }
    finished_ = Clock::now();
  }

  void print() {
    rusage use{};
    ::getrusage(RUSAGE_SELF, &use);
    const double cpu = static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                       static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
    const double seconds =
        std::chrono::duration<double>(std::min(finished_, last_answer_) - measured_from_).count();
    std::string statuses;
    for (const auto& [status, count] : statuses_)
      statuses += fmt::format("{}\"{}\": {}", statuses.empty() ? "" : ", ", status, count);
    fmt::print(
        R"({{"mode": "{}", "rate": {}, "connections": {}, "stream": {}, "seconds": {:.2f}, "requests": {}, "throughput": {:.1f}, "errors": {}, "broken": {}, "timed_out": {}, "incomplete": {}, "statuses": {{{}}}, "body_bytes": {}, "latency_ms": {}, "first_byte_ms": {}, "cpu_seconds": {:.2f}}})",
        options_.rate > 0 ? "open" : "closed", options_.rate, connections_.size(), options_.stream,
        seconds, latencies_.size(), static_cast<double>(latencies_.size()) / seconds, errors_,
        broken_, timed_out_, incomplete_, statuses, body_bytes_, percentiles(latencies_),
        percentiles(first_bytes_), cpu);
    fmt::print("\n");
  }
  std::uint64_t errors() const { return errors_; }

 private:
  static constexpr std::uint64_t kTimer = ~0ull;
  static constexpr std::string_view kNumber = "#0000000000";

  void make_request(const Target& target) {
    std::string prompt(static_cast<std::size_t>(options_.prompt_bytes), 'x');
    for (std::size_t i = 7; i < prompt.size(); i += 8) prompt[i] = ' ';
    if (options_.unique) prompt.insert(0, kNumber);
    const std::string body =
        fmt::format(R"({{"model":"{}","messages":[{{"role":"user","content":"{}"}}]{}}})",
                    options_.model, prompt, options_.stream ? R"(,"stream":true)" : "");
    request_ = fmt::format("POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n",
                           target.path, target.host);
    if (!options_.key.empty())
      request_ += fmt::format("Authorization: Bearer {}\r\n", options_.key);
    for (const std::string& header : options_.headers) request_ += header + "\r\n";
    request_ += fmt::format("Content-Length: {}\r\n\r\n{}", body.size(), body);
    number_at_ = options_.unique ? request_.find(kNumber) + 1 : request_.npos;
  }

  // What is due by now is sent, or waits for a free connection.
  void start_due(Clock::time_point now) {
    if (options_.rate > 0) {
      for (; due(sent_) <= now && more(); ++sent_) waiting_.push_back(due(sent_));
      while (!waiting_.empty() && !idle_.empty()) {
        const auto time = waiting_.front();
        waiting_.pop_front();
        start(time);
      }
      return;
    }
    const double part =
        options_.ramp_ms > 0 ? ms_between(begin_, now) / static_cast<double>(options_.ramp_ms) : 1;
    const auto allowed = static_cast<std::size_t>(
        std::ceil(std::min(1.0, part) * static_cast<double>(connections_.size())));
    // Those that fail at once come back to idle_: they try again on the next round.
    for (std::size_t left = idle_.size(); left > 0 && running() < allowed && more(); --left) {
      ++sent_;
      start(now);
    }
  }
  Clock::time_point due(std::uint64_t number) const {
    return begin_ + nanoseconds(static_cast<std::int64_t>(static_cast<double>(number) * 1e9 /
                                                          options_.rate));
  }
  bool more() const { return options_.requests == 0 || sent_ < options_.requests; }
  std::size_t running() const { return connections_.size() - idle_.size(); }

  void start(Clock::time_point scheduled) {
    const std::size_t index = idle_.back();
    idle_.pop_back();
    Connection& connection = *connections_[index];
    connection.scheduled = scheduled;
    if (number_at_ != request_.npos)
      fmt::format_to_n(request_.data() + number_at_, 10, "{:010}", ++unique_);
    const bool sent = connection.send(request_);
    if (connection.opened_now()) {
      epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.u64 = index}};
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd(), &event);
    }
    if (!sent) settle(index, Connection::Progress::kBroken);
  }

  void settle(std::size_t index, Connection::Progress progress) {
    if (progress == Connection::Progress::kWaiting) return;
    Connection& connection = *connections_[index];
    const auto now = Clock::now();
    idle_.push_back(index);
    if (connection.scheduled < measured_from_) return;
    last_answer_ = now;
    const bool whole = progress == Connection::Progress::kAnswered;
    const bool incomplete = whole && options_.stream && !connection.done_marker();
    broken_ += !whole;
    incomplete_ += incomplete;
    if (whole) ++statuses_[connection.status()];
    if (!whole || incomplete || connection.status() != 200) ++errors_;
    if (!whole) return;
    body_bytes_ += connection.body_bytes();
    latencies_.push_back(ms_between(connection.scheduled, now));
    if (connection.body_bytes() > 0)
      first_bytes_.push_back(ms_between(connection.scheduled, connection.first_byte()));
  }

  bool finished(Clock::time_point now) const {
    const bool sending = now < end_ && more();
    return !sending && running() == 0 && waiting_.empty();
  }

  void check_timeouts(Clock::time_point now) {
    if (now < next_check_) return;
    next_check_ = now + milliseconds(200);
    if (now >= end_) waiting_.clear();  // never sent
    const milliseconds limit(options_.timeout_ms);
    std::vector<bool> is_idle(connections_.size(), false);
    for (const std::size_t index : idle_) is_idle[index] = true;
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      if (is_idle[i] || now - connections_[i]->scheduled < limit) continue;
      connections_[i]->close();
      ++timed_out_;
      settle(i, Connection::Progress::kBroken);
    }
  }

  void wait(Clock::time_point now) {
    auto until = next_check_;
    if (options_.rate > 0 && now < end_ && more()) until = std::min(until, due(sent_));
    if (options_.rate == 0 && options_.ramp_ms > 0 && now < begin_ + milliseconds(options_.ramp_ms))
      until = std::min(until, now + milliseconds(1));
    const auto pause =
        std::max(nanoseconds(1), std::chrono::duration_cast<nanoseconds>(until - now));
    const itimerspec setting{{}, {pause.count() / 1'000'000'000, pause.count() % 1'000'000'000}};
    if (until != timer_at_) ::timerfd_settime(timer_, 0, &setting, nullptr);
    timer_at_ = until;
    epoll_event events[256];
    const int count = ::epoll_wait(epoll_, events, 256, 1000);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.u64 == kTimer) {
        std::uint64_t expirations = 0;
        [[maybe_unused]] const ssize_t got = ::read(timer_, &expirations, sizeof expirations);
        timer_at_ = {};
        continue;
      }
      serve(events[i].data.u64, events[i].events);
    }
  }

  void serve(std::size_t index, std::uint32_t events) {
    Connection& connection = *connections_[index];
    if (connection.fd() < 0) return;
    if ((events & EPOLLOUT) != 0 && connection.wants_write()) settle(index, connection.writable());
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
    // Edge-triggered: until nothing is left, or the answer is there.
    auto progress = Connection::Progress::kWaiting;
    for (int i = 0; i < 1000 && connection.fd() >= 0; ++i) {
      const std::uint64_t before = connection.reads();
      progress = connection.readable();
      if (progress != Connection::Progress::kWaiting || connection.reads() == before) break;
    }
    settle(index, progress);
  }

  const Options options_;
  std::string request_;
  std::size_t number_at_ = std::string::npos;
  std::uint64_t unique_ = 0;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::size_t> idle_;
  std::deque<Clock::time_point> waiting_;
  int epoll_ = -1, timer_ = -1;
  Clock::time_point begin_, measured_from_, end_, next_check_, timer_at_, last_answer_, finished_;
  std::uint64_t sent_ = 0, errors_ = 0, broken_ = 0, timed_out_ = 0, incomplete_ = 0,
                body_bytes_ = 0;
  std::map<int, std::uint64_t> statuses_;
  std::vector<float> latencies_, first_bytes_;
};

int main_of(int argc, char** argv) {
  Options options;
  CLI::App app("Load on an OpenAI-compatible server; the result is JSON.");
  app.add_option("--url", options.url)->capture_default_str();
  app.add_option("--rate", options.rate, "requests/s at fixed times (open loop)");
  app.add_option(
      "--connections", options.connections,
      "at once; without --rate each sends when it has its answer (default: 256, 1 there)");
  app.add_option("--seconds", options.seconds, "measured")->capture_default_str();
  app.add_option("--warmup", options.warmup, "seconds before that")->capture_default_str();
  app.add_option("--requests", options.requests, "stop after so many instead");
  app.add_flag("--stream", options.stream, "each must end with [DONE]");
  app.add_flag("--unique", options.unique, "no two prompts are the same");
  app.add_option("--model", options.model)->capture_default_str();
  app.add_option("--key", options.key, "sent as a bearer token");
  app.add_option("--header", options.headers, "\"Name: value\", sent along");
  app.add_option("--prompt-bytes", options.prompt_bytes)->capture_default_str();
  app.add_option("--ramp-ms", options.ramp_ms, "until all connections send");
  app.add_option("--timeout-ms", options.timeout_ms, "for an answer")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (options.rate == 0 && options.connections == 0) options.connections = 1;
  Target target;
  if (!parse_target(options.url, target)) {
    std::fprintf(stderr, "--url must be http://ADDRESS:PORT/path\n");
    return 2;
  }
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  Load load(options, target);
  load.run();
  load.print();
  return load.errors() > 0 ? 1 : 0;
}

}  // namespace
}  // namespace tack::load

int main(int argc, char** argv) {
  return tack::load::main_of(argc, argv);
}
