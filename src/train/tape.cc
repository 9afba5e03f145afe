#include "train/tape.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/random.h"

namespace tack {
namespace {

using graph::Node;
using graph::Rows;
using graph::ValueId;
using graph::WeightId;

std::size_t at(std::int32_t i) {
  return static_cast<std::size_t>(i);
}
std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

// The part of [0, n) of one of `parts` workers, cut at multiples of `unit`.
Range part_of(std::int64_t n, int part, int parts, std::int64_t unit = 1) {
  const std::int64_t units = (n + unit - 1) / unit;
  return {std::min(n, units * part / parts * unit), std::min(n, units * (part + 1) / parts * unit)};
}

// Whether the backward of an operator reads its input i again.
bool backward_reads(const graph::Op& op, std::size_t) {
  return !std::holds_alternative<graph::Add>(op) && !std::holds_alternative<graph::Pool>(op) &&
         !std::holds_alternative<graph::Rope>(op);
}

// First-fit placement of intervals of time that need `size` columns each.
class Placer {
 public:
  std::int64_t place(std::int64_t size, std::int64_t from, std::int64_t to) {
    std::vector<Range> taken;
    for (const Block& block : blocks_)
      if (block.from <= to && from <= block.to) taken.push_back(block.columns);
    std::ranges::sort(taken, {}, &Range::begin);
    std::int64_t offset = 0;
    for (const Range& range : taken) {
      if (offset + size <= range.begin) break;
      offset = std::max(offset, range.end);
    }
    blocks_.push_back({{offset, offset + size}, from, to});
    total_ = std::max(total_, offset + size);
    return offset;
  }
  std::int64_t total() const { return total_; }

 private:
  struct Block {
    Range columns;
    std::int64_t from, to;
  };
  std::vector<Block> blocks_;
  std::int64_t total_ = 0;
};

// The dropout of one node: masks are a function of seed, node and row.
class DropMask {
 public:
  DropMask(float rate, std::uint64_t seed, std::uint64_t node)
      : keep_(1.0F - rate), seed_(seed * 0x9e3779b97f4a7c15ULL + node * 0xd1342543de82ef95ULL) {}

  // y = x * mask / (1 - rate) over one row, plus `add` when it is not null.
  void apply(std::int64_t row, std::int64_t cols, const float* x, const float* add,
             float* y) const {
    const auto seed = static_cast<std::uint32_t>(
        Random(seed_ + static_cast<std::uint64_t>(row) * 0xa0761d6478bd642fULL).next());
    kernels::kernels().backward.dropout(cols, x, add, y, seed, keep_, 1.0F / keep_);
  }

 private:
  float keep_;
  std::uint64_t seed_;
};

}  // namespace

class Tape::Impl {
 public:
  Impl(const graph::Graph& graph, std::vector<Parameter> parameters, const TapeOptions& options,
       ThreadPool& pool)
      : graph_(graph), parameters_(std::move(parameters)), options_(options), pool_(pool) {
    product_ = options.bf16 ? kernels::bf16_product() : nullptr;
    if (product_ == nullptr) product_ = kernels::kernels().product;
  }

  Status plan(std::span<const ValueId> outputs) {
    find_live(outputs);
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n)
      if (live_[n]) TACK_RETURN_IF_ERROR(check_weights(graph_.nodes()[n]));
    find_gradients();
    place(outputs);
    allocate();
    return {};
  }

  void forward(const graph::Batch& batch, float dropout, std::uint64_t seed) {
    assert(batch.tokens() <= options_.max_tokens && batch.sequences() <= options_.max_sequences);
    batch_ = batch;
    dropout_ = dropout;
    seed_ = seed;
    cut_sequences();
    pool_.run([this](int worker) {
      for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
        if (!live_[n]) continue;
        std::visit([&](const auto& op) { run(graph_.nodes()[n], n, op, worker); },
                   graph_.nodes()[n].op);
        pool_.barrier().arrive_and_wait();
      }
    });
    // Only now: the memory may have held values.
    for (const ValueId v : outputs_)
      if (info(v).has_gradient) std::memset(gradient(v), 0, at(rows(v) * cols(v)) * sizeof(float));
  }

  void backward() {
    pool_.run([this](int worker) {
      for (std::size_t n = graph_.nodes().size(); n-- > 0;) {
        if (!live_[n] || !info(graph_.nodes()[n].output).has_gradient) continue;
        std::visit([&](const auto& op) { derive(graph_.nodes()[n], n, op, worker); },
                   graph_.nodes()[n].op);
        pool_.barrier().arrive_and_wait();
      }
    });
  }

  std::int64_t rows(ValueId v) const {
    return graph_.value(v).rows == Rows::kTokens ? batch_.tokens() : batch_.sequences();
  }
  std::int64_t cols(ValueId v) const { return graph_.value(v).cols; }
  float* value(ValueId v) { return place_of(v, info(v).value_offset); }
  float* gradient(ValueId v) { return place_of(v, info(v).gradient_offset); }
  std::size_t bytes() const {
    return token_arena_.size() + sequence_arena_.size() + scratch_.size() * scratch_bytes_;
  }

 private:
  struct ValueInfo {
    std::size_t producer = 0;
    std::vector<std::size_t> consumers;
    bool is_output = false;
    bool has_gradient = false;                           // a trainable parameter lies upstream
    std::int32_t alias = -1;                             // the gradient is that of this value
    std::int64_t value_offset = 0, gradient_offset = 0;  // in columns of the arena of its rows
  };
  ValueInfo& info(ValueId v) { return values_[at(v.index)]; }
  const ValueInfo& info(ValueId v) const { return values_[at(v.index)]; }

  float* place_of(ValueId v, std::int64_t offset) {
    const bool tokens = graph_.value(v).rows == Rows::kTokens;
    return (tokens ? token_arena_ : sequence_arena_).as<float>() +
           offset * (tokens ? options_.max_tokens : options_.max_sequences);
  }

  const Parameter& parameter(WeightId id) const { return parameters_[at(id.index)]; }
  bool trains(WeightId id) const { return id.index >= 0 && parameter(id).gradient != nullptr; }

  // --- planning ---------------------------------------------------------------------------------

  void find_live(std::span<const ValueId> outputs) {
    values_.resize(graph_.value_count());
    live_.assign(graph_.nodes().size(), false);
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n)
      info(graph_.nodes()[n].output).producer = n;
    std::vector<ValueId> todo(outputs.begin(), outputs.end());
    outputs_ = todo;
    for (ValueId v : outputs) info(v).is_output = true;
    while (!todo.empty()) {
      const std::size_t n = info(todo.back()).producer;
      todo.pop_back();
      if (live_[n]) continue;
      live_[n] = true;
      for (ValueId input : graph_.nodes()[n].inputs) {
        info(input).consumers.push_back(n);
        todo.push_back(input);
      }
    }
    for (ValueInfo& v : values_) std::ranges::sort(v.consumers);
  }

  static std::vector<WeightId> weights_of(const graph::Op& op) {
    if (const auto* e = std::get_if<graph::Embedding>(&op)) return {e->table};
    if (const auto* n = std::get_if<graph::LayerNorm>(&op)) return {n->gamma, n->beta};
    if (const auto* n = std::get_if<graph::RmsNorm>(&op)) return {n->gamma};
    if (const auto* l = std::get_if<graph::Linear>(&op))
      return l->bias.index < 0 ? std::vector{l->weight} : std::vector{l->weight, l->bias};
    return {};
  }

  Status check_weights(const Node& node) const {
    for (WeightId id : weights_of(node.op))
      if (at(id.index) >= parameters_.size() || parameter(id).value == nullptr)
        return fail(ErrorCode::kUsage, "no values for the weight {}", graph_.weight(id).name);
    return {};
  }

  void find_gradients() {
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
      if (!live_[n]) continue;
      const Node& node = graph_.nodes()[n];
      bool& has = info(node.output).has_gradient;
      for (WeightId id : weights_of(node.op)) has |= trains(id);
      for (ValueId input : node.inputs) has |= info(input).has_gradient;
    }
    // What a sum passes back unchanged to an operand that nobody else reads is the sum's own.
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
      const Node& node = graph_.nodes()[n];
      if (!live_[n] || !std::holds_alternative<graph::Add>(node.op)) continue;
      for (ValueId input : node.inputs)
        if (info(input).consumers.size() == 1 && !info(input).is_output &&
            input.index != dropped_input(node).index)
          info(input).alias = node.output.index;
    }
  }

  // The operand of a sum that dropout falls on: what a linear layer adds to the residual stream.
  ValueId dropped_input(const Node& node) const {
    if (!std::holds_alternative<graph::Add>(node.op) ||
        graph_.value(node.output).rows != Rows::kTokens)
      return {};
    const auto linear = [&](ValueId v) {
      return std::holds_alternative<graph::Linear>(producer(v).op);
    };
    // An adapted layer is a sum of two linear ones: it counts as one, and is not dropped inside.
    const auto branch = [&](ValueId v) {
      const Node& from = producer(v);
      return linear(v) || (std::holds_alternative<graph::Add>(from.op) && linear(from.inputs[0]) &&
                           linear(from.inputs[1]));
    };
    const bool first = branch(node.inputs[0]), second = branch(node.inputs[1]);
    if (first == second) return {};
    return node.inputs[first ? 0 : 1];
  }
  const Node& producer(ValueId v) const { return graph_.nodes()[info(v).producer]; }

  void place(std::span<const ValueId> outputs) {
    const auto count = static_cast<std::int64_t>(graph_.nodes().size());
    const auto back = [&](std::size_t n) { return 2 * count - 1 - static_cast<std::int64_t>(n); };
    Placer tokens, sequences;
    const auto placer = [&](ValueId v) -> Placer& {
      return graph_.value(v).rows == Rows::kTokens ? tokens : sequences;
    };
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
      if (!live_[n]) continue;
      const ValueId v = graph_.nodes()[n].output;
      std::int64_t last = static_cast<std::int64_t>(n);
      for (std::size_t c : info(v).consumers) {
        const Node& consumer = graph_.nodes()[c];
        last = std::max(last, info(consumer.output).has_gradient && backward_reads(consumer.op, 0)
                                  ? back(c)
                                  : static_cast<std::int64_t>(c));
      }
      if (std::ranges::find(outputs, v) != outputs.end()) last = std::max(last, back(0));
      info(v).value_offset = placer(v).place(cols(v), static_cast<std::int64_t>(n), last);
    }
    // Gradients, in the order in which the backward meets them: an alias's owner comes first.
    for (std::size_t n = graph_.nodes().size(); n-- > 0;) {
      if (!live_[n]) continue;
      const ValueId v = graph_.nodes()[n].output;
      if (!info(v).has_gradient) continue;
      if (info(v).alias >= 0) continue;
      std::int64_t first = info(v).is_output ? count - 1 : back(n), last = back(n);
      for (std::size_t c : info(v).consumers) first = std::min(first, back(c));
      last = std::max(last, last_use_of_gradient(v, back));
      info(v).gradient_offset = placer(v).place(cols(v), first, last);
    }
    for (std::size_t n = graph_.nodes().size(); n-- > 0;) {
      const ValueId v = graph_.nodes()[n].output;
      if (live_[n] && info(v).alias >= 0)
        info(v).gradient_offset = info({info(v).alias}).gradient_offset;
    }
    token_columns_ = tokens.total();
    sequence_columns_ = sequences.total();
  }

  // A gradient is read until the backward of its producer, and of those that alias it.
  template <class Back>
  std::int64_t last_use_of_gradient(ValueId v, const Back& back) const {
    const std::size_t n = info(v).producer;
    std::int64_t last = back(n);
    for (ValueId input : graph_.nodes()[n].inputs)
      if (info(input).alias == v.index) last = std::max(last, last_use_of_gradient(input, back));
    return last;
  }

  void allocate() {
    const auto bytes = [](std::int64_t columns, std::int64_t row_count) {
      return at(columns * row_count) * sizeof(float);
    };
    token_arena_ = AlignedBuffer(bytes(token_columns_, options_.max_tokens));
    sequence_arena_ = AlignedBuffer(bytes(sequence_columns_, options_.max_sequences));
    statistics_.assign(at(2 * std::max(options_.max_tokens, options_.max_sequences)), 0.0F);
    std::size_t scratch = 0;
    for (const Node& node : graph_.nodes()) {
      if (const auto* op = std::get_if<graph::Attention>(&node.op)) {
        scratch = std::max(
            scratch, kernels::attention_backward_scratch_bytes(options_.max_length, op->head_dim));
        scratch = std::max(scratch, sizeof(float) * kernels::attention_scratch_floats(
                                                        options_.max_length, op->head_dim));
      } else if (std::holds_alternative<graph::Linear>(node.op)) {
        const std::int64_t most_rows = graph_.value(node.output).rows == Rows::kTokens
                                           ? options_.max_tokens
                                           : options_.max_sequences;
        const std::int64_t in = cols(node.inputs[0]), out = cols(node.output);
        scratch = std::max({scratch, kernels::product_scratch_bytes(most_rows, std::max(in, out)),
                            kernels::product_scratch_bytes(std::max(in, out), most_rows)});
      }
    }
    scratch_bytes_ = scratch;
    for (int w = 0; w < pool_.size(); ++w) scratch_.emplace_back(scratch);
  }

  // Sequences times heads cost their length squared: cut so that workers get equal shares.
  void cut_sequences() {
    cost_.assign(1, 0);
    for (std::int64_t s = 0; s < batch_.sequences(); ++s) {
      const std::int64_t length = batch_.starts[at(s) + 1] - batch_.starts[at(s)];
      cost_.push_back(cost_.back() + length * (length + 32));
    }
  }

  // Calls body(sequence, head) for this worker's share of sequences x heads.
  template <class Body>
  void for_heads(int worker, std::int64_t heads, const Body& body) const {
    const std::int64_t all = cost_.back() * heads;
    const std::int64_t from = all * worker / pool_.size(), to = all * (worker + 1) / pool_.size();
    for (std::int64_t s = 0; s < batch_.sequences(); ++s) {
      const std::int64_t each = cost_[at(s) + 1] - cost_[at(s)];
      for (std::int64_t h = 0; h < heads; ++h) {
        const std::int64_t begin = cost_[at(s)] * heads + h * each;
        if (begin >= from && begin < to) body(s, h);
      }
    }
  }

  Range rows_of(ValueId v, int worker) const { return part_of(rows(v), worker, pool_.size()); }
  Range columns_of(ValueId v, int worker) const {
    return part_of(cols(v), worker, pool_.size(), 16);
  }

  // c [m, n] in parts: workers take columns, in panels, when there are enough of them, else rows.
  void product(kernels::ProductArgs args, int worker) {
    constexpr std::int64_t kPanel = 64;
    if ((args.n + kPanel - 1) / kPanel >= 2 * pool_.size() || args.n > args.m) {
      const Range part = part_of(args.n, worker, pool_.size(), kPanel);
      args.n = part.size();
      args.b += args.b_transposed ? part.begin * args.ldb : part.begin;
      args.c += part.begin;
      if (args.bias != nullptr) args.bias += part.begin;
    } else {
      const Range part = part_of(args.m, worker, pool_.size(), 6);
      args.m = part.size();
      args.a += args.a_transposed ? part.begin : part.begin * args.lda;
      args.c += part.begin * args.ldc;
    }
    args.scratch = scratch_[at(worker)].data();
    if (args.m > 0 && args.n > 0) product_(args);
  }

  // --- forward ----------------------------------------------------------------------------------

  std::int64_t row_of_table(const graph::Embedding& op, std::int64_t token,
                            std::int64_t position) const {
    if (op.index == graph::Index::kPosition) return position;
    if (op.index == graph::Index::kTokenId) return batch_.ids[at(token)];
    return batch_.type_ids.empty() ? 0 : batch_.type_ids[at(token)];
  }

  template <class Body>
  void for_tokens(Range range, const Body& body) const {
    std::int64_t s =
        std::ranges::upper_bound(batch_.starts, range.begin) - batch_.starts.begin() - 1;
    for (std::int64_t t = range.begin; t < range.end; ++t) {
      while (t >= batch_.starts[at(s) + 1]) ++s;
      body(t, t - batch_.starts[at(s)]);
    }
  }

  void run(const Node& node, std::size_t, const graph::Embedding& op, int worker) {
    const std::int64_t d = cols(node.output);
    float* const out = value(node.output);
    const float* const table = parameter(op.table).value;
    for_tokens(rows_of(node.output, worker), [&](std::int64_t t, std::int64_t position) {
      std::memcpy(out + t * d, table + row_of_table(op, t, position) * d, at(d) * sizeof(float));
    });
  }

  void run(const Node& node, std::size_t n, const graph::Add&, int worker) {
    const std::int64_t d = cols(node.output);
    const Range range = rows_of(node.output, worker);
    const ValueId dropped = dropout_ > 0 ? dropped_input(node) : ValueId{};
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

  void run(const Node& node, std::size_t, const graph::LayerNorm& op, int worker) {
    const std::int64_t d = cols(node.output);
    const Range range = rows_of(node.output, worker);
    kernels::kernels().layer_norm(value(node.inputs[0]) + range.begin * d, d, range.size(), d,
                                  parameter(op.gamma).value, parameter(op.beta).value, op.eps,
                                  value(node.output) + range.begin * d, d);
  }

  void run(const Node& node, std::size_t, const graph::RmsNorm& op, int worker) {
    const std::int64_t d = cols(node.output);
    const Range range = rows_of(node.output, worker);
    kernels::kernels().backward.rms_norm(value(node.inputs[0]) + range.begin * d, range.size(), d,
                                         parameter(op.gamma).value, op.eps,
                                         value(node.output) + range.begin * d);
  }

  void run(const Node& node, std::size_t, const graph::Linear& op, int worker) {
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
    product(args, worker);
  }

  void run(const Node& node, std::size_t, const graph::Activate& op, int worker) {
    const std::int64_t d = cols(node.output);
    const Range range = rows_of(node.output, worker);
    kernels::kernels().activate(op.function, value(node.inputs[0]) + range.begin * d,
                                value(node.output) + range.begin * d, range.size() * d);
  }

  void run(const Node& node, std::size_t, const graph::Multiply&, int worker) {
    const std::int64_t d = cols(node.output);
    const Range range = rows_of(node.output, worker);
    kernels::kernels().backward.multiply(range.size() * d, value(node.inputs[0]) + range.begin * d,
                                         value(node.inputs[1]) + range.begin * d,
                                         value(node.output) + range.begin * d);
  }

  // out (+)= x turned by `direction` times its angle.
  void rotate(const graph::Rope& op, const float* x, float* out, Range range, float direction,
              bool accumulate) const {
    const std::int64_t half = op.head_dim / 2, d = op.heads * op.head_dim;
    std::vector<float> cosine(at(half)), sine(at(half));
    for_tokens(range, [&](std::int64_t t, std::int64_t position) {
      for (std::int64_t i = 0; i < half; ++i) {
        const double angle =
            static_cast<double>(position) * static_cast<double>(op.frequency[at(i)]);
        cosine[at(i)] = static_cast<float>(std::cos(angle));
        sine[at(i)] = direction * static_cast<float>(std::sin(angle));
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

  void run(const Node& node, std::size_t, const graph::Rope& op, int worker) {
    rotate(op, value(node.inputs[0]), value(node.output), rows_of(node.output, worker), 1.0F,
           false);
  }

  void run(const Node& node, std::size_t, const graph::Attention& op, int worker) {
    const std::int64_t group = op.heads / op.kv_heads;
    kernels::AttentionArgs args;
    args.heads = group;
    args.kv_heads = 1;
    args.head_dim = op.head_dim;
    args.q_stride = args.out_stride = op.heads * op.head_dim;
    args.kv_stride = op.kv_heads * op.head_dim;
    args.scale = op.scale;
    args.causal = op.causal;
    args.window = op.window;
    args.scratch = scratch_[at(worker)].as<float>();
    for_heads(worker, op.kv_heads, [&](std::int64_t s, std::int64_t h) {
      const std::int64_t first = batch_.starts[at(s)];
      args.length = args.q_end = batch_.starts[at(s) + 1] - first;
      const std::int64_t q_at = first * args.q_stride + h * group * op.head_dim;
      const std::int64_t kv_at = first * args.kv_stride + h * op.head_dim;
      args.q = value(node.inputs[0]) + q_at;
      args.k = value(node.inputs[1]) + kv_at;
      args.v = value(node.inputs[2]) + kv_at;
      args.out = value(node.output) + q_at;
      kernels::kernels().attention(args);
    });
  }

  void run(const Node& node, std::size_t n, const graph::Pool& op, int worker) {
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

  void run(const Node& node, std::size_t, const graph::L2Normalize& op, int worker) {
    const std::int64_t d = cols(node.output);
    const Range range = rows_of(node.output, worker);
    kernels::kernels().l2_normalize(value(node.inputs[0]) + range.begin * d, range.size(), d,
                                    op.eps, value(node.output) + range.begin * d);
  }

  // --- backward ---------------------------------------------------------------------------------

  // Whether node n adds to the gradient of its input v: not when it is the first to write it.
  bool accumulates(std::size_t n, ValueId v) const {
    return info(v).is_output || info(v).consumers.back() != n;
  }

  void derive(const Node& node, std::size_t, const graph::Embedding& op, int worker) {
    const std::int64_t d = cols(node.output);
    const Range columns = columns_of(node.output, worker);
    const float* const dy = gradient(node.output);
    float* const table = parameter(op.table).gradient;
    for_tokens({0, rows(node.output)}, [&](std::int64_t t, std::int64_t position) {
      kernels::kernels().backward.axpy(columns.size(), 1.0F, dy + t * d + columns.begin,
                                       table + row_of_table(op, t, position) * d + columns.begin);
    });
  }

  void derive(const Node& node, std::size_t n, const graph::Add&, int worker) {
    const std::int64_t d = cols(node.output);
    const Range range = rows_of(node.output, worker);
    const float* const dy = gradient(node.output);
    const ValueId dropped = dropped_input(node);
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
        std::memcpy(dx + range.begin * d, dy + range.begin * d,
                    at(range.size() * d) * sizeof(float));
      }
    }
  }

  void derive_norm(const Node& node, std::size_t n, kernels::Norm norm, WeightId gamma,
                   WeightId beta, float eps, int worker) {
    const ValueId x = node.inputs[0];
    const std::int64_t d = cols(x);
    const Range range = rows_of(x, worker);
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
    const Range columns = columns_of(x, worker);
    args.rows = rows(x);
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

  void derive(const Node& node, std::size_t n, const graph::LayerNorm& op, int worker) {
    derive_norm(node, n, kernels::Norm::kLayer, op.gamma, op.beta, op.eps, worker);
  }
  void derive(const Node& node, std::size_t n, const graph::RmsNorm& op, int worker) {
    derive_norm(node, n, kernels::Norm::kRms, op.gamma, {}, op.eps, worker);
  }

  void derive(const Node& node, std::size_t n, const graph::Linear& op, int worker) {
    const ValueId x = node.inputs[0];
    const std::int64_t count = rows(x), in = cols(x), out = cols(node.output);
    const float* const dy = gradient(node.output);
    kernels::ProductArgs args;
    if (info(x).has_gradient) {  // dx = dy W
      args.m = count;
      args.n = in;
      args.k = out;
      args.a = dy;
      args.lda = out;
      args.b = parameter(op.weight).value;
      args.ldb = in;
      args.c = gradient(x);
      args.ldc = in;
      args.accumulate = accumulates(n, x);
      product(args, worker);
    }
    if (trains(op.weight)) {  // dW += dy^T x
      args = {};
      args.m = out;
      args.n = in;
      args.k = count;
      args.a = dy;
      args.lda = out;
      args.a_transposed = true;
      args.b = value(x);
      args.ldb = in;
      args.c = parameter(op.weight).gradient;
      args.ldc = in;
      args.accumulate = true;
      product(args, worker);
    }
    if (trains(op.bias)) {
      const Range columns = columns_of(node.output, worker);
      kernels::kernels().backward.column_sums(dy, count, out, columns.begin, columns.end,
                                              parameter(op.bias).gradient);
    }
  }

  void derive(const Node& node, std::size_t n, const graph::Activate& op, int worker) {
    const ValueId x = node.inputs[0];
    const std::int64_t d = cols(x);
    const Range range = rows_of(x, worker);
    const std::int64_t from = range.begin * d;
    if (!accumulates(n, x)) {
      kernels::kernels().backward.activate(op.function, value(x) + from,
                                           gradient(node.output) + from, gradient(x) + from,
                                           range.size() * d);
      return;
    }
    std::vector<float> row(at(d));
    for (std::int64_t r = range.begin; r < range.end; ++r) {
      kernels::kernels().backward.activate(op.function, value(x) + r * d,
                                           gradient(node.output) + r * d, row.data(), d);
      kernels::kernels().backward.axpy(d, 1.0F, row.data(), gradient(x) + r * d);
    }
  }

  void derive(const Node& node, std::size_t n, const graph::Multiply&, int worker) {
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

  void derive(const Node& node, std::size_t n, const graph::Rope& op, int worker) {
    const ValueId x = node.inputs[0];
    rotate(op, gradient(node.output), gradient(x), rows_of(x, worker), -1.0F, accumulates(n, x));
  }

  void derive(const Node& node, std::size_t n, const graph::Attention& op, int worker) {
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

  void derive(const Node& node, std::size_t n, const graph::Pool& op, int worker) {
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
          kernels::kernels().backward.axpy(d, 1.0F / static_cast<float>(end - first), dy,
                                           dx + t * d);
      else
        kernels::kernels().backward.axpy(
            d, 1.0F, dy, dx + (op.kind == graph::PoolKind::kCls ? first : end - 1) * d);
    }
  }

  void derive(const Node& node, std::size_t n, const graph::L2Normalize& op, int worker) {
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

  const graph::Graph& graph_;
  std::vector<Parameter> parameters_;
  const TapeOptions options_;
  ThreadPool& pool_;
  kernels::ProductFn product_;
  std::vector<ValueInfo> values_;
  std::vector<bool> live_;
  std::vector<ValueId> outputs_;
  std::int64_t token_columns_ = 0, sequence_columns_ = 0;
  AlignedBuffer token_arena_, sequence_arena_;
  std::vector<AlignedBuffer> scratch_;  // per worker
  std::size_t scratch_bytes_ = 0;
  std::vector<float> statistics_;  // [rows, 2] of the norm being derived
  std::vector<std::int64_t> cost_;
  graph::Batch batch_;
  float dropout_ = 0;
  std::uint64_t seed_ = 0;
};

Tape::Tape(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tape::~Tape() = default;

Result<std::unique_ptr<Tape>> Tape::create(const graph::Graph& graph,
                                           std::span<const ValueId> outputs,
                                           std::vector<Parameter> parameters,
                                           const TapeOptions& options, ThreadPool& pool) {
  auto impl = std::make_unique<Impl>(graph, std::move(parameters), options, pool);
  TACK_RETURN_IF_ERROR(impl->plan(outputs));
  return std::unique_ptr<Tape>(new Tape(std::move(impl)));
}

void Tape::forward(const graph::Batch& batch, float dropout, std::uint64_t seed) {
  impl_->forward(batch, dropout, seed);
}
std::span<const float> Tape::value(ValueId output) const {
  return {impl_->value(output), at(impl_->rows(output) * impl_->cols(output))};
}
std::span<float> Tape::gradient(ValueId output) {
  return {impl_->gradient(output), at(impl_->rows(output) * impl_->cols(output))};
}
void Tape::backward() {
  impl_->backward();
}
std::size_t Tape::bytes() const {
  return impl_->bytes();
}

}  // namespace tack
