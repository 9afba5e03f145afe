#include "tasks/extracting.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>

#include "engine/text_encoder.h"
#include "eval/answer_metrics.h"
#include "train/losses.h"

namespace tack {
namespace {

// The windows of all questions, tokenised once.
struct Windows {
  std::vector<ContextTokens> contexts;  // of training, then of validation
  std::vector<Window> windows;          // of training questions, then of validation questions
  std::vector<std::size_t> context;     // of each window
  std::vector<std::size_t> question;    // of each window, in its set
  std::vector<WindowTargets> targets;   // of training windows
  std::vector<Tokens> tokens;
  std::size_t training = 0;
  std::int64_t left_out = 0;

  void add(const QuestionSet& data, const Tokenizer& tokenizer, const WindowRule& rule,
           bool trains) {
    const std::size_t first = contexts.size();
    for (const std::string& text : data.contexts)
      contexts.push_back(context_tokens(tokenizer, text));
    for (std::size_t q = 0; q < data.size(); ++q) {
      const std::size_t c = first + data.questions[q].context;
      const Tokens asked = question_tokens(tokenizer, data.questions[q].text, rule);
      const auto cut = make_windows(asked, contexts[c], rule);
      std::vector<WindowTargets> right;
      for (const Window& window : cut)
        right.push_back(window_targets(window, contexts[c], data.questions[q].answers));
      // An answer that no window holds must not be taught as none.
      const bool lost =
          !data.questions[q].answers.empty() &&
          std::ranges::all_of(right, [](const WindowTargets& t) { return t.starts.front() == 0; });
      if (trains && lost) {
        ++left_out;
        continue;
      }
      for (const Window& window : cut) {
        windows.push_back(window);
        context.push_back(c);
        question.push_back(q);
        tokens.push_back(window_tokens(asked, contexts[c], window));
      }
      if (trains) std::ranges::move(right, std::back_inserter(targets));
    }
    if (trains) training = windows.size();
  }
};

// What the teacher said, in f32: starts and ends of each training window's candidates.
struct WindowTeaching {
  std::vector<WindowScores> scores;
  double temperature = 2, labels = 0.3;
};

class Extracting final : public Curriculum {
 public:
  Extracting(const TrainingTexts& texts, const Windows& windows, const QuestionSet& validation,
             double smoothing, const WindowTeaching* teaching, TrainableModel& model)
      : texts_(texts),
        windows_(windows),
        validation_(validation),
        smoothing_(smoothing),
        teaching_(teaching),
        model_(model) {}

  std::size_t size() const override { return windows_.training; }
  ExampleTokens tokens(std::size_t example) const override { return texts_[example]; }
  std::int64_t longest_validation() const override { return texts_.longest(); }
  bool has_validation() const override { return validation_.size() > 0; }

  double loss(Tape& tape, std::span<const std::size_t> examples, double scale) override {
    const auto values = tape.value(model_.spans());
    const auto slopes = tape.gradient(model_.spans());
    double sum = 0;
    std::size_t first = 0;
    for (const std::size_t example : examples) {
      const Window& window = windows_.windows[example];
      const ContextTokens& context = windows_.contexts[windows_.context[example]];
      const auto count = static_cast<std::size_t>(2 * window.tokens);
      const WindowScores scores = window_scores(values.subspan(first, count), window, context);
      const WindowTargets& targets = windows_.targets[example];
      WindowScores slope{std::vector<float>(window.candidates()),
                         std::vector<float>(window.candidates())};
      sum +=
          side(scores.starts, targets.starts,
               teaching_ ? &teaching_->scores[example].starts : nullptr, scale / 2, slope.starts);
      sum += side(scores.ends, targets.ends, teaching_ ? &teaching_->scores[example].ends : nullptr,
                  scale / 2, slope.ends);
      scatter(slope, window, context, slopes.subspan(first, count));
      first += count;
    }
    return sum;
  }

  // The mean F1; an answer counts only where it is more probable than none when some questions have
  // none.
  Result<double> validate(const Forward& forward) override {
    std::vector<ExampleTokens> texts;
    for (std::size_t i = windows_.training; i < windows_.windows.size(); ++i)
      texts.push_back(texts_[i]);
    std::vector<Answer> answers(validation_.size());
    TACK_RETURN_IF_ERROR(
        forward(texts, [&](std::size_t begin, std::size_t count, const Tape& tape) {
          const auto values = tape.value(model_.spans());
          std::size_t first = 0;
          for (std::size_t i = 0; i < count; ++i) {
            const std::size_t w = windows_.training + begin + i;
            const Window& window = windows_.windows[w];
            const ContextTokens& context = windows_.contexts[windows_.context[w]];
            const auto size = static_cast<std::size_t>(2 * window.tokens);
            answers[windows_.question[w]].add(
                find_answer(window_scores(values.subspan(first, size), window, context), window,
                            context, kLongestAnswer));
            first += size;
          }
        }));
    const bool may_refuse = validation_.answerable() < validation_.size();
    double sum = 0;
    for (std::size_t q = 0; q < answers.size(); ++q) {
      std::string_view said;
      if (answers[q].any && (!may_refuse || answers[q].margin > 0))
        said = std::string_view(validation_.context_of(q))
                   .substr(
                       static_cast<std::size_t>(answers[q].stretch.begin),
                       static_cast<std::size_t>(answers[q].stretch.end - answers[q].stretch.begin));
      sum += score_answer(said, validation_.answers_of(q)).f1;
    }
    return sum / static_cast<double>(answers.size());
  }

 private:
  double side(const std::vector<float>& scores, const std::vector<std::int32_t>& targets,
              const std::vector<float>* taught, double scale, std::vector<float>& slope) const {
    const double by_label = taught == nullptr ? scale : scale * teaching_->labels;
    double sum = cross_entropy_any(scores, targets, smoothing_, by_label, slope);
    if (taught != nullptr)
      sum += distillation(scores, *taught, static_cast<std::int64_t>(scores.size()),
                          teaching_->temperature, scale - by_label, slope);
    return sum;
  }

  static void scatter(const WindowScores& slope, const Window& window, const ContextTokens& context,
                      std::span<float> rows) {
    rows[0] += slope.starts[0];
    rows[1] += slope.ends[0];
    for (std::size_t w = 0; w < window.words; ++w) {
      rows[2 * static_cast<std::size_t>(window.begin_of(w, context))] += slope.starts[w + 1];
      rows[2 * static_cast<std::size_t>(window.end_of(w, context)) + 1] += slope.ends[w + 1];
    }
  }

  const TrainingTexts& texts_;
  const Windows& windows_;
  const QuestionSet& validation_;
  double smoothing_;
  const WindowTeaching* teaching_;
  TrainableModel& model_;
};

// Runs the teacher once over the training windows.
Result<WindowTeaching> ask(const std::shared_ptr<const Model>& teacher, const Windows& windows,
                           const TeacherSettings& settings, int threads) {
  constexpr std::array<std::string_view, 1> kOutputs = {"span"};
  constexpr std::size_t kBatch = 512;
  WindowTeaching out;
  out.temperature = settings.temperature;
  out.labels = settings.labels;
  TACK_TRY(auto encoder, TextEncoder::create(teacher, {.threads = threads, .outputs = {"span"}}));
  for (std::size_t begin = 0; begin < windows.training; begin += kBatch) {
    const std::size_t size = std::min(kBatch, windows.training - begin);
    TACK_TRY(const Encoded encoded,
             encoder->run_tokens(std::span(windows.tokens).subspan(begin, size), kOutputs));
    std::size_t first = 0;
    for (std::size_t i = begin; i < begin + size; ++i) {
      const auto count = static_cast<std::size_t>(2 * windows.windows[i].tokens);
      out.scores.push_back(window_scores(std::span(encoded.outputs[0]).subspan(first, count),
                                         windows.windows[i], windows.contexts[windows.context[i]]));
      first += count;
    }
  }
  return out;
}

Status check_teacher(const Model& teacher, const Model& base) {
  if (teacher.tokenizer().vocab_size() != base.tokenizer().vocab_size())
    return fail(ErrorCode::kUsage, "{}: the teacher's tokens are not those of {}",
                teacher.path().string(), base.name());
  return {};
}

}  // namespace

Result<WindowRule> window_rule(const TrainSettings& settings, const Model& model) {
  const WindowRule rule{settings.length > 0 ? settings.length : model.context_length(),
                        settings.overlap};
  if (rule.length > model.context_length())
    return fail(ErrorCode::kUsage, "[train] length is {}, but {} takes {} tokens", rule.length,
                model.path().string(), model.context_length());
  return rule;
}

Result<TrainedExtractor> train_extractor(
    const std::shared_ptr<const Model>& base, const QuestionSet& train_rows,
    const QuestionSet& validation_rows, const TrainSettings& settings,
    const std::shared_ptr<const Model>& teacher, const TeacherSettings& teacher_settings,
    const std::filesystem::path& path, const FineTuneOptions& options) {
  TACK_TRY(const WindowRule rule, window_rule(settings, *base));
  Windows windows;
  windows.add(train_rows, base->tokenizer(), rule, true);
  windows.add(validation_rows, base->tokenizer(), rule, false);
  std::optional<WindowTeaching> teaching;
  LinearHead head = zero_span_head(base->embedding_dim());
  if (teacher != nullptr) {
    TACK_RETURN_IF_ERROR(check_teacher(*teacher, *base));
    TACK_TRY(LinearHead taught, span_head_of(*teacher));
    TACK_TRY(teaching, ask(teacher, windows, teacher_settings, options.threads));
    if (taught.dims == head.dims) head = std::move(taught);
  }
  const TrainingTexts texts(std::move(windows.tokens), base->tokenizer().vocab_size());
  ThreadPool pool(options.threads);
  TACK_TRY(const auto model, TrainableModel::create(base, {.spans = &head}, texts,
                                                    trainable_options(settings), pool));
  Extracting curriculum(texts, windows, validation_rows, settings.smoothing,
                        teaching ? &*teaching : nullptr, *model);
  TrainerOptions loop = settings.loop;
  loop.weights = model->weights();
  loop.checkpoint = options.checkpoint;
  loop.description = options.description;
  loop.label = options.label;
  TrainedExtractor out;
  out.windows = static_cast<std::int64_t>(windows.training);
  out.left_out = windows.left_out;
  TACK_TRY(out.training,
           train(model->graph(), model->outputs(), model->parameters(), curriculum, loop, pool));
  out.head = model->span_head();
  out.trained_parameters = model->parameters().trained();
  TACK_TRY(out.encoder, model->save_encoder(path, options.type, base->name()));
  return out;
}

}  // namespace tack
