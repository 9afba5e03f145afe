#include "cli/ledger_report.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "store/period.h"
#include "tasks/page.h"

namespace tack {
namespace {

using store::Nano;
using store::Summary;
using store::SummaryTable;

// "1,234,567"
std::string grouped(std::int64_t value) {
  std::string digits = fmt::format("{}", value);
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, ",");
  return digits;
}

// To the nearest millionth.
std::string money(Nano value) {
  const Nano millionths = value / 1000 + (value % 1000 >= 500) - (value % 1000 <= -500);
  const std::string whole = grouped(std::abs(millionths) / 1'000'000);
  return fmt::format("{}{}.{:06}", millionths < 0 ? "-" : "", whole,
                     std::abs(millionths) % 1'000'000);
}

std::string percent(double share) {
  return std::isnan(share) ? "-" : fmt::format("{:.1f} %", 100 * share);
}

std::string percent(std::int64_t part, std::int64_t whole) {
  return percent(whole == 0 ? NAN : static_cast<double>(part) / static_cast<double>(whole));
}

std::string ms(double value) {
  return std::isnan(value) ? "-" : fmt::format("{:.1f}", value);
}

// What stands in a ledger came over the network: nothing of it may drive a terminal.
std::string shown(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return out;
}

std::string row_name(store::Grouping by, const std::string& name) {
  if (!name.empty()) return shown(name);
  switch (by) {
    case store::Grouping::kModel:
      return "(no answer)";
    case store::Grouping::kRoute:
      return "(by name)";
    default:
      return "(no key)";
  }
}

std::string moment(std::int64_t time_us) {
  return store::moment_text(time_us) + " UTC";
}

std::string period_text(const LedgerReport& r) {
  const auto& [since, until] = r.period;
  if (since && until) return fmt::format("{} to {}", moment(*since), moment(*until));
  if (since) return "since " + moment(*since);
  if (until) return "until " + moment(*until);
  if (!r.report.first_us) return "all";
  return fmt::format("all: {} to {}", moment(*r.report.first_us), moment(*r.report.last_us));
}

using Facts = std::vector<std::pair<std::string, std::string>>;

void add_answers(const Summary& s, Facts& out) {
  out.emplace_back("requests",
                   fmt::format("{} ({} failed)", grouped(s.requests), grouped(s.failures)));
  out.emplace_back("answers",
                   fmt::format("{} local ({}), {} upstream, {} from the cache", grouped(s.local),
                               percent(s.local_share()), grouped(s.upstream), grouped(s.cached)));
  out.emplace_back("also asked", fmt::format("{} escalated, {} gave no answer, {} in the shadow",
                                             grouped(s.escalations), grouped(s.failed_attempts),
                                             grouped(s.shadow_runs)));
  if (const std::int64_t compared = s.agreed + s.disagreed; compared > 0)
    out.emplace_back("agreement", fmt::format("{} of {} compared", percent(s.agreed, compared),
                                              grouped(compared)));
}

void add_costs(const Summary& s, Facts& out) {
  std::string tokens = fmt::format("{} in ({} of them cached), {} out", grouped(s.prompt_tokens),
                                   grouped(s.cached_tokens), grouped(s.completion_tokens));
  if (s.estimated_tokens > 0)
    tokens += fmt::format("; {} of all estimated", grouped(s.estimated_tokens));
  out.emplace_back("tokens", std::move(tokens));
  out.emplace_back("processor", fmt::format("{:.1f} s", s.cpu_seconds));
  out.emplace_back("cost", money(s.cost));
  out.emplace_back("baseline",
                   fmt::format("{} for {} requests", money(s.baseline_cost), grouped(s.compared)));
  out.emplace_back("savings",
                   fmt::format("{} ({})", money(s.savings), percent(s.savings, s.baseline_cost)));
  out.emplace_back("latency", fmt::format("p50 {} ms, p95 {} ms", ms(s.p50_ms), ms(s.p95_ms)));
}

Facts facts(const LedgerReport& r) {
  Facts out = {{"ledger", r.ledger}, {"period", period_text(r)}};
  add_answers(r.report.total, out);
  add_costs(r.report.total, out);
  return out;
}

// A table's cells, the first line its titles. The first column is text.
std::vector<std::vector<std::string>> cells(const SummaryTable& table) {
  std::vector<std::vector<std::string>> rows = {
      {std::string(store::grouping_name(table.by)), "requests", "failed", "local", "upstream",
       "cache", "escalated", "shadow", "tokens in", "out", "cpu s", "cost", "baseline", "savings",
       "p50 ms", "p95 ms"}};
  for (const auto& [name, s] : table.rows)
    rows.push_back({row_name(table.by, name), grouped(s.requests), grouped(s.failures),
                    grouped(s.local), grouped(s.upstream), grouped(s.cached),
                    grouped(s.escalations), grouped(s.shadow_runs), grouped(s.prompt_tokens),
                    grouped(s.completion_tokens), fmt::format("{:.1f}", s.cpu_seconds),
                    money(s.cost), money(s.baseline_cost), money(s.savings), ms(s.p50_ms),
                    ms(s.p95_ms)});
  return rows;
}

std::size_t width(std::string_view utf8) {
  return static_cast<std::size_t>(std::ranges::count_if(
      utf8, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

void add_table(const SummaryTable& table, std::string& out) {
  const auto rows = cells(table);
  std::vector<std::size_t> widths(rows[0].size());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string gap(widths[i] - width(row[i]), ' ');
      out += i == 0 ? row[i] + gap : "  " + gap + row[i];
    }
    out += '\n';
  }
}

// --- JSON

Json number_or_null(double value) {
  return std::isnan(value) ? Json() : Json(value);
}

double units(Nano value) {
  return static_cast<double>(value) / 1e9;
}

Json summary_json(const Summary& s) {
  return {{"requests", s.requests},
          {"failures", s.failures},
          {"local", s.local},
          {"upstream", s.upstream},
          {"cached", s.cached},
          {"local_share", number_or_null(s.local_share())},
          {"escalations", s.escalations},
          {"failed_attempts", s.failed_attempts},
          {"shadow_runs", s.shadow_runs},
          {"agreed", s.agreed},
          {"disagreed", s.disagreed},
          {"prompt_tokens", s.prompt_tokens},
          {"completion_tokens", s.completion_tokens},
          {"cached_tokens", s.cached_tokens},
          {"estimated_tokens", s.estimated_tokens},
          {"cpu_seconds", s.cpu_seconds},
          {"compared", s.compared},
          {"cost", units(s.cost)},
          {"baseline_cost", units(s.baseline_cost)},
          {"savings", units(s.savings)},
          {"cost_nano", s.cost},
          {"baseline_cost_nano", s.baseline_cost},
          {"savings_nano", s.savings},
          {"p50_ms", number_or_null(s.p50_ms)},
          {"p95_ms", number_or_null(s.p95_ms)}};
}

Json seconds_or_null(const std::optional<std::int64_t>& time_us) {
  return time_us ? Json(static_cast<double>(*time_us) / 1e6) : Json();
}

// --- The page

void add_html_table(const SummaryTable& table, std::string& out) {
  const auto rows = cells(table);
  out += fmt::format("<section><h2>By {}</h2><div style=\"overflow-x:auto\"><table>",
                     store::grouping_name(table.by));
  for (std::size_t r = 0; r < rows.size(); ++r) {
    out += "<tr>";
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      const std::string cell = html_escaped(rows[r][i]);
      out += r == 0 ? fmt::format("<th>{}</th>", cell)
                    : fmt::format("<td{}>{}</td>", i == 0 ? "" : " class=\"n\"", cell);
    }
    out += "</tr>\n";
  }
  out += "</table></div></section>\n";
}

// What was spent each day, in the frame of what the strong model would have cost.
void add_chart(const SummaryTable& days, std::string& out) {
  constexpr std::size_t kMost = 62;
  constexpr double kHeight = 160, kStep = 14, kBar = 10;
  const std::size_t begin = days.rows.size() - std::min(days.rows.size(), kMost);
  Nano highest = 1;
  for (std::size_t i = begin; i < days.rows.size(); ++i)
    highest = std::max({highest, days.rows[i].sum.cost, days.rows[i].sum.baseline_cost});
  const double width = kStep * static_cast<double>(days.rows.size() - begin);
  out += fmt::format(
      "<section><h2>Cost a day</h2><p>Filled: what was spent. Frame: what the baseline would have "
      "cost. The highest is {}.</p><svg viewBox=\"0 0 {:.0f} {:.0f}\" width=\"{:.0f}\" "
      "height=\"{:.0f}\" role=\"img\" aria-label=\"Cost a day\">",
      money(highest), width, kHeight, width, kHeight);
  const auto bar = [&](const char* style, double x, Nano value) {
    const double height = (kHeight - 2) * static_cast<double>(std::max<Nano>(value, 0)) /
                          static_cast<double>(highest);
    return fmt::format(
        "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{:.1f}\"", style, x,
        kHeight - 1 - height, kBar, height);
  };
  for (std::size_t i = begin; i < days.rows.size(); ++i) {
    const auto& [name, sum] = days.rows[i];
    const double x = kStep * static_cast<double>(i - begin) + 2;
    out += fmt::format("<g><title>{}: {} spent, {} baseline</title>{}/>{} fill=\"none\"/></g>",
                       html_escaped(name), money(sum.cost), money(sum.baseline_cost),
                       bar("bar", x, sum.cost), bar("frame", x, sum.baseline_cost));
  }
  out += "</svg></section>\n";
}

}  // namespace

std::string ledger_text(const LedgerReport& report) {
  std::string out;
  for (const auto& [label, text] : facts(report)) out += fmt::format("{:<12}{}\n", label, text);
  for (const SummaryTable& table : report.report.tables) {
    out += '\n';
    add_table(table, out);
  }
  return out;
}

Json ledger_json(const LedgerReport& r) {
  Json json = {{"ledger", r.ledger},
               {"since", seconds_or_null(r.period.since_us)},
               {"until", seconds_or_null(r.period.until_us)},
               {"first", seconds_or_null(r.report.first_us)},
               {"last", seconds_or_null(r.report.last_us)},
               {"total", summary_json(r.report.total)}};
  for (const SummaryTable& table : r.report.tables) {
    Json& rows = json["by"][std::string(store::grouping_name(table.by))] = Json::array();
    for (const auto& [name, sum] : table.rows) {
      Json row = {{"name", name}};
      row.update(summary_json(sum));
      rows.push_back(std::move(row));
    }
  }
  return json;
}

std::string ledger_page(const LedgerReport& r) {
  std::string out = page_begin("Ledger: what was asked, answered and saved") + "<table>\n";
  for (const auto& [label, text] : facts(r))
    out += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", label, html_escaped(text));
  out += "</table>\n";
  for (const SummaryTable& table : r.report.tables)
    if (table.by == store::Grouping::kDay && !table.rows.empty()) add_chart(table, out);
  for (const SummaryTable& table : r.report.tables) add_html_table(table, out);
  return out.append(kPageEnd);
}

}  // namespace tack
