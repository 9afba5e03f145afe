// For tests: keys, records and whole logs of the audit log.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "store/audit_verify.h"

namespace tack::store {

inline AuditKey made_up_key(char digit = '7') {
  return *AuditKey::parse(std::string(64, digit), "test");
}

inline AuditRecord made_up_audit_record(std::size_t i) {
  return {.time_us = 1'796'000'000'000'000 + static_cast<std::int64_t>(i),
          .event = i % 3 == 0 ? "guard" : "request",
          .outcome = i % 5 == 0 ? "blocked" : "ok",
          .id = "req-" + std::to_string(i),
          .client = i % 2 == 0 ? "support" : "",
          .model = "openai/gpt-4.1-mini",
          .route = "auto",
          .labels = {{"check", "injection"}},
          .counts = {{"prompt_tokens", static_cast<std::int64_t>(100 + i)}},
          .hashes = {{"prompt", "0123456789abcdef0123456789abcdef"}}};
}

// Lines with their '\n': the first record of a log, and so many more.
inline std::vector<std::string> made_up_lines(std::size_t records, const AuditKey& key,
                                              AuditHead* last = nullptr) {
  std::vector<std::string> lines;
  AuditHead head{.log = new_log_id(), .mac = std::string(kNoPrevious)};
  for (std::size_t i = 0; i < records; ++i) {
    AuditRecord record = made_up_audit_record(i);
    if (i == 0) record.event = "begin";
    write_audit_line(record, key, i, head, lines.emplace_back());
  }
  if (last != nullptr) *last = head;
  return lines;
}

inline std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line;
  return text;
}

inline AuditReport verified(const std::string& text, const AuditKey& key,
                            const std::vector<AuditHead>& heads = {}) {
  const AuditText file{"audit.jsonl", text};
  return verify_audit(std::span(&file, 1), key, heads);
}

inline std::string all(const AuditReport& report) {
  std::string text;
  for (const AuditDamage& damage : report.damages)
    text += fmt::format("line {}: {}: {}\n", damage.line, audit_damage_name(damage.kind),
                        damage.message);
  return text;
}

}  // namespace tack::store
