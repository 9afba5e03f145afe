#include "tasks/report.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "tasks/page.h"

namespace tack {
namespace {

std::string percent(const Estimate& e) {
  return fmt::format("{:6.2f} %  [{:.2f}, {:.2f}]", 100 * e.value, 100 * e.low, 100 * e.high);
}

struct Confusion {
  std::size_t truth, answer;
  std::int64_t count;
};

// Most frequent first.
std::vector<Confusion> confusions(const Metrics& metrics, std::size_t labels) {
  std::vector<Confusion> out;
  for (std::size_t t = 0; t < labels; ++t)
    for (std::size_t a = 0; a < labels; ++a)
      if (t != a && metrics.confusion[t * labels + a] > 0)
        out.push_back({t, a, metrics.confusion[t * labels + a]});
  std::ranges::stable_sort(out, std::greater{}, &Confusion::count);
  return out;
}

// Labels with rows, lowest F1 first.
std::vector<std::size_t> by_f1(const std::vector<ClassMetrics>& labels) {
  std::vector<std::size_t> order;
  for (std::size_t k = 0; k < labels.size(); ++k)
    if (labels[k].support > 0) order.push_back(k);
  std::ranges::stable_sort(order, {}, [&](std::size_t k) { return labels[k].f1; });
  return order;
}

// The page's pictures. Colours follow the reader's light or dark scheme through CSS variables.

std::string reliability_svg(const Metrics& metrics) {
  constexpr double kSize = 280, kLeft = 40, kTop = 10;
  const auto x = [](double v) { return kLeft + v * kSize; };
  const auto y = [](double v) { return kTop + (1 - v) * kSize; };
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 340 330\" width=\"340\" height=\"330\" role=\"img\" "
      "aria-label=\"Reliability diagram\">"
      "<line class=\"axis\" x1=\"{0}\" y1=\"{1}\" x2=\"{2}\" y2=\"{3}\" stroke-dasharray=\"4\"/>"
      "<path class=\"axis\" d=\"M{0} {3}V{1}H{2}\" fill=\"none\"/>",
      x(0), y(0), x(1), y(1));
  for (int i = 0; i < kReliabilityBins; ++i) {
    const ReliabilityBin& bin = metrics.reliability[static_cast<std::size_t>(i)];
    if (bin.count == 0) continue;
    const double width = kSize / kReliabilityBins;
    svg += fmt::format(
        "<rect class=\"bar\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\">"
        "<title>{} rows: confidence {:.3f}, accuracy {:.3f}</title></rect>",
        x(static_cast<double>(i) / kReliabilityBins) + 1, y(bin.accuracy), width - 2,
        bin.accuracy * kSize, bin.count, bin.confidence, bin.accuracy);
  }
  for (double tick : {0.0, 0.5, 1.0})
    svg += fmt::format(
        "<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"middle\">{}</text>"
        "<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"end\">{}</text>",
        x(tick), y(0) + 15, tick, kLeft - 4, y(tick) + 4, tick);
  return svg +
         fmt::format("<text x=\"{}\" y=\"325\" text-anchor=\"middle\">confidence</text></svg>",
                     x(0.5));
}

std::string latency_svg(const std::vector<float>& sorted_us) {
  constexpr int kBins = 30;
  constexpr double kWidth = 280, kHeight = 200, kLeft = 40;
  if (sorted_us.empty()) return "<p>No answer was timed.</p>";
  // The slowest per cent would stretch the axis; it is counted in the last bar.
  const double low = static_cast<double>(sorted_us.front());
  const double high = std::max(low + 1, static_cast<double>(percentile(sorted_us, 0.99)) * 1.02);
  std::vector<int> counts(kBins);
  for (float us : sorted_us)
    ++counts[static_cast<std::size_t>(std::clamp(
        static_cast<int>((static_cast<double>(us) - low) / (high - low) * kBins), 0, kBins - 1))];
  const double most = *std::ranges::max_element(counts);
  std::string svg =
      "<svg viewBox=\"0 0 340 250\" width=\"340\" height=\"250\" role=\"img\" "
      "aria-label=\"Latency histogram\"><path class=\"axis\" d=\"M40 10V210H320\" fill=\"none\"/>";
  for (int i = 0; i < kBins; ++i) {
    const double height = kHeight * counts[static_cast<std::size_t>(i)] / most;
    svg += fmt::format(
        "<rect class=\"bar\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>",
        kLeft + i * kWidth / kBins, 210 - height, kWidth / kBins - 1, height);
  }
  return svg + fmt::format(
                   "<text x=\"40\" y=\"228\">{:.2f} ms</text>"
                   "<text x=\"320\" y=\"228\" text-anchor=\"end\">{:.2f} ms</text></svg>",
                   low / 1000, high / 1000);
}

std::string confusion_svg(const Metrics& metrics, const std::vector<std::string>& labels) {
  const std::size_t n = labels.size();
  const double cell = std::clamp(640.0 / static_cast<double>(n), 4.0, 32.0);
  const double left = cell >= 10 ? 190 : 10, top = 10;
  const double size = cell * static_cast<double>(n);
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" height=\"{1:.0f}\" role=\"img\" "
      "aria-label=\"Confusion matrix\"><rect class=\"frame\" x=\"{2}\" y=\"{3}\" width=\"{4}\" "
      "height=\"{4}\" fill=\"none\"/>",
      left + size + 10, top + size + 10, left, top, size);
  for (std::size_t t = 0; t < n; ++t) {
    const double row = std::max<double>(1, static_cast<double>(metrics.per_class[t].support));
    if (cell >= 10)
      svg += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", left - 4,
                         top + (static_cast<double>(t) + 0.7) * cell, html_escaped(labels[t]));
    for (std::size_t a = 0; a < n; ++a) {
      const std::int64_t count = metrics.confusion[t * n + a];
      if (count == 0) continue;
      svg += fmt::format(
          "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
          "fill-opacity=\"{:.2f}\"><title>{} answered as {}: {}</title></rect>",
          t == a ? "right" : "wrong", left + static_cast<double>(a) * cell,
          top + static_cast<double>(t) * cell, cell, cell,
          0.15 + 0.85 * static_cast<double>(count) / row, html_escaped(labels[t]),
          html_escaped(labels[a]), count);
    }
  }
  return svg + "</svg>";
}

void add_row(std::string& out, std::string_view name, std::string_view value) {
  out += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", html_escaped(name), html_escaped(value));
}

std::string per_class_table(const std::vector<ClassMetrics>& per_class,
                            const std::vector<std::string>& labels) {
  std::string out =
      "<table><tr><th>label</th><th>F1</th><th>precision</th><th>recall</th><th>rows</th></tr>\n";
  for (std::size_t k : by_f1(per_class)) {
    const ClassMetrics& c = per_class[k];
    out += fmt::format(
        "<tr><td>{}</td><td class=\"n\">{:.1f}</td><td class=\"n\">{:.1f}</td>"
        "<td class=\"n\">{:.1f}</td><td class=\"n\">{}</td></tr>\n",
        html_escaped(labels[k]), 100 * c.f1, 100 * c.precision, 100 * c.recall, c.support);
  }
  return out + "</table>";
}

template <class Any>
std::string latency_line(const Any& e) {
  return fmt::format("p50 {:.2f} ms, p99 {:.2f} ms for one text; {:.0f} texts/s in batches",
                     percentile(e.latency_us, 0.5) / 1000, percentile(e.latency_us, 0.99) / 1000,
                     e.texts_per_second);
}

std::string page_head(const std::string& title, const std::vector<Fact>& facts) {
  std::string out = page_begin(title) + "<table>\n";
  for (const Fact& fact : facts) add_row(out, fact.name, fact.value);
  return out;
}

}  // namespace

std::string evaluation_text(const Evaluation& evaluation, const std::vector<std::string>& labels) {
  const Metrics& m = evaluation.metrics;
  std::string out =
      fmt::format("{} rows, {} labels; 95 % intervals in brackets\n", m.rows, labels.size());
  out += fmt::format("  accuracy           {}\n", percent(m.accuracy));
  out += fmt::format("  macro F1           {}\n", percent(m.macro_f1));
  out += fmt::format("  calibration error  {}\n", percent(m.ece));
  if (const auto& oos = m.out_of_scope) {
    out += fmt::format("out of scope: {} rows\n", oos->rows);
    out += fmt::format("  AUROC              {}\n", percent(oos->auroc));
    out += fmt::format("  caught             {}  at {:.2f} % false alarms\n", percent(oos->recall),
                       100 * oos->false_alarms);
    out += fmt::format("  in-scope right     {}\n", percent(oos->in_scope_recall));
    out += fmt::format("  all rows right     {}\n", percent(oos->accuracy));
  }
  const auto worst = by_f1(m.per_class);
  if (!worst.empty() && m.per_class[worst.front()].f1 < 1) {
    out += "weakest labels:";
    for (std::size_t i = 0; i < std::min<std::size_t>(3, worst.size()); ++i)
      out += fmt::format("{} {} (F1 {:.1f} %)", i > 0 ? "," : "", labels[worst[i]],
                         100 * m.per_class[worst[i]].f1);
    out += '\n';
  }
  const auto pairs = confusions(m, labels.size());
  if (!pairs.empty()) {
    out += "most confused:";
    for (std::size_t i = 0; i < std::min<std::size_t>(3, pairs.size()); ++i)
      out += fmt::format("{} {} as {} ({})", i > 0 ? "," : "", labels[pairs[i].truth],
                         labels[pairs[i].answer], pairs[i].count);
    out += '\n';
  }
  out += fmt::format("latency: {}\n", latency_line(evaluation));
  if (evaluation.truncated_rows > 0)
    out += fmt::format("{} texts were too long for the model and were cut ({} tokens)\n",
                       evaluation.truncated_rows, evaluation.truncated_tokens);
  return out;
}

std::string evaluation_html(const std::string& title, const std::vector<Fact>& facts,
                            const Evaluation& evaluation, const std::vector<std::string>& labels,
                            const std::string& sections) {
  const Metrics& m = evaluation.metrics;
  std::string out = page_head(title, facts);
  add_row(out, "rows", fmt::format("{} in scope, {} labels", m.rows, labels.size()));
  add_row(out, "accuracy", percent(m.accuracy));
  add_row(out, "macro F1", percent(m.macro_f1));
  add_row(out, "calibration error", percent(m.ece));
  if (const auto& oos = m.out_of_scope) {
    add_row(out, "all rows right, in scope or not", percent(oos->accuracy));
    add_row(out, "out-of-scope AUROC", percent(oos->auroc));
    add_row(
        out, "out of scope caught",
        fmt::format("{} at {:.2f} % false alarms", percent(oos->recall), 100 * oos->false_alarms));
  }
  add_row(out, "latency", latency_line(evaluation));
  out += "</table>\n<p>Brackets hold 95 % bootstrap intervals.</p>\n" + sections;
  out += fmt::format(
      "<div class=\"row\"><section><h2>Reliability</h2>{}</section>"
      "<section><h2>Latency of one text</h2>{}</section></div>\n",
      reliability_svg(m), latency_svg(evaluation.latency_us));
  out += fmt::format(
      "<section><h2>Confusion</h2><p>Rows: the true label; columns: the answer, in "
      "the same order.</p>{}</section>\n",
      confusion_svg(m, labels));
  out += fmt::format("<section><h2>Labels</h2>{}</section>\n</body></html>\n",
                     per_class_table(m.per_class, labels));
  return out;
}

std::string tag_evaluation_text(const TagEvaluation& evaluation) {
  const SpanMetrics& m = evaluation.metrics;
  std::string out = fmt::format("{} texts, {} kinds of spans; 95 % intervals in brackets\n", m.rows,
                                m.per_name.size());
  if (m.accuracy) out += fmt::format("  label accuracy     {}\n", percent(*m.accuracy));
  out += fmt::format("  span F1            {}\n", percent(m.f1));
  out += fmt::format("  precision          {}\n", percent(m.precision));
  out += fmt::format("  recall             {}\n", percent(m.recall));
  out += fmt::format("  all of a text      {}\n", percent(m.exact));
  std::vector<std::pair<std::string, ClassMetrics>> names(m.per_name.begin(), m.per_name.end());
  std::ranges::stable_sort(names, {}, [](const auto& entry) { return entry.second.f1; });
  if (!names.empty()) {
    out += "weakest spans:";
    for (std::size_t i = 0; i < std::min<std::size_t>(3, names.size()); ++i)
      out += fmt::format("{} {} (F1 {:.1f} % of {})", i > 0 ? "," : "", names[i].first,
                         100 * names[i].second.f1, names[i].second.support);
    out += '\n';
  }
  out += fmt::format("latency: {}\n", latency_line(evaluation));
  if (evaluation.truncated_rows > 0)
    out += fmt::format("{} texts were too long for the model and were cut\n",
                       evaluation.truncated_rows);
  return out;
}

std::string tag_evaluation_html(const std::string& title, const std::vector<Fact>& facts,
                                const TagEvaluation& evaluation, const std::string& sections) {
  const SpanMetrics& m = evaluation.metrics;
  std::string out = page_head(title, facts);
  add_row(out, "texts", fmt::format("{}", m.rows));
  if (m.accuracy) add_row(out, "label accuracy", percent(*m.accuracy));
  add_row(out, "span F1", percent(m.f1));
  add_row(out, "precision", percent(m.precision));
  add_row(out, "recall", percent(m.recall));
  add_row(out, "all of a text right", percent(m.exact));
  add_row(out, "latency", latency_line(evaluation));
  out +=
      "</table>\n<p>Brackets hold 95 % bootstrap intervals. A span is right when its name, its "
      "first and its last character are.</p>\n" +
      sections;
  out += fmt::format("<section><h2>Latency of one text</h2>{}</section>\n",
                     latency_svg(evaluation.latency_us));
  out +=
      "<section><h2>Spans</h2><table><tr><th>span</th><th>F1</th><th>precision</th>"
      "<th>recall</th><th>there</th></tr>";
  for (const auto& [name, c] : m.per_name)
    out += fmt::format(
        "<tr><td>{}</td><td>{:.1f} %</td><td>{:.1f} %</td><td>{:.1f} %</td><td>{}</td></tr>",
        html_escaped(name), 100 * c.f1, 100 * c.precision, 100 * c.recall, c.support);
  return out + "</table></section>\n</body></html>\n";
}

std::string extract_evaluation_text(const ExtractEvaluation& evaluation) {
  const AnswerMetrics& m = evaluation.metrics;
  std::string out = fmt::format("{} questions; 95 % intervals in brackets\n", m.rows);
  out += fmt::format("  exact match        {}\n", percent(m.exact));
  out += fmt::format("  F1                 {}\n", percent(m.f1));
  if (m.unanswerable) {
    out += fmt::format("  with an answer     {}  exact\n", percent(*m.answerable_exact));
    out += fmt::format("                     {}  F1\n", percent(*m.answerable_f1));
    out += fmt::format("  without, refused   {}\n", percent(*m.unanswerable));
  }
  out += fmt::format("latency: {}\n", latency_line(evaluation));
  if (evaluation.truncated_rows > 0)
    out += fmt::format("{} questions were too long and were cut\n", evaluation.truncated_rows);
  return out;
}

std::string extract_evaluation_html(const std::string& title, const std::vector<Fact>& facts,
                                    const ExtractEvaluation& evaluation,
                                    const std::string& sections) {
  const AnswerMetrics& m = evaluation.metrics;
  std::string out = page_head(title, facts);
  add_row(out, "questions", fmt::format("{}", m.rows));
  add_row(out, "exact match", percent(m.exact));
  add_row(out, "F1", percent(m.f1));
  if (m.unanswerable) {
    add_row(out, "exact match, with an answer", percent(*m.answerable_exact));
    add_row(out, "F1, with an answer", percent(*m.answerable_f1));
    add_row(out, "without an answer, refused", percent(*m.unanswerable));
  }
  add_row(out, "latency", latency_line(evaluation));
  out +=
      "</table>\n<p>Brackets hold 95 % bootstrap intervals. Exact match and F1 are SQuAD's.</p>\n" +
      sections;
  out += fmt::format("<section><h2>Latency of one question</h2>{}</section>\n",
                     latency_svg(evaluation.latency_us));
  return out + "</body></html>\n";
}

namespace {

// Names and values of a table or of lines.
using Figures = std::vector<std::pair<const char*, std::string>>;

Figures figures(const LabelSetMetrics& m) {
  return {{"micro F1", percent(m.micro_f1)},    {"precision", percent(m.precision)},
          {"recall", percent(m.recall)},        {"macro F1", percent(m.macro_f1)},
          {"all of a text", percent(m.exact)},  {"ranking precision", percent(m.ranking)},
          {"calibration error", percent(m.ece)}};
}

Figures figures(const PairEvaluation& e) {
  if (!e.retrieval) return {{"Spearman", percent(*e.spearman)}};
  return {{"recall at 1", percent(e.retrieval->recall_1)},
          {"recall at 10", percent(e.retrieval->recall_10)},
          {"MRR", percent(e.retrieval->mrr)}};
}

std::string lines_of(const Figures& figures) {
  std::string out;
  for (const auto& [name, value] : figures) out += fmt::format("  {:<18} {}\n", name, value);
  return out;
}

std::string what_was_asked(const PairEvaluation& e) {
  if (e.kind == PairKind::kScored) return fmt::format("{} scored pairs", e.rows());
  return fmt::format("{} queries, {}", e.rows(),
                     e.kind == PairKind::kLabel ? "each among all other texts"
                                                : "each among the second texts of all pairs");
}

std::string page(const std::string& title, const std::vector<Fact>& facts, const Figures& figures,
                 const std::string& latency, const std::vector<float>& latency_us,
                 const std::string& sections) {
  std::string out = page_head(title, facts);
  for (const auto& [name, value] : figures) add_row(out, name, value);
  add_row(out, "latency", latency);
  return out + "</table>\n<p>Brackets hold 95 % bootstrap intervals.</p>\n" + sections +
         fmt::format("<section><h2>Latency of one text</h2>{}</section>\n",
                     latency_svg(latency_us));
}

}  // namespace

std::string label_set_evaluation_text(const LabelSetEvaluation& evaluation,
                                      const std::vector<std::string>& labels) {
  const LabelSetMetrics& m = evaluation.metrics;
  std::string out =
      fmt::format("{} rows, {} labels; 95 % intervals in brackets\n", m.rows, labels.size());
  out += lines_of(figures(m));
  const auto worst = by_f1(m.per_label);
  for (std::size_t i = 0; i < std::min<std::size_t>(3, worst.size()); ++i)
    out +=
        fmt::format("{} {} (F1 {:.1f} % of {})", i > 0 ? "," : "weakest labels:", labels[worst[i]],
                    100 * m.per_label[worst[i]].f1, m.per_label[worst[i]].support);
  if (!worst.empty()) out += '\n';
  out += fmt::format("latency: {}\n", latency_line(evaluation));
  if (evaluation.truncated_rows > 0)
    out += fmt::format("{} texts were too long for the model and were cut\n",
                       evaluation.truncated_rows);
  return out;
}

std::string label_set_evaluation_html(const std::string& title, const std::vector<Fact>& facts,
                                      const LabelSetEvaluation& evaluation,
                                      const std::vector<std::string>& labels,
                                      const std::string& sections) {
  const LabelSetMetrics& m = evaluation.metrics;
  return page(title, facts, figures(m), latency_line(evaluation), evaluation.latency_us, sections) +
         fmt::format("<section><h2>Labels</h2>{}</section>\n</body></html>\n",
                     per_class_table(m.per_label, labels));
}

std::string pair_evaluation_text(const PairEvaluation& evaluation) {
  std::string out = fmt::format("{}; 95 % intervals in brackets\n", what_was_asked(evaluation));
  out += lines_of(figures(evaluation));
  out += fmt::format("latency: {}\n", latency_line(evaluation));
  if (evaluation.truncated_texts > 0)
    out += fmt::format("{} texts were too long for the model and were cut\n",
                       evaluation.truncated_texts);
  return out;
}

std::string pair_evaluation_html(const std::string& title, const std::vector<Fact>& facts,
                                 const PairEvaluation& evaluation, const std::string& sections) {
  std::vector<Fact> all = facts;
  all.push_back({"measured", what_was_asked(evaluation)});
  return page(title, all, figures(evaluation), latency_line(evaluation), evaluation.latency_us,
              sections) +
         "</body></html>\n";
}

namespace {

std::string number(const Estimate& e) {
  return fmt::format("{:7.3f}  [{:.3f}, {:.3f}]", e.value, e.low, e.high);
}

std::string what_was_predicted(const TextEvaluation& e) {
  return fmt::format("{} documents, {} tokens, {} bytes, in pieces of at most {} tokens",
                     e.losses.size(), e.all_tokens(), e.all_bytes(), e.length);
}

std::vector<Fact> text_figures(const TextEvaluation& evaluation, const TextEvaluation* base) {
  std::vector<Fact> out = {{"perplexity", number(evaluation.perplexity)},
                           {"bits per byte", number(evaluation.bits_per_byte)}};
  if (base != nullptr) {
    out.push_back({"base: perplexity", number(base->perplexity)});
    out.push_back({"base: bits per byte", number(base->bits_per_byte)});
  }
  return out;
}

}  // namespace

std::string text_evaluation_text(const TextEvaluation& evaluation, const TextEvaluation* base) {
  std::string out = fmt::format("{}; 95 % intervals in brackets\n", what_was_predicted(evaluation));
  for (const auto& [name, value] : text_figures(evaluation, base))
    out += fmt::format("  {:<20} {}\n", name, value);
  return out + fmt::format("  {:.0f} tokens/s\n", evaluation.tokens_per_second);
}

std::string text_evaluation_html(const std::string& title, const std::vector<Fact>& facts,
                                 const TextEvaluation& evaluation, const TextEvaluation* base,
                                 const std::string& sections) {
  std::string out = page_head(title, facts);
  add_row(out, "measured", what_was_predicted(evaluation));
  for (const auto& [name, value] : text_figures(evaluation, base)) add_row(out, name, value);
  return out + "</table>\n<p>Brackets hold 95 % bootstrap intervals, of documents.</p>\n" +
         sections + "</body></html>\n";
}

}  // namespace tack
