// One record of the audit log, and how it is written.
//
// A record is a line of JSON. Its members are in this order, what is empty is left out:
//
//   {"seq":17,"log":"9f86d081884c7d65","prev":"...","time":"2026-11-26T16:57:45.123456Z",
//    "event":"request","outcome":"ok","id":"...","client":"...","model":"...","route":"...",
//    "labels":{...},"counts":{...},"hashes":{...},"mac":"..."}
//
// `mac` is keyed over all bytes of the line before `,"mac"`, so every record proves itself; `prev`
// is the mac of the record before it, so all prove their order. Both are needed to say where a log
// was damaged: a record that is right by itself may stand in the wrong place. The first record of
// a log has seq 0 and the event "begin", the first one of each further file "continue".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "store/audit_key.h"

namespace tack::store {

// Who, what, when, outcome, and numbers; never content. Texts are names: of letters, digits, spaces
// and -_.:@+/ , 128 bytes at most. Any other text is written as its digest ("digest:..."), so that
// nothing else gets into the log by mistake.
struct AuditRecord {
  std::int64_t time_us = 0;  // since 1970; 0: when it is appended
  std::string event;         // "request", "guard", "mask", "egress", "start", "stop", "key", ...
  std::string outcome;       // "ok", "blocked", "failed", ...
  std::string id;            // of the request
  std::string client;        // name of its key
  std::string model, route;
  // 32 of each at most; how many were more is counted as "left_out".
  std::vector<std::pair<std::string, std::string>> labels;  // {"check", "injection"}
  std::vector<std::pair<std::string, std::int64_t>> counts;
  std::vector<std::pair<std::string, std::string>> hashes;  // of AuditKey::digest()
};

// Where a log ends: the record that all later ones build on. Kept elsewhere, it proves that none
// up to it was taken away.
struct AuditHead {
  std::string log;  // 16 random digits that the log was given at its begin
  std::uint64_t seq = 0;
  std::string mac;
  std::int64_t time_us = 0;

  // "tack-audit-1:LOG:SEQ:TIME_US:MAC"
  std::string text() const;
};
Result<AuditHead> parse_audit_head(std::string_view text);

std::string new_log_id();

// Of the first record of a log.
inline constexpr std::string_view kNoPrevious =
    "0000000000000000000000000000000000000000000000000000000000000000";
// No line is longer.
inline constexpr std::size_t kMostAuditLineBytes = 65536;

// Appends the line, with its '\n', to `out`, and makes it the head. `head.mac` is kNoPrevious and
// `next` 0 for the first one.
void write_audit_line(const AuditRecord& record, const AuditKey& key, std::uint64_t next,
                      AuditHead& head, std::string& out);

// A line taken apart without reading all of its JSON; views of it.
struct AuditLine {
  std::uint64_t seq = 0;
  std::string_view log, prev, mac;
  std::string_view signed_bytes;
};
// `line` without its '\n'. Nullopt: it has not the form of one.
std::optional<AuditLine> split_audit_line(std::string_view line);
// Only when its mac is right: then it is what was written.
std::optional<AuditLine> check_audit_line(std::string_view line, const AuditKey& key);

// Back from a line of JSON; members of no known name are left out.
Result<AuditRecord> parse_audit_record(std::string_view line);

// "2026-11-26T16:57:45.123456Z" and back (0: it is none).
std::string audit_time(std::int64_t time_us);

}  // namespace tack::store
