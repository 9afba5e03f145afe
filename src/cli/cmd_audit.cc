// `tack audit`: whether the audit log is what was written, where it ends, what it says.

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include <unistd.h>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/paths.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "store/audit_file.h"
#include "store/audit_verify.h"
#include "store/period.h"

namespace tack {
namespace {

namespace fs = std::filesystem;
using store::AuditDamage;
using store::AuditHead;
using store::AuditKey;
using store::AuditRecord;
using store::AuditReport;

struct Options {
  std::vector<std::string> files, heads;
  std::string file, key, since, until, client, event, id;
  bool json = false;
};

fs::path log_of(const Options& options) {
  return options.file.empty() ? tack_home() / "audit.jsonl" : fs::path(options.file);
}

Result<AuditKey> key_of(const Options& options) {
  const fs::path file = options.key.empty() ? tack_home() / "audit.key" : fs::path(options.key);
  auto key = options.key.empty() ? AuditKey::find(file) : AuditKey::read(file);
  if (!key && key.error().code == ErrorCode::kNotFound)
    key.error().message += fmt::format("; name the file that `tack serve` used by --key, or set {}",
                                       AuditKey::kVariable);
  return key;
}

std::string count_text(std::uint64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// --- verify

// A head, or a file with one in each line: `tack audit head >> FILE`.
Result<std::vector<AuditHead>> heads_of(const std::vector<std::string>& given) {
  std::vector<AuditHead> heads;
  for (const std::string& text : given) {
    std::error_code ignored;
    if (!fs::is_regular_file(text, ignored)) {
      TACK_TRY(heads.emplace_back(), store::parse_audit_head(text));
      continue;
    }
    TACK_TRY(const auto file, MappedFile::open(text));
    const std::size_t before = heads.size();
    std::string_view rest = file.text();
    for (std::uint64_t number = 1; !rest.empty(); ++number) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      const std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (line.empty()) continue;
      auto head = store::parse_audit_head(line);
      if (!head)
        return std::unexpected(std::move(head).error().in(fmt::format("{}:{}", text, number)));
      heads.push_back(*std::move(head));
    }
    if (heads.size() == before)
      return fail(ErrorCode::kUsage, "--head {}: the file has no head in it", text);
  }
  return heads;
}

Result<std::vector<fs::path>> files_of(const Options& options) {
  std::vector<fs::path> files;
  for (const std::string& file : options.files) files.emplace_back(file);
  if (files.empty()) files = store::audit_files(log_of(options));
  if (files.empty())
    return fail(ErrorCode::kNotFound,
                "there is no audit log {}: `tack serve` with [audit] writes one, or name a file",
                log_of(options).string());
  return files;
}

Result<AuditReport> verify_once(const std::vector<fs::path>& files, const AuditKey& key,
                                std::span<const AuditHead> heads) {
  std::vector<MappedFile> mapped;
  std::vector<store::AuditText> texts;
  for (const fs::path& file : files) {
    TACK_TRY(mapped.emplace_back(), MappedFile::open(file));
    texts.push_back({file.string(), mapped.back().text()});
  }
  return store::verify_audit(texts, key, heads);
}

// A line that a process is just writing has no end yet: it is looked at again.
Result<AuditReport> verify_files(const std::vector<fs::path>& files, const AuditKey& key,
                                 std::span<const AuditHead> heads) {
  for (int tries = 0;; ++tries) {
    TACK_TRY(AuditReport report, verify_once(files, key, heads));
    const bool torn = report.damage_count == 1 &&
                      report.damages[0].kind == store::AuditDamageKind::kTorn &&
                      report.damages[0].file == files.back().string();
    if (!torn || tries == 3) return report;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

Json to_json(const AuditHead& head) {
  return {{"log", head.log},
          {"seq", head.seq},
          {"time", store::audit_time(head.time_us)},
          {"mac", head.mac},
          {"text", head.text()}};
}

Json to_json(const AuditReport& report, const std::vector<fs::path>& files, std::size_t heads) {
  Json damages = Json::array();
  for (const AuditDamage& damage : report.damages)
    damages.push_back({{"file", damage.file},
                       {"line", damage.line},
                       {"kind", store::audit_damage_name(damage.kind)},
                       {"record", damage.seq ? Json(*damage.seq) : Json()},
                       {"count", damage.count},
                       {"message", damage.message}});
  Json names = Json::array();
  for (const fs::path& file : files) names.push_back(file.string());
  return {{"ok", report.right()},
          {"files", std::move(names)},
          {"lines", report.lines},
          {"records", report.records},
          {"first_record", report.first_seq},
          {"last", report.last ? to_json(*report.last) : Json()},
          {"heads_given", heads},
          {"complete_up_to", report.proven ? Json(report.proven->seq) : Json()},
          {"damage_count", report.damage_count},
          {"damages", std::move(damages)}};
}

Status print_report(const AuditReport& report, std::size_t files, std::size_t heads) {
  for (const AuditDamage& damage : report.damages)
    TACK_RETURN_IF_ERROR(
        print_line(fmt::format("{}:{}: {}: {}", damage.file, damage.line,
                               store::audit_damage_name(damage.kind), damage.message)));
  if (report.damage_count > report.damages.size())
    TACK_RETURN_IF_ERROR(
        print_line(fmt::format("... and {} more", report.damage_count - report.damages.size())));
  TACK_RETURN_IF_ERROR(
      print_line(fmt::format("{} in {}: {} right and in place", count_text(report.lines, "line"),
                             count_text(files, "file"), count_text(report.records, "record"))));
  if (report.first_seq > 0)
    TACK_RETURN_IF_ERROR(print_line(
        fmt::format("begins with record {}: what came before is in files that were not verified",
                    report.first_seq)));
  if (report.last) TACK_RETURN_IF_ERROR(print_line("head: " + report.last->text()));
  if (report.proven)
    return print_line(
        fmt::format("complete up to record {} of {} UTC, the head that was given; "
                    "whether records after the last one here were taken away it "
                    "cannot tell",
                    report.proven->seq, store::audit_time(report.proven->time_us)));
  if (heads > 0) return {};
  return print_line(
      "whether records were taken away at the end cannot be known without a head that was kept "
      "elsewhere: --head (`tack audit head` prints them)");
}

Status verify(const Options& options) {
  TACK_TRY(const std::vector<fs::path> files, files_of(options));
  TACK_TRY(const AuditKey key, key_of(options));
  TACK_TRY(const std::vector<AuditHead> heads, heads_of(options.heads));
  TACK_TRY(const AuditReport report, verify_files(files, key, heads));
  if (options.json)
    TACK_RETURN_IF_ERROR(print_line(to_text(to_json(report, files, heads.size()), 2)));
  else
    TACK_RETURN_IF_ERROR(print_report(report, files.size(), heads.size()));
  if (report.right()) return {};
  if (report.records == 0 && report.lines > 0)
    return fail(ErrorCode::kRefused,
                "no record was written with this key ({}): it is another log's, or the whole log "
                "was replaced",
                key.id());
  return fail(ErrorCode::kRefused, "the audit log is damaged: {}, the first in line {} of {}",
              count_text(report.damage_count, "damage"), report.damages[0].line,
              report.damages[0].file);
}

// --- head, rotate

Status print_head(const AuditHead& head, bool json) {
  return print_line(json ? to_text(to_json(head), 2) : head.text());
}

Status head(const Options& options) {
  const fs::path file = log_of(options);
  TACK_TRY(const AuditKey key, key_of(options));
  auto found = store::read_audit_head(file, key);
  if (!found && found.error().code == ErrorCode::kNotFound)
    return fail(ErrorCode::kNotFound, "there is no audit log {}", file.string());
  if (!found) return std::unexpected(std::move(found).error());
  return print_head(*found, options.json);
}

Status rotate(const Options& options) {
  const fs::path file = log_of(options);
  TACK_TRY(const AuditKey key, key_of(options));
  TACK_TRY(const auto log, store::AuditFile::rotate(file, key, {}));
  const std::vector<fs::path> files = store::audit_files(file);
  if (files.size() > 1)
    fmt::print(stderr, "{} is now {}; {} goes on in a new file\n", file.filename().string(),
               files[files.size() - 2].string(), file.string());
  return print_head(log.head(), options.json);
}

// --- show

// A name that is looked for, also where the log has its digest.
struct Wanted {
  std::string name, digest;

  bool takes(const std::string& found) const {
    return name.empty() || found == name || found == digest;
  }
};

struct Filter {
  std::optional<std::int64_t> since_us, until_us;
  Wanted client, event, id;

  bool takes(const AuditRecord& record) const {
    return (!since_us || record.time_us >= *since_us) &&
           (!until_us || record.time_us < *until_us) && client.takes(record.client) &&
           event.takes(record.event) && id.takes(record.id);
  }
};

Result<Filter> filter_of(const Options& options) {
  // Records can be read without the key; digests cannot be told then.
  const auto key = key_of(options);
  if (!key && !options.key.empty()) return std::unexpected(key.error());
  const auto wanted = [&](const std::string& name) {
    return Wanted{name, key ? "digest:" + key->digest(name) : name};
  };
  Filter filter{.client = wanted(options.client),
                .event = {options.event, options.event},
                .id = wanted(options.id)};
  const std::int64_t now = std::chrono::duration_cast<std::chrono::microseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  const auto moment = [&](const char* name, const std::string& text,
                          std::optional<std::int64_t>& out) -> Status {
    if (text.empty()) return {};
    auto parsed = store::parse_moment(text, now);
    if (!parsed) return std::unexpected(std::move(parsed).error().in(name));
    out = *parsed;
    return {};
  };
  TACK_RETURN_IF_ERROR(moment("--since", options.since, filter.since_us));
  TACK_RETURN_IF_ERROR(moment("--until", options.until, filter.until_us));
  return filter;
}

std::string line_of(const AuditRecord& record) {
  std::string line = store::audit_time(record.time_us);
  for (const std::string* part : {&record.event, &record.outcome})
    line += "  " + (part->empty() ? "-" : *part);
  const std::pair<const char*, const std::string&> named[] = {{"client", record.client},
                                                              {"id", record.id},
                                                              {"route", record.route},
                                                              {"model", record.model}};
  for (const auto& [name, value] : named)
    if (!value.empty()) line += fmt::format("  {}={}", name, value);
  for (const auto& [name, value] : record.labels) line += fmt::format("  {}={}", name, value);
  for (const auto& [name, value] : record.counts) line += fmt::format("  {}={}", name, value);
  for (const auto& [name, value] : record.hashes)
    line += fmt::format("  {}={}", name, value.substr(0, 12));
  // A damaged file may hold what would drive the terminal.
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return line;
}

Status show_file(const fs::path& file, const Filter& filter, bool json, std::uint64_t& unreadable) {
  TACK_TRY(const auto mapped, MappedFile::open(file));
  for (std::string_view rest = mapped.text(); !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const auto record = store::split_audit_line(line) ? store::parse_audit_record(line)
                                                      : Result<AuditRecord>(fail("no record"));
    if (!record)
      ++unreadable;
    else if (filter.takes(*record))
      TACK_RETURN_IF_ERROR(print_line(json ? std::string(line) : line_of(*record)));
  }
  return {};
}

Status show(const Options& options) {
  TACK_TRY(const std::vector<fs::path> files, files_of(options));
  TACK_TRY(const Filter filter, filter_of(options));
  std::uint64_t unreadable = 0;
  for (const fs::path& file : files)
    TACK_RETURN_IF_ERROR(show_file(file, filter, options.json, unreadable));
  if (unreadable > 0)
    fmt::print(stderr, "{} no record: `tack audit verify` says what happened to them\n",
               unreadable == 1 ? "1 line is" : fmt::format("{} lines are", unreadable));
  return {};
}

void add_key_option(Command& verb, Options& options) {
  verb.option("--key", options.key,
              "File of its key; default: the variable TACK_AUDIT_KEY, else audit.key in TACK_HOME")
      .type_name("FILE");
}

void add_file_option(Command& verb, Options& options) {
  verb.option("file,--file", options.file,
              "The log; default: audit.jsonl in TACK_HOME, where `tack serve` writes")
      .environment("TACK_AUDIT");
}

}  // namespace

Verb make_audit(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("audit", "Verify and read the audit log of `tack serve`");
  verb.require_verb();
  Command verifying =
      verb.add_verb("verify", "Find every record that was changed, moved or removed");
  Command heading = verb.add_verb("head", "Print where the log ends, to be kept elsewhere");
  Command showing = verb.add_verb("show", "Print records (it does not verify them)");
  Command rotating =
      verb.add_verb("rotate", "Go on in a new file: for archives, and after a damage");
  for (Command* one : {&verifying, &showing}) {
    one->option("files", options->files,
                "Files of one log, the oldest first; default: the log and its older files");
    one->option("--file", options->file, "The log; default: audit.jsonl in TACK_HOME")
        .environment("TACK_AUDIT");
  }
  verifying
      .option("--head", options->heads,
              "A head that `tack audit head` printed, or a file with some; may be repeated")
      .one_at_a_time();
  for (Command* one : {&heading, &rotating}) add_file_option(*one, *options);
  for (Command* one : {&verifying, &heading, &showing, &rotating}) add_key_option(*one, *options);
  showing
      .option("--since", options->since, "7d (also m, h, w), 2026-11-01 or 2026-11-01T12:30 (UTC)")
      .type_name("TIME");
  showing.option("--until", options->until, "Likewise; this moment is not included")
      .type_name("TIME");
  showing.option("--client", options->client, "Only of this client");
  showing.option("--event", options->event, "Only this event: request, guard, egress, ...");
  showing.option("--id", options->id, "Only of the request with this id");
  verifying.flag("--json", options->json, "Print the result as JSON");
  heading.flag("--json", options->json, "One object");
  rotating.flag("--json", options->json, "One object");
  showing.flag("--json", options->json, "The records as they are: JSON lines");
  for (Command* one : {&verb, &verifying})
    one->footer("Example: tack audit verify --head heads.txt");
  return {verb, [options, verifying, heading, showing] {
            if (verifying.given()) return verify(*options);
            if (heading.given()) return head(*options);
            return showing.given() ? show(*options) : rotate(*options);
          }};
}

}  // namespace tack
