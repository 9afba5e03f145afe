#include "tasks/compress_report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "tasks/page.h"

namespace tack {
namespace {

double megabytes(std::size_t bytes) {
  return static_cast<double>(bytes) / 1e6;
}

// The original and every candidate, ascending by size.
std::vector<Candidate> points_of(const CompressResult& result) {
  std::vector<Candidate> points = result.candidates;
  points.push_back(result.original);
  std::ranges::stable_sort(points, {}, &Candidate::bytes);
  return points;
}

bool is_original(const Candidate& one) {
  return one.recipe.type == "original";
}
bool is_chosen(const CompressResult& result, const Candidate& one) {
  return result.chosen && result.chosen->recipe == one.recipe;
}
std::string text_of(const Candidate& one) {
  return is_original(one) ? "the original" : one.recipe.text();
}

// The ranges of a picture: sizes logarithmic; the qualities that matter, not those far below.
struct Axes {
  double least_bytes = 1, most_bytes = 2, least = 0, most = 1;

  double x(std::size_t bytes) const {
    return (std::log(static_cast<double>(bytes)) - std::log(least_bytes)) /
           (std::log(most_bytes) - std::log(least_bytes));
  }
  double y(double quality) const { return std::max(0.0, (quality - least) / (most - least)); }
};
Axes axes_of(const std::vector<Candidate>& points) {
  constexpr double kMostBelow = 0.1;
  const auto [smallest, largest] = std::ranges::minmax(points, {}, &Candidate::bytes);
  const auto [worst, best] = std::ranges::minmax(points, {}, &Candidate::quality);
  Axes axes{.least_bytes = static_cast<double>(smallest.bytes),
            .most_bytes = static_cast<double>(largest.bytes) * 1.001,
            .least = std::max(worst.quality, best.quality - kMostBelow),
            .most = best.quality};
  if (axes.most - axes.least < 0.002) axes.least = axes.most - 0.002;
  return axes;
}

// Letters of the frontier in the order of size.
char letter(std::size_t number) {
  return static_cast<char>(number < 26 ? 'a' + number : '+');
}

std::string frontier_svg(const CompressResult& result) {
  constexpr double kWidth = 640, kHeight = 300, kLeft = 60, kTop = 12;
  const auto points = points_of(result);
  const Axes axes = axes_of(points);
  const auto x = [&](const Candidate& one) { return kLeft + kWidth * axes.x(one.bytes); };
  const auto y = [&](const Candidate& one) { return kTop + kHeight * (1 - axes.y(one.quality)); };
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 760 360\" width=\"760\" height=\"360\" role=\"img\" "
      "aria-label=\"Size against quality\"><path class=\"axis\" d=\"M{} {}V{}H{}\" "
      "fill=\"none\"/>",
      kLeft, kTop, kTop + kHeight, kLeft + kWidth);
  std::string line;
  for (const Candidate& one : points)
    if (one.frontier)
      line += fmt::format("{}{:.1f} {:.1f}", line.empty() ? "M" : "L", x(one), y(one));
  svg += fmt::format("<path class=\"axis\" d=\"{}\" fill=\"none\"/>", line);
  for (const Candidate& one : points) {
    const bool marked = is_chosen(result, one) || is_original(one);
    svg += fmt::format(
        "<circle class=\"bar\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" fill-opacity=\"{}\">"
        "<title>{}: {:.2f} MB, {:.2f} %, {:.2f} ms</title></circle>",
        x(one), y(one), marked ? 6 : 4, one.frontier || marked ? 1 : 0.35,
        html_escaped(text_of(one)), megabytes(one.bytes), 100 * one.quality, one.p50_us / 1000);
    if (marked)
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", x(one) + 8, y(one) - 6,
                         is_original(one) ? "original" : "chosen");
  }
  for (double part : {0.0, 0.5, 1.0}) {
    const double quality = axes.least + part * (axes.most - axes.least);
    svg += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:.1f} %</text>", kLeft - 4,
                       kTop + kHeight * (1 - part) + 4, 100 * quality);
    const double bytes = axes.least_bytes * std::pow(axes.most_bytes / axes.least_bytes, part);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.1f} MB</text>",
                       kLeft + part * kWidth, kTop + kHeight + 18, bytes / 1e6);
  }
  return svg + "</svg>";
}

Json candidate_json(const Candidate& one) {
  return {{"recipe", text_of(one)},
          {"layers", one.recipe.layers},
          {"ffn", one.recipe.ffn},
          {"type", one.recipe.type},
          {"trained_type", one.recipe.trained_type},
          {"tokens", one.recipe.tokens},
          {"bytes", one.bytes},
          {"quality", one.quality},
          {"p50_us", one.p50_us},
          {"texts_per_second", one.texts_per_second},
          {"frontier", one.frontier}};
}

std::string trial_line(const char* name, std::size_t bytes, const Trial& trial) {
  return fmt::format("{:<8} {:>9.2f} MB {:>9.2f} % {:>8.2f} ms {:>10.0f}\n", name, megabytes(bytes),
                     100 * trial.quality, trial.p50_us / 1000, trial.texts_per_second);
}

}  // namespace

std::string plan_text(const CompressResult& result) {
  std::string out = "predicted sizes:\n";
  for (const PlannedCandidate& one : result.plan)
    out += fmt::format("  {:<40} {:>8.2f} MB{}\n", one.recipe.text(), megabytes(one.bytes),
                       one.within ? "" : "  over the budget");
  return out;
}

std::string frontier_text(const CompressResult& result) {
  constexpr int kColumns = 60, kRows = 12;
  auto points = points_of(result);
  if (points.size() < 2) return "";
  const Axes axes = axes_of(points);
  std::array<std::string, kRows> grid;
  grid.fill(std::string(kColumns, ' '));
  const auto put = [&](const Candidate& one, char mark) {
    const auto column = static_cast<std::size_t>(axes.x(one.bytes) * (kColumns - 1));
    const auto row = static_cast<std::size_t>((1 - axes.y(one.quality)) * (kRows - 1));
    grid[row][column] = mark;
  };
  std::size_t number = 0;
  std::string table;
  for (const Candidate& one : points)
    if (!one.frontier) put(one, is_original(one) ? 'O' : '.');
  for (const Candidate& one : points) {
    if (!one.frontier && !is_chosen(result, one)) continue;
    put(one, letter(number));
    table += fmt::format("  {} {:>8.2f} MB {:>8.2f} % {:>8.2f} ms {:>8.0f} texts/s  {}{}\n",
                         letter(number++), megabytes(one.bytes), 100 * one.quality,
                         one.p50_us / 1000, one.texts_per_second, text_of(one),
                         is_chosen(result, one) ? "  <- chosen" : "");
  }
  std::string out;
  for (int row = 0; row < kRows; ++row) {
    const double quality = axes.most - (axes.most - axes.least) * row / (kRows - 1);
    out +=
        fmt::format("{:>7} |{}\n",
                    row % 4 == 0 || row == kRows - 1 ? fmt::format("{:.1f} %", 100 * quality) : "",
                    grid[static_cast<std::size_t>(row)]);
  }
  const std::string right = fmt::format("{:.1f} MB", axes.most_bytes / 1e6);
  const std::string left = fmt::format("{:.1f} MB", axes.least_bytes / 1e6);
  out += fmt::format("{:>7} +{:-<{}}\n{:>9}{:<{}}{}\n", "", "", kColumns, "", left,
                     kColumns - static_cast<int>(right.size()), right);
  return out +
         fmt::format("O: the original; {} on {} validation rows\n", result.measure,
                     result.validation_rows) +
         table;
}

std::string before_after_text(const CompressResult& result) {
  std::string out =
      fmt::format("{:<8} {:>12} {:>11} {:>11} {:>10}\n", "", "size",
                  result.measure.size() <= 11 ? result.measure : "quality", "p50", "texts/s");
  out += trial_line("before", result.original.bytes, result.before);
  if (result.chosen) out += trial_line("after", result.chosen->bytes, result.after);
  return out;
}

std::string compress_html(const std::string& title, const CompressResult& result) {
  std::string body = page_begin(title);
  if (result.gate) body += fmt::format("<p>Gate {}.</p>", html_escaped(result.gate->text));
  body += fmt::format(
      "<h2>Before and after</h2><p>{} on {} rows that were used for nothing else.</p><table><tr>"
      "<th></th><th>size</th><th>quality</th><th>p50</th><th>texts/s</th></tr>",
      html_escaped(result.measure), result.gate_rows);
  const auto row = [&](const char* name, std::size_t bytes, const Trial& trial) {
    body += fmt::format(
        "<tr><td>{}</td><td>{:.2f} MB</td><td>{:.2f} %</td><td>{:.2f} ms</td><td>{:.0f}</td></tr>",
        name, megabytes(bytes), 100 * trial.quality, trial.p50_us / 1000, trial.texts_per_second);
  };
  row("before", result.original.bytes, result.before);
  if (result.chosen) row("after", result.chosen->bytes, result.after);
  body += fmt::format("</table><h2>Size against quality</h2><p>{} on {} validation rows.</p>{}",
                      html_escaped(result.measure), result.validation_rows, frontier_svg(result));
  body +=
      "<h2>Candidates</h2><table><tr><th>candidate</th><th>size</th><th>quality</th><th>p50</th>"
      "<th>texts/s</th><th></th></tr>";
  for (const Candidate& one : points_of(result))
    body += fmt::format(
        "<tr><td>{}</td><td>{:.2f} MB</td><td>{:.2f} %</td><td>{:.2f} ms</td><td>{:.0f}</td>"
        "<td>{}</td></tr>",
        html_escaped(text_of(one)), megabytes(one.bytes), 100 * one.quality, one.p50_us / 1000,
        one.texts_per_second,
        is_chosen(result, one) ? "chosen"
        : one.frontier         ? "frontier"
                               : "");
  return body + "</table>" + std::string(kPageEnd);
}

Json compress_json(const CompressResult& result) {
  Json json = {{"measure", result.measure},     {"validation_rows", result.validation_rows},
               {"gate_rows", result.gate_rows}, {"plan", Json::array()},
               {"candidates", Json::array()},   {"seconds", result.seconds}};
  for (const PlannedCandidate& one : result.plan)
    json["plan"].push_back(
        {{"recipe", one.recipe.text()}, {"bytes", one.bytes}, {"within", one.within}});
  if (!result.original.recipe.type.empty()) json["original"] = candidate_json(result.original);
  for (const Candidate& one : result.candidates) json["candidates"].push_back(candidate_json(one));
  if (result.chosen) {
    json["chosen"] = candidate_json(*result.chosen);
    json["before"] = {{"quality", result.before.quality},
                      {"p50_us", result.before.p50_us},
                      {"texts_per_second", result.before.texts_per_second}};
    json["after"] = result.after.details;
    json["after"]["quality"] = result.after.quality;
  }
  if (result.gate)
    json["gate"] = {{"accepted", result.gate->accepted},
                    {"lower_bound", result.gate->lower_bound},
                    {"required", result.gate->required},
                    {"text", result.gate->text}};
  return json;
}

}  // namespace tack
