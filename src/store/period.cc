#include "store/period.h"

#include <charconv>
#include <chrono>
#include <optional>

namespace tack::store {
namespace {

namespace chr = std::chrono;
using Micros = chr::microseconds;

// Takes exactly `digits` digits off the front.
std::optional<int> take_number(std::string_view& text, std::size_t digits) {
  int value = 0;
  if (text.size() < digits) return std::nullopt;
  const char* const end = text.data() + digits;
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || text.front() == '-') return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<chr::sys_days> take_day(std::string_view& text) {
  const auto year = take_number(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_number(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_number(text, 2);
  if (!day) return std::nullopt;
  const chr::year_month_day date{chr::year(*year), chr::month(static_cast<unsigned>(*month)),
                                 chr::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return chr::sys_days(date);
}

// "12:30" or "12:30:15".
std::optional<chr::seconds> take_time(std::string_view& text, bool with_seconds) {
  const auto hour = take_number(text, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
  const auto minute = take_number(text, 2);
  if (!minute || *minute > 59) return std::nullopt;
  chr::seconds time = chr::hours(*hour) + chr::minutes(*minute);
  if (!with_seconds || !take(text, ':')) return time;
  const auto second = take_number(text, 2);
  if (!second || *second > 59) return std::nullopt;
  return time + chr::seconds(*second);
}

// "Z", "+02:00" or nothing.
std::optional<chr::seconds> take_offset(std::string_view& text) {
  if (text.empty() || take(text, 'Z')) return chr::seconds(0);
  const bool west = text.starts_with('-');
  if (!take(text, '+') && !take(text, '-')) return std::nullopt;
  const auto offset = take_time(text, false);
  if (!offset) return std::nullopt;
  return west ? -*offset : *offset;
}

std::optional<std::int64_t> calendar_moment(std::string_view text) {
  const auto day = take_day(text);
  if (!day) return std::nullopt;
  chr::sys_seconds moment = *day;
  if (!text.empty()) {
    if (!take(text, 'T') && !take(text, ' ')) return std::nullopt;
    const auto time = take_time(text, true);
    if (!time) return std::nullopt;
    const auto offset = take_offset(text);
    if (!offset || !text.empty()) return std::nullopt;
    moment += *time - *offset;
  }
  return Micros(moment.time_since_epoch()).count();
}

// "7d" -> a week.
std::optional<std::int64_t> duration(std::string_view text) {
  std::int64_t count = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc() || stop + 1 != end || count < 0 || count > 1'000'000)
    return std::nullopt;
  switch (*stop) {
    case 'm':
      return Micros(chr::minutes(count)).count();
    case 'h':
      return Micros(chr::hours(count)).count();
    case 'd':
      return Micros(chr::days(count)).count();
    case 'w':
      return Micros(chr::weeks(count)).count();
    default:
      return std::nullopt;
  }
}

}  // namespace

Result<std::int64_t> parse_moment(std::string_view text, std::int64_t now_us) {
  if (const auto moment = calendar_moment(text)) return *moment;
  if (const auto before = duration(text)) return now_us - *before;
  return fail(ErrorCode::kUsage,
              "'{}' is no time: write 7d (also m, h, w), 2026-11-01 or 2026-11-01T12:30 (UTC)",
              text);
}

std::string day_text(std::int64_t time_us) {
  const chr::year_month_day date(chr::floor<chr::days>(chr::sys_time<Micros>(Micros(time_us))));
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

std::string moment_text(std::int64_t time_us) {
  const chr::sys_time<Micros> moment{Micros(time_us)};
  const chr::hh_mm_ss time(moment - chr::floor<chr::days>(moment));
  return fmt::format("{} {:02}:{:02}", day_text(time_us), time.hours().count(),
                     time.minutes().count());
}

}  // namespace tack::store
