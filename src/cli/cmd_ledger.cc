// `tack ledger`: what the gateway's requests were, cost and saved.

#include <filesystem>

#include "base/atomic_file.h"
#include "base/interrupt.h"
#include "base/paths.h"
#include "cli/ledger_report.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "store/flywheel.h"
#include "store/period.h"
#include "store/sqlite_store.h"

namespace tack {
namespace {

namespace fs = std::filesystem;
using store::Access;
using store::Grouping;
using store::SqliteStore;

constexpr Grouping kGroupings[] = {Grouping::kDay, Grouping::kModel, Grouping::kRoute,
                                   Grouping::kClient};

struct Options {
  std::string file, since, until, html, jsonl, remove_before;
  std::vector<std::string> by;
  bool json = false;
};

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Result<std::optional<std::int64_t>> moment_of(const char* option, const std::string& text) {
  if (text.empty()) return std::nullopt;
  auto moment = store::parse_moment(text, now_us());
  if (!moment) return std::unexpected(std::move(moment).error().in(option));
  return *moment;
}

Result<store::Period> period_of(const Options& options) {
  store::Period period;
  TACK_TRY(period.since_us, moment_of("--since", options.since));
  TACK_TRY(period.until_us, moment_of("--until", options.until));
  if (period.since_us && period.until_us && *period.since_us >= *period.until_us)
    return fail(ErrorCode::kUsage, "--since {} is not before --until {}", options.since,
                options.until);
  return period;
}

std::vector<Grouping> groupings_of(const Options& options) {
  std::vector<Grouping> out;
  for (const std::string& name : options.by)
    for (const Grouping grouping : kGroupings)
      if (name == store::grouping_name(grouping)) out.push_back(grouping);
  if (!out.empty() || options.html.empty()) return out;
  return {std::begin(kGroupings), std::end(kGroupings)};
}

// What is written must not be the ledger itself.
Status check_output(const char* option, const std::string& out, const fs::path& ledger) {
  std::error_code ignored;
  if (!out.empty() && fs::equivalent(out, ledger, ignored))
    return fail(ErrorCode::kUsage, "{} {} is the ledger itself: choose another name", option, out);
  return {};
}

Status report(const Options& options, const fs::path& path, const store::Period& period) {
  TACK_TRY(const auto ledger, SqliteStore::open(path, Access::kRead));
  LedgerReport out{.ledger = path.string(), .period = period, .report = {}};
  TACK_TRY(out.report, store::summarise(*ledger, period, groupings_of(options)));
  if (!options.html.empty()) {
    TACK_RETURN_IF_ERROR(write_file(options.html, ledger_page(out)));
  }
  if (options.json) return print_line(to_text(ledger_json(out), 2));
  TACK_RETURN_IF_ERROR(print_text(ledger_text(out)));
  return options.html.empty() ? Status() : print_line("\nwrote " + options.html);
}

Status export_jsonl(const Options& options, const fs::path& path, const store::Period& period) {
  TACK_TRY(const auto ledger, SqliteStore::open(path, Access::kRead));
  TACK_TRY(const auto counts, store::export_flywheel(*ledger, period, options.jsonl));
  if (options.json)
    return print_line(to_text(Json{{"out", options.jsonl},
                                   {"written", counts.written},
                                   {"without_contents", counts.without_contents},
                                   {"other_endpoints", counts.other_endpoints},
                                   {"failed", counts.failed},
                                   {"unreadable", counts.unreadable}},
                              2));
  TACK_RETURN_IF_ERROR(
      print_line(fmt::format("wrote {} chat completions to {}", counts.written, options.jsonl)));
  const std::pair<std::int64_t, const char*> left_out[] = {
      {counts.without_contents, "without contents ([ledger] content = true logs them)"},
      {counts.other_endpoints, "of other endpoints"},
      {counts.failed, "that failed"},
      {counts.unreadable, "whose contents are no JSON objects"}};
  for (const auto& [count, why] : left_out)
    if (count > 0) TACK_RETURN_IF_ERROR(print_line(fmt::format("left out: {} {}", count, why)));
  return {};
}

Status remove(const Options& options, const fs::path& path) {
  constexpr std::int64_t kPiece = 5000;
  TACK_TRY(const auto before, moment_of("--remove-before", options.remove_before));
  TACK_TRY(const auto ledger, SqliteStore::open(path, Access::kWrite));
  std::int64_t removed = 0;
  for (std::int64_t last = kPiece; last == kPiece; removed += last) {
    if (interrupted())
      return fail(ErrorCode::kInterrupted, "interrupted: {} records were removed", removed);
    TACK_TRY(last, ledger->remove_before(*before, kPiece));
  }
  TACK_RETURN_IF_ERROR(ledger->shrink());
  TACK_TRY(const store::Counts counts, ledger->counts());
  if (options.json)
    return print_line(to_text(
        Json{{"removed", removed}, {"records", counts.records}, {"bytes", counts.bytes}}, 2));
  return print_line(fmt::format("removed {} records from before {} UTC; {} are left", removed,
                                store::moment_text(*before), counts.records));
}

Status run(const Options& options) {
  const fs::path path = options.file.empty() ? tack_home() / "ledger.db" : fs::path(options.file);
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    return fail(ErrorCode::kNotFound,
                "there is no ledger {}: `tack serve` writes one, or name another file",
                path.string());
  TACK_RETURN_IF_ERROR(check_output("--html", options.html, path));
  TACK_RETURN_IF_ERROR(check_output("--export", options.jsonl, path));
  TACK_TRY(const store::Period period, period_of(options));
  if (!options.remove_before.empty()) return remove(options, path);
  if (!options.jsonl.empty()) return export_jsonl(options, path, period);
  return report(options, path, period);
}

// One thing at a time: a report, an export, a removal.
Status check(const Options& options) {
  const bool removal = !options.remove_before.empty(), exported = !options.jsonl.empty();
  if (removal && (exported || !options.since.empty() || !options.until.empty()))
    return fail(ErrorCode::kUsage, "--remove-before takes no --export, --since or --until");
  if ((removal || exported) && (!options.html.empty() || !options.by.empty()))
    return fail(ErrorCode::kUsage, "{} takes no --html or --by: they are of a report",
                removal ? "--remove-before" : "--export");
  return {};
}

}  // namespace

Verb make_ledger(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("ledger", "Report what requests cost and saved");
  verb.option("ledger,--ledger", options->file,
              "The file; default: ledger.db in TACK_HOME, where `tack serve` writes");
  verb.option("--since", options->since, "7d (also m, h, w), 2026-11-01 or 2026-11-01T12:30 (UTC)")
      .type_name("TIME");
  verb.option("--until", options->until, "Likewise; this moment is not included").type_name("TIME");
  verb.option("--by", options->by, "Tables by model, route, client, day; several with commas")
      .delimiter(',')
      .one_of({"model", "route", "client", "day"});
  verb.option("--html", options->html, "Write a page too, with all tables unless --by says which")
      .type_name("FILE");
  verb.option("--export", options->jsonl,
              "Write logged chat completions as JSONL, in the schema of NVIDIA's data flywheel")
      .type_name("FILE");
  verb.option("--remove-before", options->remove_before, "Remove older records: 30d, 2026-11-01")
      .type_name("TIME");
  verb.flag("--json", options->json, "Print the result as JSON");
  verb.footer("Example: tack ledger --since 7d --by model,day");
  return {verb, [options] {
            const Status status = check(*options);
            return status ? run(*options) : status;
          }};
}

}  // namespace tack
