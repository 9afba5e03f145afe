#include "store/audit_record.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <iterator>

#include <sodium.h>

#include "base/json.h"
#include "store/period.h"

namespace tack::store {
namespace {

constexpr std::size_t kLongestName = 128, kMostMembers = 32;
constexpr std::string_view kHeadPrefix = "tack-audit-1:";
constexpr std::size_t kMacDigits = 64, kLogDigits = 16;
constexpr std::string_view kMacBefore = ",\"mac\":\"", kMacAfter = "\"}";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_plain(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view(" -_.:@+/").contains(c);
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

bool take(std::string_view& text, std::string_view front) {
  if (!text.starts_with(front)) return false;
  text.remove_prefix(front.size());
  return true;
}

std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

std::optional<std::string_view> take_hex(std::string_view& text, std::size_t digits) {
  if (text.size() < digits || !is_hex(text.substr(0, digits))) return std::nullopt;
  const std::string_view found = text.substr(0, digits);
  text.remove_prefix(digits);
  return found;
}

// Writes one line. Names need no escapes in JSON: that is why they are names.
class LineWriter {
 public:
  LineWriter(const AuditKey& key, std::string& out) : key_(key), out_(out) {}

  void name(std::string_view text) {
    if (text.size() <= kLongestName && std::ranges::all_of(text, is_plain))
      out_.append(text);
    else
      out_.append("digest:").append(key_.digest(text));
  }
  void member(std::string_view label, std::string_view text) {
    if (text.empty()) return;
    out_.append(",\"").append(label).append("\":\"");
    name(text);
    out_ += '"';
  }
  void value(std::int64_t number) { fmt::format_to(std::back_inserter(out_), "{}", number); }
  void value(std::string_view text) {
    out_ += '"';
    name(text);
    out_ += '"';
  }
  template <class T>
  std::size_t members(std::string_view label, const std::vector<std::pair<std::string, T>>& all) {
    if (all.empty()) return 0;
    out_.append(",\"").append(label).append("\":{");
    const std::size_t count = std::min(all.size(), kMostMembers);
    for (std::size_t i = 0; i < count; ++i) {
      if (i > 0) out_ += ',';
      value(std::string_view(all[i].first));
      out_ += ':';
      value(all[i].second);
    }
    out_ += '}';
    return all.size() - count;
  }

 private:
  const AuditKey& key_;
  std::string& out_;
};

template <class T, class Read>
void read_members(const Json& object, std::string_view label, const Read& read,
                  std::vector<std::pair<std::string, T>>& out) {
  const Json* members = find_member(object, label);
  if (members == nullptr || !members->is_object()) return;
  for (const auto& [name, value] : members->items())
    if (const std::optional<T> right = read(value)) out.emplace_back(name, *right);
}

std::optional<std::string> as_text(const Json& value) {
  return value.is_string() ? std::optional(value.get<std::string>()) : std::nullopt;
}

std::optional<std::int64_t> as_number(const Json& value) {
  return value.is_number_integer() ? std::optional(value.get<std::int64_t>()) : std::nullopt;
}

}  // namespace

std::string AuditHead::text() const {
  return fmt::format("{}{}:{}:{}:{}", kHeadPrefix, log, seq, time_us, mac);
}

Result<AuditHead> parse_audit_head(std::string_view text) {
  const auto wrong =
      fail(ErrorCode::kUsage,
           "'{}' is no head of an audit log: those are what `tack audit head` prints "
           "(tack-audit-1:LOG:SEQ:TIME:MAC)",
           text.substr(0, 200));
  AuditHead head;
  if (!take(text, kHeadPrefix)) return wrong;
  const auto log = take_hex(text, kLogDigits);
  if (!log || !take(text, ":")) return wrong;
  const auto seq = take_number(text);
  if (!seq || !take(text, ":")) return wrong;
  const auto time = take_number(text);
  if (!time || !take(text, ":")) return wrong;
  const auto mac = take_hex(text, kMacDigits);
  if (!mac || !text.empty()) return wrong;
  return AuditHead{std::string(*log), *seq, std::string(*mac), static_cast<std::int64_t>(*time)};
}

std::string new_log_id() {
  unsigned char bytes[kLogDigits / 2];
  char hex[kLogDigits + 1];
  ::randombytes_buf(bytes, sizeof bytes);
  return ::sodium_bin2hex(hex, sizeof hex, bytes, sizeof bytes);
}

std::string audit_time(std::int64_t time_us) {
  constexpr std::int64_t kSecond = 1'000'000, kDay = 86'400 * kSecond;
  const std::int64_t of_day = ((time_us % kDay) + kDay) % kDay, second = of_day / kSecond;
  return fmt::format("{}T{:02}:{:02}:{:02}.{:06}Z", day_text(time_us), second / 3600,
                     second / 60 % 60, second % 60, of_day % kSecond);
}

void write_audit_line(const AuditRecord& record, const AuditKey& key, std::uint64_t next,
                      AuditHead& head, std::string& out) {
  const std::size_t begin = out.size();
  LineWriter line(key, out);
  fmt::format_to(std::back_inserter(out), R"({{"seq":{},"log":"{}","prev":"{}","time":"{}")", next,
                 head.log, head.mac, audit_time(record.time_us));
  line.member("event", record.event);
  line.member("outcome", record.outcome);
  line.member("id", record.id);
  line.member("client", record.client);
  line.member("model", record.model);
  line.member("route", record.route);
  std::size_t left_out = line.members("labels", record.labels);
  left_out += line.members("counts", record.counts);
  left_out += line.members("hashes", record.hashes);
  if (left_out > 0) fmt::format_to(std::back_inserter(out), ",\"left_out\":{}", left_out);
  const AuditKey::Mac mac = key.mac(std::string_view(out).substr(begin));
  head.mac.assign(mac.data(), mac.size());
  head.seq = next;
  head.time_us = record.time_us;
  out.append(kMacBefore).append(head.mac).append(kMacAfter) += '\n';
}

std::optional<AuditLine> split_audit_line(std::string_view line) {
  constexpr std::size_t kTail = kMacBefore.size() + kMacDigits + kMacAfter.size();
  if (line.size() < kTail || line.size() > kMostAuditLineBytes) return std::nullopt;
  AuditLine parts;
  parts.signed_bytes = line.substr(0, line.size() - kTail);
  std::string_view tail = line.substr(line.size() - kTail);
  if (!take(tail, kMacBefore) || !tail.ends_with(kMacAfter)) return std::nullopt;
  parts.mac = tail.substr(0, kMacDigits);
  std::string_view rest = parts.signed_bytes;
  if (!take(rest, "{\"seq\":")) return std::nullopt;
  const auto seq = take_number(rest);
  if (!seq || !take(rest, ",\"log\":\"")) return std::nullopt;
  const auto log = take_hex(rest, kLogDigits);
  if (!log || !take(rest, "\",\"prev\":\"")) return std::nullopt;
  const auto prev = take_hex(rest, kMacDigits);
  if (!prev || !take(rest, "\"")) return std::nullopt;
  parts.seq = *seq;
  parts.log = *log;
  parts.prev = *prev;
  return parts;
}

std::optional<AuditLine> check_audit_line(std::string_view line, const AuditKey& key) {
  const auto parts = split_audit_line(line);
  if (!parts) return std::nullopt;
  const AuditKey::Mac mac = key.mac(parts->signed_bytes);
  const bool right = ::sodium_memcmp(mac.data(), parts->mac.data(), mac.size()) == 0;
  return right ? parts : std::nullopt;
}

Result<AuditRecord> parse_audit_record(std::string_view line) {
  TACK_TRY(const Json json, parse_json(line, "a record of the audit log"));
  if (!json.is_object()) return fail("a record of the audit log: is no JSON object");
  AuditRecord record;
  const auto text = [&](std::string_view name) {
    const Json* member = find_member(json, name);
    return member != nullptr ? as_text(*member).value_or("") : std::string();
  };
  const std::string time = text("time");
  // Microseconds are more than a moment that people write has.
  if (time.size() == 27 && time[19] == '.') {
    const auto seconds = parse_moment(time.substr(0, 19), 0);
    std::int64_t micros = 0;
    std::from_chars(time.data() + 20, time.data() + 26, micros);
    if (seconds) record.time_us = *seconds + micros;
  }
  record.event = text("event");
  record.outcome = text("outcome");
  record.id = text("id");
  record.client = text("client");
  record.model = text("model");
  record.route = text("route");
  read_members(json, "labels", as_text, record.labels);
  read_members(json, "counts", as_number, record.counts);
  read_members(json, "hashes", as_text, record.hashes);
  return record;
}

}  // namespace tack::store
