#include "tasks/distill.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>
#include <optional>
#include <system_error>

#include <fmt/ranges.h>

#include "base/cpu.h"
#include "base/hash.h"
#include "base/mapped_file.h"
#include "engine/text_encoder.h"
#include "models/layers.h"
#include "tasks/artifact.h"
#include "tasks/features.h"
#include "tasks/predictor.h"
#include "tasks/training_report.h"
#include "train/losses.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

// The teacher's answers are the only target; validation is agreement with them.
class Imitation final : public Curriculum {
 public:
  Imitation(const TrainingTexts& texts, std::size_t training, std::span<const float> answers,
            std::int64_t width, bool of_task, bool multilabel, double temperature,
            graph::ValueId output)
      : texts_(texts),
        training_(training),
        answers_(answers),
        width_(width),
        of_task_(of_task),
        multilabel_(multilabel),
        temperature_(temperature),
        output_(output) {}

  std::size_t size() const override { return training_; }
  ExampleTokens tokens(std::size_t example) const override { return texts_[example]; }
  std::int64_t longest_validation() const override { return texts_.longest(); }
  bool has_validation() const override { return texts_.size() > training_; }

  double loss(Tape& tape, std::span<const std::size_t> examples, double scale) override {
    const auto width = static_cast<std::size_t>(width_);
    double sum = 0;
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const auto student = tape.value(output_).subspan(i * width, width);
      const auto teacher = answers_.subspan(examples[i] * width, width);
      const auto slope = tape.gradient(output_).subspan(i * width, width);
      if (!of_task_)
        sum += cosine_distance(student, teacher, width_, scale, slope);
      else if (multilabel_)
        sum += binary_distillation(student, teacher, temperature_, scale, slope);
      else
        sum += distillation(student, teacher, width_, temperature_, scale, slope);
    }
    return sum;
  }

  Result<double> validate(const Forward& forward) override {
    std::vector<ExampleTokens> texts;
    for (std::size_t i = training_; i < texts_.size(); ++i) texts.push_back(texts_[i]);
    std::vector<float> student;
    TACK_RETURN_IF_ERROR(forward(texts, [&](std::size_t, std::size_t, const Tape& tape) {
      const auto values = tape.value(output_);
      student.insert(student.end(), values.begin(), values.end());
    }));
    return agreement(student, answers_.subspan(training_ * static_cast<std::size_t>(width_)),
                     width_, of_task_);
  }

  // The share of rows with the same largest column, or the mean cosine.
  static double agreement(std::span<const float> student, std::span<const float> teacher,
                          std::int64_t width, bool of_task) {
    const auto cols = static_cast<std::size_t>(width);
    const std::size_t rows = student.size() / cols;
    std::vector<float> ignored(cols);
    double sum = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      const auto a = student.subspan(r * cols, cols), b = teacher.subspan(r * cols, cols);
      if (of_task)
        sum += std::ranges::max_element(a) - a.begin() == std::ranges::max_element(b) - b.begin();
      else
        sum += 1 - cosine_distance(a, b, width, 1, ignored);
    }
    return rows == 0 ? 0 : sum / static_cast<double>(rows);
  }

 private:
  const TrainingTexts& texts_;
  std::size_t training_;
  std::span<const float> answers_;  // [texts, width]
  std::int64_t width_;
  bool of_task_, multilabel_;
  double temperature_;
  graph::ValueId output_;
};

// One output of a model for all texts, [texts, width].
Result<std::vector<float>> run_all(const std::shared_ptr<const Model>& model,
                                   std::span<const std::string> texts, const char* output,
                                   const char* label, int threads) {
  TACK_TRY(auto encoder, TextEncoder::create(model, {.threads = threads, .outputs = {output}}));
  std::vector<std::string_view> all(texts.begin(), texts.end());
  return run_texts(*encoder, all, output, label);
}

// Training texts first, then those held out: by a hash of the text, so that the same file is always
// divided in the same way; copies of a text count once.
std::pair<std::vector<std::string>, std::size_t> divide(const std::vector<std::string>& texts,
                                                        double held_out) {
  std::vector<std::pair<std::uint64_t, const std::string*>> order;
  for (const std::string& text : texts) order.emplace_back(content_hash(text), &text);
  std::ranges::sort(order, {}, &std::pair<std::uint64_t, const std::string*>::first);
  const auto copies = std::ranges::unique(order, {}, [](const auto& p) { return p.first; });
  order.erase(copies.begin(), copies.end());
  const std::size_t apart = std::min<std::size_t>(
      2000, static_cast<std::size_t>(held_out * static_cast<double>(order.size())));
  std::vector<std::string> out;
  for (const auto& [hash, text] : order) out.push_back(*text);
  return {std::move(out), order.size() - apart};
}

Status check_fit(const Model& teacher, const Model& student) {
  const Tokenizer& a = teacher.tokenizer();
  const Tokenizer& b = student.tokenizer();
  bool same = a.vocab_size() == b.vocab_size();
  for (TokenId id = 0; same && id < a.vocab_size(); ++id) same = a.token(id) == b.token(id);
  if (teacher.embedding_dim() != student.embedding_dim())
    return fail(ErrorCode::kUsage,
                "the teacher's vectors have {} dimensions, the student's {}: choose a student of "
                "the same width, or layers of the teacher (--layers)",
                teacher.embedding_dim(), student.embedding_dim());
  if (!same && !teacher.labels().empty())
    return fail(ErrorCode::kUsage,
                "teacher and student have different vocabularies: a head cannot go from one to "
                "the other; label the texts with the teacher (tack classify) and build the student "
                "on them, or keep layers of the teacher (--layers)");
  return {};
}

}  // namespace

Result<DistillResult> distill(const std::vector<std::string>& given,
                              const DistillOptions& options) {
  const auto start = Clock::now();
  const int threads = options.threads > 0 ? options.threads : cpu_info().logical_cores;
  const auto say = [&](const std::string& line) {
    if (options.message) options.message(line);
  };
  TACK_TRY(const auto teacher, Model::open(options.teacher));
  DistillResult result;
  result.of_task = !teacher->labels().empty();
  result.teacher_bytes = teacher->file_bytes();
  const auto [texts, training] = divide(given, options.held_out);
  if (training == 0) return fail(ErrorCode::kUsage, "there are no texts to learn from");
  result.texts = training;
  result.held_out = texts.size() - training;
  say(fmt::format("data: {} texts, {} held out", training, result.held_out));

  // The student, as it begins.
  std::shared_ptr<const Model> student = teacher;
  if (!options.student.empty()) {
    TACK_TRY(student, Model::open(options.student));
  }
  TACK_RETURN_IF_ERROR(check_fit(*teacher, *student));
  const TemporaryFile cut(options.out, ".student");
  const std::int64_t layers = layer_count(*student);
  std::vector<std::int64_t> keep = options.layers;
  if (options.layer_count > layers)
    return fail(ErrorCode::kUsage, "--layers {}: {} has {}", options.layer_count, student->name(),
                layers);
  if (keep.empty())
    keep = spread_layers(layers, options.layer_count > 0 ? options.layer_count : layers);
  TACK_RETURN_IF_ERROR(write_layers(*student, keep, cut.path()));
  TACK_TRY(const auto base, Model::open(cut.path()));
  say(fmt::format("student: layers {} of {}", fmt::join(keep, ", "), student->name()));

  const char* const output = result.of_task ? "logits" : "embedding";
  TACK_TRY(const auto answers, run_all(teacher, texts, output, "asking the teacher", threads));
  const auto width = static_cast<std::int64_t>(answers.size() / texts.size());

  std::vector<Tokens> tokens;
  for (const std::string& text : texts)
    tokens.push_back(base->tokenizer().encode(text, base->context_length()));
  const TrainingTexts packed(std::move(tokens), base->tokenizer().vocab_size());
  std::optional<LinearHead> head;
  if (result.of_task) {
    TACK_TRY(head, head_of(*teacher));
  }
  TACK_TRY(const auto model,
           TrainableModel::create(base, {.label = head ? &*head : nullptr}, packed,
                                  {.method = TrainMethod::kFull,
                                   .layer_decay = static_cast<float>(options.training.layer_decay),
                                   .head_rate = static_cast<float>(options.training.head_rate),
                                   .train_embeddings = options.training.embeddings}));
  TACK_TRY(const Calibration calibration, Calibration::of(*teacher));
  Imitation curriculum(packed, training, answers, width, result.of_task, calibration.multilabel,
                       options.temperature, model->output());
  TACK_TRY(const auto teacher_file, MappedFile::open(options.teacher));
  const std::string teacher_hash = sha256_hex(teacher_file.text());
  std::string all_texts;
  for (const std::string& text : texts) all_texts += text + '\n';
  const std::string data_hash = sha256_hex(all_texts);
  TrainerOptions loop = options.training.loop;
  loop.checkpoint = options.out.string() + ".checkpoint";
  loop.label = "student";
  loop.description = fmt::format("teacher {}\nstudent {} layers {}\ntexts {}\ntemperature {}\n{}",
                                 teacher_hash, student->name(), fmt::join(keep, " "), data_hash,
                                 options.temperature, to_text(options.training.to_json(), 1));
  ThreadPool pool(threads);
  const std::array<graph::ValueId, 1> outputs = {model->output()};
  TACK_TRY(result.training,
           train(model->graph(), outputs, model->parameters(), curriculum, loop, pool));
  say(training_text("student", result.training, model->parameters().trained()));

  const TemporaryFile encoder(options.out, ".encoder");
  TACK_TRY(const auto written,
           model->save_encoder(encoder.path(), options.type, options.out.stem().string()));
  const Json lineage = {
      {"teacher", {{"name", teacher->name()}, {"sha256", teacher_hash}}},
      {"student", {{"name", student->name()}, {"layers", keep}}},
      {"texts", {{"rows", training}, {"sha256", data_hash}}},
      {"training", {{"steps", result.training.steps}, {"settings", options.training.to_json()}}},
      {"command", options.command}};
  const auto metadata = [&](const char* key) {
    const Json* json = teacher->tack_metadata(key);
    return json == nullptr ? Json::object() : *json;
  };
  const TemporaryFile candidate(options.out, ".candidate");
  if (result.of_task) {
    const LinearHead trained = model->head();
    // The student speaks on the teacher's scale, so the teacher's calibration is kept.
    TACK_RETURN_IF_ERROR(write_task_model(*written,
                                          {.head = &trained,
                                           .labels = teacher->labels(),
                                           .task = metadata("task"),
                                           .calibration = metadata("calibration"),
                                           .metrics = Json::object(),
                                           .lineage = lineage,
                                           .name = options.out.stem().string(),
                                           .licence = ""},
                                          candidate.path()));
  } else {
    TACK_RETURN_IF_ERROR(write_encoder_lineage(*written, lineage, candidate.path()));
  }
  {
    TACK_TRY(const auto final_model, Model::open(candidate.path()));
    const auto apart = std::span(texts).subspan(training);
    TACK_TRY(const auto mine, run_all(final_model, apart, output, "checking", threads));
    result.agreement = Imitation::agreement(
        mine, std::span(answers).subspan(training * static_cast<std::size_t>(width)), width,
        result.of_task);
    result.student_bytes = final_model->file_bytes();
  }
  std::error_code error;
  std::filesystem::rename(candidate.path(), options.out, error);
  if (error) return fail("{}: cannot be written: {}", options.out.string(), error.message());
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace tack
