#include "compress/divergence.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/interrupt.h"
#include "eval/language_metrics.h"

namespace tack {
namespace {

constexpr std::int64_t kMostFloats = std::int64_t{1} << 26U;  // 256 MiB of remembered outputs
constexpr std::int64_t kMostTokens = 4096, kLeastTokens = 256;

// Log-probabilities, or the vector with length 1.
void normalise(bool logits, std::span<float> row) {
  if (logits) {
    const auto shift = static_cast<float>(log_sum_exp(row));
    for (float& x : row) x -= shift;
    return;
  }
  double sum = 0;
  for (const float x : row) sum += static_cast<double>(x) * static_cast<double>(x);
  const auto factor = static_cast<float>(sum > 0 ? 1 / std::sqrt(sum) : 0.0);
  for (float& x : row) x *= factor;
}

// Of two normalised rows.
double row_distance(bool logits, std::span<const float> base, std::span<const float> other) {
  double sum = 0;
  if (logits) {
    for (std::size_t i = 0; i < base.size(); ++i)
      sum += static_cast<double>(std::exp(base[i])) *
             (static_cast<double>(base[i]) - static_cast<double>(other[i]));
    return std::max(sum, 0.0);
  }
  // 1 - cosine, without the loss of digits.
  for (std::size_t i = 0; i < base.size(); ++i) {
    const double off = static_cast<double>(base[i]) - static_cast<double>(other[i]);
    sum += off * off / 2;
  }
  return sum;
}

}  // namespace

Result<ComparedOutput> compared_output(const Model& model, Compared what) {
  const graph::Graph& graph = model.graph();
  const auto has = [&](std::string_view name) { return graph.find_output(name) != nullptr; };
  const bool answers = model.generates() || what == Compared::kAnswers;
  const std::string_view name = answers && has("logits")     ? "logits"
                                : answers && has("tags")     ? "tags"
                                : has("tags") || has("span") ? "hidden"
                                : has("embedding")           ? "embedding"
                                                             : "hidden";
  const graph::Output* output = graph.find_output(name);
  if (output == nullptr)
    return fail(ErrorCode::kUsage, "{}: a model without outputs", model.path().string());
  return ComparedOutput{.name = name,
                        .value = output->value,
                        .cols = graph.value(output->value).cols,
                        .logits = name == "logits" || name == "tags"};
}

Result<BaseOutputs> BaseOutputs::create(const Model& model, Compared what, const Run& run,
                                        ThreadPool& pool) {
  TACK_TRY(const ComparedOutput output, compared_output(model, what));
  BaseOutputs base(output, pool);
  const auto cols = static_cast<std::size_t>(output.cols);
  TACK_RETURN_IF_ERROR(run(output, [&](std::span<const float> rows) -> Status {
    if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
    if (!std::ranges::all_of(rows, [](float x) { return std::isfinite(x); }))
      return fail("{}: the model's outputs are not numbers", model.path().string());
    std::vector<float>& kept = base.batches_.emplace_back(rows.begin(), rows.end());
    pool.parallel_for(static_cast<std::int64_t>(kept.size() / cols), [&](std::int64_t r) {
      normalise(output.logits, std::span(kept).subspan(static_cast<std::size_t>(r) * cols, cols));
    });
    return {};
  }));
  return base;
}

Result<double> BaseOutputs::distance(const Run& run) const {
  const auto cols = static_cast<std::size_t>(output_.cols);
  std::vector<double> distances;
  std::size_t next = 0;
  TACK_RETURN_IF_ERROR(run(output_, [&](std::span<const float> rows) -> Status {
    if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
    if (next == batches_.size() || rows.size() != batches_[next].size())
      return fail("outputs of another size than the unchanged model's");
    const std::span<const float> base = batches_[next++];
    const std::size_t done = distances.size(), count = rows.size() / cols;
    distances.resize(done + count);
    pool_->run([&](int worker) {
      std::vector<float> row(cols);
      for (auto r = static_cast<std::size_t>(worker); r < count;
           r += static_cast<std::size_t>(pool_->size())) {
        std::ranges::copy(rows.subspan(r * cols, cols), row.begin());
        normalise(output_.logits, row);
        distances[done + r] = row_distance(output_.logits, base.subspan(r * cols, cols), row);
      }
    });
    return {};
  }));
  // Rows are added in order, whoever computed them.
  return std::accumulate(distances.begin(), distances.end(), 0.0) /
         static_cast<double>(std::max<std::size_t>(distances.size(), 1));
}

Result<std::unique_ptr<DivergenceMeter>> DivergenceMeter::create(std::shared_ptr<const Model> model,
                                                                 const CalibrationTokens& tokens,
                                                                 ThreadPool& pool) {
  std::unique_ptr<DivergenceMeter> meter(new DivergenceMeter(std::move(model), tokens, pool));
  TACK_TRY(meter->base_, BaseOutputs::create(*meter->model_, Compared::kAnswers,
                                             meter->run(meter->model_, {}), pool));
  return meter;
}

BaseOutputs::Run DivergenceMeter::run(std::shared_ptr<const Model> model,
                                      ProbeOptions options) const {
  options.threads = threads_;
  return [this, model = std::move(model), options = std::move(options)](
             const ComparedOutput& output, const BaseOutputs::Visit& visit) mutable {
    options.output = output.name;
    return run_probe(model, options, tokens_.chunks,
                     [&](std::size_t, std::span<const float> rows) { return visit(rows); });
  };
}

Result<double> DivergenceMeter::measure(
    const std::function<const TensorView*(std::string_view)>& replace) const {
  return base_->distance(run(model_, {.replace = replace}));
}

Result<double> DivergenceMeter::measure(std::shared_ptr<const Model> other) const {
  return base_->distance(run(std::move(other), {.exact = false}));
}

std::int64_t divergence_tokens(const Model& model) {
  const std::int64_t width = model.generates() ? model.vocab_size() : model.embedding_dim();
  return std::clamp(kMostFloats / std::max<std::int64_t>(width, 1), kLeastTokens, kMostTokens);
}

Result<GraphDivergence> GraphDivergence::create(const Model& model, GraphProbe& probe,
                                                const CalibrationTokens& tokens) {
  GraphDivergence divergence(probe, tokens, divergence_tokens(model));
  TACK_TRY(divergence.base_, BaseOutputs::create(model, Compared::kVectors,
                                                 divergence.run(model.graph()), probe.pool()));
  return divergence;
}

BaseOutputs::Run GraphDivergence::run(const graph::Graph& graph) const {
  return [this, &graph](const ComparedOutput& output, const BaseOutputs::Visit& visit) {
    return probe_->run(
        graph, {&graph.find_output(output.name)->value, 1}, tokens_->chunks,
        [&](std::size_t, std::span<const std::span<const float>> values) {
          return visit(values[0]);
        },
        most_tokens_);
  };
}

Result<double> GraphDivergence::of(const graph::Graph& graph) const {
  return base_->distance(run(graph));
}

}  // namespace tack
