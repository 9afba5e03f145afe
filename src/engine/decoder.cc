#include "engine/decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>

#include "base/aligned_buffer.h"
#include "base/checked.h"
#include "base/cpu.h"
#include "base/thread_pool.h"
#include "engine/kv_cache.h"
#include "kernels/kernels.h"
#include "tensor/convert.h"

namespace tack {
namespace {

using graph::Node;
using graph::ValueId;

constexpr std::int64_t kDefaultContext = 8192;
constexpr std::int64_t kWeightRows = 32;  // of a linear layer that a worker widens to f32 at once

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

struct Range {
  std::int64_t begin, end;
};
Range part_of(std::int64_t n, int part, int parts, std::int64_t unit = 1) {
  const std::int64_t units = div_up(n, unit);
  return {std::min(n, units * part / parts * unit), std::min(n, units * (part + 1) / parts * unit)};
}

// Where each value lies in the arena, as floats per row; memory is taken again after the last use.
std::vector<std::int64_t> place_values(const graph::Graph& graph, std::int64_t& columns) {
  struct Block {
    std::int64_t offset, size;
    std::size_t last_use;
  };
  const auto& nodes = graph.nodes();
  std::vector<std::size_t> last_use(graph.value_count(), 0);
  for (std::size_t n = 0; n < nodes.size(); ++n)
    for (ValueId input : nodes[n].inputs) last_use[at(input.index)] = n;
  std::vector<std::int64_t> offsets(graph.value_count(), -1);
  std::vector<Block> blocks;  // by offset
  columns = 0;
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    const ValueId v = nodes[n].output;
    std::erase_if(blocks, [&](const Block& b) { return b.last_use < n; });
    const std::int64_t size = round_up<std::int64_t>(graph.value(v).cols, 16);
    std::int64_t offset = 0;
    auto place = blocks.begin();
    for (; place != blocks.end() && place->offset - offset < size; ++place)
      offset = place->offset + place->size;
    blocks.insert(place, {offset, size, std::max(last_use[at(v.index)], n)});
    offsets[at(v.index)] = offset;
    columns = std::max(columns, offset + size);
  }
  return offsets;
}

class GraphDecoder final : public Decoder {
 public:
  GraphDecoder(std::shared_ptr<const Model> model, int threads, std::int64_t context,
               const DecoderOptions& options)
      : model_(std::move(model)),
        graph_(model_->graph()),
        pool_(threads),
        context_(context),
        batch_(std::min(options.batch, context)),
        sequences_(options.sequences),
        lane_(options.lane),
        logits_(graph_.find_output("logits")->value),
        cache_(layers_of(graph_), sequences_, context_, batch_) {
    std::int64_t columns = 0;
    offsets_ = place_values(without_logits(), columns);
    arena_ = AlignedBuffer(at(columns * batch_) * sizeof(float));
    std::int64_t depth = 0, head_dim = 0;
    std::size_t attention = 0;
    for (const Node& node : graph_.nodes()) {
      if (const auto* linear = std::get_if<graph::Linear>(&node.op))
        depth = std::max(depth, graph_.weight(linear->weight).shape[1]);
      if (const auto* op = std::get_if<graph::Attention>(&node.op)) {
        head_dim = std::max(head_dim, op->head_dim);
        layer_of_[&node] = attention++;
      }
      load_vectors(node);
    }
    for (int worker = 0; worker < threads; ++worker) {
      widened_.emplace_back(at(kWeightRows * depth) * sizeof(float));
      product_scratch_.emplace_back(kernels::product_scratch_bytes(batch_, depth));
      attention_scratch_.emplace_back(kernels::attention_scratch_floats(context_, head_dim) *
                                      sizeof(float));
    }
    hidden_ = AlignedBuffer(at(batch_ * graph_.value(last_hidden()).cols) * sizeof(float));
    out_.resize(at(sequences_ * vocab_size()));
  }

  const Model& model() const override { return *model_; }
  int threads() const override { return pool_.size(); }
  std::int64_t context() const override { return context_; }
  std::int64_t batch() const override { return batch_; }
  std::int64_t vocab_size() const override { return graph_.value(logits_).cols; }
  std::int64_t length(std::int64_t sequence) const override { return cache_.length(sequence); }
  bool rewind(std::int64_t sequence, std::int64_t length) override {
    return cache_.rewind(sequence, length);
  }
  Memory memory() const override {
    std::size_t arena = arena_.size() + hidden_.size() + out_.size() * sizeof(float);
    for (const auto* scratch : {&widened_, &product_scratch_, &attention_scratch_})
      for (const AlignedBuffer& buffer : *scratch) arena += buffer.size();
    return {cache_.bytes(), arena};
  }

  Result<std::span<const float>> run(std::span<const DecoderPart> parts) override {
    TACK_RETURN_IF_ERROR(take(parts));
    out_.resize(std::max(out_.size(), wanted_.size() * at(vocab_size())));
    pool_.run([&](int worker) {
      for (const Node& node : graph_.nodes()) {
        if (node.output == logits_) break;
        if (lane_ != nullptr) lane_->give_way();
        std::visit([&](const auto& op) { apply(node, op, worker); }, node.op);
        pool_.barrier().arrive_and_wait();
      }
      const std::int64_t d = graph_.value(last_hidden()).cols;
      const Range range = part_of(static_cast<std::int64_t>(wanted_.size()), worker, pool_.size());
      for (std::int64_t i = range.begin; i < range.end; ++i)
        std::memcpy(hidden_.as<float>() + i * d, value(last_hidden()) + wanted_[at(i)] * d,
                    at(d) * sizeof(float));
      pool_.barrier().arrive_and_wait();
      const auto& head = std::get<graph::Linear>(graph_.nodes().back().op);
      linear(head, hidden_.as<float>(), static_cast<std::int64_t>(wanted_.size()), out_.data(),
             worker);
    });
    for (const DecoderPart& part : parts)
      cache_.advance(part.sequence, static_cast<std::int64_t>(part.tokens.size()));
    return std::span<const float>(out_.data(), wanted_.size() * at(vocab_size()));
  }

 private:
  static std::vector<KvLayer> layers_of(const graph::Graph& graph) {
    std::vector<KvLayer> layers;
    for (const Node& node : graph.nodes())
      if (const auto* op = std::get_if<graph::Attention>(&node.op))
        layers.push_back({op->kv_heads, op->head_dim, op->window});
    return layers;
  }

  // Logits have memory of their own: they are wanted of few rows.
  graph::Graph without_logits() const {
    graph::Graph graph;
    for (const Node& node : graph_.nodes())
      if (node.output != logits_) graph.append(node.op, node.inputs, graph_.value(node.output));
    return graph;
  }

  ValueId last_hidden() const { return graph_.nodes().back().inputs[0]; }
  float* value(ValueId v) { return arena_.as<float>() + offsets_[at(v.index)] * batch_; }
  std::int64_t cols(ValueId v) const { return graph_.value(v).cols; }
  Range rows_of(int worker) const {
    return part_of(static_cast<std::int64_t>(ids_.size()), worker, pool_.size());
  }

  // Weights that are vectors, as f32.
  void load_vectors(const Node& node) {
    const auto load = [&](graph::WeightId id) {
      if (id.index < 0) return;
      const graph::Weight& weight = graph_.weight(id);
      std::vector<float>& values = vectors_[id.index];
      values.resize(at(element_count(weight.shape)));
      const TensorView& view = model_->tensor(weight);
      (void)to_f32(view.dtype, view.bytes, values);  // the model was opened: its types convert
    };
    if (const auto* norm = std::get_if<graph::RmsNorm>(&node.op)) load(norm->gamma);
    if (const auto* linear = std::get_if<graph::Linear>(&node.op)) load(linear->bias);
  }

  // Checks the parts and lays their tokens out as rows.
  Status take(std::span<const DecoderPart> parts) {
    ids_.clear();
    positions_.clear();
    wanted_.clear();
    parts_ = parts;
    starts_.assign(1, 0);
    std::vector<bool> seen(at(sequences_));
    for (const DecoderPart& part : parts) {
      const auto count = static_cast<std::int64_t>(part.tokens.size());
      if (part.sequence < 0 || part.sequence >= sequences_ || seen[at(part.sequence)] || count == 0)
        return fail(ErrorCode::kUsage, "sequence {} cannot take {} tokens here", part.sequence,
                    count);
      seen[at(part.sequence)] = true;
      const std::int64_t before = cache_.length(part.sequence);
      if (before + count > context_)
        return fail(ErrorCode::kUsage, "{} tokens and {} before them do not fit a context of {}",
                    count, before, context_);
      for (std::int64_t i = 0; i < count; ++i) {
        const TokenId id = part.tokens[at(i)];
        if (id < 0 || id >= vocab_size())
          return fail(ErrorCode::kUsage, "token id {} is not in 0 to {}", id, vocab_size() - 1);
        if (part.all_logits || i + 1 == count)
          wanted_.push_back(static_cast<std::int64_t>(ids_.size()));
        ids_.push_back(id);
        positions_.push_back(before + i);
      }
      starts_.push_back(static_cast<std::int64_t>(ids_.size()));
    }
    if (static_cast<std::int64_t>(ids_.size()) > batch_)
      return fail(ErrorCode::kUsage, "{} tokens are more than a batch of {}", ids_.size(), batch_);
    return {};
  }

  void apply(const Node& node, const graph::Embedding& op, int worker) {
    const TensorView& table = model_->tensor(graph_.weight(op.table));
    const std::int64_t d = cols(node.output);
    const Range range = rows_of(worker);
    for (std::int64_t r = range.begin; r < range.end; ++r)
      (void)to_f32(table.dtype, table.row(ids_[at(r)]), {value(node.output) + r * d, at(d)});
  }

  void apply(const Node& node, const graph::Scale& op, int worker) {
    const std::int64_t d = cols(node.output);
    const Range range = rows_of(worker);
    const float* const x = value(node.inputs[0]);
    float* const out = value(node.output);
    for (std::int64_t i = range.begin * d; i < range.end * d; ++i) out[i] = op.factor * x[i];
  }

  void apply(const Node& node, const graph::Add&, int worker) {
    const std::int64_t d = cols(node.output);
    const Range range = rows_of(worker);
    const float* const a = value(node.inputs[0]);
    const float* const b = value(node.inputs[1]);
    float* const out = value(node.output);
    for (std::int64_t i = range.begin * d; i < range.end * d; ++i) out[i] = a[i] + b[i];
  }

  void apply(const Node& node, const graph::Multiply&, int worker) {
    const std::int64_t d = cols(node.output);
    const Range range = rows_of(worker);
    kernels::kernels().backward.multiply(
        (range.end - range.begin) * d, value(node.inputs[0]) + range.begin * d,
        value(node.inputs[1]) + range.begin * d, value(node.output) + range.begin * d);
  }

  void apply(const Node& node, const graph::Activate& op, int worker) {
    const std::int64_t d = cols(node.output);
    const Range range = rows_of(worker);
    kernels::kernels().activate(op.function, value(node.inputs[0]) + range.begin * d,
                                value(node.output) + range.begin * d,
                                (range.end - range.begin) * d);
  }

  void apply(const Node& node, const graph::RmsNorm& op, int worker) {
    const std::int64_t d = cols(node.output);
    const Range range = rows_of(worker);
    kernels::kernels().backward.rms_norm(value(node.inputs[0]) + range.begin * d,
                                         (range.end - range.begin) * op.groups, d / op.groups,
                                         vectors_.at(op.gamma.index).data(), op.eps,
                                         value(node.output) + range.begin * d);
  }

  void apply(const Node& node, const graph::Linear& op, int worker) {
    linear(op, value(node.inputs[0]), static_cast<std::int64_t>(ids_.size()), value(node.output),
           worker);
  }

  // This worker's columns of x [rows, in] times the weight.
  void linear(const graph::Linear& op, const float* x, std::int64_t rows, float* out, int worker) {
    const TensorView& weight = model_->tensor(graph_.weight(op.weight));
    kernels::ProductArgs args;
    args.m = rows;
    args.k = args.lda = args.ldb = weight.cols();
    args.a = x;
    args.b_transposed = true;
    args.ldc = weight.rows();
    args.scratch = product_scratch_[at(worker)].data();
    const std::size_t row_bytes = weight.bytes.size() / at(weight.rows());
    const Range range = part_of(weight.rows(), worker, pool_.size(), kWeightRows);
    for (std::int64_t row = range.begin; row < range.end; row += kWeightRows) {
      args.n = std::min(kWeightRows, range.end - row);
      float* const widened = widened_[at(worker)].as<float>();
      (void)to_f32(weight.dtype, weight.bytes.subspan(at(row) * row_bytes, at(args.n) * row_bytes),
                   {widened, at(args.n * args.k)});
      args.b = widened;
      args.bias = op.bias.index < 0 ? nullptr : vectors_.at(op.bias.index).data() + row;
      args.c = out + row;
      kernels::kernels().product.multiply(args);
    }
  }

  void apply(const Node& node, const graph::Rope& op, int worker) {
    const std::int64_t half = op.head_dim / 2, d = op.heads * op.head_dim;
    const float* const x = value(node.inputs[0]);
    float* const out = value(node.output);
    const Range range = rows_of(worker);
    for (std::int64_t r = range.begin; r < range.end; ++r) {
      const std::int64_t position = positions_[at(r)];
      const double factor = op.factor(position);
      for (std::int64_t i = 0; i < half; ++i) {
        const double angle = op.angle(position, at(i));
        const auto cosine = static_cast<float>(factor * std::cos(angle));
        const auto sine = static_cast<float>(factor * std::sin(angle));
        for (std::int64_t h = 0; h < op.heads; ++h) {
          const std::int64_t base = r * d + h * op.head_dim;
          const std::int64_t a = base + (op.interleaved ? 2 * i : i);
          const std::int64_t b = base + (op.interleaved ? 2 * i + 1 : i + half);
          const float u = x[a], v = x[b];
          out[a] = u * cosine - v * sine;
          out[b] = u * sine + v * cosine;
        }
      }
    }
  }

  void apply(const Node& node, const graph::Attention& op, int worker) {
    const std::int64_t group = op.heads / op.kv_heads, d = op.head_dim;
    const auto items = static_cast<std::int64_t>(parts_.size()) * op.kv_heads;
    for (std::int64_t item = worker; item < items; item += pool_.size()) {
      const std::int64_t p = item / op.kv_heads, head = item % op.kv_heads;
      const std::int64_t begin = starts_[at(p)], count = starts_[at(p) + 1] - begin;
      const KvCache::Rows kept =
          cache_.append(parts_[at(p)].sequence, layer_of_.at(&node), head, count);
      const std::int64_t kv_cols = op.kv_heads * d;
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t from = (begin + i) * kv_cols + head * d;
        const std::int64_t to = (kept.rows - count + i) * d;
        std::memcpy(kept.k + to, value(node.inputs[1]) + from, at(d) * sizeof(float));
        std::memcpy(kept.v + to, value(node.inputs[2]) + from, at(d) * sizeof(float));
      }
      kernels::AttentionArgs args;
      args.length = args.q_end = kept.rows;
      args.q_begin = kept.rows - count;
      args.heads = group;
      args.kv_heads = 1;
      args.head_dim = d;
      args.q_stride = args.out_stride = op.heads * d;
      args.kv_stride = d;
      // Row 0 is the first that the cache keeps; the queries are the last `count`.
      const std::int64_t shift = (begin - args.q_begin) * args.q_stride + head * group * d;
      args.q = value(node.inputs[0]) + shift;
      args.out = value(node.output) + shift;
      args.k = kept.k;
      args.v = kept.v;
      args.scale = op.scale;
      args.causal = op.causal;
      args.window = op.window;
      args.scratch = attention_scratch_[at(worker)].as<float>();
      kernels::kernels().attention(args);
    }
  }

  // What only encoders have; create() refuses them.
  void apply(const Node&, const graph::LayerNorm&, int) {}
  void apply(const Node&, const graph::Pool&, int) {}
  void apply(const Node&, const graph::L2Normalize&, int) {}

  const std::shared_ptr<const Model> model_;
  const graph::Graph& graph_;
  ThreadPool pool_;
  const std::int64_t context_, batch_, sequences_;
  const PriorityLane* const lane_;
  const ValueId logits_;
  KvCache cache_;
  std::vector<std::int64_t> offsets_;                   // of values, floats per row
  std::map<const Node*, std::size_t> layer_of_;         // of attention nodes
  std::map<std::int32_t, std::vector<float>> vectors_;  // by weight
  AlignedBuffer arena_, hidden_;                        // hidden_: the rows whose logits are wanted
  std::vector<AlignedBuffer> widened_, product_scratch_, attention_scratch_;  // by worker
  std::vector<float> out_;
  // Of the call: rows are the tokens of all parts.
  std::span<const DecoderPart> parts_;
  std::vector<TokenId> ids_;
  std::vector<std::int64_t> positions_, starts_, wanted_;
};

}  // namespace

Result<std::unique_ptr<Decoder>> Decoder::create(std::shared_ptr<const Model> model,
                                                 const DecoderOptions& options) {
  if (!model->generates())
    return fail(ErrorCode::kUsage, "{} does not generate text: it is an encoder",
                model->path().string());
  const std::int64_t longest = model->context_length();
  if (options.context < 0 || options.context > longest)
    return fail(ErrorCode::kUsage, "a context of {} tokens: {} takes 1 to {}", options.context,
                model->name(), longest);
  if (options.sequences < 1 || options.batch < 1)
    return fail(ErrorCode::kUsage, "{} sequences and a batch of {} tokens: both are at least 1",
                options.sequences, options.batch);
  const std::int64_t context =
      options.context > 0 ? options.context : std::min(longest, kDefaultContext);
  const int threads = options.threads > 0 ? options.threads : cpu_info().logical_cores;
  return std::make_unique<GraphDecoder>(std::move(model), threads, context, options);
}

}  // namespace tack
