#include "engine/decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <new>
#include <string_view>
#include <system_error>

#include "base/aligned_buffer.h"
#include "base/checked.h"
#include "base/cpu.h"
#include "base/range.h"
#include "base/thread_pool.h"
#include "base/untouched_buffer.h"
#include "engine/decoder_program.h"
#include "engine/kv_cache.h"
#include "kernels/kernels.h"
#include "tensor/convert.h"

namespace tack {
namespace {

using graph::Node;
using graph::ValueId;

constexpr std::int64_t kDefaultContext = 8192;
// Of a linear layer's weight: what workers share, and widen at once.
constexpr std::int64_t kWeightRows = 32;
constexpr std::int64_t kItemsPerWorker = 2;  // of attention; with fewer, spans are shared

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

class GraphDecoder final : public Decoder {
 public:
  GraphDecoder(std::shared_ptr<const Model> model, int threads, std::int64_t context,
               const DecoderOptions& options)
      : model_(std::move(model)),
        graph_(model_->graph()),
        pool_(threads),
        context_(context),
        batch_(batch_of(options, context)),
        sequences_(options.sequences),
        exact_(options.exact || options.observe),
        lane_(options.lane),
        observe_(options.observe),
        logits_(graph_.find_output("logits")->value),
        tensors_(tensors_of(*model_, options)),
        program_(make_program(graph_, logits_, [&](const auto& op) { return in_blocks(op); })),
        cache_(layers_of(graph_), options.kv, sequences_, context_, batch_) {
    if (observe_) find_readers();
    vectors_.resize(graph_.weights().size());
    arena_ = AlignedBuffer(at(program_.columns * batch_) * sizeof(float));
    hidden_ = AlignedBuffer(at(batch_ * graph_.value(last_hidden()).cols) * sizeof(float));
    for (const Node& node : graph_.nodes()) load_vectors(node);
    allocate_products(threads);
    allocate_attention(threads);
    for (const graph::Rope* rope : program_.ropes)
      angles_.emplace_back(at(batch_) * rope->frequency.size() * 2 * sizeof(float));
    out_.resize(at(sequences_ * vocab_size()));
    ids_.reserve(at(batch_));
    places_.reserve(at(batch_));
    wanted_.reserve(at(batch_));
    starts_.reserve(at(sequences_) + 1);
    seen_.resize(at(sequences_));
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
  bool copy(std::int64_t from, std::int64_t to, std::int64_t length) override {
    return cache_.copy(from, to, length);
  }
  Memory memory() const override {
    std::size_t arena = arena_.size() + hidden_.size() + quantized_.size() + partial_.size() +
                        out_.size() * sizeof(float);
    for (const auto* buffers :
         {&widened_, &product_scratch_, &block_scratch_, &attention_scratch_, &angles_})
      for (const AlignedBuffer& buffer : *buffers) arena += buffer.size();
    return {cache_.bytes(), arena};
  }

  Result<std::span<const float>> run(std::span<const DecoderPart> parts) override {
    TACK_RETURN_IF_ERROR(take(parts));
    if (out_.size() < wanted_.size() * at(vocab_size()))
      out_.resize(wanted_.size() * at(vocab_size()));
    pool_.run([this](int worker) { work(worker); });
    for (const DecoderPart& part : parts)
      cache_.advance(part.sequence, static_cast<std::int64_t>(part.tokens.size()));
    return std::span<const float>(out_.data(), wanted_.size() * at(vocab_size()));
  }

 private:
  static std::vector<const TensorView*> tensors_of(const Model& model,
                                                   const DecoderOptions& options) {
    std::vector<const TensorView*> tensors;
    for (const graph::Weight& weight : model.graph().weights()) {
      const TensorView* other = options.replace ? options.replace(weight.name) : nullptr;
      tensors.push_back(other != nullptr ? other : &model.tensor(weight));
    }
    return tensors;
  }
  // No more than all sequences can hold.
  static std::int64_t batch_of(const DecoderOptions& options, std::int64_t context) {
    return options.batch / context < options.sequences ? options.batch
                                                       : context * options.sequences;
  }
  static std::vector<KvLayer> layers_of(const graph::Graph& graph) {
    std::vector<KvLayer> layers;
    for (const Node& node : graph.nodes())
      if (const auto* op = std::get_if<graph::Attention>(&node.op))
        layers.push_back({op->kv_heads, op->head_dim, op->window});
    return layers;
  }

  // One worker's part of a call.
  void work(int worker) {
    compute_angles(worker);
    for (const Action& action : program_.actions) {
      if (action.meet_before) {
        if (lane_ != nullptr) lane_->give_way();
        pool_.barrier().arrive_and_wait();
      }
      switch (action.kind) {
        case Action::Kind::kNode:
          std::visit([&](const auto& op) { apply(action, op, worker); }, action.node->op);
          break;
        case Action::Kind::kQuantize:
          quantize(value(action.value), cols(action.value), rows_of(worker));
          break;
        case Action::Kind::kStore:
          store(action, worker);
          break;
      }
    }
    pool_.barrier().arrive_and_wait();
    observe(graph_.nodes().back(), worker);
    // Logits have memory of their own: they are wanted of few rows.
    const std::int64_t d = cols(last_hidden()), count = static_cast<std::int64_t>(wanted_.size());
    const auto& head = std::get<graph::Linear>(graph_.nodes().back().op);
    const Range range = part_of(count, worker, pool_.size());
    for (std::int64_t i = range.begin; i < range.end; ++i)
      std::memcpy(hidden_.as<float>() + i * d, value(last_hidden()) + wanted_[at(i)] * d,
                  at(d) * sizeof(float));
    if (in_blocks(head)) quantize(hidden_.as<float>(), d, range);
    pool_.barrier().arrive_and_wait();
    linear(head, hidden_.as<float>(), count, out_.data(), worker);
  }

  ValueId last_hidden() const { return graph_.nodes().back().inputs[0]; }
  float* value(ValueId v) { return arena_.as<float>() + program_.offsets[at(v.index)] * batch_; }
  std::int64_t cols(ValueId v) const { return graph_.value(v).cols; }
  Range rows_of(int worker) const {
    return part_of(static_cast<std::int64_t>(ids_.size()), worker, pool_.size());
  }

  const TensorView& tensor(graph::WeightId id) const { return *tensors_[at(id.index)]; }
  bool in_blocks(const graph::Linear& op) const {
    return !exact_ && kernels::has_block_product(tensor(op.weight).dtype);
  }

  void allocate_products(int threads) {
    std::int64_t in_blocks_k = 0, others_k = 0;
    for (const Node& node : graph_.nodes())
      if (const auto* op = std::get_if<graph::Linear>(&node.op)) {
        std::int64_t& k = in_blocks(*op) ? in_blocks_k : others_k;
        k = std::max(k, graph_.weight(op->weight).shape[1]);
      }
    quantized_ = AlignedBuffer(at(batch_) * kernels::block_row_bytes(in_blocks_k));
    for (int worker = 0; worker < threads; ++worker) {
      if (in_blocks_k > 0) block_scratch_.emplace_back(kernels::kBlockScratchBytes);
      if (others_k == 0) continue;
      widened_.emplace_back(at(kWeightRows * others_k) * sizeof(float));
      product_scratch_.emplace_back(kernels::product_panel_bytes(others_k));
    }
  }

  void allocate_attention(int threads) {
    std::int64_t dim = 0;
    for (const Node& node : graph_.nodes())
      if (const auto* op = std::get_if<graph::Attention>(&node.op))
        dim = std::max(dim, op->head_dim);
    const std::int64_t states = kernels::kKvQueryRows * kernels::kv_state_floats(dim);
    for (int worker = 0; worker < threads; ++worker)
      attention_scratch_.emplace_back(at(kernels::cached_attention_scratch_floats(dim) + states) *
                                      sizeof(float));
    const std::int64_t spans = div_up(context_, kernels::kKvSpan);
    partial_ = UntouchedBuffer(at(kItemsPerWorker * threads * spans * states) * sizeof(float));
  }

  // Weights that are vectors, as f32.
  void load_vectors(const Node& node) {
    const auto load = [&](graph::WeightId id) {
      if (id.index < 0) return;
      std::vector<float>& values = vectors_[at(id.index)];
      values.resize(at(element_count(graph_.weight(id).shape)));
      const TensorView& view = tensor(id);
      (void)to_f32(view.dtype, view.bytes, values);  // the model was opened: its types convert
    };
    if (const auto* norm = std::get_if<graph::RmsNorm>(&node.op)) load(norm->gamma);
    if (const auto* linear = std::get_if<graph::Linear>(&node.op)) load(linear->bias);
  }

  // Checks the parts and lays their tokens out as rows.
  Status take(std::span<const DecoderPart> parts) {
    ids_.clear();
    places_.clear();
    wanted_.clear();
    parts_ = parts;
    starts_.assign(1, 0);
    seen_.assign(at(sequences_), false);
    for (const DecoderPart& part : parts) {
      const auto count = static_cast<std::int64_t>(part.tokens.size());
      if (part.sequence < 0 || part.sequence >= sequences_ || seen_[at(part.sequence)] ||
          count == 0)
        return fail(ErrorCode::kUsage, "sequence {} cannot take {} tokens here", part.sequence,
                    count);
      seen_[at(part.sequence)] = true;
      const std::int64_t before = cache_.length(part.sequence);
      if (before + count > context_)
        return fail(ErrorCode::kUsage, "{} tokens and {} before them do not fit a context of {}",
                    count, before, context_);
      for (std::int64_t i = 0; i < count; ++i) {
        const TokenId id = part.tokens[at(i)];
        if (id < 0 || id >= vocab_size())
          return fail(ErrorCode::kUsage, "token id {} is not in 0 to {}", id, vocab_size() - 1);
        if (part.logits == DecoderPart::Logits::kAll ||
            (part.logits == DecoderPart::Logits::kLast && i + 1 == count))
          wanted_.push_back(static_cast<std::int64_t>(ids_.size()));
        ids_.push_back(id);
        places_.push_back({part.sequence, before + i});
      }
      starts_.push_back(static_cast<std::int64_t>(ids_.size()));
    }
    if (static_cast<std::int64_t>(ids_.size()) > batch_)
      return fail(ErrorCode::kUsage, "{} tokens are more than a batch of {}", ids_.size(), batch_);
    return {};
  }

  void apply(const Action& action, const graph::Embedding& op, int worker) {
    const TensorView& table = tensor(op.table);
    const std::int64_t d = cols(action.node->output);
    const Range range = rows_of(worker);
    for (std::int64_t r = range.begin; r < range.end; ++r)
      (void)to_f32(table.dtype, table.row(ids_[at(r)]),
                   {value(action.node->output) + r * d, at(d)});
  }

  void apply(const Action& action, const graph::Scale& op, int worker) {
    const std::int64_t d = cols(action.node->output);
    const Range range = rows_of(worker);
    const float* const x = value(action.node->inputs[0]);
    float* const out = value(action.node->output);
    for (std::int64_t i = range.begin * d; i < range.end * d; ++i) out[i] = op.factor * x[i];
  }

  void apply(const Action& action, const graph::Add&, int worker) {
    const std::int64_t d = cols(action.node->output);
    const Range range = rows_of(worker);
    const float* const a = value(action.node->inputs[0]);
    const float* const b = value(action.node->inputs[1]);
    float* const out = value(action.node->output);
    for (std::int64_t i = range.begin * d; i < range.end * d; ++i) out[i] = a[i] + b[i];
  }

  void apply(const Action& action, const graph::Multiply&, int worker) {
    const std::int64_t d = cols(action.node->output);
    const Range range = rows_of(worker);
    kernels::kernels().backward.multiply((range.end - range.begin) * d,
                                         value(action.node->inputs[0]) + range.begin * d,
                                         value(action.node->inputs[1]) + range.begin * d,
                                         value(action.node->output) + range.begin * d);
  }

  void apply(const Action& action, const graph::Activate& op, int worker) {
    const std::int64_t d = cols(action.node->output);
    const Range range = rows_of(worker);
    kernels::kernels().activate(op.function, value(action.node->inputs[0]) + range.begin * d,
                                value(action.node->output) + range.begin * d,
                                (range.end - range.begin) * d);
  }

  void apply(const Action& action, const graph::RmsNorm& op, int worker) {
    const std::int64_t d = cols(action.node->output);
    const Range range = rows_of(worker);
    kernels::kernels().backward.rms_norm(value(action.node->inputs[0]) + range.begin * d,
                                         (range.end - range.begin) * op.groups, d / op.groups,
                                         vectors_[at(op.gamma.index)].data(), op.eps,
                                         value(action.node->output) + range.begin * d);
  }

  // Which weights read a value, kept with the first layer that does.
  void find_readers() {
    std::vector<const Node*> first(graph_.value_count(), nullptr);
    for (const Node& node : graph_.nodes()) {
      const auto* op = std::get_if<graph::Linear>(&node.op);
      if (op == nullptr) continue;
      const Node*& reader = first[at(node.inputs[0].index)];
      if (reader == nullptr) reader = &node;
      readers_[reader].push_back(graph_.weight(op->weight).name);
    }
  }

  void observe(const Node& node, int worker) {
    const auto found = readers_.find(&node);
    if (found == readers_.end()) return;
    observe_({.weights = found->second,
              .x = value(node.inputs[0]),
              .rows = static_cast<std::int64_t>(ids_.size()),
              .cols = cols(node.inputs[0]),
              .worker = worker,
              .workers = pool_.size()});
  }

  void apply(const Action& action, const graph::Linear& op, int worker) {
    observe(*action.node, worker);
    linear(op, value(action.node->inputs[0]), static_cast<std::int64_t>(ids_.size()),
           value(action.node->output), worker);
  }

  // This worker's columns of x [rows, in] times the weight; what reads blocks takes x quantised.
  void linear(const graph::Linear& op, const float* x, std::int64_t rows, float* out, int worker) {
    const TensorView& weight = tensor(op.weight);
    const Range range = part_of(weight.rows(), worker, pool_.size(), kWeightRows);
    if (range.begin == range.end || rows == 0) return;
    const std::size_t row_bytes = weight.bytes.size() / at(weight.rows());
    const float* const bias =
        op.bias.index < 0 ? nullptr : vectors_[at(op.bias.index)].data() + range.begin;
    const std::byte* const first = weight.bytes.data() + at(range.begin) * row_bytes;
    if (!in_blocks(op)) return widened_product(weight, range, x, rows, bias, out, worker);
    kernels::kernels().blocks->multiply({.m = rows,
                                         .n = range.end - range.begin,
                                         .k = weight.cols(),
                                         .a = quantized_.data(),
                                         .type = weight.dtype,
                                         .b = first,
                                         .bias = bias,
                                         .c = out + range.begin,
                                         .ldc = weight.rows(),
                                         .scratch = block_scratch_[at(worker)].data()});
  }

  // The same with weights of any type, widened to f32 some rows at a time.
  void widened_product(const TensorView& weight, Range range, const float* x, std::int64_t rows,
                       const float* bias, float* out, int worker) {
    kernels::ProductArgs args;
    args.m = rows;
    args.k = args.lda = args.ldb = weight.cols();
    args.a = x;
    args.b_transposed = true;
    args.ldc = weight.rows();
    args.scratch = product_scratch_[at(worker)].data();
    const std::size_t row_bytes = weight.bytes.size() / at(weight.rows());
    for (std::int64_t row = range.begin; row < range.end; row += kWeightRows) {
      args.n = std::min(kWeightRows, range.end - row);
      args.b =
          widen(weight.dtype, weight.bytes.subspan(at(row) * row_bytes, at(args.n) * row_bytes),
                {widened_[at(worker)].as<float>(), at(args.n * args.k)});
      args.bias = bias == nullptr ? nullptr : bias + (row - range.begin);
      args.c = out + row;
      kernels::kernels().product.multiply(args);
    }
  }

  // Values as f32: those of f32 themselves, others in `room`.
  static const float* widen(DType type, std::span<const std::byte> from, std::span<float> room) {
    if (type == DType::kF32) return reinterpret_cast<const float*>(from.data());
    if (type == DType::kF16)
      kernels::kernels().widen_halves(from.data(), static_cast<std::int64_t>(room.size()),
                                      room.data());
    else
      (void)to_f32(type, from, room);
    return room.data();
  }

  // Rows of x for the products with blocks.
  void quantize(const float* x, std::int64_t columns, Range range) {
    if (range.begin == range.end) return;
    kernels::kernels().blocks->quantize(
        x + range.begin * columns, columns, range.end - range.begin, columns,
        quantized_.data() + at(range.begin) * kernels::block_row_bytes(columns));
  }

  // Cosines and sines of this worker's rows, which all layers share: [row][pair][2].
  void compute_angles(int worker) {
    const Range range = rows_of(worker);
    for (std::size_t table = 0; table < program_.ropes.size(); ++table) {
      const graph::Rope& op = *program_.ropes[table];
      const std::size_t half = op.frequency.size();
      for (std::int64_t r = range.begin; r < range.end; ++r) {
        const std::int64_t position = places_[at(r)].position;
        const double factor = op.factor(position);
        float* const to = angles_[table].as<float>() + at(r) * half * 2;
        for (std::size_t i = 0; i < half; ++i) {
          const double angle = op.angle(position, i);
          to[2 * i] = static_cast<float>(factor * std::cos(angle));
          to[2 * i + 1] = static_cast<float>(factor * std::sin(angle));
        }
      }
    }
  }

  void apply(const Action& action, const graph::Rope& op, int worker) {
    const std::int64_t half = op.head_dim / 2, d = op.heads * op.head_dim;
    const std::int64_t step = op.interleaved ? 2 : 1, apart = op.interleaved ? 1 : half;
    const float* const x = value(action.node->inputs[0]);
    float* const out = value(action.node->output);
    const Range range = rows_of(worker);
    for (std::int64_t r = range.begin; r < range.end; ++r) {
      const float* const angles = angles_[action.index].as<float>() + r * half * 2;
      for (std::int64_t h = 0; h < op.heads; ++h) {
        const std::int64_t base = r * d + h * op.head_dim;
        for (std::int64_t i = 0; i < half; ++i) {
          const float cosine = angles[2 * i], sine = angles[2 * i + 1];
          const float u = x[base + step * i], v = x[base + step * i + apart];
          out[base + step * i] = u * cosine - v * sine;
          out[base + step * i + apart] = u * sine + v * cosine;
        }
      }
    }
  }

  // Keys and values of this worker's rows.
  void store(const Action& action, int worker) {
    const auto& op = std::get<graph::Attention>(action.node->op);
    const std::int64_t d = op.head_dim;
    const Range range = rows_of(worker);
    for (std::int64_t r = range.begin; r < range.end; ++r)
      for (std::int64_t h = 0; h < op.kv_heads; ++h) {
        const std::int64_t from = (r * op.kv_heads + h) * d;
        kernels::kernels().cached_attention.store(
            cache_.head(places_[at(r)].sequence, action.index, h), places_[at(r)].position,
            value(action.node->inputs[1]) + from, value(action.node->inputs[2]) + from);
      }
  }

  // Query rows that read one head's keys and values together.
  struct QueryBlock {
    std::int64_t row, tokens, position, sequence, kv_head, head, heads;
  };
  // Calls body(block) for all of them, in the same order on every worker.
  template <class Body>
  void for_query_blocks(const graph::Attention& op, const Body& body) const {
    const std::int64_t group = op.heads / op.kv_heads;
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      const std::int64_t count = starts_[p + 1] - starts_[p];
      for (std::int64_t kv = 0; kv < op.kv_heads; ++kv)
        for (std::int64_t h = 0; h < group; h += kernels::kKvQueryRows) {
          const std::int64_t heads = std::min(group - h, kernels::kKvQueryRows);
          const std::int64_t most = kernels::kKvQueryRows / heads;
          for (std::int64_t t = 0; t < count; t += most) {
            const std::int64_t row = starts_[p] + t;
            body(QueryBlock{row, std::min(most, count - t), places_[at(row)].position,
                            parts_[p].sequence, kv, kv * group + h, heads});
          }
        }
    }
  }

  void attend(const Action& action, const graph::Attention& op, const QueryBlock& block,
              std::int64_t begin, std::int64_t end, float* state, int worker) {
    const std::int64_t columns = op.heads * op.head_dim;
    kernels::kernels().cached_attention.attend(
        {.head = cache_.head(block.sequence, action.index, block.kv_head),
         .group = block.heads,
         .tokens = block.tokens,
         .position = block.position,
         .q = value(action.node->inputs[0]) + block.row * columns + block.head * op.head_dim,
         .q_stride = columns,
         .scale = op.scale,
         .window = op.window,
         .begin = begin,
         .end = end,
         .state = state,
         .scratch = attention_scratch_[at(worker)].as<float>()});
  }

  void finish(const Action& action, const graph::Attention& op, const QueryBlock& block,
              const float* state) {
    const std::int64_t columns = op.heads * op.head_dim;
    kernels::kernels().cached_attention.finish(
        block.tokens, block.heads, op.head_dim, state,
        value(action.node->output) + block.row * columns + block.head * op.head_dim, columns);
  }

  void apply(const Action& action, const graph::Attention& op, int worker) {
    std::int64_t items = 0;
    for_query_blocks(op, [&](const QueryBlock&) { ++items; });
    if (items < kItemsPerWorker * pool_.size()) return attend_in_spans(action, op, worker);
    float* const state = attention_scratch_[at(worker)].as<float>() +
                         kernels::cached_attention_scratch_floats(op.head_dim);
    std::int64_t item = 0;
    for_query_blocks(op, [&](const QueryBlock& block) {
      if (item++ % pool_.size() != worker) return;
      attend(action, op, block, 0, context_, state, worker);
      finish(action, op, block, state);
    });
  }

  // Few blocks: their spans of positions are shared too.
  void attend_in_spans(const Action& action, const graph::Attention& op, int worker) {
    const std::int64_t floats = kernels::kv_state_floats(op.head_dim);
    const std::int64_t states = kernels::kKvQueryRows * floats;
    const auto spans_of = [&](const QueryBlock& block) {
      const std::int64_t seen = block.position - op.window + 1;
      const std::int64_t first = op.window > 0 && seen > 0 ? seen / kernels::kKvSpan : 0;
      return Range{first, div_up(block.position + block.tokens, kernels::kKvSpan)};
    };
    std::int64_t item = 0;
    for_query_blocks(op, [&](const QueryBlock& block) {
      const Range spans = spans_of(block);
      for (std::int64_t s = spans.begin; s < spans.end; ++s, ++item)
        if (item % pool_.size() == worker)
          attend(action, op, block, s * kernels::kKvSpan, (s + 1) * kernels::kKvSpan,
                 partial_.as<float>() + item * states, worker);
    });
    pool_.barrier().arrive_and_wait();
    std::int64_t first = 0, index = 0;
    for_query_blocks(op, [&](const QueryBlock& block) {
      const Range spans = spans_of(block);
      float* const state = partial_.as<float>() + first * states;
      first += spans.end - spans.begin;
      if (index++ % pool_.size() != worker) return;
      for (std::int64_t s = 1; s < spans.end - spans.begin; ++s)
        kernels::kernels().cached_attention.merge(block.tokens * block.heads, op.head_dim,
                                                  state + s * states, state);
      finish(action, op, block, state);
    });
  }

  // What only encoders have; create() refuses them.
  void apply(const Action&, const graph::LayerNorm&, int) {}
  void apply(const Action&, const graph::Pool&, int) {}
  void apply(const Action&, const graph::L2Normalize&, int) {}

  const std::shared_ptr<const Model> model_;
  const graph::Graph& graph_;
  ThreadPool pool_;
  const std::int64_t context_, batch_, sequences_;
  const bool exact_;
  const PriorityLane* const lane_;
  const std::function<void(const LinearInputs&)> observe_;
  const ValueId logits_;
  const std::vector<const TensorView*> tensors_;  // by weight
  const DecoderProgram program_;
  KvCache cache_;
  std::vector<std::vector<float>> vectors_;   // by weight
  AlignedBuffer arena_, hidden_, quantized_;  // hidden_: the rows whose logits are wanted
  UntouchedBuffer partial_;                   // states of spans
  std::map<const Node*, std::vector<std::string_view>> readers_;  // empty: nobody observes
  // By worker.
  std::vector<AlignedBuffer> widened_, product_scratch_, block_scratch_, attention_scratch_;
  std::vector<AlignedBuffer> angles_;  // by table
  std::vector<float> out_;
  // Of the call: rows are the tokens of all parts.
  struct Place {
    std::int64_t sequence, position;
  };
  std::span<const DecoderPart> parts_;
  std::vector<TokenId> ids_;
  std::vector<Place> places_;
  std::vector<std::int64_t> starts_, wanted_;
  std::vector<bool> seen_;  // by sequence
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
  for (const Node& node : model->graph().nodes())
    if (const auto* op = std::get_if<graph::Attention>(&node.op);
        op != nullptr && options.kv == kernels::KvType::kQ8_0 && op->head_dim % 32 != 0)
      return fail(ErrorCode::kUsage, "keys and values in q8_0: heads of {} are no multiple of 32",
                  op->head_dim);
  const std::int64_t context =
      options.context > 0 ? options.context : std::min(longest, kDefaultContext);
  const int threads = options.threads > 0 ? options.threads : cpu_info().logical_cores;
  const std::string name = model->path().string();
  try {
    return std::make_unique<GraphDecoder>(std::move(model), threads, context, options);
  } catch (const std::bad_alloc&) {
    return fail(
        "{}: no memory for the keys and values of {} sequence{} of {} tokens; take a "
        "smaller --context, fewer at once (--parallel), or --kv q8_0",
        name, options.sequences, options.sequences == 1 ? "" : "s", context);
  } catch (const std::system_error& error) {
    return fail("{}: {} threads cannot be started: {}", name, threads, error.what());
  }
}

}  // namespace tack
