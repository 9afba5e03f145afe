#include "tasks/multitask.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "engine/text_encoder.h"
#include "tasks/features.h"
#include "tasks/predictor.h"

namespace tack {
namespace {

struct HeadShape {
  std::size_t first = 0, classes = 0;  // rows of the joined layer
  double weight = 1;
};

class MultiTask final : public Curriculum {
 public:
  // `labels` [texts, heads]: of `training` texts, then of those for validation.
  MultiTask(const TrainingTexts& texts, std::vector<std::int32_t> labels, std::size_t training,
            std::vector<HeadShape> heads, double smoothing, const Teaching* teaching,
            graph::ValueId logits)
      : texts_(texts),
        labels_(std::move(labels)),
        training_(training),
        heads_(std::move(heads)),
        width_(heads_.back().first + heads_.back().classes),
        smoothing_(smoothing),
        teaching_(teaching),
        logits_(logits) {}

  std::size_t size() const override { return training_; }
  ExampleTokens tokens(std::size_t example) const override { return texts_[example]; }
  std::int64_t longest_validation() const override { return texts_.longest(); }
  bool has_validation() const override { return texts_.size() > training_; }

  double loss(Tape& tape, std::span<const std::size_t> examples, double scale) override {
    const auto logits = tape.value(logits_);
    const auto gradient = tape.gradient(logits_);
    double sum = 0;
    for (std::size_t i = 0; i < examples.size(); ++i)
      for (std::size_t h = 0; h < heads_.size(); ++h) {
        const HeadShape& head = heads_[h];
        const std::size_t at = i * width_ + head.first;
        const auto taught = teaching_ == nullptr
                                ? std::span<const float>()
                                : std::span(teaching_->logits)
                                      .subspan(examples[i] * width_ + head.first, head.classes);
        sum += classification_loss(logits.subspan(at, head.classes), label_of(examples[i], h),
                                   teaching_, taught, smoothing_, scale * head.weight,
                                   gradient.subspan(at, head.classes));
      }
    return sum;
  }

  Result<double> validate(const Forward& forward) override {
    std::vector<ExampleTokens> texts;
    for (std::size_t i = training_; i < texts_.size(); ++i) texts.push_back(texts_[i]);
    std::vector<std::size_t> right(heads_.size()), rows(heads_.size());
    TACK_RETURN_IF_ERROR(
        forward(texts, [&](std::size_t first, std::size_t count, const Tape& tape) {
          const auto logits = tape.value(logits_);
          for (std::size_t i = 0; i < count; ++i)
            for (std::size_t h = 0; h < heads_.size(); ++h) {
              const std::int32_t label = label_of(training_ + first + i, h);
              if (label < 0) continue;
              const auto row = logits.subspan(i * width_ + heads_[h].first, heads_[h].classes);
              right[h] += std::ranges::max_element(row) - row.begin() == label ? 1 : 0;
              ++rows[h];
            }
        }));
    double sum = 0, weights = 0;
    for (std::size_t h = 0; h < heads_.size(); ++h) {
      if (rows[h] == 0) continue;
      sum += heads_[h].weight * static_cast<double>(right[h]) / static_cast<double>(rows[h]);
      weights += heads_[h].weight;
    }
    return weights == 0 ? 0.0 : sum / weights;
  }

 private:
  std::int32_t label_of(std::size_t text, std::size_t head) const {
    return labels_[text * heads_.size() + head];
  }

  const TrainingTexts& texts_;
  std::vector<std::int32_t> labels_;
  std::size_t training_;
  std::vector<HeadShape> heads_;
  std::size_t width_;  // of all heads
  double smoothing_;
  const Teaching* teaching_;
  graph::ValueId logits_;
};

}  // namespace

HeadExamples merge_heads(std::span<const Dataset* const> heads) {
  HeadExamples out;
  std::unordered_map<std::string_view, std::vector<std::size_t>> examples_of;  // by text
  for (std::size_t h = 0; h < heads.size(); ++h) {
    std::unordered_map<std::string_view, std::size_t> met;  // how often in this head
    for (std::size_t row = 0; row < heads[h]->size(); ++row) {
      const std::string& text = heads[h]->texts[row];
      std::vector<std::size_t>& examples = examples_of[text];
      const std::size_t nth = met[text]++;
      if (nth == examples.size()) {
        examples.push_back(out.texts.size());
        out.texts.push_back(text);
        out.labels.resize(out.labels.size() + heads.size(), HeadExamples::kNoLabel);
      }
      out.labels[examples[nth] * heads.size() + h] = heads[h]->labels[row];
    }
  }
  return out;
}

LinearHead join_heads(std::span<const LinearHead> heads) {
  LinearHead joined;
  joined.dims = heads.front().dims;
  for (const LinearHead& head : heads) {
    joined.classes += head.classes;
    joined.weight.insert(joined.weight.end(), head.weight.begin(), head.weight.end());
    joined.bias.insert(joined.bias.end(), head.bias.begin(), head.bias.end());
  }
  return joined;
}

LinearHead head_part(const LinearHead& joined, std::int64_t first, std::int64_t rows) {
  const auto weight = joined.weight.begin() + first * joined.dims;
  const auto bias = joined.bias.begin() + first;
  return {static_cast<std::int32_t>(rows),
          joined.dims,
          {weight, weight + rows * joined.dims},
          {bias, bias + rows}};
}

Result<std::vector<float>> ask_teacher_heads(const std::shared_ptr<const Model>& teacher,
                                             const std::vector<std::string>& names,
                                             const std::vector<std::vector<std::string>>& labels,
                                             std::span<const std::string> texts, int threads) {
  const std::string path = teacher->path().string();
  TACK_TRY(const auto heads, task_heads(*teacher));
  if (heads.size() != names.size())
    return fail(ErrorCode::kUsage,
                "{}: the teacher has {} heads, the task {}; both must be the same", path,
                heads.size(), names.size());
  std::vector<std::size_t> column;  // where the teacher has each label
  for (std::size_t h = 0; h < names.size(); ++h) {
    TACK_TRY(const std::size_t at, find_head(heads, names[h], "the teacher " + path));
    const TaskHead& head = heads[at];
    if (head.labels.size() != labels[h].size())
      return fail(ErrorCode::kUsage,
                  "{}: the teacher's head '{}' has {} labels, the training rows have {}; both must "
                  "be the same",
                  path, names[h], head.labels.size(), labels[h].size());
    for (const std::string& label : labels[h]) {
      const auto found = std::ranges::find(head.labels, label);
      if (found == head.labels.end())
        return fail(ErrorCode::kUsage,
                    "{}: the teacher's head '{}' does not know the label '{}' of the training rows",
                    path, names[h], label);
      column.push_back(head.first + static_cast<std::size_t>(found - head.labels.begin()));
    }
  }
  TACK_TRY(auto encoder, TextEncoder::create(teacher, {.threads = threads, .outputs = {"logits"}}));
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  TACK_TRY(const auto logits, run_texts(*encoder, views, "logits", "asking the teacher"));
  std::vector<float> out;
  out.reserve(logits.size());
  for (std::size_t row = 0; row < logits.size(); row += column.size())
    for (const std::size_t c : column) out.push_back(logits[row + c]);
  return out;
}

Result<TrainedHeads> train_heads(const std::shared_ptr<const Model>& base,
                                 std::span<const HeadRows> heads, const HeadExamples& examples,
                                 const TrainSettings& settings, const std::filesystem::path& path,
                                 const FineTuneOptions& options) {
  std::vector<LinearHead> starts;
  std::vector<HeadShape> shapes;
  std::vector<const Dataset*> validation;
  for (const HeadRows& head : heads) {
    TACK_TRY(starts.emplace_back(),
             frozen_head(base, *head.train, settings.start_c, options.threads));
    const std::size_t first = shapes.empty() ? 0 : shapes.back().first + shapes.back().classes;
    shapes.push_back({first, static_cast<std::size_t>(starts.back().classes), head.weight});
    validation.push_back(head.validation);
  }
  const LinearHead start = join_heads(starts);

  std::vector<Tokens> tokens;
  const auto add = [&](const std::vector<std::string>& texts) {
    for (const std::string& text : texts)
      tokens.push_back(base->tokenizer().encode(text, base->context_length()));
  };
  std::vector<std::int32_t> labels = examples.labels;
  add(examples.texts);
  if (options.teaching != nullptr) {
    add(options.teaching->texts);
    labels.resize(tokens.size() * heads.size(), HeadExamples::kNoLabel);
  }
  const std::size_t training = tokens.size();
  const HeadExamples apart = merge_heads(validation);
  add(apart.texts);
  labels.insert(labels.end(), apart.labels.begin(), apart.labels.end());
  const TrainingTexts texts(std::move(tokens), base->tokenizer().vocab_size());

  ThreadPool pool(options.threads);
  TACK_TRY(const auto model, TrainableModel::create(base, {.label = &start}, texts,
                                                    trainable_options(settings), pool));
  MultiTask curriculum(texts, std::move(labels), training, shapes, settings.smoothing,
                       options.teaching, model->output());
  TrainerOptions loop = settings.loop;
  loop.weights = model->weights();
  loop.checkpoint = options.checkpoint;
  loop.description = options.description;
  loop.label = options.label;
  TrainedHeads out;
  const std::array<graph::ValueId, 1> outputs = {model->output()};
  TACK_TRY(out.training,
           train(model->graph(), outputs, model->parameters(), curriculum, loop, pool));
  out.adapters = model->adapters();
  out.truncated = texts.truncated();
  out.trained_parameters = model->parameters().trained();
  // Calibration sees the model as it will be used.
  TACK_TRY(out.encoder, model->save_encoder(path, options.type, base->name()));
  TACK_TRY(auto encoder, TextEncoder::create(
                             out.encoder, {.threads = options.threads, .outputs = {"embedding"}}));
  const LinearHead joined = model->head();
  for (std::size_t h = 0; h < heads.size(); ++h) {
    out.heads.push_back(head_part(joined, static_cast<std::int64_t>(shapes[h].first),
                                  static_cast<std::int64_t>(shapes[h].classes)));
    TACK_TRY(Features features, embed_rows(*encoder, *heads[h].validation));
    out.validation_logits.push_back(out.heads.back().logits(features.values, pool));
    out.validation_labels.push_back(std::move(features.labels));
  }
  return out;
}

}  // namespace tack
