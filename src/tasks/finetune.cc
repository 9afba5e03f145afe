#include "tasks/finetune.h"

#include <algorithm>
#include <array>
#include <memory>

#include "engine/text_encoder.h"
#include "tasks/features.h"
#include "tasks/inner_teacher.h"
#include "tasks/multilabel.h"
#include "train/losses.h"

namespace tack {
namespace {

// Classification: cross-entropy of "logits"; rows without a label towards the uniform distribution.
// Validation: the share of in-scope rows that are right.
class Classification final : public Curriculum {
 public:
  Classification(const TrainingTexts& texts, std::vector<std::int32_t> labels, std::size_t training,
                 std::int64_t classes, double smoothing, const Teaching* teaching,
                 InnerTeacher* inner, graph::ValueId logits)
      : texts_(texts),
        labels_(std::move(labels)),
        training_(training),
        classes_(classes),
        smoothing_(smoothing),
        teaching_(teaching),
        inner_(inner),
        logits_(logits) {}

  std::size_t size() const override { return training_; }
  ExampleTokens tokens(std::size_t example) const override { return texts_[example]; }
  std::int64_t longest_validation() const override { return texts_.longest(); }
  bool has_validation() const override { return labels_.size() > training_; }

  double loss(Tape& tape, std::span<const std::size_t> examples, double scale) override {
    const auto logits = tape.value(logits_);
    const auto gradient = tape.gradient(logits_);
    const auto width = static_cast<std::size_t>(classes_);
    double sum = inner_ == nullptr ? 0 : inner_->loss(tape, examples, scale);
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const auto taught = teaching_ == nullptr
                              ? std::span<const float>()
                              : std::span(teaching_->logits).subspan(examples[i] * width, width);
      sum += classification_loss(logits.subspan(i * width, width), labels_[examples[i]], teaching_,
                                 taught, smoothing_, scale, gradient.subspan(i * width, width));
    }
    return sum;
  }

  Result<double> validate(const Forward& forward) override {
    std::vector<ExampleTokens> texts;
    for (std::size_t i = training_; i < labels_.size(); ++i) texts.push_back(texts_[i]);
    std::size_t right = 0, rows = 0;
    const auto width = static_cast<std::size_t>(classes_);
    TACK_RETURN_IF_ERROR(
        forward(texts, [&](std::size_t first, std::size_t count, const Tape& tape) {
          const auto logits = tape.value(logits_);
          for (std::size_t i = 0; i < count; ++i) {
            const std::int32_t label = labels_[training_ + first + i];
            if (label < 0) continue;
            const auto row = logits.subspan(i * width, width);
            right += std::ranges::max_element(row) - row.begin() == label ? 1 : 0;
            ++rows;
          }
        }));
    return rows == 0 ? 0.0 : static_cast<double>(right) / static_cast<double>(rows);
  }

 private:
  const TrainingTexts& texts_;
  std::vector<std::int32_t> labels_;  // training rows, unlabelled texts, then validation rows
  std::size_t training_;
  std::int64_t classes_;
  double smoothing_;
  const Teaching* teaching_;
  InnerTeacher* inner_;
  graph::ValueId logits_;
};

// Any number of labels: binary cross-entropy of every logit. Validation: the micro F1 of labels
// with a probability of a half.
class LabelSets final : public Curriculum {
 public:
  LabelSets(const TrainingTexts& texts, std::vector<float> targets, std::size_t training,
            std::size_t unlabelled, std::int64_t labels, double smoothing, const Teaching* teaching,
            graph::ValueId logits)
      : texts_(texts),
        targets_(std::move(targets)),
        training_(training),
        unlabelled_(unlabelled),
        labels_(static_cast<std::size_t>(labels)),
        smoothing_(static_cast<float>(smoothing)),
        teaching_(teaching),
        logits_(logits) {}

  std::size_t size() const override { return training_ + unlabelled_; }
  ExampleTokens tokens(std::size_t example) const override { return texts_[example]; }
  std::int64_t longest_validation() const override { return texts_.longest(); }
  bool has_validation() const override { return texts_.size() > size(); }

  double loss(Tape& tape, std::span<const std::size_t> examples, double scale) override {
    std::vector<float> soft(labels_);
    double sum = 0;
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const std::size_t example = examples[i];
      const auto logits = tape.value(logits_).subspan(i * labels_, labels_);
      const auto slope = tape.gradient(logits_).subspan(i * labels_, labels_);
      double by_label = scale;
      if (teaching_ != nullptr) {
        by_label *= example < training_ ? teaching_->labels : 0.0;
        sum += binary_distillation(logits,
                                   std::span(teaching_->logits).subspan(example * labels_, labels_),
                                   teaching_->temperature, scale - by_label, slope);
      }
      if (by_label == 0) continue;
      std::ranges::transform(targets_of(example), soft.begin(),
                             [&](float t) { return t + smoothing_ * (0.5F - t); });
      sum += binary_cross_entropy(logits, soft, by_label, slope);
    }
    return sum;
  }

  Result<double> validate(const Forward& forward) override {
    std::vector<ExampleTokens> texts;
    for (std::size_t i = size(); i < texts_.size(); ++i) texts.push_back(texts_[i]);
    std::vector<float> logits;
    TACK_RETURN_IF_ERROR(forward(texts, [&](std::size_t, std::size_t, const Tape& tape) {
      const auto values = tape.value(logits_);
      logits.insert(logits.end(), values.begin(), values.end());
    }));
    return micro_f1(logits, std::span(targets_).subspan(training_ * labels_), 0);
  }

 private:
  std::span<const float> targets_of(std::size_t example) const {
    return std::span(targets_).subspan(example * labels_, labels_);
  }

  const TrainingTexts& texts_;  // training rows, unlabelled texts, validation rows
  std::vector<float> targets_;  // of training rows, then validation rows
  std::size_t training_, unlabelled_, labels_;
  float smoothing_;
  const Teaching* teaching_;
  graph::ValueId logits_;
};

std::unique_ptr<Curriculum> make_curriculum(const TrainingTexts& texts, const Dataset& train,
                                            const Dataset& validation, std::int64_t classes,
                                            double smoothing, const Teaching* teaching,
                                            InnerTeacher* inner, graph::ValueId logits) {
  const std::size_t unlabelled = teaching == nullptr ? 0 : teaching->texts.size();
  if (!train.label_sets.empty()) {
    std::vector<float> targets = dense_targets(train);
    const std::vector<float> more = dense_targets(validation);
    targets.insert(targets.end(), more.begin(), more.end());
    return std::make_unique<LabelSets>(texts, std::move(targets), train.size(), unlabelled, classes,
                                       smoothing, teaching, logits);
  }
  std::vector<std::int32_t> labels = train.labels;
  labels.resize(labels.size() + unlabelled, kUnlabelled);
  const std::size_t training = labels.size();
  labels.insert(labels.end(), validation.labels.begin(), validation.labels.end());
  return std::make_unique<Classification>(texts, std::move(labels), training, classes, smoothing,
                                          teaching, inner, logits);
}

}  // namespace

double classification_loss(std::span<const float> logits, std::int32_t label,
                           const Teaching* teaching, std::span<const float> taught,
                           double smoothing, double scale, std::span<float> gradient) {
  const auto classes = static_cast<std::int64_t>(logits.size());
  double by_label = label == kUnlabelled ? 0.0 : scale;
  double sum = 0;
  if (teaching != nullptr) {
    by_label *= teaching->labels;
    sum += distillation(logits, taught, classes, teaching->temperature, scale - by_label, gradient);
  }
  if (by_label == 0) return sum;
  const std::array<std::int32_t, 1> target = {std::max(label, 0)};
  return sum +
         cross_entropy(logits, target, classes, label < 0 ? 1.0 : smoothing, by_label, gradient);
}

TrainableOptions trainable_options(const TrainSettings& settings) {
  return {.method = settings.method,
          .layer_decay = static_cast<float>(settings.layer_decay),
          .head_rate = static_cast<float>(settings.head_rate),
          .rank = settings.rank,
          .seed = settings.loop.seed,
          .train_embeddings = settings.embeddings,
          .quantize = settings.quantize,
          .quantize_after = settings.quantize_after};
}

Result<LinearHead> frozen_head(const std::shared_ptr<const Model>& base, const Dataset& rows,
                               double c, int threads) {
  TACK_TRY(auto encoder, TextEncoder::create(base, {.threads = threads, .outputs = {"embedding"}}));
  TACK_TRY(const Features features, embed_rows(*encoder, rows));
  ThreadPool pool(threads);
  const std::vector<float> targets = dense_targets(rows);
  TACK_TRY(auto fit,
           fit_logistic({features.values, features.labels, encoder->output_dim("embedding"),
                         static_cast<std::int32_t>(rows.label_names.size()), targets},
                        {.c = c, .tolerance = 1e-5}, pool));
  return std::move(fit.head);
}

Result<FineTuned> fine_tune(const std::shared_ptr<const Model>& base, const Dataset& train_rows,
                            const Dataset& validation_rows, const TrainSettings& settings,
                            const std::filesystem::path& path, const FineTuneOptions& options) {
  TACK_TRY(const LinearHead start,
           frozen_head(base, train_rows, settings.start_c, options.threads));
  std::vector<Tokens> tokens;
  const auto add = [&](const std::vector<std::string>& more) {
    for (const std::string& text : more)
      tokens.push_back(base->tokenizer().encode(text, base->context_length()));
  };
  add(train_rows.texts);
  if (options.teaching != nullptr) add(options.teaching->texts);
  add(validation_rows.texts);
  const TrainingTexts texts(std::move(tokens), base->tokenizer().vocab_size());
  ThreadPool pool(options.threads);
  TACK_TRY(const Learner learner,
           make_learner(base, {.label = &start}, texts, trainable_options(settings), options.inner,
                        settings.loop, pool));
  const TrainableModel* const model = learner.model.get();
  const auto curriculum =
      make_curriculum(texts, train_rows, validation_rows, start.classes, settings.smoothing,
                      options.teaching, learner.inner.get(), model->output());
  TrainerOptions loop = settings.loop;
  loop.weights = model->weights();
  loop.checkpoint = options.checkpoint;
  loop.description = options.description;
  loop.label = options.label;
  FineTuned out;
  TACK_TRY(out.training, train(model->graph(), learner.outputs, learner.model->parameters(),
                               *curriculum, loop, pool));
  out.head = model->head();
  out.adapters = model->adapters();
  out.truncated = texts.truncated();
  out.trained_parameters = model->parameters().trained();
  // Calibration sees the model as it will be used.
  TACK_TRY(out.encoder, model->save_encoder(path, options.type, base->name()));
  TACK_TRY(auto encoder, TextEncoder::create(
                             out.encoder, {.threads = options.threads, .outputs = {"embedding"}}));
  TACK_TRY(Features features, embed_rows(*encoder, validation_rows));
  out.validation_logits = out.head.logits(features.values, pool);
  out.validation_labels = std::move(features.labels);
  return out;
}

}  // namespace tack
