// The operators of a tape, backward.
#include <cassert>
#include <cmath>
#include <cstring>

#include "train/tape_impl.h"

namespace tack {

void Tape::Impl::derive(const Node& node, std::size_t, const graph::Embedding& op, int worker) {
  const std::int64_t d = cols(node.output);
  const Range columns = columns_of(node.output, worker);
  const float* const dy = gradient(node.output);
  float* const table = parameter(op.table).gradient;
  for_tokens({0, rows(node.output)}, [&](std::int64_t t, std::int64_t position) {
    kernels::kernels().backward.axpy(columns.size(), 1.0F, dy + t * d + columns.begin,
                                     table + row_of_table(op, t, position) * d + columns.begin);
  });
}

void Tape::Impl::derive(const Node& node, std::size_t n, const graph::Add&, int worker) {
  const std::int64_t d = cols(node.output);
  const Range range = rows_of(node.output, worker);
  const float* const dy = gradient(node.output);
  const ValueId dropped = plan_.dropped[n];
  for (std::size_t i = 0; i < 2; ++i) {
    const ValueId v = node.inputs[i];
    if (!info(v).has_gradient || info(v).alias == node.output.index) continue;
    // x + x: the second time it adds.
    const bool add = accumulates(n, v) || (i == 1 && node.inputs[0] == v);
    float* const dx = gradient(v);
    if (v == dropped && dropout_ > 0) {
      const DropMask mask(dropout_, seed_, n);
      for (std::int64_t r = range.begin; r < range.end; ++r)
        mask.apply(r, d, dy + r * d, add ? dx + r * d : nullptr, dx + r * d);
    } else if (add) {
      kernels::kernels().backward.axpy(range.size() * d, 1.0F, dy + range.begin * d,
                                       dx + range.begin * d);
    } else {
      std::memcpy(dx + range.begin * d, dy + range.begin * d, at(range.size() * d) * sizeof(float));
    }
  }
}

void Tape::Impl::derive_norm(const Node& node, std::size_t n, kernels::Norm norm, WeightId gamma,
                             WeightId beta, float eps, std::int64_t groups, int worker) {
  const ValueId x = node.inputs[0];
  const std::int64_t d = cols(x) / groups;
  Range range = rows_of(x, worker);
  range = {range.begin * groups, range.end * groups};
  kernels::NormBackwardArgs args;
  args.norm = norm;
  args.rows = range.size();
  args.cols = d;
  args.x = value(x) + range.begin * d;
  args.dy = gradient(node.output) + range.begin * d;
  args.gamma = parameter(gamma).value;
  args.eps = eps;
  args.dx = info(x).has_gradient ? gradient(x) + range.begin * d : nullptr;
  args.accumulate = accumulates(n, x);
  args.stats = statistics_.data() + 2 * range.begin;
  kernels::kernels().backward.norm(args);
  const bool trains_beta = trains(beta);
  if (!trains(gamma) && !trains_beta) return;
  pool_.barrier().arrive_and_wait();
  const Range columns = part_of(d, worker, pool_.size(), 16);
  args.rows = rows(x) * groups;
  args.x = value(x);
  args.dy = gradient(node.output);
  args.stats = statistics_.data();
  if (trains(gamma))
    kernels::kernels().backward.norm_parameters(args, columns.begin, columns.end,
                                                parameter(gamma).gradient,
                                                trains_beta ? parameter(beta).gradient : nullptr);
  else
    kernels::kernels().backward.column_sums(args.dy, args.rows, d, columns.begin, columns.end,
                                            parameter(beta).gradient);
}

void Tape::Impl::derive(const Node& node, std::size_t n, const graph::LayerNorm& op, int worker) {
  derive_norm(node, n, kernels::Norm::kLayer, op.gamma, op.beta, op.eps, 1, worker);
}
void Tape::Impl::derive(const Node& node, std::size_t n, const graph::RmsNorm& op, int worker) {
  derive_norm(node, n, kernels::Norm::kRms, op.gamma, {}, op.eps, op.groups, worker);
}

void Tape::Impl::derive(const Node& node, std::size_t n, const graph::Scale& op, int worker) {
  const ValueId x = node.inputs[0];
  const std::int64_t d = cols(x);
  const Range range = rows_of(x, worker);
  const float* const dy = gradient(node.output);
  float* const dx = gradient(x);
  const bool add = accumulates(n, x);
  for (std::int64_t i = range.begin * d; i < range.end * d; ++i)
    dx[i] = op.factor * dy[i] + (add ? dx[i] : 0.0F);
}

void Tape::Impl::derive(const Node& node, std::size_t n, const graph::Linear& op, int worker) {
  const ValueId x = node.inputs[0];
  const std::int64_t count = rows(x), in = cols(x), out = cols(node.output);
  const float* const dy = gradient(node.output);
  kernels::ProductArgs input, weight;
  if (info(x).has_gradient) {  // dx = dy W
    input.m = count;
    input.n = in;
    input.k = out;
    input.a = dy;
    input.lda = out;
    input.b = parameter(op.weight).value;
    input.ldb = in;
    input.c = gradient(x);
    input.ldc = in;
    input.accumulate = accumulates(n, x);
    pack(input, packed_, worker);
  }
  if (trains(op.weight)) {  // dW += dy^T x
    weight.m = out;
    weight.n = in;
    weight.k = count;
    weight.a = dy;
    weight.lda = out;
    weight.a_transposed = true;
    weight.b = value(x);
    weight.ldb = in;
    weight.c = parameter(op.weight).gradient;
    weight.ldc = in;
    weight.accumulate = true;
    pack(weight, packed_transposed_, worker);
  }
  if (packs(input) || packs(weight)) pool_.barrier().arrive_and_wait();
  product(input, packed_, worker);
  product(weight, packed_transposed_, worker);
  if (trains(op.bias)) {
    const Range columns = columns_of(node.output, worker);
    kernels::kernels().backward.column_sums(dy, count, out, columns.begin, columns.end,
                                            parameter(op.bias).gradient);
  }
}

void Tape::Impl::derive(const Node& node, std::size_t n, const graph::Activate& op, int worker) {
  const ValueId x = node.inputs[0];
  const std::int64_t d = cols(x);
  const Range range = rows_of(x, worker);
  const std::int64_t from = range.begin * d;
  if (!accumulates(n, x)) {
    kernels::kernels().backward.activate(op.function, value(x) + from, gradient(node.output) + from,
                                         gradient(x) + from, range.size() * d);
    return;
  }
  std::vector<float> row(at(d));
  for (std::int64_t r = range.begin; r < range.end; ++r) {
    kernels::kernels().backward.activate(op.function, value(x) + r * d,
                                         gradient(node.output) + r * d, row.data(), d);
    kernels::kernels().backward.axpy(d, 1.0F, row.data(), gradient(x) + r * d);
  }
}

void Tape::Impl::derive(const Node& node, std::size_t n, const graph::Multiply&, int worker) {
  const std::int64_t d = cols(node.output);
  const Range range = rows_of(node.output, worker);
  const float* const dy = gradient(node.output);
  std::vector<float> row(at(d));
  for (std::size_t i = 0; i < 2; ++i) {
    const ValueId v = node.inputs[i];
    if (!info(v).has_gradient) continue;
    const float* const other = value(node.inputs[1 - i]);
    const bool add = accumulates(n, v) || (i == 1 && node.inputs[0] == v);
    for (std::int64_t r = range.begin; r < range.end; ++r) {
      float* const dx = gradient(v) + r * d;
      kernels::kernels().backward.multiply(d, dy + r * d, other + r * d, add ? row.data() : dx);
      if (add) kernels::kernels().backward.axpy(d, 1.0F, row.data(), dx);
    }
  }
}

void Tape::Impl::derive(const Node& node, std::size_t n, const graph::Rope& op, int worker) {
  const ValueId x = node.inputs[0];
  rotate(op, gradient(node.output), gradient(x), rows_of(x, worker), -1.0F, accumulates(n, x));
}

void Tape::Impl::derive(const Node& node, std::size_t n, const graph::Attention& op, int worker) {
  assert(node.inputs[0] != node.inputs[1] && node.inputs[1] != node.inputs[2]);
  kernels::AttentionBackwardArgs args;
  args.heads = op.heads;
  args.kv_heads = op.kv_heads;
  args.head_dim = op.head_dim;
  args.q_stride = op.heads * op.head_dim;
  args.kv_stride = op.kv_heads * op.head_dim;
  args.scale = op.scale;
  args.causal = op.causal;
  args.window = op.window;
  args.accumulate_q = accumulates(n, node.inputs[0]);
  args.accumulate_k = accumulates(n, node.inputs[1]);
  args.accumulate_v = accumulates(n, node.inputs[2]);
  args.scratch = scratch_[at(worker)].data();
  for_heads(worker, op.kv_heads, [&](std::int64_t s, std::int64_t h) {
    const std::int64_t first = batch_.starts[at(s)];
    args.length = batch_.starts[at(s) + 1] - first;
    args.kv_head = h;
    const std::int64_t q_at = first * args.q_stride, kv_at = first * args.kv_stride;
    args.q = value(node.inputs[0]) + q_at;
    args.k = value(node.inputs[1]) + kv_at;
    args.v = value(node.inputs[2]) + kv_at;
    args.dout = gradient(node.output) + q_at;
    args.dq = gradient(node.inputs[0]) + q_at;
    args.dk = gradient(node.inputs[1]) + kv_at;
    args.dv = gradient(node.inputs[2]) + kv_at;
    kernels::kernels().backward.attention(args);
  });
}

void Tape::Impl::derive(const Node& node, std::size_t n, const graph::Pool& op, int worker) {
  const ValueId x = node.inputs[0];
  const std::int64_t d = cols(x);
  const Range range = rows_of(node.output, worker);
  const bool add = accumulates(n, x);
  std::vector<float> row(at(d));
  for (std::int64_t s = range.begin; s < range.end; ++s) {
    const std::int64_t first = batch_.starts[at(s)], end = batch_.starts[at(s) + 1];
    const float* dy = gradient(node.output) + s * d;
    if (dropout_ > 0) {
      DropMask(dropout_, seed_, n).apply(s, d, dy, nullptr, row.data());
      dy = row.data();
    }
    float* const dx = gradient(x);
    if (!add) std::memset(dx + first * d, 0, at((end - first) * d) * sizeof(float));
    if (op.kind == graph::PoolKind::kMean)
      for (std::int64_t t = first; t < end; ++t)
        kernels::kernels().backward.axpy(d, 1.0F / static_cast<float>(end - first), dy, dx + t * d);
    else
      kernels::kernels().backward.axpy(
          d, 1.0F, dy, dx + (op.kind == graph::PoolKind::kCls ? first : end - 1) * d);
  }
}

void Tape::Impl::derive(const Node& node, std::size_t n, const graph::L2Normalize& op, int worker) {
  // y = x / |x|: dx = (dy - y (y . dy)) / |x|
  const ValueId x = node.inputs[0];
  const std::int64_t d = cols(x);
  const Range range = rows_of(x, worker);
  const bool add = accumulates(n, x);
  for (std::int64_t r = range.begin; r < range.end; ++r) {
    const float* const in = value(x) + r * d;
    const float* const dy = gradient(node.output) + r * d;
    float* const dx = gradient(x) + r * d;
    double square = 0, along = 0;
    for (std::int64_t i = 0; i < d; ++i) {
      square += static_cast<double>(in[i]) * static_cast<double>(in[i]);
      along += static_cast<double>(in[i]) * static_cast<double>(dy[i]);
    }
    const double norm = std::sqrt(square);
    // Below eps the norm is a constant.
    const double slope = norm > static_cast<double>(op.eps) ? along / square : 0.0;
    const double scale = 1 / std::max(norm, static_cast<double>(op.eps));
    for (std::int64_t i = 0; i < d; ++i) {
      const auto g = static_cast<float>(
          (static_cast<double>(dy[i]) - slope * static_cast<double>(in[i])) * scale);
      dx[i] = add ? dx[i] + g : g;
    }
  }
}

}  // namespace tack
