#include "compress/graph_divergence.h"

#include <algorithm>
#include <cmath>

#include "eval/language_metrics.h"

namespace tack {
namespace {

constexpr std::int64_t kMostFloats = std::int64_t{1} << 26U;  // 256 MiB of remembered outputs
constexpr std::int64_t kMostTokens = 4096, kLeastTokens = 256;

// Log-probabilities of a row of logits, sums in f64.
void log_softmax(std::span<const float> logits, std::span<float> out) {
  const auto shift = static_cast<float>(log_sum_exp(logits));
  for (std::size_t i = 0; i < logits.size(); ++i) out[i] = logits[i] - shift;
}

double kl(std::span<const float> log_p, std::span<const float> logits, std::span<float> scratch) {
  log_softmax(logits, scratch);
  double sum = 0;
  for (std::size_t i = 0; i < log_p.size(); ++i)
    sum += std::exp(static_cast<double>(log_p[i])) *
           (static_cast<double>(log_p[i]) - static_cast<double>(scratch[i]));
  return std::max(sum, 0.0);
}

double one_minus_cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    aa += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    bb += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return aa > 0 && bb > 0 ? 1 - ab / std::sqrt(aa * bb) : 1;
}

}  // namespace

std::int64_t divergence_tokens(const Model& model) {
  const std::int64_t width = model.generates() ? model.vocab_size() : model.embedding_dim();
  return std::clamp(kMostFloats / std::max<std::int64_t>(width, 1), kLeastTokens, kMostTokens);
}

Result<GraphDivergence> GraphDivergence::create(const Model& model, GraphProbe& probe) {
  GraphDivergence divergence(probe);
  divergence.generates_ = model.generates();
  const bool by_token =
      model.graph().find_output("tags") != nullptr || model.graph().find_output("span") != nullptr;
  divergence.output_ = model.generates() ? "logits" : by_token ? "hidden" : "embedding";
  const graph::Output* output = model.graph().find_output(divergence.output_);
  if (output == nullptr)
    return fail(ErrorCode::kUsage, "{}: the model has no {}", model.name(), divergence.output_);
  divergence.cols_ = model.graph().value(output->value).cols;
  divergence.most_tokens_ = divergence_tokens(model);
  TACK_RETURN_IF_ERROR(divergence.measure(model.graph(), true));
  return divergence;
}

Result<double> GraphDivergence::of(const graph::Graph& graph) {
  return measure(graph, false);
}

Result<double> GraphDivergence::measure(const graph::Graph& graph, bool remember) {
  const graph::ValueId value = graph.find_output(output_)->value;
  const auto cols = static_cast<std::size_t>(cols_);
  double sum = 0;
  std::int64_t rows = 0;
  const auto visit = [&](std::int64_t batch,
                         std::span<const std::span<const float>> values) -> Status {
    const std::span<const float> now = values[0];
    const auto count = static_cast<std::int64_t>(now.size() / cols);
    if (remember) {
      whole_.emplace_back(now.begin(), now.end());
      if (!generates_) return {};
      std::vector<float>& kept = whole_.back();
      probe_->pool().parallel_for(count, [&](std::int64_t r) {
        const std::size_t at = static_cast<std::size_t>(r) * cols;
        log_softmax(now.subspan(at, cols), std::span(kept).subspan(at, cols));
      });
      return {};
    }
    // Rows are added in order, whoever computed them.
    std::vector<double> harm(static_cast<std::size_t>(count));
    const std::span<const float> was = whole_[static_cast<std::size_t>(batch)];
    probe_->pool().parallel_for(count, [&](std::int64_t r) {
      const std::size_t at = static_cast<std::size_t>(r) * cols;
      std::vector<float> scratch(generates_ ? cols : 0);
      harm[static_cast<std::size_t>(r)] =
          generates_ ? kl(was.subspan(at, cols), now.subspan(at, cols), scratch)
                     : one_minus_cosine(was.subspan(at, cols), now.subspan(at, cols));
    });
    for (const double one : harm) sum += one;
    rows += count;
    return {};
  };
  TACK_RETURN_IF_ERROR(probe_->run(graph, {&value, 1}, visit, most_tokens_));
  return rows > 0 ? sum / static_cast<double>(rows) : 0.0;
}

}  // namespace tack
