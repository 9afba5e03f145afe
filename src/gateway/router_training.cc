#include "gateway/router_training.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <numeric>

#include "gateway/router_policy.h"
#include "train/principal_components.h"

namespace tack::gateway {
namespace {

constexpr int kFolds = 5;
constexpr int kTreesOfSearch = 100;
constexpr int kPolicies = 200;

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// What forests are grown on: the forms and components of rows, and how these were made.
struct Inputs {
  std::vector<float> directions;  // [components, dims]
  std::vector<float> features;    // [rows, kForms + components]
  std::int32_t width = 0;
};

// Of each text its form, and the vector that is narrowed: the embedding, or hashed n-grams.
struct Raw {
  std::vector<float> forms;    // [rows, kForms]
  std::vector<float> vectors;  // [rows, dims]
  std::int64_t dims = 0;
};

Raw read_texts(const EmbeddedRows& rows) {
  Raw raw;
  const std::vector<std::string>& texts = rows.data->texts;
  raw.dims = rows.embeddings.empty()
                 ? kHashedDims
                 : static_cast<std::int64_t>(rows.embeddings.size() / texts.size());
  raw.vectors.assign(rows.embeddings.begin(), rows.embeddings.end());
  raw.vectors.resize(texts.size() * index(raw.dims));
  TextFeatures reader;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    reader.read(texts[i]);
    raw.forms.insert(raw.forms.end(), reader.form().begin(), reader.form().end());
    if (rows.embeddings.empty())
      hashed_vector(reader.ngrams(),
                    std::span(raw.vectors).subspan(i * index(raw.dims), index(raw.dims)));
  }
  return raw;
}

Inputs make_inputs(const EmbeddedRows& rows, std::uint64_t seed) {
  const Raw raw = read_texts(rows);
  const std::size_t count = rows.data->rows(), dims = index(raw.dims);
  Inputs inputs;
  const PrincipalComponents components = principal_components(
      raw.vectors, raw.dims, std::min(kComponents, static_cast<std::int64_t>(count)), seed);
  inputs.directions = components.directions;
  const std::size_t narrow_dims = index(components.count);
  std::vector<float> by_row(inputs.directions.size());  // [dims, components]
  for (std::size_t k = 0; k < narrow_dims; ++k)
    for (std::size_t i = 0; i < dims; ++i)
      by_row[i * narrow_dims + k] = inputs.directions[k * dims + i];
  inputs.width = static_cast<std::int32_t>(kForms + narrow_dims);
  inputs.features.resize(count * index(inputs.width));
  for (std::size_t row = 0; row < count; ++row) {
    const std::span own(inputs.features.data() + row * index(inputs.width), index(inputs.width));
    std::copy_n(raw.forms.data() + row * kForms, kForms, own.data());
    narrow(std::span(raw.vectors).subspan(row * dims, dims), by_row, own.subspan(kForms));
  }
  return inputs;
}

class Trainer {
 public:
  Trainer(const EmbeddedRows& rows, const RouterTrainingOptions& options, ThreadPool& pool)
      : rows_(rows), options_(options), pool_(pool), inputs_(make_inputs(rows, options.seed)) {
    // Copies of a prompt are in one fold: what is known of one would give the other away.
    for (const std::string& text : rows.data->texts)
      folds_.push_back(hash_fold(fmt::format("{}\n{}", options.seed, text), kFolds));
  }

  // Leaves what forests of the chosen size of leaves foretold of rows they had not seen, where that
  // is asked for.
  Status choose_leaf(bool foretell) {
    double least = std::numeric_limits<double>::infinity();
    for (const int leaf_rows : options_.leaf_rows) {
      TACK_TRY(const std::vector<float> foretold, out_of_fold(leaf_rows, kTreesOfSearch));
      const double error = contrast_error(foretold);
      if (error >= least) continue;
      least = error;
      leaf_rows_ = leaf_rows;
    }
    if (!foretell) return {};
    TACK_TRY(out_of_fold_, out_of_fold(leaf_rows_, options_.trees));
    return {};
  }

  Result<Forest> grow() {
    std::vector<std::int64_t> all(rows_.data->rows());
    std::iota(all.begin(), all.end(), 0);
    return grow(all, leaf_rows_, options_.trees);
  }

  int leaf_rows() const { return leaf_rows_; }
  const std::vector<float>& out_of_fold() const { return out_of_fold_; }
  const std::vector<float>& directions() const { return inputs_.directions; }

  std::vector<float> typical() const {
    std::vector<float> medians;
    for (std::int32_t f = 0; f < inputs_.width; ++f) {
      std::vector<float> values;
      for (std::size_t i = index(f); i < inputs_.features.size(); i += index(inputs_.width))
        values.push_back(inputs_.features[i]);
      const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
      std::nth_element(values.begin(), middle, values.end());
      medians.push_back(*middle);
    }
    return medians;
  }

 private:
  Result<Forest> grow(std::span<const std::int64_t> which, int leaf_rows, int trees) {
    const ForestRows rows{inputs_.features, rows_.data->scores, inputs_.width,
                          static_cast<std::int32_t>(rows_.data->models.size())};
    return grow_forest(rows, which,
                       {.trees = trees,
                        .leaf_rows = leaf_rows,
                        .seed = options_.seed,
                        .on_tree =
                            [this] {
                              if (!options_.on_tree) return;
                              const std::scoped_lock lock(counting_);
                              options_.on_tree();
                            }},
                       pool_);
  }

  Result<std::vector<float>> out_of_fold(int leaf_rows, int trees) {
    const std::size_t models = rows_.data->models.size();
    std::vector<float> foretold(rows_.data->scores.size());
    for (std::uint32_t fold = 0; fold < kFolds; ++fold) {
      std::vector<std::int64_t> others;
      for (std::size_t row = 0; row < folds_.size(); ++row)
        if (folds_[row] != fold) others.push_back(static_cast<std::int64_t>(row));
      if (others.empty()) continue;  // all rows are copies of one
      TACK_TRY(const Forest forest, grow(others, leaf_rows, trees));
      for (std::size_t row = 0; row < folds_.size(); ++row)
        if (folds_[row] == fold)
          forest.predict(features(row), std::span(foretold.data() + row * models, models));
    }
    return foretold;
  }

  std::span<const float> features(std::size_t row) const {
    return std::span(inputs_.features).subspan(row * index(inputs_.width), index(inputs_.width));
  }

  // Mean square of how wrong the differences between models are: what all models have in common, a
  // hard prompt or an easy one, does not tell which of them to ask.
  double contrast_error(std::span<const float> foretold) const {
    const std::size_t models = rows_.data->models.size();
    double error = 0;
    for (std::size_t row = 0; row < rows_.data->rows(); ++row) {
      double mean = 0;
      const auto off = [&](std::size_t m) {
        return static_cast<double>(foretold[row * models + m] - rows_.data->score(row, m));
      };
      for (std::size_t m = 0; m < models; ++m) mean += off(m) / static_cast<double>(models);
      for (std::size_t m = 0; m < models; ++m) error += (off(m) - mean) * (off(m) - mean);
    }
    return error;
  }

  const EmbeddedRows& rows_;
  const RouterTrainingOptions& options_;
  ThreadPool& pool_;
  Inputs inputs_;
  std::mutex counting_;
  std::vector<std::uint32_t> folds_;
  int leaf_rows_ = 0;
  std::vector<float> out_of_fold_;
};

Status check_rows(const EmbeddedRows& rows, const RouterTrainingOptions& options, std::size_t least,
                  std::string_view what) {
  if (rows.data->rows() < least)
    return fail(ErrorCode::kUsage, "{} rows to {} are too few: at least {}", rows.data->rows(),
                what, least);
  const std::size_t expected =
      options.encoder ? rows.data->rows() * index(options.encoder->dims) : 0;
  if (rows.embeddings.size() != expected)
    return fail(ErrorCode::kUsage, "{} numbers of embeddings for {} rows", rows.embeddings.size(),
                rows.data->rows());
  return {};
}

// What a call costs with each model, relative to the dearest. A token is four bytes, about.
Result<std::vector<double>> relative_costs(const RouterData& data,
                                           const RouterTrainingOptions& options) {
  const std::size_t models = data.models.size();
  if (options.prices.empty()) {
    if (models != 2)
      return fail(ErrorCode::kUsage, "{} models need a price each: which is the cheaper one?",
                  models);
    std::vector<double> costs(2);
    costs[options.strong] = 1;
    return costs;
  }
  double bytes = 0;
  for (const std::string& text : data.texts) bytes += static_cast<double>(text.size());
  const double prompt_tokens = bytes / 4 / static_cast<double>(data.rows());
  std::vector<double> costs;
  for (const store::Price& price : options.prices)
    costs.push_back(price.input * prompt_tokens + price.output * options.answer_tokens);
  const double most = *std::ranges::max_element(costs);
  if (!(most > *std::ranges::min_element(costs)))
    return fail(ErrorCode::kUsage, "all models cost the same: there is nothing to save");
  for (double& cost : costs) cost /= most;
  return costs;
}

Result<RouterCard> make_card(const RouterData& training, const RouterTrainingOptions& options) {
  const std::size_t models = training.models.size();
  if (models < 2 || models > kMaxRoutedModels || options.strong >= models ||
      (!options.prices.empty() && options.prices.size() != models))
    return fail(ErrorCode::kUsage, "a router needs 2 to {} models, a strong one, a price for all",
                kMaxRoutedModels);
  TACK_TRY(const std::vector<double> costs, relative_costs(training, options));
  RouterCard card;
  card.strong = options.strong;
  card.encoder = options.encoder;
  for (std::size_t m = 0; m < models; ++m) {
    RoutedModel model;
    model.name = training.models[m];
    if (!options.prices.empty()) model.price = options.prices[m];
    model.cost = costs[m];
    for (std::size_t row = 0; row < training.rows(); ++row)
      model.quality +=
          static_cast<double>(training.score(row, m)) / static_cast<double>(training.rows());
    model.quality = std::min(1.0, model.quality);
    card.models.push_back(std::move(model));
  }
  if (card.cheapest() == card.strong)
    return fail(ErrorCode::kUsage, "'{}' is to be the strong model, but none is cheaper",
                card.models[card.strong].name);
  return card;
}

std::vector<float> predict_all(const LearnedRouter& router, const EmbeddedRows& rows) {
  const std::size_t models = router.models(), count = rows.data->rows();
  const std::size_t dims = rows.embeddings.size() / std::max<std::size_t>(count, 1);
  std::vector<float> quality(count * models);
  for (std::size_t row = 0; row < count; ++row)
    // Cannot fail: check_rows() has seen the shapes.
    (void)router.quality(rows.data->texts[row], rows.embeddings.subspan(row * dims, dims),
                         std::span(quality.data() + row * models, models));
  return quality;
}

}  // namespace

std::int64_t trees_to_grow(const RouterTrainingOptions& options, std::uint32_t cross_fit) {
  const std::int64_t search =
      static_cast<std::int64_t>(options.leaf_rows.size()) * kFolds * kTreesOfSearch;
  return cross_fit > 0 ? cross_fit * (search + options.trees)
                       : search + (kFolds + 1) * static_cast<std::int64_t>(options.trees);
}

Result<RouterTraining> train_router(const EmbeddedRows& training, const EmbeddedRows& calibration,
                                    const RouterTrainingOptions& options, ThreadPool& pool) {
  TACK_RETURN_IF_ERROR(check_rows(training, options, kMinTrainingRows, "train on"));
  TACK_RETURN_IF_ERROR(check_rows(calibration, options, kMinCalibrationRows, "calibrate on"));
  TACK_TRY(RouterCard card, make_card(*training.data, options));
  Trainer trainer(training, options, pool);
  TACK_RETURN_IF_ERROR(trainer.choose_leaf(true));
  TACK_TRY(const Forest forest, trainer.grow());
  TACK_TRY(const auto draft,
           LearnedRouter::make(card, trainer.directions(), trainer.typical(), forest));

  RouterTraining out;
  out.leaf_rows = trainer.leaf_rows();
  for (const RoutingPolicy& policy : policies_between(card, trainer.out_of_fold(), kPolicies))
    card.points.push_back({policy});
  const std::vector<float> foretold = predict_all(*draft, calibration);
  TACK_TRY(out.calibration, calibrate_router(std::move(card), {calibration.data, foretold},
                                             trainer.out_of_fold(), options.target, options.seed));
  TACK_TRY(out.router, draft->with_card(out.calibration.card));
  return out;
}

Result<CrossFit> cross_fit_router(const EmbeddedRows& rows, std::uint32_t folds,
                                  const RouterTrainingOptions& options, ThreadPool& pool) {
  CrossFit out;
  TACK_TRY(out.card, make_card(*rows.data, options));
  const std::size_t models = rows.data->models.size();
  const std::size_t dims = options.encoder ? index(options.encoder->dims) : 0;
  out.quality.resize(rows.data->scores.size());
  for (std::uint32_t fold = 0; fold < folds; ++fold) {
    std::vector<std::size_t> others, own;
    for (std::size_t row = 0; row < rows.data->rows(); ++row)
      (hash_fold(rows.data->texts[row], folds) == fold ? own : others).push_back(row);
    const RouterData part = rows.data->subset(others);
    std::vector<float> embeddings;
    for (const std::size_t row : others) {
      const auto of_row = rows.embeddings.subspan(row * dims, dims);
      embeddings.insert(embeddings.end(), of_row.begin(), of_row.end());
    }
    const EmbeddedRows training{&part, embeddings};
    TACK_RETURN_IF_ERROR(check_rows(training, options, kMinTrainingRows, "train on"));
    Trainer trainer(training, options, pool);
    TACK_RETURN_IF_ERROR(trainer.choose_leaf(false));
    TACK_TRY(const Forest forest, trainer.grow());
    TACK_TRY(const auto router,
             LearnedRouter::make(out.card, trainer.directions(), trainer.typical(), forest));
    for (const std::size_t row : own)
      TACK_RETURN_IF_ERROR(router->quality(rows.data->texts[row],
                                           rows.embeddings.subspan(row * dims, dims),
                                           std::span(out.quality.data() + row * models, models)));
  }
  for (const RoutingPolicy& policy : policies_between(out.card, out.quality, kPolicies))
    out.card.points.push_back({policy});
  return out;
}

}  // namespace tack::gateway
