#include "tasks/build.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <system_error>

#include "base/cpu.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/mapped_file.h"
#include "base/progress.h"
#include "eval/calibration.h"
#include "tasks/artifact.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

// The file that is evaluated before it may take its place; gone when this is.
class Candidate {
 public:
  explicit Candidate(const std::filesystem::path& out) : path_(out.string() + ".candidate") {}
  Candidate(const Candidate&) = delete;
  Candidate& operator=(const Candidate&) = delete;
  ~Candidate() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Data {
  Dataset train, test;
};

Result<Data> read_data(const Task& task, BuildResult& result) {
  TACK_TRY(Dataset all, read_dataset(task.train));
  TACK_RETURN_IF_ERROR(check_trainable(all));
  Data data;
  if (task.test.empty()) {
    const Split split = split_by_content(all, task.split_test, task.split_seed);
    data = {all.subset(split.first), all.subset(split.second)};
    std::vector<bool> seen(all.label_names.size());
    for (std::int32_t label : data.train.labels)
      if (label >= 0) seen[static_cast<std::size_t>(label)] = true;
    if (const auto lost = std::ranges::find(seen, false); lost != seen.end())
      return fail(
          "{}: no row of label '{}' is left to learn from once {} % are held out: its texts "
          "are copies of each other; add others",
          all.name, all.label_names[static_cast<std::size_t>(lost - seen.begin())],
          100 * task.split_test);
  } else {
    TACK_TRY(Dataset test, read_dataset(task.test_source(), all.label_names));
    data = {std::move(all), std::move(test)};
  }
  if (data.test.in_scope() == 0) return fail("{}: no test row has a label", data.test.name);
  result.labels = data.train.label_names;
  result.train_rows = data.train.in_scope();
  result.train_out_of_scope = data.train.size() - result.train_rows;
  result.test_rows = data.test.in_scope();
  result.test_out_of_scope = data.test.size() - result.test_rows;
  result.overlap = count_overlap(data.train, data.test);
  result.detectable_loss = detectable_loss(static_cast<std::int64_t>(result.test_rows));
  return data;
}

// In-scope rows of `data`: [rows, dims] and their labels.
struct Features {
  std::vector<float> values;
  std::vector<std::int32_t> labels;
};

Result<Features> embed(TextEncoder& encoder, const Dataset& data) {
  constexpr std::size_t kBatch = 512;
  constexpr std::array<std::string_view, 1> kOutputs = {"embedding"};
  std::vector<std::string_view> texts;
  Features features;
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (data.labels[i] < 0) continue;
    texts.push_back(data.texts[i]);
    features.labels.push_back(data.labels[i]);
  }
  Progress progress("embedding", static_cast<std::int64_t>(texts.size()), "rows");
  for (std::size_t begin = 0; begin < texts.size(); begin += kBatch) {
    const auto part = std::span(texts).subspan(begin, std::min(kBatch, texts.size() - begin));
    TACK_TRY(const Encoded encoded, encoder.run(part, kOutputs));
    features.values.insert(features.values.end(), encoded.outputs[0].begin(),
                           encoded.outputs[0].end());
    progress.advance(static_cast<std::int64_t>(part.size()));
  }
  return features;
}

struct Fitted {
  LinearHead head;
  Json calibration;
};

Result<Fitted> fit(const Task& task, const Features& features, std::int64_t dims, int threads,
                   BuildResult& result) {
  ThreadPool pool(threads);
  const LabelledFeatures data{features.values, features.labels, dims,
                              static_cast<std::int32_t>(result.labels.size())};
  const int folds =
      static_cast<int>(std::min<std::int64_t>(task.folds, std::max<std::int64_t>(2, data.rows())));
  {
    Progress progress("cross-validation", static_cast<std::int64_t>(task.c.size()) * folds, "fits");
    TACK_TRY(result.search, search_logistic(data,
                                            {.grid = task.c,
                                             .folds = folds,
                                             .seed = task.split_seed,
                                             .on_fit = [&] { progress.advance(); }},
                                            pool));
  }
  TACK_TRY(auto fitted, fit_logistic(data, {.c = result.search.c}, pool));
  // Each row's logits come from a fit that did not see it, so no rows need to be kept apart.
  const auto& logits = result.search.out_of_fold_logits;
  result.temperature = fit_temperature(logits, features.labels, data.classes);
  std::vector<float> scores;
  const auto width = static_cast<std::size_t>(data.classes);
  for (std::size_t r = 0; r < features.labels.size(); ++r)
    scores.push_back(in_scope_score(std::span(logits).subspan(r * width, width)));
  result.threshold = out_of_scope_threshold(scores, task.false_alarms);
  return Fitted{std::move(fitted.head),
                {{"temperature", result.temperature},
                 {"threshold", result.threshold},
                 {"false_alarms", task.false_alarms}}};
}

// Whether the baseline is right on each in-scope row; its labels may be in another order.
Result<std::vector<bool>> baseline_answers(const std::string& name, const Dataset& test,
                                           int threads) {
  TACK_TRY(const auto path, resolve_model(name));
  TACK_TRY(auto baseline, TaskPredictor::open(path, {.threads = threads}));
  std::vector<std::string_view> texts(test.texts.begin(), test.texts.end());
  TACK_TRY(const auto predictions, baseline->predict(texts));
  std::vector<bool> right;
  for (std::size_t i = 0; i < test.size(); ++i)
    if (const std::int32_t truth = test.labels[i]; truth >= 0)
      right.push_back(baseline->labels()[predictions[i].label] ==
                      test.label_names[static_cast<std::size_t>(truth)]);
  return right;
}

Status ask_gate(const Task& task, const Dataset& test, int threads, BuildResult& result) {
  if (task.gate.floor)
    result.gate = gate_against_floor(result.evaluation.right(), {.floor = *task.gate.floor});
  if (task.gate.baseline) {
    TACK_TRY(const auto baseline, baseline_answers(*task.gate.baseline, test, threads));
    result.gate =
        gate_against_baseline(result.evaluation.right(), baseline, {.margin = task.gate.margin});
  }
  return {};
}

Result<Json> make_lineage(const Task& task, const Model& base, const Data& data,
                          const BuildOptions& options, const BuildResult& result) {
  TACK_TRY(const auto file, MappedFile::open(base.path()));
  Json json = {
      {"base", {{"name", base.name()}, {"sha256", sha256_hex(file.text())}}},
      {"train",
       {{"path", task.train.path},
        {"rows", data.train.size()},
        {"sha256", data.train.sha256},
        {"licence", task.licence}}},
      {"test",
       {{"path", task.test.empty() ? task.train.path : task.test},
        {"rows", data.test.size()},
        {"sha256", data.test.sha256}}},
      {"head", {{"kind", "logistic regression"}, {"c", result.search.c}}},
      {"command", options.command},
  };
  if (const Json* before = base.tack_metadata("lineage")) json["base"]["lineage"] = *before;
  if (result.gate) json["gate"] = result.gate->text;
  return json;
}

void say(const BuildOptions& options, const std::string& line) {
  if (options.message) options.message(line);
}

std::string describe(const Task& task, const BuildResult& result) {
  std::string line = fmt::format(
      "data: {} training rows, {} test rows{}, {} labels", result.train_rows, result.test_rows,
      task.test.empty() ? " held out by content" : "", result.labels.size());
  if (result.test_out_of_scope > 0)
    line += fmt::format("; {} test rows out of scope", result.test_out_of_scope);
  if (result.overlap > 0)
    line += fmt::format("; {} test texts also stand in the training rows", result.overlap);
  return line;
}

}  // namespace

Result<BuildResult> build_task(const Task& task, const BuildOptions& options) {
  const auto start = Clock::now();
  const int threads = options.threads > 0 ? options.threads : cpu_info().logical_cores;
  BuildResult result;
  result.task = task;
  TACK_TRY(const Data data, read_data(task, result));
  say(options, describe(task, result));
  say(options, fmt::format("gate: on {} rows the smallest loss it can tell from none is {:.2f} "
                           "points, when 3 % of the answers differ",
                           result.test_rows, 100 * result.detectable_loss));

  TACK_TRY(const auto base_path, resolve_model(task.base));
  TACK_TRY(const auto base, Model::open(base_path));
  result.base = base->name();
  std::int64_t dims = 0;
  Features features;
  {
    TACK_TRY(auto encoder,
             TextEncoder::create(base, {.threads = threads, .outputs = {"embedding"}}));
    dims = encoder->output_dim("embedding");
    const auto before = Clock::now();
    TACK_TRY(features, embed(*encoder, data.train));
    const double seconds = std::chrono::duration<double>(Clock::now() - before).count();
    say(options, fmt::format("encoder: {} embedded {} rows in {:.1f} s", base->name(),
                             result.train_rows, seconds));
  }
  TACK_TRY(const Fitted fitted, fit(task, features, dims, threads, result));
  std::string tried;
  for (const auto& point : result.search.points)
    tried +=
        fmt::format("{}C {:g}: {:.2f} %", tried.empty() ? "" : ", ", point.c, 100 * point.accuracy);
  say(options, fmt::format("cross-validation on the training rows: {}", tried));
  say(options,
      fmt::format("head: C = {:g}, temperature {:.3f}, out of scope below a score of {:.2f}",
                  result.search.c, result.temperature, result.threshold));

  TaskArtifact artifact{.head = &fitted.head,
                        .labels = result.labels,
                        .task = task.to_json(),
                        .calibration = fitted.calibration,
                        .metrics = Json::object(),
                        .lineage = Json::object(),
                        .name = task.name,
                        .licence = ""};
  const Candidate candidate(options.out);
  TACK_RETURN_IF_ERROR(write_task_model(*base, artifact, candidate.path()));
  {
    TACK_TRY(auto predictor, TaskPredictor::open(candidate.path(), {.threads = threads}));
    Progress progress("evaluating", static_cast<std::int64_t>(data.test.size()), "rows");
    TACK_TRY(result.evaluation,
             evaluate(*predictor, data.test,
                      {.progress = [&](std::int64_t rows) { progress.advance(rows); }}));
  }
  TACK_RETURN_IF_ERROR(ask_gate(task, data.test, threads, result));
  if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
  std::error_code ignored;
  result.model_bytes = std::filesystem::file_size(candidate.path(), ignored);
  if (result.accepted()) {
    artifact.metrics = result.evaluation.to_json(result.labels);
    TACK_TRY(artifact.lineage, make_lineage(task, *base, data, options, result));
    TACK_RETURN_IF_ERROR(write_task_model(*base, artifact, options.out));
    result.model_bytes = std::filesystem::file_size(options.out, ignored);
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace tack
