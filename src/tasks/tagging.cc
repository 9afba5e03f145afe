#include "tasks/tagging.h"

#include <algorithm>
#include <array>

#include "engine/text_encoder.h"
#include "tasks/augment.h"
#include "tasks/features.h"
#include "tasks/inner_teacher.h"
#include "train/losses.h"

namespace tack {
namespace {

// What the teacher said, in f32: its emissions for every word, text after text, and its logits.
struct TaggedTeaching {
  std::vector<float> emissions, logits;
  std::vector<std::size_t> first_word;  // of each text
  double temperature = 2, labels = 0.3;
};

struct TaggedTexts {
  std::vector<std::vector<Word>> words;         // those that have tokens
  std::vector<std::vector<std::int32_t>> tags;  // of words
  std::vector<std::int32_t> labels;
};

class Tagging final : public Curriculum {
 public:
  Tagging(const TrainingTexts& texts, TaggedTexts rows, std::size_t training, const TagRules& rules,
          std::int64_t classes, const TaggedTeaching* teaching, InnerTeacher* inner,
          TrainableModel& model)
      : texts_(texts),
        rows_(std::move(rows)),
        training_(training),
        rules_(rules),
        classes_(static_cast<std::size_t>(classes)),
        teaching_(teaching),
        inner_(inner),
        model_(model) {}

  std::size_t size() const override { return training_; }
  ExampleTokens tokens(std::size_t example) const override { return texts_[example]; }
  std::int64_t longest_validation() const override { return texts_.longest(); }
  bool has_validation() const override { return rows_.labels.size() > training_; }

  double loss(Tape& tape, std::span<const std::size_t> examples, double scale) override {
    ParameterSet& parameters = model_.parameters();
    const auto slope = [&](std::string_view name) {
      return parameters.gradients(*parameters.find(name));
    };
    const CrfLikelihood crf(rules_, scores());
    const CrfGradients crf_slopes{slope(kTransitions), slope(kStart), slope(kEnd)};
    const auto emissions = tape.value(model_.tags());
    const auto slopes = tape.gradient(model_.tags());
    const auto width = static_cast<std::size_t>(rules_.size());
    double sum = inner_ == nullptr ? 0 : inner_->loss(tape, examples, scale);
    std::size_t first = 0;
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const std::size_t example = examples[i];
      const auto& words = rows_.words[example];
      const std::size_t count = texts_[example].ids.size() * width;
      const std::vector<float> rows = word_rows(emissions.subspan(first, count), words, width);
      std::vector<float> rows_slope(rows.size(), 0.0F);
      const double by_label = teaching_ == nullptr ? scale : scale * teaching_->labels;
      sum += crf.loss(rows, rows_.tags[example], by_label, rows_slope, crf_slopes);
      if (teaching_ != nullptr && !words.empty())
        sum += distillation(rows,
                            std::span(teaching_->emissions)
                                .subspan(teaching_->first_word[example] * width, rows.size()),
                            rules_.size(), teaching_->temperature, scale - by_label, rows_slope);
      for (std::size_t w = 0; w < words.size(); ++w) {
        const std::size_t to = first + static_cast<std::size_t>(words[w].token) * width;
        for (std::size_t y = 0; y < width; ++y) slopes[to + y] += rows_slope[w * width + y];
      }
      first += count;
      if (classes_ > 0) sum += label_loss(tape, i, example, scale, by_label);
    }
    return sum;
  }

  // The F1 of spans; with labels, the mean of that and their accuracy.
  Result<double> validate(const Forward& forward) override {
    std::vector<ExampleTokens> texts;
    for (std::size_t i = training_; i < rows_.labels.size(); ++i) texts.push_back(texts_[i]);
    const TagDecoder decoder(rules_, scores());
    const auto width = static_cast<std::size_t>(rules_.size());
    std::int64_t hits = 0, spans = 0, right = 0;
    TACK_RETURN_IF_ERROR(forward(texts, [&](std::size_t begin, std::size_t count,
                                            const Tape& tape) {
      const auto emissions = tape.value(model_.tags());
      std::size_t first = 0;
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t example = training_ + begin + i;
        const std::size_t values = texts_[example].ids.size() * width;
        const auto said = tag_spans(rules_, decoder.best(word_rows(emissions.subspan(first, values),
                                                                   rows_.words[example], width)));
        const auto truth = tag_spans(rules_, rows_.tags[example]);
        spans += static_cast<std::int64_t>(said.size() + truth.size());
        for (const Span& span : said) hits += std::ranges::find(truth, span) != truth.end();
        first += values;
        if (classes_ == 0) continue;
        const auto row = tape.value(model_.output()).subspan(i * classes_, classes_);
        right += std::ranges::max_element(row) - row.begin() == rows_.labels[example] ? 1 : 0;
      }
    }));
    const double f1 = spans > 0 ? 2.0 * static_cast<double>(hits) / static_cast<double>(spans) : 1;
    if (classes_ == 0) return f1;
    return (f1 + static_cast<double>(right) / static_cast<double>(texts.size())) / 2;
  }

 private:
  CrfScores scores() const {
    const ParameterSet& parameters = model_.parameters();
    const auto values = [&](std::string_view name) {
      return parameters.values(*parameters.find(name));
    };
    return {values(kTransitions), values(kStart), values(kEnd)};
  }

  double label_loss(Tape& tape, std::size_t row, std::size_t example, double scale,
                    double by_label) const {
    const auto logits = tape.value(model_.output()).subspan(row * classes_, classes_);
    const auto slope = tape.gradient(model_.output()).subspan(row * classes_, classes_);
    const auto classes = static_cast<std::int64_t>(classes_);
    const std::int32_t label = rows_.labels[example];
    const std::array<std::int32_t, 1> target = {std::max(label, 0)};
    double sum =
        cross_entropy(logits, target, classes, label == kOutOfScope ? 1.0 : 0.0, by_label, slope);
    if (teaching_ != nullptr)
      sum +=
          distillation(logits, std::span(teaching_->logits).subspan(example * classes_, classes_),
                       classes, teaching_->temperature, scale - by_label, slope);
    return sum;
  }

  const TrainingTexts& texts_;
  TaggedTexts rows_;  // training rows, then validation rows
  std::size_t training_;
  const TagRules& rules_;
  std::size_t classes_;
  const TaggedTeaching* teaching_;
  InnerTeacher* inner_;
  TrainableModel& model_;
};

// Runs the teacher once over the texts (as it tokenises them: the same as the student).
Result<TaggedTeaching> ask(const std::shared_ptr<const Model>& teacher,
                           const std::vector<Tokens>& tokens,
                           const std::vector<std::vector<Word>>& words, std::size_t count,
                           const TeacherSettings& settings, int threads) {
  constexpr std::array<std::string_view, 2> kOutputs = {"tags", "logits"};
  constexpr std::size_t kBatch = 512;
  TaggedTeaching out;
  out.temperature = settings.temperature;
  out.labels = settings.labels;
  const std::size_t outputs = teacher->labels().empty() ? 1 : 2;
  TACK_TRY(auto encoder,
           TextEncoder::create(teacher, {.threads = threads, .outputs = {"tags", "logits"}}));
  const std::size_t width = teacher->tags().size();
  std::size_t words_so_far = 0;
  for (std::size_t begin = 0; begin < count; begin += kBatch) {
    const std::size_t size = std::min(kBatch, count - begin);
    TACK_TRY(const Encoded encoded, encoder->run_tokens(std::span(tokens).subspan(begin, size),
                                                        std::span(kOutputs).first(outputs)));
    std::size_t first = 0;
    for (std::size_t i = begin; i < begin + size; ++i) {
      const std::size_t values = tokens[i].ids.size() * width;
      const auto rows =
          word_rows(std::span(encoded.outputs[0]).subspan(first, values), words[i], width);
      out.emissions.insert(out.emissions.end(), rows.begin(), rows.end());
      out.first_word.push_back(words_so_far);
      words_so_far += words[i].size();
      first += values;
    }
    if (outputs > 1)
      out.logits.insert(out.logits.end(), encoded.outputs[1].begin(), encoded.outputs[1].end());
  }
  return out;
}

Status check_teacher(const Model& teacher, const Model& base, const TagRules& rules,
                     const Dataset& rows) {
  if (teacher.tags() != rules.names() || teacher.labels() != rows.label_names)
    return fail(ErrorCode::kUsage,
                "{}: the teacher has {} tags and {} labels, the training rows {} and {}; a teacher "
                "must have been built for the same ones",
                teacher.path().string(), teacher.tags().size(), teacher.labels().size(),
                rules.size(), rows.label_names.size());
  if (teacher.tokenizer().vocab_size() != base.tokenizer().vocab_size())
    return fail(ErrorCode::kUsage, "{}: the teacher's tokens are not those of {}",
                teacher.path().string(), base.name());
  return {};
}

}  // namespace

Result<TrainedTagger> train_tagger(const std::shared_ptr<const Model>& base, const TagRules& rules,
                                   const Dataset& rows_as_read, const Dataset& validation_rows,
                                   const TrainSettings& settings,
                                   const std::shared_ptr<const Model>& teacher,
                                   const TeacherSettings& teacher_settings,
                                   const std::filesystem::path& path,
                                   const FineTuneOptions& options) {
  const Dataset train_rows = with_swapped_spans(rows_as_read, settings.augment, settings.loop.seed);
  const auto classes = static_cast<std::int64_t>(train_rows.label_names.size());
  TaggedTexts rows;
  std::vector<Tokens> tokens;
  for (const Dataset* data : {&train_rows, &validation_rows})
    for (std::size_t i = 0; i < data->size(); ++i) {
      std::vector<Word> words;
      tokens.push_back(
          base->tokenizer().encode_words(data->texts[i], base->context_length(), words));
      std::erase_if(words, [](const Word& word) { return word.token < 0; });
      rows.tags.push_back(tags_of_words(rules, words, data->spans[i]));
      rows.words.push_back(std::move(words));
      rows.labels.push_back(data->labels[i]);
    }
  std::optional<TaggedTeaching> teaching;
  TagHead tags = zero_tag_head(rules.size(), base->embedding_dim());
  std::optional<LinearHead> label;
  if (teacher != nullptr) {
    TACK_RETURN_IF_ERROR(check_teacher(*teacher, *base, rules, train_rows));
    TACK_TRY(teaching, ask(teacher, tokens, rows.words, train_rows.size(), teacher_settings,
                           options.threads));
    if (teacher->embedding_dim() == base->embedding_dim()) {
      TACK_TRY(tags, tag_head_of(*teacher));
    }
  }
  if (classes > 0) {
    TACK_TRY(label, frozen_head(base, rows_as_read, settings.start_c, options.threads));
  }
  const TrainingTexts texts(std::move(tokens), base->tokenizer().vocab_size());
  ThreadPool pool(options.threads);
  TACK_TRY(const Learner learner,
           make_learner(base, {.label = label ? &*label : nullptr, .tags = &tags}, texts,
                        trainable_options(settings), options.inner, settings.loop, pool));
  TrainableModel* const model = learner.model.get();
  Tagging curriculum(texts, std::move(rows), train_rows.size(), rules, classes,
                     teaching ? &*teaching : nullptr, learner.inner.get(), *model);
  TrainerOptions loop = settings.loop;
  loop.weights = learner.model->weights();
  loop.checkpoint = options.checkpoint;
  loop.description = options.description;
  loop.label = options.label;
  TrainedTagger out;
  TACK_TRY(out.training,
           train(model->graph(), learner.outputs, model->parameters(), curriculum, loop, pool));
  out.tags = model->tag_head();
  out.truncated = texts.truncated();
  out.trained_parameters = model->parameters().trained();
  TACK_TRY(out.encoder, model->save_encoder(path, options.type, base->name()));
  if (classes == 0) return out;
  // Calibration sees the model as it will be used.
  out.label = model->head();
  TACK_TRY(auto encoder, TextEncoder::create(
                             out.encoder, {.threads = options.threads, .outputs = {"embedding"}}));
  TACK_TRY(Features features, embed_rows(*encoder, validation_rows));
  out.validation_logits = out.label->logits(features.values, pool);
  out.validation_labels = std::move(features.labels);
  return out;
}

}  // namespace tack
