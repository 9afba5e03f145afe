#include "graph/plan.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "kernels/kernels.h"

namespace tack::graph {
namespace {

// When a buffer is alive, in steps and in stages.
struct Life {
  std::int32_t first_step = -1, last_step = -1;
  std::int32_t first_stage = -1, last_stage = -1;
  bool crosses_rows = false;  // some step reads rows that other workers wrote
};

class Planner {
 public:
  Planner(const Graph& graph, const WeightSource& source, const PlanOptions& options)
      : graph_(graph), source_(source), options_(options) {}

  Result<Plan> make() {
    TACK_RETURN_IF_ERROR(find_live_nodes());
    if (options_.fuse) {
      fuse_embedding_sums();
      fuse_linear_epilogues();
      merge_sibling_linears();
    }
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n)
      if (live_[n] && !absorbed_[n]) TACK_RETURN_IF_ERROR(emit(n));
    for (const std::string& name : options_.outputs) {
      const ValueId value = graph_.find_output(name)->value;
      const Operand from = where_.at(value.index);
      auto& life = lives_[static_cast<std::size_t>(from.buffer)];
      life.crosses_rows = true;
      life.last_stage = static_cast<std::int32_t>(plan_.stages.size());
      life.last_step = steps_;
      plan_.outputs.push_back({name, from, graph_.value(value).rows, graph_.value(value).cols});
    }
    lay_out();
    return std::move(plan_);
  }

 private:
  struct LinearChain {                 // what one LinearStep computes
    std::vector<std::size_t> linears;  // node indices; several when merged
    kernels::Activation activation = kernels::Activation::kNone;
    ValueId residual;
    ValueId result;  // of a single linear's chain
  };

  // --- analysis ---------------------------------------------------------------------------------

  const Node& node(std::size_t n) const { return graph_.nodes()[n]; }

  Status find_live_nodes() {
    live_.assign(graph_.nodes().size(), false);
    absorbed_.assign(graph_.nodes().size(), false);
    producer_.assign(graph_.value_count(), 0);
    consumers_.resize(graph_.value_count());
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) producer_[index(node(n).output)] = n;
    std::vector<ValueId> todo;
    for (const std::string& name : options_.outputs) {
      const Output* output = graph_.find_output(name);
      if (output == nullptr)
        return fail(ErrorCode::kNotFound, "the model has no output '{}'", name);
      todo.push_back(output->value);
      is_output_.push_back(output->value);
    }
    while (!todo.empty()) {
      const std::size_t n = producer_[index(todo.back())];
      todo.pop_back();
      if (live_[n]) continue;
      live_[n] = true;
      for (ValueId input : node(n).inputs) {
        consumers_[index(input)].push_back(n);
        todo.push_back(input);
      }
    }
    for (auto& consumers : consumers_) std::sort(consumers.begin(), consumers.end());
    return {};
  }

  static std::size_t index(ValueId id) { return static_cast<std::size_t>(id.index); }

  // The only node that reads v, or nothing when there are several or v is an output of the model.
  std::optional<std::size_t> only_consumer(ValueId v) const {
    if (consumers_[index(v)].size() != 1) return std::nullopt;
    if (std::find(is_output_.begin(), is_output_.end(), v) != is_output_.end()) return std::nullopt;
    return consumers_[index(v)].front();
  }

  // --- fusions ----------------------------------------------------------------------------------

  // A tree of Adds over embeddings becomes one step that sums table rows.
  void fuse_embedding_sums() {
    for (std::size_t n = graph_.nodes().size(); n-- > 0;) {
      if (!live_[n] || absorbed_[n] || !std::holds_alternative<Add>(node(n).op)) continue;
      std::vector<std::size_t> leaves, inner;
      if (!collect_embeddings(n, leaves, inner)) continue;
      for (std::size_t m : leaves) absorbed_[m] = true;
      for (std::size_t m : inner) absorbed_[m] = m != n;
      std::sort(leaves.begin(), leaves.end());
      embedding_sums_[n] = leaves;
    }
  }

  bool collect_embeddings(std::size_t n, std::vector<std::size_t>& leaves,
                          std::vector<std::size_t>& inner) const {
    inner.push_back(n);
    for (ValueId input : node(n).inputs) {
      const std::size_t m = producer_[index(input)];
      if (!only_consumer(input)) return false;
      if (std::holds_alternative<Embedding>(node(m).op))
        leaves.push_back(m);
      else if (!std::holds_alternative<Add>(node(m).op) || !collect_embeddings(m, leaves, inner))
        return false;
    }
    return true;
  }

  // linear -> activation -> + residual, as far as nobody else looks at what lies between.
  void fuse_linear_epilogues() {
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
      if (!live_[n] || !std::holds_alternative<Linear>(node(n).op)) continue;
      LinearChain chain{{n}, kernels::Activation::kNone, {}, node(n).output};
      std::size_t root = n;
      if (const auto next = only_consumer(chain.result); next)
        if (const auto* op = std::get_if<Activate>(&node(*next).op)) {
          chain.activation = op->function;
          chain.result = node(*next).output;
          absorbed_[root] = true;
          root = *next;
        }
      if (const auto next = only_consumer(chain.result);
          next && std::holds_alternative<Add>(node(*next).op) && !chains_.contains(*next)) {
        const auto& inputs = node(*next).inputs;
        chain.residual = inputs[0] == chain.result ? inputs[1] : inputs[0];
        chain.result = node(*next).output;
        absorbed_[root] = true;
        root = *next;
      }
      chains_[root] = chain;
    }
  }

  // Linears with the same input whose results only attention reads (it takes strided rows): one
  // product with stacked weights, the results side by side.
  void merge_sibling_linears() {
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
      if (!mergeable(n)) continue;
      const Node& first = node(n);
      const bool bias = std::get<Linear>(first.op).bias.index >= 0;
      for (std::size_t m : consumers_[index(first.inputs[0])]) {
        if (m <= n || !mergeable(m)) continue;
        if ((std::get<Linear>(node(m).op).bias.index >= 0) != bias) continue;
        if (linear_type(m) != linear_type(n)) continue;
        chains_[n].linears.push_back(m);
        chains_.erase(m);
        absorbed_[m] = true;
      }
    }
  }

  bool mergeable(std::size_t n) const {
    if (!live_[n] || absorbed_[n] || !std::holds_alternative<Linear>(node(n).op)) return false;
    const auto chain = chains_.find(n);
    if (chain == chains_.end() || chain->second.linears.front() != n ||
        !(chain->second.result == node(n).output))
      return false;
    const auto reader = only_consumer(node(n).output);
    return reader && std::holds_alternative<Attention>(node(*reader).op);
  }

  LinearType linear_type(std::size_t n) const {
    if (options_.linear_type) return *options_.linear_type;
    return natural_linear_type(source_(graph_.weight(std::get<Linear>(node(n).op).weight)).dtype);
  }

  // --- emission ---------------------------------------------------------------------------------

  std::int32_t new_buffer(Rows rows, std::size_t row_bytes) {
    plan_.buffers.push_back({rows, row_bytes, false, 0});
    lives_.emplace_back();
    return static_cast<std::int32_t>(plan_.buffers.size()) - 1;
  }

  Operand new_value(ValueId v) {
    const Value& type = graph_.value(v);
    const Operand operand{
        new_buffer(type.rows, static_cast<std::size_t>(type.cols) * sizeof(float)), 0};
    where_[v.index] = operand;
    return operand;
  }

  Operand at(ValueId v) const { return where_.at(v.index); }

  struct Access {
    std::int32_t buffer;
    bool all_rows = false;
  };

  // Appends a step, in a new stage when it must see rows that other workers wrote in this one.
  void push(Rows rows, Step step, std::initializer_list<Access> reads,
            std::initializer_list<std::int32_t> writes) {
    auto current = static_cast<std::int32_t>(plan_.stages.size()) - 1;
    bool fresh = current < 0 || plan_.stages.back().rows != rows;
    for (const Access& read : reads)
      if (read.buffer >= 0 && read.all_rows)
        fresh |= lives_[static_cast<std::size_t>(read.buffer)].first_stage == current;
    if (fresh) {
      plan_.stages.push_back({rows, {}});
      ++current;
    }
    const auto touch = [&](std::int32_t buffer, bool all_rows) {
      if (buffer < 0) return;
      Life& life = lives_[static_cast<std::size_t>(buffer)];
      if (life.first_step < 0) {
        life.first_step = steps_;
        life.first_stage = current;
      }
      life.last_step = steps_;
      life.last_stage = current;
      life.crosses_rows |= all_rows;
    };
    for (const Access& read : reads) touch(read.buffer, read.all_rows);
    for (std::int32_t write : writes) touch(write, false);
    plan_.stages.back().steps.push_back(std::move(step));
    ++steps_;
  }

  Status emit(std::size_t n) {
    if (const auto sum = embedding_sums_.find(n); sum != embedding_sums_.end())
      return emit_embedding(sum->second, node(n).output);
    if (const auto chain = chains_.find(n); chain != chains_.end())
      return emit_linear(chain->second);
    return std::visit([&](const auto& op) { return emit_op(n, op); }, node(n).op);
  }

  Status emit_embedding(const std::vector<std::size_t>& tables, ValueId result) {
    EmbedStep step;
    for (std::size_t n : tables) {
      const auto& op = std::get<Embedding>(node(n).op);
      step.tables.push_back({source_(graph_.weight(op.table)), op.index});
    }
    step.cols = graph_.value(result).cols;
    step.out = new_value(result);
    const std::int32_t out = step.out.buffer;
    push(Rows::kTokens, std::move(step), {}, {out});
    return {};
  }

  Status emit_linear(const LinearChain& chain) {
    const LinearType type = linear_type(chain.linears.front());
    std::vector<const Weight*> weights, biases;
    for (std::size_t n : chain.linears) {
      const auto& op = std::get<Linear>(node(n).op);
      weights.push_back(&graph_.weight(op.weight));
      if (op.bias.index >= 0) biases.push_back(&graph_.weight(op.bias));
    }
    std::span<const float> smoothing;
    if (type == LinearType::kInt8 && options_.smoothing)
      smoothing = options_.smoothing(*weights[0]);
    TACK_TRY(auto packed,
             pack_linear(type, weights, biases, source_, smoothing, options_.release_pages));
    const ValueId input = node(chain.linears.front()).inputs[0];
    const Rows rows = graph_.value(input).rows;

    LinearStep step{
        static_cast<std::int32_t>(plan_.linears.size()), at(input), -1, chain.activation, {}, {}};
    if (type == LinearType::kInt8)
      std::tie(step.in.buffer, step.in_scale) = quantized(input, smoothing);
    if (chain.residual.index >= 0) step.residual = at(chain.residual);
    if (chain.linears.size() == 1) {
      step.out = new_value(chain.result);
    } else {
      step.out = {new_buffer(rows, static_cast<std::size_t>(packed.out) * sizeof(float)), 0};
      std::int64_t column = 0;
      for (std::size_t n : chain.linears) {
        where_[node(n).output.index] = {step.out.buffer, column};
        column += graph_.value(node(n).output).cols;
      }
    }
    plan_.linears.push_back(std::move(packed));
    push(rows, step, {{step.in.buffer}, {step.in_scale}, {step.residual.buffer}},
         {step.out.buffer});
    return {};
  }

  // The int8 rows of a value, made once per stage.
  std::pair<std::int32_t, std::int32_t> quantized(ValueId v, std::span<const float> smoothing) {
    const auto stage = static_cast<std::int32_t>(plan_.stages.size()) - 1;
    const Rows rows = graph_.value(v).rows;
    std::vector<float> column_scale;
    for (float s : smoothing) column_scale.push_back(1 / s);
    if (const auto it = quantized_.find(v.index);
        it != quantized_.end() && it->second.stage == stage &&
        it->second.column_scale == column_scale && plan_.stages.back().rows == rows)
      return {it->second.rows, it->second.scale};
    const std::int64_t cols = graph_.value(v).cols;
    const QuantizeStep step{at(v), new_buffer(rows, kernels::kernels().int8_row_bytes(cols)),
                            new_buffer(rows, sizeof(float)), cols, column_scale};
    push(rows, step, {{step.in.buffer}}, {step.out, step.scale});
    quantized_[v.index] = {static_cast<std::int32_t>(plan_.stages.size()) - 1, step.out, step.scale,
                           std::move(column_scale)};
    return {step.out, step.scale};
  }

  Status emit_op(std::size_t n, const Embedding&) { return emit_embedding({n}, node(n).output); }
  // Decoders' operators: trained and in the reference; plans of them come with the decoders.
  static Status not_planned(const char* name) {
    return fail("the operator {} cannot be run by the engine yet", name);
  }
  Status emit_op(std::size_t, const RmsNorm&) { return not_planned("rms_norm"); }
  Status emit_op(std::size_t, const Scale&) { return not_planned("scale"); }
  Status emit_op(std::size_t, const Multiply&) { return not_planned("multiply"); }
  Status emit_op(std::size_t, const Rope&) { return not_planned("rope"); }
  Status emit_op(std::size_t n, const Linear&) {
    return emit_linear({{n}, kernels::Activation::kNone, {}, node(n).output});
  }
  Status emit_op(std::size_t n, const Add&) {
    const ValueId a = node(n).inputs[0], b = node(n).inputs[1];
    const AddStep step{at(a), at(b), new_value(node(n).output), graph_.value(a).cols};
    push(graph_.value(a).rows, step, {{step.a.buffer}, {step.b.buffer}}, {step.out.buffer});
    return {};
  }
  Status emit_op(std::size_t n, const LayerNorm& op) {
    const ValueId x = node(n).inputs[0];
    TACK_TRY(auto gamma, load_vector(graph_.weight(op.gamma), source_));
    TACK_TRY(auto beta, load_vector(graph_.weight(op.beta), source_));
    const Operand in = at(x), out = new_value(node(n).output);
    push(graph_.value(x).rows, LayerNormStep{std::move(gamma), std::move(beta), op.eps, in, out},
         {{in.buffer}}, {out.buffer});
    return {};
  }
  Status emit_op(std::size_t n, const Activate& op) {
    const ValueId x = node(n).inputs[0];
    const ActivateStep step{op.function, at(x), new_value(node(n).output), graph_.value(x).cols};
    push(graph_.value(x).rows, step, {{step.in.buffer}}, {step.out.buffer});
    return {};
  }
  Status emit_op(std::size_t n, const Attention& op) {
    const auto& inputs = node(n).inputs;
    const AttentionStep step{op, at(inputs[0]), at(inputs[1]), at(inputs[2]),
                             new_value(node(n).output)};
    plan_.max_head_dim = std::max(plan_.max_head_dim, op.head_dim);
    push(Rows::kTokens, step, {{step.q.buffer}, {step.k.buffer, true}, {step.v.buffer, true}},
         {step.out.buffer});
    return {};
  }
  Status emit_op(std::size_t n, const Pool& op) {
    const ValueId x = node(n).inputs[0];
    const PoolStep step{op.kind, at(x), new_value(node(n).output), graph_.value(x).cols};
    push(Rows::kSequences, step, {{step.in.buffer, true}}, {step.out.buffer});
    return {};
  }
  Status emit_op(std::size_t n, const L2Normalize& op) {
    const ValueId x = node(n).inputs[0];
    const L2NormalizeStep step{op.eps, at(x), new_value(node(n).output), graph_.value(x).cols};
    push(graph_.value(x).rows, step, {{step.in.buffer}}, {step.out.buffer});
    return {};
  }

  // --- memory -----------------------------------------------------------------------------------

  // Two buffers may not share memory while both are alive. Inside a stage workers are at different
  // steps, so memory of the whole batch is kept until its stage is over.
  bool conflict(std::size_t a, std::size_t b) const {
    if (plan_.buffers[a].tile_local)
      return lives_[a].first_step <= lives_[b].last_step &&
             lives_[b].first_step <= lives_[a].last_step;
    return lives_[a].first_stage <= lives_[b].last_stage &&
           lives_[b].first_stage <= lives_[a].last_stage;
  }

  void lay_out() {
    for (std::size_t b = 0; b < plan_.buffers.size(); ++b)
      plan_.buffers[b].tile_local =
          !lives_[b].crosses_rows && lives_[b].first_stage == lives_[b].last_stage;
    const auto pool = [&](const Buffer& buffer) {
      return buffer.tile_local              ? &plan_.tile_row_bytes
             : buffer.rows == Rows::kTokens ? &plan_.token_bytes
                                            : &plan_.sequence_bytes;
    };
    // Largest first, each at the lowest place that is free for its whole life.
    std::vector<std::size_t> order(plan_.buffers.size());
    for (std::size_t b = 0; b < order.size(); ++b) order[b] = b;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return plan_.buffers[a].row_bytes > plan_.buffers[b].row_bytes;
    });
    std::vector<std::size_t> placed;
    for (std::size_t b : order) {
      Buffer& buffer = plan_.buffers[b];
      std::vector<std::pair<std::size_t, std::size_t>> taken;
      for (std::size_t other : placed)
        if (pool(plan_.buffers[other]) == pool(buffer) && conflict(b, other))
          taken.emplace_back(plan_.buffers[other].offset_per_row, plan_.buffers[other].row_bytes);
      std::sort(taken.begin(), taken.end());
      for (const auto& [offset, bytes] : taken) {
        if (buffer.offset_per_row + buffer.row_bytes <= offset) break;
        buffer.offset_per_row = std::max(buffer.offset_per_row, offset + bytes);
      }
      std::size_t& end = *pool(buffer);
      end = std::max(end, buffer.offset_per_row + buffer.row_bytes);
      placed.push_back(b);
    }
  }

  struct Quantized {
    std::int32_t stage, rows, scale;
    std::vector<float> column_scale;
  };

  const Graph& graph_;
  const WeightSource& source_;
  const PlanOptions& options_;
  Plan plan_;
  std::vector<bool> live_, absorbed_;
  std::vector<std::size_t> producer_;
  std::vector<std::vector<std::size_t>> consumers_;
  std::vector<ValueId> is_output_;
  std::map<std::size_t, std::vector<std::size_t>> embedding_sums_;  // by outermost Add
  std::map<std::size_t, LinearChain> chains_;                       // by the node that ends them
  std::map<std::int32_t, Operand> where_;                           // by value
  std::map<std::int32_t, Quantized> quantized_;
  std::vector<Life> lives_;
  std::int32_t steps_ = 0;
};

}  // namespace

Result<Plan> make_plan(const Graph& graph, const WeightSource& source, const PlanOptions& options) {
  return Planner(graph, source, options).make();
}

std::size_t Plan::weight_bytes() const {
  std::size_t bytes = 0;
  for (const PackedLinear& linear : linears) bytes += linear.bytes();
  return bytes;
}

std::string Plan::to_text() const {
  std::string text;
  const auto name = [](const Operand& o) {
    return o.column > 0 ? fmt::format("b{}+{}", o.buffer, o.column) : fmt::format("b{}", o.buffer);
  };
  struct Line {
    const Plan& plan;
    const decltype(name)& n;
    std::string operator()(const EmbedStep& s) const {
      return fmt::format("{} = embed({} tables)", n(s.out), s.tables.size());
    }
    std::string operator()(const QuantizeStep& s) const {
      return fmt::format("b{}, b{} = quantize({})", s.out, s.scale, n(s.in));
    }
    std::string operator()(const LinearStep& s) const {
      const PackedLinear& w = plan.linears[static_cast<std::size_t>(s.weights)];
      return fmt::format("{} = linear_{}[{}, {}]({}) {}{}", n(s.out), linear_type_name(w.type),
                         w.out, w.in, n(s.in), kernels::activation_name(s.activation),
                         s.residual.buffer >= 0 ? " + " + n(s.residual) : "");
    }
    std::string operator()(const LayerNormStep& s) const {
      return fmt::format("{} = layer_norm({})", n(s.out), n(s.in));
    }
    std::string operator()(const ActivateStep& s) const {
      return fmt::format("{} = {}({})", n(s.out), kernels::activation_name(s.function), n(s.in));
    }
    std::string operator()(const AddStep& s) const {
      return fmt::format("{} = {} + {}", n(s.out), n(s.a), n(s.b));
    }
    std::string operator()(const AttentionStep& s) const {
      return fmt::format("{} = attention({}, {}, {})", n(s.out), n(s.q), n(s.k), n(s.v));
    }
    std::string operator()(const PoolStep& s) const {
      return fmt::format("{} = pool({})", n(s.out), n(s.in));
    }
    std::string operator()(const L2NormalizeStep& s) const {
      return fmt::format("{} = l2_normalize({})", n(s.out), n(s.in));
    }
  };
  for (std::size_t stage = 0; stage < stages.size(); ++stage) {
    text += fmt::format("stage {} ({})\n", stage,
                        stages[stage].rows == Rows::kTokens ? "tokens" : "sequences");
    for (const Step& step : stages[stage].steps)
      text += "  " + std::visit(Line{*this, name}, step) + '\n';
  }
  text += fmt::format("memory: {} bytes a token, {} a sequence, {} a tile row\n", token_bytes,
                      sequence_bytes, tile_row_bytes);
  return text;
}

}  // namespace tack::graph
