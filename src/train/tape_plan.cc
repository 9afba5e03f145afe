#include "train/tape_plan.h"

#include <algorithm>
#include <limits>

namespace tack {
namespace {

using graph::Node;
using graph::Rows;
using graph::ValueId;
using graph::WeightId;

std::size_t at(std::int32_t i) {
  return static_cast<std::size_t>(i);
}

// Both ends belong to it. Times are indices into the steps, the forward's before the backward's.
struct Span {
  std::int64_t from = 0, to = 0;
};

// First-fit placement of what needs `size` columns during some spans of time.
class Placer {
 public:
  std::int64_t place(std::int64_t size, std::span<const Span> spans) {
    std::vector<Columns> taken;
    for (const Block& block : blocks_)
      if (meet(block.spans, spans)) taken.push_back(block.columns);
    std::ranges::sort(taken, {}, &Columns::begin);
    std::int64_t offset = 0;
    for (const Columns& columns : taken) {
      if (offset + size <= columns.begin) break;
      offset = std::max(offset, columns.end);
    }
    blocks_.push_back({{offset, offset + size}, {spans.begin(), spans.end()}});
    total_ = std::max(total_, offset + size);
    return offset;
  }
  std::int64_t total() const { return total_; }

 private:
  struct Columns {
    std::int64_t begin, end;
  };
  struct Block {
    Columns columns;
    std::vector<Span> spans;
  };
  static bool meet(std::span<const Span> a, std::span<const Span> b) {
    return std::ranges::any_of(a, [&](const Span& x) {
      return std::ranges::any_of(b,
                                 [&](const Span& y) { return x.from <= y.to && y.from <= x.to; });
    });
  }
  std::vector<Block> blocks_;
  std::int64_t total_ = 0;
};

class Planner {
 public:
  Planner(const graph::Graph& graph, const std::vector<bool>& trains)
      : graph_(graph), nodes_(graph.nodes()), trains_(trains) {}

  TapePlan plan(std::span<const ValueId> outputs, bool recompute) {
    find_live(outputs);
    find_gradients();
    find_dropped();
    find_aliases();
    cut_layers(recompute);
    order_steps();
    place_values();
    place_gradients();
    plan_.token_columns = tokens_.total();
    plan_.sequence_columns = sequences_.total();
    return std::move(plan_);
  }

 private:
  TapePlan::Value& info(ValueId v) { return plan_.values[at(v.index)]; }
  bool trains(WeightId id) const { return id.index >= 0 && trains_[at(id.index)]; }
  // Calls body(node number, node) for what the outputs depend on.
  template <class Body>
  void for_live(const Body& body) const {
    for (std::size_t n = 0; n < nodes_.size(); ++n)
      if (live_[n]) body(n, nodes_[n]);
  }

  void find_live(std::span<const ValueId> outputs) {
    plan_.values.resize(graph_.value_count());
    live_.assign(nodes_.size(), false);
    for (std::size_t n = 0; n < nodes_.size(); ++n) info(nodes_[n].output).producer = n;
    std::vector<ValueId> todo(outputs.begin(), outputs.end());
    for (ValueId v : outputs) info(v).is_output = true;
    while (!todo.empty()) {
      const std::size_t n = info(todo.back()).producer;
      todo.pop_back();
      if (live_[n]) continue;
      live_[n] = true;
      for (ValueId input : nodes_[n].inputs) {
        info(input).consumers.push_back(n);
        todo.push_back(input);
      }
    }
    for (TapePlan::Value& v : plan_.values) std::ranges::sort(v.consumers);
  }

  void find_gradients() {
    for_live([&](std::size_t, const Node& node) {
      bool& has = info(node.output).has_gradient;
      for (WeightId id : weights_of(node.op)) has |= trains(id);
      for (ValueId input : node.inputs) has |= info(input).has_gradient;
    });
  }

  const Node& producer(ValueId v) { return nodes_[info(v).producer]; }
  bool linear(ValueId v) { return std::holds_alternative<graph::Linear>(producer(v).op); }
  // An adapted layer is a sum of two linear ones: it counts as one, and is not dropped inside.
  bool branch(ValueId v) {
    const Node& from = producer(v);
    return linear(v) || (std::holds_alternative<graph::Add>(from.op) && linear(from.inputs[0]) &&
                         linear(from.inputs[1]));
  }

  void find_dropped() {
    plan_.dropped.assign(nodes_.size(), ValueId{});
    for_live([&](std::size_t n, const Node& node) {
      if (!std::holds_alternative<graph::Add>(node.op) ||
          graph_.value(node.output).rows != Rows::kTokens)
        return;
      const bool first = branch(node.inputs[0]), second = branch(node.inputs[1]);
      if (first != second) plan_.dropped[n] = node.inputs[first ? 0 : 1];
    });
  }

  // What a sum passes back unchanged to an operand that nobody else reads is the sum's own.
  void find_aliases() {
    for_live([&](std::size_t n, const Node& node) {
      if (!std::holds_alternative<graph::Add>(node.op)) return;
      for (ValueId input : node.inputs)
        if (info(input).consumers.size() == 1 && !info(input).is_output &&
            input != plan_.dropped[n])
          info(input).alias = node.output.index;
    });
  }

  // The columns of values that node n or one before it makes and a later one reads.
  std::int64_t columns_across(std::size_t n) {
    std::int64_t columns = 0;
    for (std::size_t p = 0; p <= n; ++p) {
      const ValueId v = nodes_[p].output;
      if (live_[p] && !info(v).consumers.empty() && info(v).consumers.back() > n)
        columns += graph_.value(v).cols;
    }
    return columns;
  }

  // Layers by node: a new one begins before each attention, at the last of the places since the
  // attention before where the fewest columns pass. One layer when nothing is to be recomputed.
  void cut_layers(bool recompute) {
    layer_.assign(nodes_.size(), 0);
    std::size_t from = 0;
    for (std::size_t a = 0; recompute && a < nodes_.size(); ++a) {
      if (!live_[a] || !std::holds_alternative<graph::Attention>(nodes_[a].op)) continue;
      std::size_t best = from;
      std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
      for (std::size_t n = from; n < a; ++n)
        if (const std::int64_t columns = columns_across(n); columns <= fewest) {
          fewest = columns;
          best = n;
        }
      for (std::size_t n = best + 1; n < nodes_.size(); ++n) ++layer_[n];
      from = a;
    }
  }

  // A value stays from the forward to the backward when another layer or the caller reads it. The
  // last layer's backward follows its forward: all of it stays.
  bool kept(ValueId v) {
    const std::size_t layer = layer_[info(v).producer];
    return layer == layer_.back() || info(v).is_output ||
           std::ranges::any_of(info(v).consumers,
                               [&](std::size_t c) { return layer_[c] != layer; });
  }

  // Whether the backward of a node reads its inputs again.
  bool backward_reads(const Node& node) const {
    if (const auto* linear = std::get_if<graph::Linear>(&node.op)) return trains(linear->weight);
    return !std::holds_alternative<graph::Add>(node.op) &&
           !std::holds_alternative<graph::Pool>(node.op) &&
           !std::holds_alternative<graph::Rope>(node.op) &&
           !std::holds_alternative<graph::Scale>(node.op);
  }
  bool goes_back(std::size_t n) { return live_[n] && info(nodes_[n].output).has_gradient; }

  void order_steps() {
    for_live([&](std::size_t n, const Node&) { add_forward(n, plan_.forward); });
    back_.assign(nodes_.size(), 0);
    for (std::size_t end = nodes_.size(); end > 0;) {
      std::size_t begin = end - 1;
      while (begin > 0 && layer_[begin - 1] == layer_[end - 1]) --begin;
      recompute(begin, end);
      for (std::size_t n = end; n-- > begin;) {
        if (!goes_back(n)) continue;
        back_[n] = static_cast<std::int64_t>(plan_.forward.size() + plan_.backward.size());
        plan_.backward.push_back({TapeStep::Kind::kBackward, n});
      }
      end = begin;
    }
  }

  void add_forward(std::size_t n, std::vector<TapeStep>& steps) const {
    TapeStep step{.node = n};
    if (std::holds_alternative<graph::Linear>(nodes_[n].op)) {
      const auto last = std::ranges::find_if(steps.rbegin(), steps.rend(), [&](const TapeStep& s) {
        return std::holds_alternative<graph::Linear>(nodes_[s.node].op);
      });
      step.shares_input = last != steps.rend() && last->kind == TapeStep::Kind::kForward &&
                          nodes_[last->node].inputs[0] == nodes_[n].inputs[0];
    }
    steps.push_back(step);
  }

  // The nodes of the layer [begin, end) that must run again before its backward.
  void recompute(std::size_t begin, std::size_t end) {
    std::vector<bool> again(end, false);
    for (std::size_t n = end; n-- > begin;) {
      if (!again[n] && !(goes_back(n) && backward_reads(nodes_[n]))) continue;
      for (ValueId input : nodes_[n].inputs)
        if (!kept(input)) again[info(input).producer] = true;
    }
    for (std::size_t n = begin; n < end; ++n)
      if (again[n]) add_forward(n, plan_.backward);
  }

  Placer& placer(ValueId v) { return graph_.value(v).rows == Rows::kTokens ? tokens_ : sequences_; }
  std::int64_t end_of_time() const {
    return static_cast<std::int64_t>(plan_.forward.size() + plan_.backward.size());
  }

  // A value lives from each time that it is computed to its last reader before the next.
  void place_values() {
    std::vector<std::vector<Span>> spans(plan_.values.size());
    std::int64_t time = 0;
    const auto pass = [&](const TapeStep& step) {
      const Node& node = nodes_[step.node];
      const bool forward = step.kind == TapeStep::Kind::kForward;
      if (forward || backward_reads(node))
        for (ValueId input : node.inputs) spans[at(input.index)].back().to = time;
      if (forward) spans[at(node.output.index)].push_back({time, time});
      ++time;
    };
    std::ranges::for_each(plan_.forward, pass);
    std::ranges::for_each(plan_.backward, pass);
    for_live([&](std::size_t, const Node& node) {
      const ValueId v = node.output;
      if (info(v).is_output) spans[at(v.index)].back().to = end_of_time();
      info(v).value_offset = placer(v).place(graph_.value(v).cols, spans[at(v.index)]);
    });
  }

  // In the order in which the backward meets them: an alias's owner comes first.
  void place_gradients() {
    for (std::size_t n = nodes_.size(); n-- > 0;) {
      const ValueId v = nodes_[n].output;
      if (!goes_back(n)) continue;
      if (info(v).alias >= 0) {
        info(v).gradient_offset = info({info(v).alias}).gradient_offset;
        continue;
      }
      // The caller writes the gradients of outputs when the forward is done.
      std::int64_t first =
          info(v).is_output ? static_cast<std::int64_t>(plan_.forward.size()) - 1 : back_[n];
      for (std::size_t c : info(v).consumers) first = std::min(first, back_[c]);
      const Span span{first, last_use_of_gradient(v)};
      info(v).gradient_offset = placer(v).place(graph_.value(v).cols, std::span(&span, 1));
    }
    place_unread_gradients();
  }

  // Gradients that are written though nothing above them is trained: by the caller, of outputs, and
  // by the backward of attention, of all its inputs.
  void place_unread_gradients() {
    for_live([&](std::size_t n, const Node& node) {
      if (goes_back(n)) return;
      std::vector<Span> spans;
      const std::int64_t forward_end = static_cast<std::int64_t>(plan_.forward.size()) - 1;
      if (info(node.output).is_output) spans.push_back({forward_end, forward_end});
      for (std::size_t c : info(node.output).consumers)
        if (goes_back(c) && std::holds_alternative<graph::Attention>(nodes_[c].op))
          spans.push_back({back_[c], back_[c]});
      if (!spans.empty())
        info(node.output).gradient_offset =
            placer(node.output).place(graph_.value(node.output).cols, spans);
    });
  }

  // A gradient is read until the backward of its producer, and of those that alias it.
  std::int64_t last_use_of_gradient(ValueId v) {
    const std::size_t n = info(v).producer;
    std::int64_t last = back_[n];
    for (ValueId input : nodes_[n].inputs)
      if (info(input).alias == v.index && info(input).has_gradient)
        last = std::max(last, last_use_of_gradient(input));
    return last;
  }

  const graph::Graph& graph_;
  const std::vector<Node>& nodes_;
  const std::vector<bool>& trains_;
  TapePlan plan_;
  std::vector<bool> live_;          // by node
  std::vector<std::size_t> layer_;  // by node
  std::vector<std::int64_t> back_;  // by node: the time of its backward
  Placer tokens_, sequences_;
};

}  // namespace

std::vector<WeightId> weights_of(const graph::Op& op) {
  if (const auto* e = std::get_if<graph::Embedding>(&op)) return {e->table};
  if (const auto* n = std::get_if<graph::LayerNorm>(&op)) return {n->gamma, n->beta};
  if (const auto* n = std::get_if<graph::RmsNorm>(&op)) return {n->gamma};
  if (const auto* l = std::get_if<graph::Linear>(&op))
    return l->bias.index < 0 ? std::vector{l->weight} : std::vector{l->weight, l->bias};
  return {};
}

TapePlan plan_tape(const graph::Graph& graph, std::span<const ValueId> outputs,
                   const std::vector<bool>& trains, bool recompute) {
  return Planner(graph, trains).plan(outputs, recompute);
}

}  // namespace tack
