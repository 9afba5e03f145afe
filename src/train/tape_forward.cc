// The operators of a tape, forward.
#include <cmath>
#include <cstring>

#include "train/tape_impl.h"

namespace tack {

std::int64_t Tape::Impl::row_of_table(const graph::Embedding& op, std::int64_t token,
                                      std::int64_t position) const {
  if (op.index == graph::Index::kPosition) return position;
  if (op.index == graph::Index::kTokenId) return batch_.ids[at(token)];
  return batch_.type_ids.empty() ? 0 : batch_.type_ids[at(token)];
}

void Tape::Impl::run(const Node& node, std::size_t, const graph::Embedding& op, int worker) {
  const std::int64_t d = cols(node.output);
  float* const out = value(node.output);
  const float* const table = parameter(op.table).value;
  for_tokens(rows_of(node.output, worker), [&](std::int64_t t, std::int64_t position) {
    std::memcpy(out + t * d, table + row_of_table(op, t, position) * d, at(d) * sizeof(float));
  });
}

void Tape::Impl::run(const Node& node, std::size_t n, const graph::Add&, int worker) {
  const std::int64_t d = cols(node.output);
  const Range range = rows_of(node.output, worker);
  const ValueId dropped = dropout_ > 0 ? plan_.dropped[n] : ValueId{};
  const bool swap = dropped.index >= 0 && dropped == node.inputs[1];
  const float* const a = value(node.inputs[swap ? 1 : 0]);
  const float* const b = value(node.inputs[swap ? 0 : 1]);
  float* const out = value(node.output);
  if (dropped.index >= 0) {
    const DropMask mask(dropout_, seed_, n);
    for (std::int64_t r = range.begin; r < range.end; ++r)
      mask.apply(r, d, a + r * d, b + r * d, out + r * d);
    return;
  }
  const std::int64_t first = range.begin * d, count = range.size() * d;
  if (out != a) std::memcpy(out + first, a + first, at(count) * sizeof(float));
  kernels::kernels().backward.axpy(count, 1.0F, b + first, out + first);
}

void Tape::Impl::run(const Node& node, std::size_t, const graph::LayerNorm& op, int worker) {
  const std::int64_t d = cols(node.output);
  const Range range = rows_of(node.output, worker);
  kernels::kernels().layer_norm(value(node.inputs[0]) + range.begin * d, d, range.size(), d,
                                parameter(op.gamma).value, parameter(op.beta).value, op.eps,
                                value(node.output) + range.begin * d, d);
}

void Tape::Impl::run(const Node& node, std::size_t, const graph::RmsNorm& op, int worker) {
  const std::int64_t d = cols(node.output);
  const Range range = rows_of(node.output, worker);
  kernels::kernels().backward.rms_norm(
      value(node.inputs[0]) + range.begin * d, range.size() * op.groups, d / op.groups,
      parameter(op.gamma).value, op.eps, value(node.output) + range.begin * d);
}

void Tape::Impl::run(const Node& node, std::size_t, const graph::Scale& op, int worker) {
  const std::int64_t d = cols(node.output);
  const Range range = rows_of(node.output, worker);
  const float* const x = value(node.inputs[0]);
  float* const out = value(node.output);
  for (std::int64_t i = range.begin * d; i < range.end * d; ++i) out[i] = op.factor * x[i];
}

void Tape::Impl::run(const Node& node, std::size_t, const graph::Linear& op, int worker,
                     bool shares_input) {
  const ValueId x = node.inputs[0];
  kernels::ProductArgs args;
  args.m = rows(node.output);
  args.n = cols(node.output);
  args.k = cols(x);
  args.a = value(x);
  args.lda = args.k;
  args.b = parameter(op.weight).value;
  args.ldb = args.k;
  args.b_transposed = true;
  args.bias = op.bias.index < 0 ? nullptr : parameter(op.bias).value;
  args.c = value(node.output);
  args.ldc = args.n;
  if (!shares_input && packs(args)) {
    pack(args, packed_, worker);
    pool_.barrier().arrive_and_wait();
  }
  product(args, packed_, worker);
}

void Tape::Impl::run(const Node& node, std::size_t, const graph::Activate& op, int worker) {
  const std::int64_t d = cols(node.output);
  const Range range = rows_of(node.output, worker);
  kernels::kernels().activate(op.function, value(node.inputs[0]) + range.begin * d,
                              value(node.output) + range.begin * d, range.size() * d);
}

void Tape::Impl::run(const Node& node, std::size_t, const graph::Multiply&, int worker) {
  const std::int64_t d = cols(node.output);
  const Range range = rows_of(node.output, worker);
  kernels::kernels().backward.multiply(range.size() * d, value(node.inputs[0]) + range.begin * d,
                                       value(node.inputs[1]) + range.begin * d,
                                       value(node.output) + range.begin * d);
}

void Tape::Impl::rotate(const graph::Rope& op, const float* x, float* out, Range range,
                        float direction, bool accumulate) const {
  const std::int64_t half = op.head_dim / 2, d = op.heads * op.head_dim;
  std::vector<float> cosine(at(half)), sine(at(half));
  for_tokens(range, [&](std::int64_t t, std::int64_t position) {
    const double factor = op.factor(position);
    for (std::int64_t i = 0; i < half; ++i) {
      const double angle = op.angle(position, at(i));
      cosine[at(i)] = static_cast<float>(factor * std::cos(angle));
      sine[at(i)] = direction * static_cast<float>(factor * std::sin(angle));
    }
    for (std::int64_t h = 0; h < op.heads; ++h)
      for (std::int64_t i = 0; i < half; ++i) {
        const std::int64_t base = t * d + h * op.head_dim;
        const std::int64_t a = base + (op.interleaved ? 2 * i : i);
        const std::int64_t b = base + (op.interleaved ? 2 * i + 1 : i + half);
        const float u = x[a] * cosine[at(i)] - x[b] * sine[at(i)];
        const float v = x[a] * sine[at(i)] + x[b] * cosine[at(i)];
        out[a] = accumulate ? out[a] + u : u;
        out[b] = accumulate ? out[b] + v : v;
      }
  });
}

void Tape::Impl::run(const Node& node, std::size_t, const graph::Rope& op, int worker) {
  rotate(op, value(node.inputs[0]), value(node.output), rows_of(node.output, worker), 1.0F, false);
}

void Tape::Impl::run(const Node& node, std::size_t, const graph::Attention& op, int worker) {
  const std::int64_t group = op.heads / op.kv_heads;
  kernels::AttentionArgs args;
  args.heads = group;
  args.kv_heads = 1;
  args.head_dim = op.head_dim;
  args.q_stride = args.out_stride = op.heads * op.head_dim;
  args.k_stride = args.v_stride = op.kv_heads * op.head_dim;
  args.scale = op.scale;
  args.causal = op.causal;
  args.window = op.window;
  args.scratch = scratch_[at(worker)].as<float>();
  for_heads(worker, op.kv_heads, [&](std::int64_t s, std::int64_t h) {
    const std::int64_t first = batch_.starts[at(s)];
    args.length = args.q_end = batch_.starts[at(s) + 1] - first;
    const std::int64_t q_at = first * args.q_stride + h * group * op.head_dim;
    const std::int64_t kv_at = first * args.k_stride + h * op.head_dim;
    args.q = value(node.inputs[0]) + q_at;
    args.k = value(node.inputs[1]) + kv_at;
    args.v = value(node.inputs[2]) + kv_at;
    args.out = value(node.output) + q_at;
    kernels::kernels().attention(args);
  });
}

void Tape::Impl::run(const Node& node, std::size_t n, const graph::Pool& op, int worker) {
  const std::int64_t d = cols(node.output);
  const Range range = rows_of(node.output, worker);
  const float* const x = value(node.inputs[0]);
  for (std::int64_t s = range.begin; s < range.end; ++s) {
    const std::int64_t first = batch_.starts[at(s)], end = batch_.starts[at(s) + 1];
    float* const out = value(node.output) + s * d;
    if (op.kind != graph::PoolKind::kMean) {
      std::memcpy(out, x + (op.kind == graph::PoolKind::kCls ? first : end - 1) * d,
                  at(d) * sizeof(float));
    } else {
      std::memset(out, 0, at(d) * sizeof(float));
      const float share = 1.0F / static_cast<float>(end - first);
      for (std::int64_t t = first; t < end; ++t)
        kernels::kernels().backward.axpy(d, share, x + t * d, out);
    }
    if (dropout_ > 0) DropMask(dropout_, seed_, n).apply(s, d, out, nullptr, out);
  }
}

void Tape::Impl::run(const Node& node, std::size_t, const graph::L2Normalize& op, int worker) {
  const std::int64_t d = cols(node.output);
  const Range range = rows_of(node.output, worker);
  kernels::kernels().l2_normalize(value(node.inputs[0]) + range.begin * d, range.size(), d, op.eps,
                                  value(node.output) + range.begin * d);
}

}  // namespace tack
