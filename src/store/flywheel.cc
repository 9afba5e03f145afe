#include "store/flywheel.h"

#include "base/atomic_file.h"
#include "base/interrupt.h"
#include "base/json.h"

namespace tack::store {
namespace {

std::string or_default(const std::string& name) {
  return name.empty() ? "default" : name;
}

std::string workload_of(const CallRecord& record) {
  for (const std::string* name : {&record.workload, &record.route, &record.model})
    if (!name->empty()) return *name;
  return or_default("");
}

// The line of a record, or where it is counted instead.
Result<std::string> line_of(const CallRecord& record) {
  TACK_TRY(Json request, parse_json(*record.request, "request"));
  TACK_TRY(Json response, parse_json(*record.response, "response"));
  if (!request.is_object() || !response.is_object()) return fail("no objects");
  const Json line = {{"timestamp", record.time_us / 1'000'000},
                     {"workload_id", workload_of(record)},
                     {"client_id", or_default(record.client)},
                     {"request", std::move(request)},
                     {"response", std::move(response)}};
  return to_text(line) + "\n";
}

}  // namespace

Result<FlywheelCounts> export_flywheel(StateStore& store, const Period& period,
                                       const std::filesystem::path& out) {
  TACK_TRY(AtomicFile file, AtomicFile::create(out));
  FlywheelCounts counts;
  const auto write = [&](const CallRecord& record) -> Status {
    if (interrupted())
      return fail(ErrorCode::kInterrupted, "interrupted: {} not written", out.string());
    if (!record.request || !record.response) return ++counts.without_contents, Status();
    if (record.endpoint != "/v1/chat/completions") return ++counts.other_endpoints, Status();
    if (record.status >= 400) return ++counts.failed, Status();
    const auto line = line_of(record);
    if (!line) return ++counts.unreadable, Status();
    ++counts.written;
    return file.write(*line);
  };
  TACK_RETURN_IF_ERROR(store.each(period, Contents::kWith, write));
  TACK_RETURN_IF_ERROR(file.commit());
  return counts;
}

}  // namespace tack::store
