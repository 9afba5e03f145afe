#include "tasks/contrast.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include "base/random.h"
#include "engine/text_encoder.h"
#include "tasks/features.h"
#include "train/losses.h"

namespace tack {
namespace {

struct PairTeaching {
  std::vector<float> vectors;  // of the distinct training texts
  double labels = 0.3;         // weight of the pairs against the teacher
};

class PairCurriculum final : public Curriculum {
 public:
  // `texts` are the distinct texts of `train`, then those of `validation`.
  PairCurriculum(const TrainingTexts& texts, const PairSet& train, const PairSet& validation,
                 const PairIndex& train_index, const PairIndex& validation_index,
                 const TrainSettings& settings, const PairTeaching* teaching, std::int64_t dims,
                 graph::ValueId output, ThreadPool& pool)
      : texts_(texts),
        train_(train),
        validation_(validation),
        index_(train_index),
        validation_index_(validation_index),
        settings_(settings),
        teaching_(teaching),
        dims_(static_cast<std::size_t>(dims)),
        output_(output),
        pool_(pool) {
    for (std::size_t i = 0; i < train.size() && train.kind != PairKind::kLabel; ++i)
      pairs_.emplace_back(index_.text[i], index_.other[i]);
    begin_epoch(0);
  }

  std::size_t size() const override { return pairs_.size(); }
  std::int64_t longest_validation() const override { return texts_.longest(); }
  bool has_validation() const override { return true; }
  bool joint() const override { return true; }
  void begin_epoch(std::int64_t epoch) override {
    if (train_.kind == PairKind::kLabel) pairs_ = label_pairs(index_, settings_.loop.seed, epoch);
  }

  std::size_t sequences(std::size_t) const override { return index_.negative.empty() ? 2 : 3; }
  ExampleTokens tokens(std::size_t example) const override { return sequence(example, 0); }
  ExampleTokens sequence(std::size_t example, std::size_t s) const override {
    return texts_[text_of(example, s)];
  }

  double joint_loss(std::span<const float> values, std::span<const std::size_t> examples,
                    double scale, std::span<float> gradient) override {
    // Sides apart: first texts, second texts, negatives. Row r of side s is sequence
    // r * sequences + s.
    const std::size_t sides = sequences(0), n = examples.size();
    std::vector<float> left(n * dims_), right((sides - 1) * n * dims_);
    std::vector<float> left_slope(left.size(), 0.0F), right_slope(right.size(), 0.0F);
    const auto each = [&](const auto& visit) {
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t s = 0; s < sides; ++s)
          visit((i * sides + s) * dims_, (s == 0 ? i : (s - 1) * n + i) * dims_, s == 0);
    };
    each([&](std::size_t from, std::size_t to, bool first) {
      std::ranges::copy(values.subspan(from, dims_),
                        (first ? left : right).begin() + static_cast<std::ptrdiff_t>(to));
    });
    const double by_pairs = teaching_ == nullptr ? scale : scale * teaching_->labels;
    double sum = 0;
    if (by_pairs > 0)
      sum = train_.kind == PairKind::kScored
                ? scored(left, right, examples, by_pairs, left_slope, right_slope)
                : contrastive({.queries = left,
                               .keys = right,
                               .cols = static_cast<std::int64_t>(dims_),
                               .temperature = settings_.temperature,
                               .masked = masks(examples)},
                              by_pairs, left_slope, right_slope);
    each([&](std::size_t to, std::size_t from, bool first) {
      const auto slope = std::span(first ? left_slope : right_slope).subspan(from, dims_);
      for (std::size_t c = 0; c < dims_; ++c) gradient[to + c] += slope[c];
    });
    if (teaching_ != nullptr) sum += imitate(values, examples, scale - by_pairs, gradient);
    return sum;
  }

  Result<double> validate(const Forward& forward) override {
    std::vector<ExampleTokens> texts;
    for (std::size_t i = 0; i < validation_index_.texts.size(); ++i)
      texts.push_back(texts_[index_.texts.size() + i]);
    std::vector<float> vectors;
    TACK_RETURN_IF_ERROR(forward(texts, [&](std::size_t, std::size_t, const Tape& tape) {
      const auto values = tape.value(output_);
      vectors.insert(vectors.end(), values.begin(), values.end());
    }));
    const auto dims = static_cast<std::int64_t>(dims_);
    const auto unit = normalized_rows(std::move(vectors), dims);
    if (validation_.kind == PairKind::kScored)
      return spearman(pair_cosines(validation_index_, unit, dims), validation_.scores);
    const auto ranks = retrieval_ranks(validation_, validation_index_, unit, dims, pool_);
    std::vector<std::int64_t> rows(ranks.size());
    std::iota(rows.begin(), rows.end(), 0);
    return mean_reciprocal_rank(ranks, rows);
  }

 private:
  std::size_t text_of(std::size_t example, std::size_t s) const {
    return s == 0   ? pairs_[example].first
           : s == 1 ? pairs_[example].second
                    : index_.negative[example];
  }
  std::int32_t group(std::size_t example, std::size_t s) const {
    return index_.groups[text_of(example, s)];
  }

  // Rows that share a text belong together: what is right for one is not wrong for the other.
  std::vector<std::uint8_t> masks(std::span<const std::size_t> examples) const {
    const std::size_t sides = sequences(0), n = examples.size(), m = (sides - 1) * n;
    std::vector<std::uint8_t> masked(n * m, 0);
    for (std::size_t i = 0; i < n; ++i) {
      const std::int32_t query = group(examples[i], 0), key = group(examples[i], 1);
      const auto mine = [&](std::int32_t g) { return g == query || g == key; };
      for (std::size_t j = 0; j < n; ++j) {
        masked[i * m + j] = mine(group(examples[j], 0)) || mine(group(examples[j], 1)) ? 1 : 0;
        if (sides > 2) masked[i * m + n + j] = mine(group(examples[j], 2)) ? 1 : 0;
      }
    }
    return masked;
  }

  double scored(std::span<const float> left, std::span<const float> right,
                std::span<const std::size_t> examples, double scale, std::span<float> left_slope,
                std::span<float> right_slope) const {
    std::vector<float> scores;
    for (std::size_t example : examples) scores.push_back(train_.scores[example]);
    return cosent(left, right, scores, static_cast<std::int64_t>(dims_), settings_.temperature,
                  scale, left_slope, right_slope);
  }

  // The mean distance of an example's texts to the teacher's vectors.
  double imitate(std::span<const float> values, std::span<const std::size_t> examples, double scale,
                 std::span<float> gradient) const {
    const std::size_t sides = sequences(0);
    double sum = 0;
    for (std::size_t i = 0; i < examples.size(); ++i)
      for (std::size_t s = 0; s < sides; ++s) {
        const std::size_t row = (i * sides + s) * dims_;
        sum += cosine_distance(
            values.subspan(row, dims_),
            std::span(teaching_->vectors).subspan(text_of(examples[i], s) * dims_, dims_),
            static_cast<std::int64_t>(dims_), scale / static_cast<double>(sides),
            gradient.subspan(row, dims_));
      }
    return sum;
  }

  const TrainingTexts& texts_;
  const PairSet& train_;
  const PairSet& validation_;
  const PairIndex& index_;
  const PairIndex& validation_index_;
  const TrainSettings& settings_;
  const PairTeaching* teaching_;
  std::size_t dims_;
  graph::ValueId output_;
  ThreadPool& pool_;
  std::vector<std::pair<std::size_t, std::size_t>> pairs_;  // of this epoch, into the index's texts
};

Result<PairTeaching> ask(const std::shared_ptr<const Model>& teacher, const Model& base,
                         const PairIndex& index, const TeacherSettings& settings, int threads) {
  if (teacher->embedding_dim() != base.embedding_dim())
    return fail(ErrorCode::kUsage,
                "{}: the teacher's vectors have {} dimensions, those of {} have {}: both must be "
                "the same",
                teacher->path().string(), teacher->embedding_dim(), base.name(),
                base.embedding_dim());
  TACK_TRY(auto encoder,
           TextEncoder::create(teacher, {.threads = threads, .outputs = {"embedding"}}));
  PairTeaching teaching;
  teaching.labels = settings.labels;
  TACK_TRY(teaching.vectors, run_texts(*encoder, index.texts, "embedding", "asking the teacher"));
  return teaching;
}

}  // namespace

std::vector<std::pair<std::size_t, std::size_t>> label_pairs(const PairIndex& index,
                                                             std::uint64_t seed,
                                                             std::int64_t epoch) {
  std::map<std::int32_t, std::vector<std::size_t>> members;
  for (std::size_t t = 0; t < index.texts.size(); ++t) members[index.groups[t]].push_back(t);
  Random random(seed * 0x9e3779b97f4a7c15ULL + static_cast<std::uint64_t>(epoch) + 0x51ed27ULL);
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  for (auto& [label, texts] : members) {
    if (texts.size() < 2) continue;
    random.shuffle(std::span(texts));
    for (std::size_t i = 0; i < texts.size(); ++i)
      pairs.emplace_back(texts[i], texts[(i + 1) % texts.size()]);
  }
  return pairs;
}

Result<TrainedEncoder> train_embedding(const std::shared_ptr<const Model>& base,
                                       const PairSet& train_pairs, const PairSet& validation_pairs,
                                       const TrainSettings& settings,
                                       const std::shared_ptr<const Model>& teacher,
                                       const TeacherSettings& teacher_settings,
                                       const std::filesystem::path& path,
                                       const FineTuneOptions& options) {
  const PairIndex index(train_pairs), validation_index(validation_pairs);
  std::optional<PairTeaching> teaching;
  if (teacher != nullptr) {
    TACK_TRY(teaching, ask(teacher, *base, index, teacher_settings, options.threads));
  }
  std::vector<Tokens> tokens;
  for (const auto* texts : {&index.texts, &validation_index.texts})
    for (std::string_view text : *texts)
      tokens.push_back(base->tokenizer().encode(text, base->context_length()));
  const TrainingTexts texts(std::move(tokens), base->tokenizer().vocab_size());
  ThreadPool pool(options.threads);
  TACK_TRY(const auto model,
           TrainableModel::create(base, {}, texts, trainable_options(settings), pool));
  PairCurriculum curriculum(texts, train_pairs, validation_pairs, index, validation_index, settings,
                            teaching ? &*teaching : nullptr, base->embedding_dim(), model->output(),
                            pool);
  TrainerOptions loop = settings.loop;
  loop.weights = model->weights();
  loop.checkpoint = options.checkpoint;
  loop.description = options.description;
  loop.label = options.label;
  const std::array<graph::ValueId, 1> outputs = {model->output()};
  TrainedEncoder out;
  TACK_TRY(out.training,
           train(model->graph(), outputs, model->parameters(), curriculum, loop, pool));
  out.truncated = texts.truncated();
  out.trained_parameters = model->parameters().trained();
  TACK_TRY(out.encoder, model->save_encoder(path, options.type, base->name()));
  return out;
}

}  // namespace tack
