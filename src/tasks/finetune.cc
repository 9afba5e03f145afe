#include "tasks/finetune.h"

#include <algorithm>
#include <array>

#include "train/losses.h"

namespace tack {
namespace {

// Classification: cross-entropy of "logits"; rows without a label towards the uniform distribution.
// Validation: the share of in-scope rows that are right.
class Classification final : public Curriculum {
 public:
  Classification(const TrainingTexts& texts, std::vector<std::int32_t> labels, std::size_t training,
                 std::int64_t classes, double smoothing, graph::ValueId logits)
      : texts_(texts),
        labels_(std::move(labels)),
        training_(training),
        classes_(classes),
        smoothing_(smoothing),
        logits_(logits) {}

  std::size_t size() const override { return training_; }
  ExampleTokens tokens(std::size_t example) const override { return texts_[example]; }
  std::int64_t longest_validation() const override { return texts_.longest(); }
  bool has_validation() const override { return labels_.size() > training_; }

  double loss(Tape& tape, std::span<const std::size_t> examples, double scale) override {
    const auto logits = tape.value(logits_);
    const auto gradient = tape.gradient(logits_);
    const auto width = static_cast<std::size_t>(classes_);
    double sum = 0;
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const std::int32_t label = labels_[examples[i]];
      const std::array<std::int32_t, 1> target = {std::max(label, 0)};
      sum += cross_entropy(logits.subspan(i * width, width), target, classes_,
                           label < 0 ? 1.0 : smoothing_, scale, gradient.subspan(i * width, width));
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
  std::vector<std::int32_t> labels_;  // training rows, then validation rows
  std::size_t training_;
  std::int64_t classes_;
  double smoothing_;
  graph::ValueId logits_;
};

}  // namespace

Result<FineTuned> fine_tune(const std::shared_ptr<const Model>& base, const LinearHead& start,
                            const Dataset& train_rows, const Dataset& validation_rows,
                            const TrainSettings& settings, const FineTuneOptions& options) {
  std::vector<Tokens> tokens;
  std::vector<std::int32_t> labels;
  for (const Dataset* rows : {&train_rows, &validation_rows})
    for (std::size_t i = 0; i < rows->size(); ++i) {
      tokens.push_back(base->tokenizer().encode(rows->texts[i], base->context_length()));
      labels.push_back(rows->labels[i]);
    }
  const TrainingTexts texts(std::move(tokens), base->tokenizer().vocab_size());
  TACK_TRY(const auto model,
           TrainableModel::create(base, start, texts,
                                  {.method = settings.method,
                                   .layer_decay = static_cast<float>(settings.layer_decay),
                                   .head_rate = static_cast<float>(settings.head_rate),
                                   .train_embeddings = settings.embeddings}));
  Classification curriculum(texts, std::move(labels), train_rows.size(), start.classes,
                            settings.smoothing, model->logits());
  FineTuned out;
  out.train_rows = train_rows.size();
  out.validation_rows = validation_rows.size();
  out.truncated = texts.truncated();
  out.trained_parameters = model->parameters().trained();
  TrainerOptions loop = settings.loop;
  loop.checkpoint = options.checkpoint;
  loop.description = options.description;
  ThreadPool pool(options.threads);
  const std::array<graph::ValueId, 1> outputs = {model->logits()};
  TACK_TRY(out.training,
           train(model->graph(), outputs, model->parameters(), curriculum, loop, pool));
  out.head = model->head();
  TACK_TRY(out.tensors, model->tensors());
  return out;
}

}  // namespace tack
