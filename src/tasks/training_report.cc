#include "tasks/training_report.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

namespace tack {
namespace {

// The means of `width` stretches of the values, or the values when there are fewer.
std::vector<double> thinned(const std::vector<double>& values, std::size_t width) {
  std::vector<double> points;
  const std::size_t n = std::min(width, values.size());
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t from = values.size() * i / n, to = values.size() * (i + 1) / n;
    double sum = 0;
    for (std::size_t k = from; k < to; ++k) sum += values[k];
    points.push_back(sum / static_cast<double>(to - from));
  }
  return points;
}

// Bars of eight heights.
std::string sparkline(const std::vector<double>& values, std::size_t width) {
  constexpr const char* kBars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const auto points = thinned(values, width);
  const auto [low, high] = std::ranges::minmax(points);
  std::string text;
  for (double p : points)
    text += kBars[high > low ? std::min(7, static_cast<int>((p - low) / (high - low) * 8)) : 3];
  return text;
}

std::vector<double> validations(const TrainingResult& training) {
  std::vector<double> values;
  if (training.best_epoch > 0)
    for (const EpochRecord& record : training.epochs) values.push_back(record.validation);
  return values;
}

// A line through the values over the whole width; the scale is from the least to the largest.
std::string curve_svg(const std::string& name, const std::vector<double>& values, double factor,
                      const char* unit) {
  constexpr double kLeft = 60, kTop = 10, kWidth = 260, kHeight = 160;
  const auto points = thinned(values, 200);
  const auto [low, high] = std::ranges::minmax(points);
  const double range = std::max(high - low, 1e-9);
  std::string line;
  for (std::size_t i = 0; i < points.size(); ++i)
    line +=
        fmt::format("{:.1f},{:.1f} ",
                    kLeft + kWidth * static_cast<double>(i) /
                                static_cast<double>(std::max<std::size_t>(1, points.size() - 1)),
                    kTop + kHeight * (1 - (points[i] - low) / range));
  return fmt::format(
      "<section><h2>{0}</h2><svg viewBox=\"0 0 340 190\" width=\"340\" height=\"190\" role=\"img\" "
      "aria-label=\"{0}\"><path class=\"axis\" d=\"M{1} {2}V{3}H{4}\" fill=\"none\"/>"
      "<polyline points=\"{5}\" fill=\"none\" stroke=\"currentColor\"/>"
      "<text x=\"{6}\" y=\"{7}\" text-anchor=\"end\">{8:.4g}{10}</text>"
      "<text x=\"{6}\" y=\"{3}\" text-anchor=\"end\">{9:.4g}{10}</text></svg></section>",
      name, kLeft, kTop, kTop + kHeight, kLeft + kWidth, line, kLeft - 4, kTop + 10, high * factor,
      low * factor, unit);
}

Json line_of(const char* name, std::size_t bytes, const Evaluation& e) {
  return {{"name", name},
          {"bytes", bytes},
          {"accuracy", e.metrics.accuracy.value},
          {"p50_us", percentile(e.latency_us, 0.5)},
          {"texts_per_second", e.texts_per_second}};
}

Json line_of(const char* name, std::size_t bytes, const TagEvaluation& e) {
  return {{"name", name},
          {"bytes", bytes},
          {"f1", e.metrics.f1.value},
          {"p50_us", percentile(e.latency_us, 0.5)},
          {"texts_per_second", e.texts_per_second}};
}

Json line_of(const char* name, std::size_t bytes, const ExtractEvaluation& e) {
  return {{"name", name},
          {"bytes", bytes},
          {"exact", e.metrics.exact.value},
          {"p50_us", percentile(e.latency_us, 0.5)},
          {"texts_per_second", e.texts_per_second}};
}

Json line_of(const char* name, std::size_t bytes, const LabelSetEvaluation& e) {
  return {{"name", name},
          {"bytes", bytes},
          {"micro_f1", e.metrics.micro_f1.value},
          {"p50_us", percentile(e.latency_us, 0.5)},
          {"texts_per_second", e.texts_per_second}};
}

Json line_of(const char* name, std::size_t bytes, const PairEvaluation& e) {
  return {{"name", name},
          {"bytes", bytes},
          {e.retrieval ? "mrr" : "spearman", e.quality().value},
          {"p50_us", percentile(e.latency_us, 0.5)},
          {"texts_per_second", e.texts_per_second}};
}

// The base, the teacher and the model, of those that there are.
template <class Any>
Json lines_of(const BuildResult& result, const std::optional<Any>& baseline,
              const std::optional<Any>& teacher, const Any& model) {
  Json lines = Json::array();
  if (baseline) lines.push_back(line_of("frozen encoder", result.baseline_bytes, *baseline));
  if (teacher) lines.push_back(line_of("teacher", result.teacher_bytes, *teacher));
  if (!lines.empty())
    lines.push_back(line_of(teacher ? "student" : "trained", result.model_bytes, model));
  return lines;
}

double number(const Json& line, const char* key) {
  const auto value = line.find(key);
  return value != line.end() && value->is_number() ? value->get<double>() : 0;
}

std::string name_of(const Json& line) {
  const auto name = line.find("name");
  return name != line.end() && name->is_string() ? name->get<std::string>() : "";
}

// The key of the quality, and how it is called.
std::pair<const char*, const char*> quality_of(const Json& line) {
  for (const auto& quality :
       {std::pair{"exact", "exact"}, std::pair{"f1", "span F1"}, std::pair{"micro_f1", "micro F1"},
        std::pair{"mrr", "MRR"}, std::pair{"spearman", "Spearman"}})
    if (line.contains(quality.first)) return quality;
  return {"accuracy", "accuracy"};
}

bool is_comparison(const Json& json) {
  return json.is_array() && !json.empty() &&
         std::ranges::all_of(json, [](const Json& line) { return line.is_object(); });
}

std::vector<double> perplexities(const TrainingResult& training) {
  std::vector<double> values = validations(training);
  for (double& value : values) value = std::exp(-value);
  return values;
}

// Size, steps, speed, memory, and the loss.
std::string course_text(const std::string& label, const TrainingResult& training,
                        std::int64_t trained_parameters) {
  std::string text =
      fmt::format("{}: {:.1f} M parameters, {} steps{}, {:.0f} s, {:.0f} MB{}{}\n", label,
                  static_cast<double>(trained_parameters) / 1e6, training.steps,
                  training.seconds > 0 && !training.resumed
                      ? fmt::format(", {:.0f} tokens/s",
                                    static_cast<double>(training.tokens) / training.seconds)
                      : "",
                  training.seconds, static_cast<double>(training.memory_bytes) / 1e6,
                  training.resumed ? ", continued from a checkpoint" : "",
                  training.stopped_early ? ", stopped early" : "");
  text += fmt::format("  loss        {}  {:.3f} to {:.3f}", sparkline(training.losses, 40),
                      training.epochs.front().loss, training.epochs.back().loss);
  return text;
}

}  // namespace

std::string text_training_text(const std::string& label, const TrainingResult& training,
                               std::int64_t trained_parameters) {
  const auto values = perplexities(training);
  return fmt::format(
      "{}\n  validation  {}  perplexity {:.2f} to {:.2f}, best {:.2f} after epoch {} of {}",
      course_text(label, training, trained_parameters), sparkline(values, 40), values.front(),
      values.back(), std::exp(-training.best_validation), training.best_epoch,
      training.epochs.size());
}

std::string training_text(const std::string& label, const TrainingResult& training,
                          std::int64_t trained_parameters) {
  std::string text = course_text(label, training, trained_parameters);
  if (training.best_epoch > 0)
    text += fmt::format("\n  validation  {}  best {:.2f} % after epoch {} of {}",
                        sparkline(validations(training), 40), 100 * training.best_validation,
                        training.best_epoch, training.epochs.size());
  return text;
}

Json comparison_json(const BuildResult& result) {
  if (result.texts) return Json::array();  // text_evaluation_text() says what the base gives
  if (result.label_sets)
    return lines_of(result, result.baseline_label_sets, result.teacher_label_sets,
                    *result.label_sets);
  if (result.pairs)
    return lines_of(result, result.baseline_pairs, result.teacher_pairs, *result.pairs);
  Json lines = Json::array();
  if (result.baseline_bytes > 0)
    lines.push_back(line_of("frozen encoder", result.baseline_bytes, result.baseline_evaluation));
  if (result.teacher_tagged)
    lines.push_back(line_of("teacher", result.teacher_bytes, *result.teacher_tagged));
  else if (result.teacher_extracted)
    lines.push_back(line_of("teacher", result.teacher_bytes, *result.teacher_extracted));
  else if (!result.teacher.empty())
    lines.push_back(line_of(result.other_teachers.empty() ? "teacher" : "first teacher",
                            result.teacher_bytes, result.teacher_evaluation));
  if (lines.empty()) return lines;
  const char* const name = result.teacher.empty() ? "trained" : "student";
  lines.push_back(result.tagged      ? line_of(name, result.model_bytes, *result.tagged)
                  : result.extracted ? line_of(name, result.model_bytes, *result.extracted)
                                     : line_of(name, result.model_bytes, result.evaluation));
  return lines;
}

std::string comparison_text(const Json& compared) {
  if (!is_comparison(compared)) return "";
  const auto [key, quality] = quality_of(compared.front());
  std::string text =
      fmt::format("{:<16} {:>9} {:>10} {:>10} {:>10}\n", "", "size", quality, "p50", "texts/s");
  for (const Json& line : compared)
    text += fmt::format("{:<16} {:>6.1f} MB {:>8.2f} % {:>7.2f} ms {:>10.0f}\n", name_of(line),
                        number(line, "bytes") / 1e6, 100 * number(line, key),
                        number(line, "p50_us") / 1000, number(line, "texts_per_second"));
  return text;
}

std::string training_html(const BuildResult& result) {
  if (!result.training) return "";
  std::string out = "<div class=\"row\">" + curve_svg("Loss", result.training->losses, 1, "");
  if (result.texts)
    out += curve_svg("Validation perplexity", perplexities(*result.training), 1, "");
  else if (const auto values = validations(*result.training); !values.empty())
    out += curve_svg("Validation", values, 100, " %");
  out += "</div>\n";
  const Json lines = comparison_json(result);
  if (lines.empty()) return out;
  const auto [key, quality] = quality_of(lines.front());
  out += fmt::format(
      "<section><h2>Side by side</h2><table><tr><th></th><th>size</th><th>{}</th>"
      "<th>p50</th><th>texts/s</th></tr>",
      quality);
  for (const Json& line : lines)
    out += fmt::format(
        "<tr><td>{}</td><td>{:.1f} MB</td><td>{:.2f} %</td><td>{:.2f} ms</td><td>{:.0f}</td></tr>",
        name_of(line), number(line, "bytes") / 1e6, 100 * number(line, key),
        number(line, "p50_us") / 1000, number(line, "texts_per_second"));
  return out + "</table></section>\n";
}

}  // namespace tack
