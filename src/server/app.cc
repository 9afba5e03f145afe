#include "server/app.h"

#include <cstdlib>

#include "base/log.h"
#include "base/paths.h"
#include "gateway/egress_summary.h"
#include "server/api.h"
#include "store/sqlite_store.h"

namespace tack::server {
namespace {

net::Async<net::Response> metrics_response(gateway::Metrics& metrics) {
  net::Response response = net::Response::text(200, metrics.text());
  response.headers.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  co_return response;
}

net::Async<net::Response> ready(net::Response response) {
  co_return response;
}

// A file of keys may change while the answer is made.
net::Async<net::Response> keep(std::shared_ptr<const gateway::Key> key,
                               net::Async<net::Response> answer) {
  net::Response response = co_await std::move(answer);
  key.reset();
  co_return response;
}

// Routes, and those models of upstreams that have a price.
std::vector<Json> named_elsewhere(const gateway::GatewayConfig& config) {
  std::vector<Json> all;
  const auto add = [&](std::string id, std::string_view owner, std::string_view task) {
    all.push_back({{"id", std::move(id)},
                   {"object", "model"},
                   {"created", 0},
                   {"owned_by", owner},
                   {"task", task}});
  };
  for (const gateway::RouteConfig& route : config.routes) add(route.name, "tackhammer", "route");
  for (const gateway::UpstreamConfig& upstream : config.upstreams)
    for (const auto& [model, price] : upstream.prices)
      if (model != "*") add(upstream.name + "/" + model, upstream.name, "upstream");
  return all;
}

gateway::RecordSink ledger_sink(store::LedgerWriter* ledger) {
  if (ledger == nullptr) return {};
  return [ledger](store::CallRecord record) { ledger->submit(std::move(record)); };
}

std::map<std::string, gateway::SendUpstream, std::less<>> senders(
    const std::vector<std::unique_ptr<gateway::Upstream>>& upstreams) {
  std::map<std::string, gateway::SendUpstream, std::less<>> all;
  for (const auto& upstream : upstreams)
    all[upstream->name()] = [to = upstream.get()](gateway::ClearedCall cleared) {
      return to->send(std::move(cleared));
    };
  return all;
}

guard::FindModel finder_of(const GuardModels& models) {
  return [&models](const std::string& name) -> Result<guard::GuardModel> {
    const auto at = models.find(name);
    if (at != models.end()) return at->second;
    return fail(ErrorCode::kNotFound,
                "the model '{}' is not served: add [models.{}] with the path of a task model", name,
                name);
  };
}

// Keys and requests can ask for it where the configuration does not.
std::unique_ptr<const gateway::Masker> made_masker(const gateway::GatewayConfig& config,
                                                   gateway::LocalModels& locals,
                                                   net::Workers& workers) {
  auto masker = gateway::Masker::create(config.privacy, locals, &workers);
  return masker ? *std::move(masker) : nullptr;  // its entities were checked with the file
}

Result<std::unique_ptr<store::AuditLog>> open_audit(const gateway::GatewayConfig& config) {
  const gateway::AuditConfig& audit = config.audit;
  TACK_TRY(const store::AuditKey key, store::open_audit_key(audit.path, audit.key_file));
  TACK_TRY(auto log, store::AuditLog::open({.file = audit.path,
                                            .max_bytes = audit.max_bytes,
                                            .verify_all = audit.verify_all,
                                            .queue = static_cast<std::size_t>(audit.queue),
                                            .interval = audit.flush},
                                           key));
  store::AuditRecord start{.event = "start", .outcome = "ok"};
  start.counts.emplace_back("upstreams", static_cast<std::int64_t>(config.upstreams.size()));
  start.labels.emplace_back("privacy", gateway::name_of(config.privacy.mode));
  start.labels.emplace_back("may leave",
                            gateway::hosts_outside(config).empty() ? "nothing" : "texts");
  log->append(std::move(start));
  return log;
}

// The writer tries again anyway.
constexpr std::chrono::milliseconds kLedgerPatience{250};

}  // namespace

Result<App::Parts> App::open(const gateway::GatewayConfig& config,
                             const std::vector<std::unique_ptr<ServedModel>>& models) {
  Parts parts;
  TACK_TRY(const auto encoders, served_encoders(models));
  parts.guard_models = guard_models(models);
  if (config.guard.enabled) {
    TACK_TRY(parts.guard, guard::Guard::create(config.guard, finder_of(parts.guard_models)));
  }
  TACK_TRY(parts.learned, gateway::LearnedRoutes::open(config, encoders));
  if (config.ledger.enabled) {
    const std::filesystem::path path = config.ledger.path.empty()
                                           ? tack_home() / "ledger.db"
                                           : std::filesystem::path(config.ledger.path);
    TACK_TRY(auto store, store::SqliteStore::open(path, store::Access::kWrite, kLedgerPatience));
    parts.ledger = std::make_unique<store::LedgerWriter>(
        std::move(store),
        store::WriterOptions{.queue = static_cast<std::size_t>(config.ledger.queue),
                             .retention_days = config.ledger.retention_days});
  }
  if (config.audit.enabled) {
    TACK_TRY(parts.audit, open_audit(config));
  }
  if (!config.keys.file.empty()) {
    TACK_TRY(parts.keys, gateway::KeyRing::open(config.keys.file));
  }
  for (const gateway::UpstreamConfig& upstream : config.upstreams) {
    if (!config.may_leave()) break;
    const char* key = upstream.key_env.empty() ? nullptr : std::getenv(upstream.key_env.c_str());
    TACK_TRY(auto opened, gateway::Upstream::create(upstream, key != nullptr ? key : ""));
    parts.upstreams.push_back(std::move(opened));
  }
  return parts;
}

App::App(const gateway::GatewayConfig& config, Parts parts, EncoderService& encoders,
         GenerationService& decoders, gateway::RecordSink record)
    : config_(config),
      encoders_(encoders),
      decoders_(decoders),
      parts_(std::move(parts)),
      locals_(encoders, decoders),
      masker_(made_masker(config, locals_, workers_)),
      auditing_(parts_.audit != nullptr
                    ? std::make_unique<const gateway::Auditing>(*parts_.audit, config)
                    : nullptr),
      metrics_(config),
      gateway_({.config = config,
                .locals = locals_,
                .upstreams = senders(parts_.upstreams),
                .learned = parts_.learned.asker(locals_),
                .record = record ? std::move(record) : ledger_sink(parts_.ledger.get()),
                .metrics = &metrics_,
                .keys = parts_.keys.get(),
                .limiter = parts_.keys != nullptr ? &limiter_ : nullptr,
                .guard = parts_.guard,
                .auditing = auditing_.get(),
                .workers = &workers_,
                .masker = masker_.get()}) {
  watch_services();
  if (parts_.audit != nullptr) watch_audit();
  if (parts_.ledger != nullptr) watch_ledger();
  watch_upstreams();
}

void App::settle() {
  workers_.join();
  // Who waits for a record is answered before this one is written, or cannot be.
  if (parts_.audit != nullptr)
    if (const Status status = parts_.audit->append_durably({.event = "stop", .outcome = "ok"});
        !status)
      log_error("the audit log cannot be written: {}", status.error().message);
}

bool App::close(std::chrono::milliseconds time) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  bool whole = true;
  if (parts_.audit != nullptr) whole = parts_.audit->stop(deadline);
  if (parts_.ledger != nullptr) whole = parts_.ledger->stop(deadline) && whole;
  return whole;
}

void App::watch_audit() {
  const auto audit = [this](std::uint64_t store::AuditCounters::* member) {
    return [this, member] { return static_cast<double>(parts_.audit->counters().*member); };
  };
  using store::AuditCounters;
  metrics_.counter("tack_audit_written_total", "Records of the audit log that are durable", {},
                   audit(&AuditCounters::written));
  metrics_.counter("tack_audit_dropped_total", "Records that are missing from the audit log", {},
                   audit(&AuditCounters::dropped));
  metrics_.counter("tack_audit_errors_total", "Failed attempts to write to the audit log", {},
                   audit(&AuditCounters::errors));
}

void App::watch_upstreams() {
  for (const auto& upstream : parts_.upstreams) {
    const gateway::Metrics::Labels labels = {{"upstream", upstream->name()}};
    const gateway::Upstream* const one = upstream.get();
    metrics_.gauge("tack_upstream_open", "1 while the upstream is asked, 0 while it rests", labels,
                   [one] { return one->state() == gateway::CircuitBreaker::State::kOpen ? 0 : 1; });
    metrics_.gauge("tack_upstream_connections", "Connections with a request on them", labels,
                   [one] { return static_cast<double>(one->connections().active); });
    metrics_.gauge("tack_upstream_waiting", "Requests that wait for a connection", labels,
                   [one] { return static_cast<double>(one->connections().waiting); });
  }
}

void App::watch_ledger() {
  const auto ledger = [this](std::uint64_t store::WriterCounters::* member) {
    return [this, member] { return static_cast<double>(parts_.ledger->counters().*member); };
  };
  using store::WriterCounters;
  metrics_.counter("tack_ledger_written_total", "Requests written to the ledger", {},
                   ledger(&WriterCounters::written));
  metrics_.counter("tack_ledger_dropped_total", "Requests that are missing from the ledger", {},
                   ledger(&WriterCounters::dropped));
  metrics_.counter("tack_ledger_errors_total", "Failed attempts to write to the ledger", {},
                   ledger(&WriterCounters::errors));
  metrics_.gauge("tack_ledger_waiting", "Requests that wait to be written", {},
                 ledger(&WriterCounters::waiting));
}

void App::watch_services() {
  const auto encoder = [this](auto read) {
    return [this, read] { return static_cast<double>(read(encoders_.counters())); };
  };
  using Counters = EncoderService::Counters;
  metrics_.gauge("tack_encoder_queue_texts", "Texts that wait for an encoder or are in it", {},
                 encoder([](const Counters& c) { return c.waiting_texts; }));
  metrics_.counter("tack_encoder_batches_total", "Batches that encoders have run", {},
                   encoder([](const Counters& c) { return c.batches; }));
  metrics_.counter("tack_encoder_texts_total", "Texts that encoders have run", {},
                   encoder([](const Counters& c) { return c.texts; }));
  metrics_.counter("tack_encoder_refused_total", "Requests refused since too many waited", {},
                   encoder([](const Counters& c) { return c.refused; }));
  for (std::size_t i = 0; i < decoders_.model_count(); ++i) {
    const gateway::Metrics::Labels labels = {{"model", decoders_.model(i).id}};
    const auto decoder = [this, i](auto read) {
      return [this, i, read] { return static_cast<double>(read(decoders_.load(i))); };
    };
    using Load = GenerationService::Load;
    metrics_.gauge("tack_decoder_running", "Requests a decoder answers now", labels,
                   decoder([](const Load& load) { return load.running; }));
    metrics_.gauge("tack_decoder_waiting", "Requests that wait for a decoder", labels,
                   decoder([](const Load& load) { return load.waiting; }));
    metrics_.gauge("tack_kv_tokens", "Tokens in a decoder's KV cache", labels,
                   decoder([](const Load& load) { return load.kv_tokens; }));
    metrics_.gauge("tack_kv_capacity_tokens", "Tokens a decoder's KV cache has room for", labels,
                   decoder([](const Load& load) { return load.kv_capacity; }));
  }
}

void App::add_routes(net::Router& router) {
  add_open_routes(router, encoders_);
  const AskKey ask_key = [this](KeyedHandler handler) -> net::Handler {
    return [this, handler = std::move(handler)](net::Request request) {
      const auto key = gateway_.key_of(request.headers);
      if (!key) return ready(gateway::failure_response(key.error()));
      return keep(*key, handler(std::move(request), key->get()));
    };
  };
  add_listing_routes(router, ask_key, encoders_, decoders_, named_elsewhere(config_));
  const AddLocal add = [this, &router](std::string_view path, gateway::LocalHandler handler) {
    router.add("POST", path, [this, name = std::string(path), handler](net::Request request) {
      return gateway_.serve_local(name, std::move(request), handler);
    });
  };
  add_local_routes(add, encoders_, decoders_);
  add_guard_routes(add, encoders_, decoders_, parts_.guard_models, gateway_.guarding());
  for (const auto operation : {gateway::Operation::kChat, gateway::Operation::kCompletion,
                               gateway::Operation::kEmbeddings})
    router.add("POST", gateway::endpoint(operation), [this, operation](net::Request request) {
      return gateway_.handle(operation, std::move(request));
    });
  router.add("GET", "/metrics", ask_key([this](net::Request, const gateway::Key*) {
               return metrics_response(metrics_);
             }));
}

}  // namespace tack::server
