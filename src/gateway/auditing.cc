#include "gateway/auditing.h"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "gateway/masking.h"

namespace tack::gateway {

namespace asio = boost::asio;
using net::Async;
using store::AuditRecord;

namespace {

// A client may write anything into its x-request-id or behind the name of an upstream: what is not
// ours stands there as its digest (`tack audit show --id` finds it).
std::string written_id(const store::AuditLog& log, const std::string& id) {
  return id.starts_with("req-") ? id : "digest:" + log.digest(id);
}
AuditRecord about(const store::AuditLog& log, const Exchange& exchange, std::string event,
                  std::string outcome) {
  const store::CallRecord& record = exchange.account->record;
  return {.event = std::move(event),
          .outcome = std::move(outcome),
          .id = written_id(log, record.id),
          .client = record.client,
          .route = exchange.plan.route};
}

std::string outcome_of(int status) {
  if (status < 400) return "ok";
  if (status == 499) return "left";
  return status < 500 ? "refused" : "failed";
}

Async<Status> durable(store::AuditLog& log, AuditRecord record) {
  auto status = std::make_shared<Status>();
  auto initiate = [&log, &record, status](auto handler) {
    const auto executor = asio::get_associated_executor(handler);
    // The log keeps a copyable function; the handler can only be moved.
    auto resume = std::make_shared<decltype(handler)>(std::move(handler));
    auto work = std::make_shared<asio::executor_work_guard<decltype(executor)>>(executor);
    log.append(std::move(record), [resume, work, status](const Status& said) {
      *status = said;
      asio::post(work->get_executor(), std::move(*resume));
      work->reset();
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(initiate,
                                                                       asio::use_awaitable);
  co_return *status;
}

}  // namespace

std::string Auditing::written_model(const std::string& model, const std::string& route) const {
  const auto split = split_upstream(config_, model);
  if (!route.empty() || !split || split->upstream->prices.contains(split->model)) return model;
  return "digest:" + log_.digest(model);
}

void Auditing::request(const store::CallRecord& record) const {
  AuditRecord out{.event = "request",
                  .outcome = outcome_of(record.status),
                  .id = written_id(log_, record.id),
                  .client = record.client,
                  .model = written_model(record.model, record.route),
                  .route = record.route};
  out.labels.emplace_back("endpoint", record.endpoint);
  out.counts.emplace_back("status", record.status);
  std::int64_t prompt = 0, completion = 0;
  for (const store::Attempt& attempt : record.attempts) {
    prompt += attempt.tokens.prompt;
    completion += attempt.tokens.completion;
  }
  out.counts.emplace_back("attempts", static_cast<std::int64_t>(record.attempts.size()));
  out.counts.emplace_back("prompt_tokens", prompt);
  out.counts.emplace_back("completion_tokens", completion);
  if (record.from_cache) out.counts.emplace_back("from_cache", 1);
  log_.append(std::move(out));
}

void Auditing::guard(const Exchange& exchange, guard::Stage stage,
                     const guard::Verdict& verdict) const {
  std::int64_t tripped = 0, failed = 0;
  for (const guard::Finding& finding : verdict.findings) {
    tripped += finding.tripped ? 1 : 0;
    failed += finding.failed ? 1 : 0;
  }
  if (tripped + failed == 0) return;
  AuditRecord out = about(log_, exchange, "guard", verdict.blocked ? "blocked" : "observed");
  out.labels.emplace_back("stage", guard::stage_name(stage));
  if (const guard::Finding* first = verdict.first_tripped()) {
    out.labels.emplace_back("check", first->check);
    if (!first->category.empty()) out.labels.emplace_back("category", first->category);
  }
  out.counts.emplace_back("tripped", tripped);
  out.counts.emplace_back("failed", failed);
  log_.append(std::move(out));
}

void Auditing::mask(const Exchange& exchange, const MaskedCall& masked) const {
  if (masked.vault().size() == 0) return;
  AuditRecord out = about(log_, exchange, "mask", "ok");
  for (const auto& [entity, count] : masked.vault().counts())
    out.counts.emplace_back(entity, static_cast<std::int64_t>(count));
  log_.append(std::move(out));
}

Async<Expected<void>> Auditing::egress(const Exchange& exchange, const std::string& upstream,
                                       const ClearedCall& cleared) const {
  const std::string body = to_text(cleared.call().body);
  AuditRecord out = about(log_, exchange, "egress", name_of(exchange.egress.mode));
  out.model = written_model(upstream + "/" + cleared.model(), exchange.plan.route);
  out.counts.emplace_back("bytes", static_cast<std::int64_t>(body.size()));
  out.hashes.emplace_back("body", log_.digest(body));
  if (!config_.audit.required) {
    log_.append(std::move(out));
    co_return Expected<void>();
  }
  const Status status = co_await durable(log_, std::move(out));
  if (status) co_return Expected<void>();
  co_return std::unexpected(Failure{
      .status = 503,
      .message = fmt::format("nothing may leave this machine before the audit log says so, and it "
                             "cannot be written: {}",
                             status.error().message),
      .type = "server_error",
      .code = "audit_failed"});
}

}  // namespace tack::gateway
