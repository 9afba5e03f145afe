#include "store/audit_verify.h"

#include <algorithm>
#include <cstring>
#include <set>

namespace tack::store {
namespace {

constexpr std::uint64_t kUnknown = ~std::uint64_t{0};

// One line of the files.
struct Line {
  const char* begin = nullptr;
  std::uint32_t bytes = 0;
  std::uint32_t file = 0;
  std::uint64_t number = 0;      // in its file, from 1
  std::uint64_t seq = kUnknown;  // kUnknown: its mac is wrong

  std::string_view text() const { return {begin, bytes}; }
  bool right() const { return seq != kUnknown; }
};

// A right line's other parts; cheap enough to be found again.
AuditLine parts_of(const Line& line) {
  return *split_audit_line(line.text());
}

bool is_first_of_log(const Line& line) {
  return line.right() && line.number == 1 && line.seq == 0;
}

// The first record of a file that continues another one.
bool is_continuation(const Line& line) {
  return line.right() && line.number == 1 &&
         line.text().substr(0, 512).contains("\",\"event\":\"continue\"");
}

// Which lines stay when as few as possible are taken out so that the rest is in order: those of a
// longest increasing subsequence of their numbers.
std::vector<std::uint32_t> longest_in_order(std::span<const Line> lines) {
  std::vector<std::uint32_t> ends;                       // by length, the line that ends with least
  std::vector<std::uint32_t> before(lines.size(), ~0U);  // the line before it in its sequence
  for (std::uint32_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].right()) continue;
    auto at = ends.end();
    if (!ends.empty() && lines[i].seq <= lines[ends.back()].seq)
      at = std::ranges::lower_bound(ends, lines[i].seq, {},
                                    [&](std::uint32_t end) { return lines[end].seq; });
    if (at != ends.begin()) before[i] = *(at - 1);
    if (at == ends.end())
      ends.push_back(i);
    else if (lines[*at].seq != lines[i].seq)  // of a record's copies the first one stays
      *at = i;
  }
  std::vector<std::uint32_t> kept(ends.size());
  std::uint32_t line = ends.empty() ? ~0U : ends.back();
  for (std::size_t i = kept.size(); i-- > 0; line = before[line]) kept[i] = line;
  return kept;
}

std::string records_text(std::uint64_t first, std::uint64_t count) {
  return count == 1 ? fmt::format("record {}", first)
                    : fmt::format("{} records, {} to {}", count, first, first + count - 1);
}

// One log: its lines in the order of its files.
class LogCheck {
 public:
  LogCheck(std::span<const Line> lines, std::span<const AuditText> texts, AuditReport& report)
      : lines_(lines), texts_(texts), report_(report) {}

  void run() {
    kept_ = longest_in_order(lines_);
    find_strays();
    if (!kept_.empty()) check_start();
    for (std::size_t i = 0; i < kept_.size(); ++i) check_kept(i);
    const std::size_t rest = kept_.empty() ? 0 : kept_.back() + std::size_t{1};
    check_gap(rest, lines_.size(), next_, kUnknown);
    report_.records += kept_.size();
    report_.last.reset();
    if (!kept_.empty()) report_.last = head_of(lines_[kept_.back()]);
  }

  // The record of that number; null: it is not here.
  const Line* find(std::uint64_t seq) const {
    const auto at =
        std::ranges::lower_bound(kept_, seq, {}, [&](std::uint32_t i) { return lines_[i].seq; });
    return at == kept_.end() || lines_[*at].seq != seq ? nullptr : &lines_[*at];
  }
  bool is_of(std::string_view log) const {
    return kept_.empty() || parts_of(lines_[kept_.back()]).log == log;
  }
  std::uint64_t first() const { return start_; }
  const Line& last_line() const { return lines_.back(); }

  static AuditHead head_of(const Line& line) {
    const AuditLine parts = parts_of(line);
    AuditHead head{std::string(parts.log), parts.seq, std::string(parts.mac), 0};
    if (const auto record = parse_audit_record(line.text())) head.time_us = record->time_us;
    return head;
  }

  void say(AuditDamageKind kind, const Line& line, std::optional<std::uint64_t> seq,
           std::uint64_t count, std::string message) {
    ++report_.damage_count;
    found_.push_back({kind, texts_[line.file].name, line.number, seq, count, std::move(message)});
    // In the order of the file only at the end: what is out of place is found before the gaps.
    if (found_.size() > 4 * AuditReport::kMostDamages) tidy();
  }
  // Moves the first damages into the report.
  void finish() {
    tidy();
    for (AuditDamage& damage : found_)
      if (report_.damages.size() < AuditReport::kMostDamages)
        report_.damages.push_back(std::move(damage));
    found_.clear();
  }

 private:
  void tidy() {
    const auto place = [&](const AuditDamage& damage) {
      const auto file = std::ranges::find(texts_, damage.file, &AuditText::name);
      return std::pair(file - texts_.begin(), damage.line);
    };
    std::ranges::stable_sort(found_, {}, place);
    if (found_.size() > AuditReport::kMostDamages) found_.resize(AuditReport::kMostDamages);
  }

  // Right records that are out of place: moved from where they are missing, or there twice.
  void find_strays() {
    std::size_t next = 0;
    for (std::uint32_t i = 0; i < lines_.size(); ++i) {
      const Line& line = lines_[i];
      if (next < kept_.size() && kept_[next] == i) {
        ++next;
        continue;
      }
      if (!line.right()) continue;
      const Line* const twin = find(line.seq);
      if (twin == nullptr && is_of(parts_of(line).log) && moved_.insert(line.seq).second)
        say(AuditDamageKind::kMoved, line, line.seq, 1,
            fmt::format("record {} does not belong here: it was written before what stands above",
                        line.seq));
      else if (twin != nullptr && twin->text() == line.text())
        say(AuditDamageKind::kInserted, line, line.seq, 1,
            fmt::format("record {} a second time; it stands in line {} of {}", line.seq,
                        twin->number, texts_[twin->file].name));
      else
        say(AuditDamageKind::kInserted, line, line.seq, 1,
            "a record of another log, or of another copy of this one");
    }
  }

  // What must come first.
  void check_start() {
    const Line& first = lines_[kept_[0]];
    const std::uint64_t damaged = kept_[0];
    if (is_continuation(first) && damaged == 0)
      start_ = first.seq;
    else if (damaged > 0 && first.seq >= damaged && !claims_begin(lines_[0]))
      start_ = first.seq - damaged;  // the first line may be that of a continuation
    next_ = start_;
    report_.first_seq = start_;
  }

  static bool claims_begin(const Line& line) {
    const auto parts = split_audit_line(line.text());
    return parts && parts->seq == 0;
  }

  void check_kept(std::size_t i) {
    const Line& line = lines_[kept_[i]];
    const std::size_t from = i == 0 ? 0 : kept_[i - 1] + std::size_t{1};
    check_gap(from, kept_[i], next_, line.seq);
    if (i > 0) check_link(lines_[kept_[i - 1]], line);
    next_ = line.seq + 1;
  }

  void check_link(const Line& before, const Line& line) {
    const AuditLine parts = parts_of(line), last = parts_of(before);
    if (parts.log != last.log)
      say(AuditDamageKind::kReplaced, line, line.seq, 1,
          fmt::format("a record of another log ({}) than those above ({})", parts.log, last.log));
    else if (line.seq == before.seq + 1 && parts.prev != last.mac)
      say(AuditDamageKind::kReplaced, line, line.seq, 1,
          fmt::format("record {} was written after another record {} than the one above: the "
                      "lines above come from another copy of this log",
                      line.seq, before.seq));
  }

  // The lines [from, to) hold no record in its place, and the records [first, end) are missing.
  void check_gap(std::size_t from, std::size_t to, std::uint64_t first, std::uint64_t end) {
    std::uint64_t lost = 0;  // records
    if (end != kUnknown) {
      const auto moved = std::distance(moved_.lower_bound(first), moved_.lower_bound(end));
      lost = end - first - static_cast<std::uint64_t>(moved);
    }
    std::uint64_t seq = first, changed = 0;
    for (std::size_t i = from; i < to; ++i) {
      const Line& line = lines_[i];
      if (line.right()) continue;
      if (is_torn(line)) {
        say(AuditDamageKind::kTorn, line, std::nullopt, 1,
            "the line has no end: a process was killed while it wrote, or the file was cut; "
            "what was lost behind it only a head can tell");
        continue;
      }
      // `tack audit rotate` goes on from the last right record: those behind it count again.
      if (end != kUnknown && changed >= lost && !is_continuation(lines_[to])) {
        say(AuditDamageKind::kInserted, line, std::nullopt, 1, "no record of this log");
        continue;
      }
      while (moved_.contains(seq)) ++seq;
      say(AuditDamageKind::kChanged, line, seq, 1,
          fmt::format("record {} is not what was written", seq));
      ++seq;
      ++changed;
    }
    if (end == kUnknown || changed >= lost) return;
    while (moved_.contains(seq)) ++seq;
    const Line& line = lines_[to];
    say(AuditDamageKind::kDeleted, line, seq, lost - changed,
        moved_.empty() || end - seq == lost - changed
            ? records_text(seq, lost - changed) + " missing before this line"
            : fmt::format("{} records between {} and {} are missing before this line",
                          lost - changed, seq, end - 1));
  }

  bool is_torn(const Line& line) const {
    const std::string_view text = texts_[line.file].text;
    return line.begin + line.bytes == text.data() + text.size();
  }

  const std::span<const Line> lines_;
  const std::span<const AuditText> texts_;
  AuditReport& report_;
  std::vector<std::uint32_t> kept_;  // lines that are in order
  std::set<std::uint64_t> moved_;
  std::vector<AuditDamage> found_;
  std::uint64_t start_ = 0, next_ = 0;  // the first record, and the one that must come now
};

void split_lines(const AuditText& file, std::uint32_t index, const AuditKey& key,
                 std::vector<Line>& out) {
  std::uint64_t number = 0;
  for (std::string_view rest = file.text; !rest.empty();) {
    const void* const found = std::memchr(rest.data(), '\n', rest.size());
    const std::size_t bytes =
        found == nullptr ? rest.size()
                         : static_cast<std::size_t>(static_cast<const char*>(found) - rest.data());
    Line line{.begin = rest.data(), .bytes = 0, .file = index, .number = ++number};
    line.bytes = static_cast<std::uint32_t>(std::min<std::size_t>(bytes, ~std::uint32_t{0}));
    // A line without an end is none, whatever is in it.
    if (found != nullptr)
      if (const auto parts = check_audit_line(rest.substr(0, bytes), key)) line.seq = parts->seq;
    out.push_back(line);
    rest.remove_prefix(std::min(rest.size(), bytes + 1));
  }
}

void check_head(const AuditHead& head, LogCheck& log, AuditReport& report) {
  const Line* const line = log.find(head.seq);
  if (line != nullptr && parts_of(*line).mac == head.mac) {
    if (!report.proven || report.proven->seq < head.seq) report.proven = head;
    return;
  }
  const std::uint64_t last = report.last ? report.last->seq : 0;
  if (!report.last || head.seq > last)
    log.say(AuditDamageKind::kTruncated, log.last_line(), report.last ? last + 1 : 0,
            report.last ? head.seq - last : head.seq + 1,
            fmt::format("the log ends too early: the head names record {}, {}", head.seq,
                        report.last ? fmt::format("and {} is the last one here", last)
                                    : "and there is none here"));
  else if (head.seq >= log.first())
    log.say(AuditDamageKind::kOtherHead, line != nullptr ? *line : log.last_line(), head.seq, 1,
            fmt::format("record {} is {} than the head says: the log was replaced", head.seq,
                        line != nullptr ? "another one" : "gone or damaged, other"));
  else
    log.say(AuditDamageKind::kOtherHead, log.last_line(), head.seq, 1,
            fmt::format("the head names record {}, and the files begin at {}: verify the older "
                        "files too",
                        head.seq, log.first()));
}

void add_damage(AuditReport& report, AuditDamage damage) {
  ++report.damage_count;
  if (report.damages.size() < AuditReport::kMostDamages)
    report.damages.push_back(std::move(damage));
}

}  // namespace

std::string_view audit_damage_name(AuditDamageKind kind) {
  constexpr std::string_view kNames[] = {"changed",  "deleted", "inserted",  "moved",
                                         "replaced", "torn",    "truncated", "other head"};
  return kNames[static_cast<std::size_t>(kind)];
}

AuditReport verify_audit(std::span<const AuditText> texts, const AuditKey& key,
                         std::span<const AuditHead> heads) {
  AuditReport report;
  std::vector<Line> lines;
  for (std::uint32_t i = 0; i < texts.size(); ++i) {
    report.bytes += texts[i].text.size();
    if (texts[i].text.empty())
      add_damage(report, {AuditDamageKind::kDeleted, texts[i].name, 1, std::nullopt, 1,
                          "the file is empty: even a new one has its first record"});
    split_lines(texts[i], i, key, lines);
  }
  report.lines = lines.size();
  std::vector<bool> met(heads.size(), false);
  for (std::size_t from = 0; from < lines.size();) {
    std::size_t to = from + 1;
    while (to < lines.size() && !is_first_of_log(lines[to])) ++to;
    LogCheck log(std::span<const Line>(lines).subspan(from, to - from), texts, report);
    log.run();
    for (std::size_t i = 0; i < heads.size(); ++i) {
      if (!log.is_of(heads[i].log)) continue;
      met[i] = true;
      check_head(heads[i], log, report);
    }
    log.finish();
    from = to;
  }
  for (std::size_t i = 0; i < heads.size(); ++i)
    if (!met[i])
      add_damage(
          report,
          {AuditDamageKind::kOtherHead, texts.empty() ? "" : texts[0].name, 1, heads[i].seq, 1,
           fmt::format("the head is of the log {}, of which nothing is here", heads[i].log)});
  return report;
}

}  // namespace tack::store
