// The audit log. The first byte's bit 7: any bytes as a file, and as heads: a report that points
// into the file. Else a log of a few records, changed as the bytes say: unless it ends up as it was
// or with less at its end, that is found.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "store/audit_verify.h"

namespace {

using namespace tack::store;

void require(bool holds) {
  if (!holds) std::abort();
}

const AuditKey& key() {
  static const AuditKey made = *AuditKey::parse(std::string(64, '7'), "fuzz");
  return made;
}

const std::vector<std::string>& good_lines() {
  static const std::vector<std::string> lines = [] {
    std::vector<std::string> made;
    AuditHead head{.log = "0123456789abcdef", .mac = std::string(kNoPrevious)};
    for (std::uint64_t i = 0; i < 12; ++i)
      write_audit_line({.time_us = 1, .event = i == 0 ? "begin" : "request"}, key(), i, head,
                       made.emplace_back());
    return made;
  }();
  return lines;
}

AuditReport verified(std::string_view text, std::span<const AuditHead> heads = {}) {
  const AuditText file{"fuzz", text};
  AuditReport report = verify_audit(std::span(&file, 1), key(), heads);
  require(report.records <= report.lines);
  require(report.damages.size() ==
          std::min<std::uint64_t>(report.damage_count, AuditReport::kMostDamages));
  for (const AuditDamage& damage : report.damages)
    require(damage.line >= 1 && damage.line <= std::max<std::uint64_t>(report.lines, 1));
  return report;
}

void any_file(std::string_view text) {
  verified(text);
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (const auto head = parse_audit_head(line)) {
      require(parse_audit_head(head->text()).has_value());
      verified(text, std::span(&*head, 1));
    }
    (void)parse_audit_record(line);
  }
}

void changed_file(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> lines = good_lines();
  std::string whole;
  for (const std::string& line : lines) whole += line;
  for (std::size_t at = 0; at + 3 < size; at += 4) {
    const std::size_t i = data[at + 1] % lines.size(), j = data[at + 2] % lines.size();
    const auto here = lines.begin() + static_cast<std::ptrdiff_t>(i);
    if (data[at] % 5 == 0 && !lines[i].empty())
      lines[i][data[at + 2] % lines[i].size()] ^= static_cast<char>(data[at + 3]);
    else if (data[at] % 5 == 1 && lines.size() > 1)
      lines.erase(here);
    else if (data[at] % 5 == 2)
      lines.insert(here, std::string(lines[j]));
    else if (data[at] % 5 == 3)
      std::swap(lines[i], lines[j]);
    else if (data[at] % 5 == 4)
      lines[i].resize(std::min<std::size_t>(lines[i].size(), data[at + 3]));
  }
  std::string text;
  for (const std::string& line : lines) text += line;
  // Whole records from the first on: only a head could tell.
  const bool only_cut = whole.starts_with(text) && text.ends_with('\n');
  require(verified(text).right() == only_cut);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  if ((data[0] & 0x80) != 0)
    any_file({reinterpret_cast<const char*>(data + 1), size - 1});
  else
    changed_file(data + 1, size - 1);
  return 0;
}
