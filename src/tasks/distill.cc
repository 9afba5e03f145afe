#include "tasks/distill.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <system_error>

#include "base/cpu.h"
#include "base/hash.h"
#include "base/mapped_file.h"
#include "engine/text_encoder.h"
#include "models/layers.h"
#include "tasks/artifact.h"
#include "tasks/build_steps.h"
#include "tasks/features.h"
#include "tasks/finetune.h"
#include "tasks/inner_teacher.h"
#include "tasks/predictor.h"
#include "tasks/student.h"
#include "tasks/training_report.h"
#include "train/losses.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

// What is compared: a task's logits, those of independent labels, embeddings of one width, or how
// alike embeddings are.
enum class Target : std::uint8_t { kLogits, kLabelSets, kVectors, kSimilarities };

// Rows of `width` floats, one for each text.
struct Rows {
  std::span<const float> values;
  std::int64_t width = 0;

  std::size_t count() const { return values.size() / static_cast<std::size_t>(width); }
  std::span<const float> row(std::size_t i) const {
    return values.subspan(i * static_cast<std::size_t>(width), static_cast<std::size_t>(width));
  }
  Rows from(std::size_t i) const {
    return {values.subspan(i * static_cast<std::size_t>(width)), width};
  }
};

// The correlation of the cosines of pairs: every row with the eight that follow it.
double similarity_correlation(const Rows& student, const Rows& teacher) {
  constexpr std::size_t kNeighbours = 8;
  std::vector<float> ignored(static_cast<std::size_t>(std::max(student.width, teacher.width)));
  const auto cosine = [&](const Rows& rows, std::size_t i, std::size_t j) {
    return 1 - cosine_distance(rows.row(i), rows.row(j), rows.width, 1,
                               std::span(ignored).first(static_cast<std::size_t>(rows.width)));
  };
  double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < student.count(); ++i)
    for (std::size_t j = i + 1; j < std::min(student.count(), i + 1 + kNeighbours); ++j) {
      const double a = cosine(student, i, j), b = cosine(teacher, i, j);
      n += 1;
      x += a;
      y += b;
      xx += a * a;
      yy += b * b;
      xy += a * b;
    }
  const double spread = (n * xx - x * x) * (n * yy - y * y);
  return spread > 0 ? (n * xy - x * y) / std::sqrt(spread) : 0;
}

// On rows of both: the share with the same largest column, the mean cosine, or the correlation.
double agreement(const Rows& student, const Rows& teacher, Target target) {
  if (student.count() == 0) return 0;
  if (target == Target::kSimilarities) return similarity_correlation(student, teacher);
  std::vector<float> ignored(static_cast<std::size_t>(student.width));
  double sum = 0;
  for (std::size_t r = 0; r < student.count(); ++r) {
    const auto a = student.row(r), b = teacher.row(r);
    if (target == Target::kLogits || target == Target::kLabelSets)
      sum += std::ranges::max_element(a) - a.begin() == std::ranges::max_element(b) - b.begin();
    else
      sum += 1 - cosine_distance(a, b, student.width, 1, ignored);
  }
  return sum / static_cast<double>(student.count());
}

// The teacher's answers are the only target; validation is agreement with them.
class Imitation final : public Curriculum {
 public:
  Imitation(const TrainingTexts& texts, std::size_t training, const Rows& answers, Target target,
            double temperature, const Learner& learner)
      : texts_(texts),
        training_(training),
        answers_(answers),
        target_(target),
        temperature_(temperature),
        inner_(learner.inner.get()),
        output_(learner.model->output()),
        width_(learner.model->graph().value(output_).cols) {}

  std::size_t size() const override { return training_; }
  ExampleTokens tokens(std::size_t example) const override { return texts_[example]; }
  std::int64_t longest_validation() const override { return texts_.longest(); }
  bool has_validation() const override { return texts_.size() > training_; }

  double loss(Tape& tape, std::span<const std::size_t> examples, double scale) override {
    double sum = inner_ == nullptr ? 0 : inner_->loss(tape, examples, scale);
    std::vector<float> teacher;
    for (const std::size_t example : examples) {
      const auto row = answers_.row(example);
      teacher.insert(teacher.end(), row.begin(), row.end());
    }
    const auto student = tape.value(output_);
    const auto slope = tape.gradient(output_);
    switch (target_) {
      case Target::kLogits:
        return sum + distillation(student, teacher, width_, temperature_, scale, slope);
      case Target::kLabelSets:
        return sum + binary_distillation(student, teacher, temperature_, scale, slope);
      case Target::kVectors:
        return sum + cosine_distance(student, teacher, width_, scale, slope);
      case Target::kSimilarities:
        return sum + similarity(student, width_, teacher, answers_.width, scale, slope);
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
    return agreement({student, width_}, answers_.from(training_), target_);
  }

 private:
  const TrainingTexts& texts_;
  std::size_t training_;
  Rows answers_;
  Target target_;
  double temperature_;
  InnerTeacher* inner_;
  graph::ValueId output_;
  std::int64_t width_;
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

Status check_fit(const Model& teacher, const Model& student, const InnerSettings& inner) {
  if (same_vocabulary(teacher.tokenizer(), student.tokenizer())) return {};
  if (!teacher.labels().empty())
    return fail(ErrorCode::kUsage,
                "teacher and student have different vocabularies: a head cannot go from one to "
                "the other; label the texts with the teacher (tack classify) and build the student "
                "on them, or keep layers of the teacher (--layers)");
  if (inner.any())
    return fail(ErrorCode::kUsage,
                "teacher and student have different vocabularies, so their tokens cannot be "
                "compared: leave out --hidden and --relations, or keep layers of the teacher "
                "(--layers)");
  return {};
}

// The head a student of a task starts from: the teacher's, or where widths differ a logistic
// regression on the student's embeddings towards the teacher's first answers.
Result<LinearHead> first_head(const Model& teacher, const std::shared_ptr<const Model>& base,
                              std::span<const std::string> texts, const Rows& answers,
                              Target target, int threads) {
  if (teacher.embedding_dim() == base->embedding_dim()) return head_of(teacher);
  Dataset rows;
  rows.label_names = teacher.labels();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto row = answers.row(i);
    rows.texts.push_back(texts[i]);
    if (target == Target::kLabelSets) {
      rows.labels.push_back(0);
      auto& labels = rows.label_sets.emplace_back();
      for (std::size_t k = 0; k < row.size(); ++k)
        if (row[k] > 0) labels.push_back(static_cast<std::int32_t>(k));
    } else {
      rows.labels.push_back(static_cast<std::int32_t>(std::ranges::max_element(row) - row.begin()));
    }
  }
  return frozen_head(base, rows, 10, threads);
}

}  // namespace

bool same_vocabulary(const Tokenizer& a, const Tokenizer& b) {
  bool same = a.vocab_size() == b.vocab_size();
  for (TokenId id = 0; same && id < a.vocab_size(); ++id) same = a.token(id) == b.token(id);
  return same;
}

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
  if (teacher->tack_metadata("heads") != nullptr)
    return fail(ErrorCode::kUsage,
                "{} has several heads: teach its student with `tack build` and [teacher] model",
                options.teacher.string());
  result.teacher_bytes = teacher->file_bytes();
  const auto [texts, training] = divide(given, options.held_out);
  if (training == 0) return fail(ErrorCode::kUsage, "there are no texts to learn from");
  result.texts = training;
  result.held_out = texts.size() - training;
  say(fmt::format("data: {} texts, {} held out", training, result.held_out));

  // The student, as it begins.
  std::shared_ptr<const Model> whole = teacher;
  if (!options.student.empty()) {
    TACK_TRY(whole, Model::open(options.student));
  }
  TACK_RETURN_IF_ERROR(check_fit(*teacher, *whole, options.inner));
  const TemporaryFile cut(options.out, ".student");
  StudentShape shape = options.shape;  // written in any case: without the teacher's head
  if (shape.layers.empty() && shape.layer_count == 0) shape.layer_count = layer_count(*whole);
  TACK_TRY(const Student student,
           make_student(whole, shape, std::span(texts).first(training), cut.path(), threads));
  const std::shared_ptr<const Model>& base = student.model;
  say(student.description);
  if (options.dry_run) {
    const TemporaryFile sized(options.out, ".sized");
    TACK_RETURN_IF_ERROR(
        convert_model(base->path(), sized.path(), {.type = options.type, .threads = threads}));
    std::error_code ignored;
    result.student_bytes =
        std::filesystem::file_size(sized.path(), ignored) +
        teacher->labels().size() * static_cast<std::size_t>(base->embedding_dim()) * sizeof(float);
    return result;
  }
  TACK_TRY(const Calibration calibration, Calibration::of(*teacher));
  const Target target = result.of_task
                            ? calibration.multilabel ? Target::kLabelSets : Target::kLogits
                        : base->embedding_dim() == teacher->embedding_dim() ? Target::kVectors
                                                                            : Target::kSimilarities;
  result.of_pairs = target == Target::kSimilarities;

  const char* const output = result.of_task ? "logits" : "embedding";
  TACK_TRY(const auto said, run_all(teacher, texts, output, "asking the teacher", threads));
  const Rows answers{said, static_cast<std::int64_t>(said.size() / texts.size())};

  std::vector<Tokens> tokens;
  for (const std::string& text : texts)
    tokens.push_back(base->tokenizer().encode(text, base->context_length()));
  const TrainingTexts packed(std::move(tokens), base->tokenizer().vocab_size());
  std::optional<LinearHead> head;
  if (result.of_task) {
    TACK_TRY(head, first_head(*teacher, base, std::span(texts).first(training), answers, target,
                              threads));
  }
  ThreadPool pool(threads);
  InnerLessons lessons{teacher, options.inner, {}, {}};
  if (options.student.empty()) {
    lessons.layers = student.layers;
    lessons.dims = student.dims;
  }
  TACK_TRY(const Learner learner,
           make_learner(base, {.label = head ? &*head : nullptr}, packed,
                        {.method = TrainMethod::kFull,
                         .layer_decay = static_cast<float>(options.training.layer_decay),
                         .head_rate = static_cast<float>(options.training.head_rate),
                         .train_embeddings = options.training.embeddings,
                         .quantize = options.training.quantize,
                         .quantize_after = options.training.quantize_after},
                        options.inner.any() ? &lessons : nullptr, options.training.loop, pool));
  TrainableModel* const model = learner.model.get();
  Imitation curriculum(packed, training, answers, target, options.temperature, learner);
  TACK_TRY(const auto teacher_file, MappedFile::open(options.teacher));
  const std::string teacher_hash = sha256_hex(teacher_file.text());
  std::string all_texts;
  for (const std::string& text : texts) all_texts += text + '\n';
  const std::string data_hash = sha256_hex(all_texts);
  TrainerOptions loop = options.training.loop;
  loop.weights = model->weights();
  loop.checkpoint = options.out.string() + ".checkpoint";
  loop.label = "student";
  loop.description = fmt::format(
      "teacher {}\nstudent {} {}\ntexts {}\ntemperature {}\ninside {}\n{}", teacher_hash,
      whole->name(), to_text(shape.to_json()), data_hash, options.temperature,
      to_text(options.inner.to_json()), to_text(options.training.to_json(), 1));
  TACK_TRY(result.training,
           train(model->graph(), learner.outputs, model->parameters(), curriculum, loop, pool));
  say(training_text("student", result.training, model->parameters().trained()));

  const TemporaryFile encoder(options.out, ".encoder");
  TACK_TRY(const auto written,
           model->save_encoder(encoder.path(), options.type, options.out.stem().string()));
  const Json lineage = {{"teacher", {{"name", teacher->name()}, {"sha256", teacher_hash}}},
                        {"student", {{"name", whole->name()}, {"shape", shape.to_json()}}},
                        {"texts", {{"rows", training}, {"sha256", data_hash}}},
                        {"training",
                         {{"steps", result.training.steps},
                          {"settings", options.training.to_json()},
                          {"inside", options.inner.to_json()}}},
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
    if (!apart.empty())
      result.agreement = agreement({mine, static_cast<std::int64_t>(mine.size() / apart.size())},
                                   answers.from(training), target);
    result.student_bytes = final_model->file_bytes();
  }
  std::error_code error;
  std::filesystem::rename(candidate.path(), options.out, error);
  if (error) return fail("{}: cannot be written: {}", options.out.string(), error.message());
  forget_checkpoint(options.out);
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace tack
