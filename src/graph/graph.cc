#include "graph/graph.h"

#include <cassert>
#include <cmath>
#include <utility>

#include <fmt/format.h>

namespace tack::graph {
namespace {

template <class... F>
struct Overload : F... {
  using F::operator()...;
};

std::string_view index_name(Index index) {
  switch (index) {
    case Index::kTokenId:
      return "token_id";
    case Index::kPosition:
      return "position";
    case Index::kTokenType:
      return "token_type";
  }
  return "?";
}

std::string_view pool_name(PoolKind kind) {
  switch (kind) {
    case PoolKind::kMean:
      return "mean";
    case PoolKind::kCls:
      return "cls";
    case PoolKind::kLast:
      return "last";
  }
  return "?";
}

}  // namespace

double Rope::factor(std::int64_t position) const {
  const auto scaled = static_cast<double>(scale);
  if (long_context == 0) return scaled;
  const auto contexts = static_cast<double>(position / long_context);
  return scaled * (1 + static_cast<double>(long_beta) * std::log1p(contexts));
}

WeightId Graph::weight(std::string name, Shape shape) {
  weights_.push_back({std::move(name), std::move(shape)});
  return {static_cast<std::int32_t>(weights_.size()) - 1};
}

ValueId Graph::add_node(Op op, std::vector<ValueId> inputs, Value type) {
  const ValueId out{static_cast<std::int32_t>(values_.size())};
  values_.push_back(type);
  nodes_.push_back({std::move(op), std::move(inputs), out});
  return out;
}

ValueId Graph::embedding(WeightId table, Index index) {
  assert(weight(table).shape.size() == 2);
  return add_node(Embedding{table, index}, {}, {Rows::kTokens, weight(table).shape[1]});
}

ValueId Graph::add(ValueId a, ValueId b) {
  assert(value(a).cols == value(b).cols && value(a).rows == value(b).rows);
  return add_node(Add{}, {a, b}, value(a));
}

ValueId Graph::layer_norm(ValueId x, WeightId gamma, WeightId beta, float eps) {
  assert(weight(gamma).shape == Shape{value(x).cols} && weight(beta).shape == Shape{value(x).cols});
  return add_node(LayerNorm{gamma, beta, eps}, {x}, value(x));
}

ValueId Graph::rms_norm(ValueId x, WeightId gamma, float eps, std::int64_t groups) {
  assert(value(x).cols % groups == 0 && weight(gamma).shape == Shape{value(x).cols / groups});
  return add_node(RmsNorm{gamma, eps, groups}, {x}, value(x));
}

ValueId Graph::scale(ValueId x, float factor) {
  return add_node(Scale{factor}, {x}, value(x));
}

ValueId Graph::linear(ValueId x, WeightId w, WeightId bias) {
  assert(weight(w).shape.size() == 2 && weight(w).shape[1] == value(x).cols);
  assert(bias.index < 0 || weight(bias).shape == Shape{weight(w).shape[0]});
  return add_node(Linear{w, bias}, {x}, {value(x).rows, weight(w).shape[0]});
}

ValueId Graph::activate(ValueId x, kernels::Activation function) {
  return add_node(Activate{function}, {x}, value(x));
}

ValueId Graph::multiply(ValueId a, ValueId b) {
  assert(value(a).cols == value(b).cols && value(a).rows == value(b).rows);
  return add_node(Multiply{}, {a, b}, value(a));
}

ValueId Graph::rope(ValueId x, Rope attributes) {
  assert(value(x).rows == Rows::kTokens);
  assert(value(x).cols == attributes.heads * attributes.head_dim);
  assert(static_cast<std::int64_t>(attributes.frequency.size()) * 2 == attributes.head_dim);
  return add_node(std::move(attributes), {x}, value(x));
}

ValueId Graph::attention(ValueId q, ValueId k, ValueId v, const Attention& attributes) {
  assert(value(q).rows == Rows::kTokens);
  assert(value(q).cols == attributes.heads * attributes.head_dim);
  assert(value(k).cols == attributes.kv_heads * attributes.head_dim);
  assert(value(v).cols == value(k).cols && attributes.heads % attributes.kv_heads == 0);
  return add_node(attributes, {q, k, v}, value(q));
}

ValueId Graph::pool(ValueId x, PoolKind kind) {
  assert(value(x).rows == Rows::kTokens);
  return add_node(Pool{kind}, {x}, {Rows::kSequences, value(x).cols});
}

ValueId Graph::l2_normalize(ValueId x, float eps) {
  return add_node(L2Normalize{eps}, {x}, value(x));
}

ValueId Graph::append(Op op, std::vector<ValueId> inputs, Value type) {
  return add_node(std::move(op), std::move(inputs), type);
}

void Graph::output(std::string name, ValueId value) {
  outputs_.push_back({std::move(name), value});
}

const Output* Graph::find_output(std::string_view name) const {
  for (const Output& output : outputs_)
    if (output.name == name) return &output;
  return nullptr;
}

std::string Graph::to_text() const {
  std::string text;
  for (const Node& node : nodes_) {
    const Value& type = value(node.output);
    text += fmt::format("%{} [{}, {}] = ", node.output.index,
                        type.rows == Rows::kTokens ? "tokens" : "sequences", type.cols);
    const auto name = [&](WeightId id) { return id.index < 0 ? "-" : weight(id).name; };
    text += std::visit(
        Overload{
            [&](const Embedding& op) {
              return fmt::format("embedding({}, {})", name(op.table), index_name(op.index));
            },
            [&](const Add&) { return std::string("add"); },
            [&](const LayerNorm& op) { return fmt::format("layer_norm({})", name(op.gamma)); },
            [&](const RmsNorm& op) {
              return op.groups == 1
                         ? fmt::format("rms_norm({})", name(op.gamma))
                         : fmt::format("rms_norm({}, groups {})", name(op.gamma), op.groups);
            },
            [&](const Scale& op) { return fmt::format("scale({})", op.factor); },
            [&](const Multiply&) { return std::string("multiply"); },
            [&](const Rope& op) {
              return fmt::format("rope(heads {}, dim {}{})", op.heads, op.head_dim,
                                 op.interleaved ? ", interleaved" : "");
            },
            [&](const Linear& op) {
              return fmt::format("linear({}, {})", name(op.weight), name(op.bias));
            },
            [&](const Activate& op) {
              return fmt::format("activate({})", kernels::activation_name(op.function));
            },
            [&](const Attention& op) {
              return fmt::format("attention(heads {}/{}, dim {}{}{})", op.heads, op.kv_heads,
                                 op.head_dim, op.causal ? ", causal" : "",
                                 op.window > 0 ? fmt::format(", window {}", op.window) : "");
            },
            [&](const Pool& op) { return fmt::format("pool({})", pool_name(op.kind)); },
            [&](const L2Normalize&) { return std::string("l2_normalize"); },
        },
        node.op);
    for (ValueId input : node.inputs) text += fmt::format(" %{}", input.index);
    text += '\n';
  }
  for (const Output& output : outputs_)
    text += fmt::format("output {} = %{}\n", output.name, output.value.index);
  return text;
}

}  // namespace tack::graph
