#include "graph/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/convert.h"

namespace tack::graph {
namespace {

using Matrix = std::vector<double>;

double activate_one(kernels::Activation f, double x) {
  using kernels::Activation;
  switch (f) {
    case Activation::kNone:
      return x;
    case Activation::kGeluErf:
      return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return std::max(0.0, x);
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
  }
  return x;
}

class Interpreter {
 public:
  Interpreter(const Graph& graph, const std::vector<Matrix>& weights, const Batch& batch)
      : graph_(graph), weights_(weights), batch_(batch), values_(graph.value_count()) {}

  std::vector<Matrix> run() {
    for (const Node& node : graph_.nodes()) {
      const Value& type = graph_.value(node.output);
      rows_ = type.rows == Rows::kTokens ? batch_.tokens() : batch_.sequences();
      cols_ = type.cols;
      out_ = &values_[static_cast<std::size_t>(node.output.index)];
      out_->assign(static_cast<std::size_t>(rows_ * cols_), 0.0);
      node_ = &node;
      std::visit([&](const auto& op) { apply(op); }, node.op);
    }
    return std::move(values_);
  }

 private:
  const Matrix& in(std::size_t i) const {
    return values_[static_cast<std::size_t>(node_->inputs[i].index)];
  }
  const Matrix& weight(WeightId id) const { return weights_[static_cast<std::size_t>(id.index)]; }
  std::int64_t in_cols(std::size_t i) const { return graph_.value(node_->inputs[i]).cols; }
  double& out(std::int64_t r, std::int64_t c) {
    return (*out_)[static_cast<std::size_t>(r * cols_ + c)];
  }
  static double get(const Matrix& m, std::int64_t r, std::int64_t c, std::int64_t cols) {
    return m[static_cast<std::size_t>(r * cols + c)];
  }

  void apply(const Embedding& op) {
    const Matrix& table = weight(op.table);
    for (std::int64_t s = 0; s < batch_.sequences(); ++s)
      for (std::int64_t t = batch_.starts[s]; t < batch_.starts[s + 1]; ++t) {
        const auto u = static_cast<std::size_t>(t);
        const std::int64_t row = op.index == Index::kTokenId    ? batch_.ids[u]
                                 : op.index == Index::kPosition ? t - batch_.starts[s]
                                 : batch_.type_ids.empty()      ? 0
                                                                : batch_.type_ids[u];
        for (std::int64_t c = 0; c < cols_; ++c) out(t, c) = get(table, row, c, cols_);
      }
  }

  void apply(const Add&) {
    for (std::size_t i = 0; i < out_->size(); ++i) (*out_)[i] = in(0)[i] + in(1)[i];
  }

  void apply(const LayerNorm& op) {
    const Matrix& gamma = weight(op.gamma);
    const Matrix& beta = weight(op.beta);
    for (std::int64_t r = 0; r < rows_; ++r) {
      double mean = 0, variance = 0;
      for (std::int64_t c = 0; c < cols_; ++c) mean += get(in(0), r, c, cols_);
      mean /= static_cast<double>(cols_);
      for (std::int64_t c = 0; c < cols_; ++c)
        variance += std::pow(get(in(0), r, c, cols_) - mean, 2);
      variance /= static_cast<double>(cols_);
      for (std::int64_t c = 0; c < cols_; ++c) {
        const auto i = static_cast<std::size_t>(c);
        out(r, c) =
            ((get(in(0), r, c, cols_) - mean) / std::sqrt(variance + op.eps) * gamma[i] + beta[i]);
      }
    }
  }

  void apply(const Linear& op) {
    const Matrix& w = weight(op.weight);
    const Matrix none(static_cast<std::size_t>(cols_), 0.0);
    const Matrix& bias = op.bias.index < 0 ? none : weight(op.bias);
    const std::int64_t depth = in_cols(0);
    // Pointers, because a model's conversion measures its activations with this.
    for (std::int64_t r = 0; r < rows_; ++r)
      for (std::int64_t c = 0; c < cols_; ++c) {
        const double* x = in(0).data() + r * depth;
        const double* row = w.data() + c * depth;
        double sum = bias[static_cast<std::size_t>(c)];
        for (std::int64_t k = 0; k < depth; ++k) sum += x[k] * row[k];
        out(r, c) = sum;
      }
  }

  void apply(const Activate& op) {
    for (std::size_t i = 0; i < out_->size(); ++i)
      (*out_)[i] = (activate_one(op.function, in(0)[i]));
  }

  void apply(const RmsNorm& op) {
    const Matrix& gamma = weight(op.gamma);
    const std::int64_t d = cols_ / op.groups;
    for (std::int64_t r = 0; r < rows_ * op.groups; ++r) {
      double square = 0;
      for (std::int64_t c = 0; c < d; ++c) square += std::pow(get(in(0), r, c, d), 2);
      const double scale = 1 / std::sqrt(square / static_cast<double>(d) + op.eps);
      for (std::int64_t c = 0; c < d; ++c)
        (*out_)[static_cast<std::size_t>(r * d + c)] =
            get(in(0), r, c, d) * scale * gamma[static_cast<std::size_t>(c)];
    }
  }

  void apply(const Scale& op) {
    for (std::size_t i = 0; i < out_->size(); ++i)
      (*out_)[i] = in(0)[i] * static_cast<double>(op.factor);
  }

  void apply(const Multiply&) {
    for (std::size_t i = 0; i < out_->size(); ++i) (*out_)[i] = in(0)[i] * in(1)[i];
  }

  void apply(const Rope& op) {
    for (std::int64_t s = 0; s < batch_.sequences(); ++s)
      for (std::int64_t t = batch_.starts[s]; t < batch_.starts[s + 1]; ++t)
        for (std::int64_t h = 0; h < op.heads; ++h)
          for (std::int64_t i = 0; i < op.head_dim / 2; ++i) {
            const std::int64_t head = h * op.head_dim;
            const std::int64_t a = head + (op.interleaved ? 2 * i : i);
            const std::int64_t b = head + (op.interleaved ? 2 * i + 1 : i + op.head_dim / 2);
            const std::int64_t position = t - batch_.starts[s];
            const double angle = op.angle(position, static_cast<std::size_t>(i));
            const double factor = op.factor(position);
            const double x = factor * get(in(0), t, a, cols_), y = factor * get(in(0), t, b, cols_);
            out(t, a) = x * std::cos(angle) - y * std::sin(angle);
            out(t, b) = x * std::sin(angle) + y * std::cos(angle);
          }
  }

  void apply(const Attention& op) {
    const std::int64_t kv_cols = op.kv_heads * op.head_dim, group = op.heads / op.kv_heads;
    for (std::int64_t s = 0; s < batch_.sequences(); ++s) {
      const std::int64_t first = batch_.starts[s], end = batch_.starts[s + 1];
      for (std::int64_t h = 0; h < op.heads; ++h)
        for (std::int64_t i = first; i < end; ++i) {
          std::vector<double> score(static_cast<std::size_t>(end - first),
                                    -std::numeric_limits<double>::infinity());
          double largest = -std::numeric_limits<double>::infinity(), total = 0;
          for (std::int64_t j = first; j < end; ++j) {
            if (op.causal && j > i) continue;
            if (op.window > 0 && std::abs(i - j) >= op.window) continue;
            double dot = 0;
            for (std::int64_t d = 0; d < op.head_dim; ++d)
              dot += get(in(0), i, h * op.head_dim + d, cols_) *
                     get(in(1), j, h / group * op.head_dim + d, kv_cols);
            score[static_cast<std::size_t>(j - first)] = dot * op.scale;
            largest = std::max(largest, dot * op.scale);
          }
          for (double& x : score) total += x = std::exp(x - largest);
          for (std::int64_t d = 0; d < op.head_dim; ++d) {
            double sum = 0;
            for (std::int64_t j = first; j < end; ++j)
              sum += score[static_cast<std::size_t>(j - first)] / total *
                     get(in(2), j, h / group * op.head_dim + d, kv_cols);
            out(i, h * op.head_dim + d) = (sum);
          }
        }
    }
  }

  void apply(const Pool& op) {
    for (std::int64_t s = 0; s < batch_.sequences(); ++s) {
      const std::int64_t first = batch_.starts[s], end = batch_.starts[s + 1];
      for (std::int64_t c = 0; c < cols_; ++c) {
        double sum = 0;
        for (std::int64_t t = first; t < end; ++t) sum += get(in(0), t, c, cols_);
        const double mean = sum / static_cast<double>(end - first);
        out(s, c) = op.kind == PoolKind::kMean  ? (mean)
                    : op.kind == PoolKind::kCls ? get(in(0), first, c, cols_)
                                                : get(in(0), end - 1, c, cols_);
      }
    }
  }

  void apply(const L2Normalize& op) {
    for (std::int64_t r = 0; r < rows_; ++r) {
      double sum = 0;
      for (std::int64_t c = 0; c < cols_; ++c) sum += std::pow(get(in(0), r, c, cols_), 2);
      const double norm = std::max(std::sqrt(sum), static_cast<double>(op.eps));
      for (std::int64_t c = 0; c < cols_; ++c) out(r, c) = (get(in(0), r, c, cols_) / norm);
    }
  }

  const Graph& graph_;
  const std::vector<Matrix>& weights_;
  const Batch& batch_;
  std::vector<Matrix> values_;
  const Node* node_ = nullptr;
  Matrix* out_ = nullptr;
  std::int64_t rows_ = 0, cols_ = 0;
};

}  // namespace

std::vector<std::vector<double>> run_reference_f64(const Graph& graph,
                                                   const std::vector<std::vector<double>>& weights,
                                                   const Batch& batch) {
  return Interpreter(graph, weights, batch).run();
}

Result<std::vector<std::vector<float>>> run_reference(const Graph& graph,
                                                      const WeightSource& source,
                                                      const Batch& batch) {
  std::vector<Matrix> weights;
  for (const Weight& weight : graph.weights()) {
    TACK_TRY(const auto values, load_vector(weight, source));
    weights.emplace_back(values.begin(), values.end());
  }
  std::vector<std::vector<float>> out;
  for (const Matrix& value : run_reference_f64(graph, weights, batch))
    out.emplace_back(value.begin(), value.end());
  return out;
}

}  // namespace tack::graph
