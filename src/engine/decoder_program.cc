#include "engine/decoder_program.h"

#include <algorithm>

#include "base/checked.h"

namespace tack {
namespace {

using graph::Node;
using graph::ValueId;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// How the workers share an action. Rows are always shared alike, so what goes by rows can follow
// what went by rows without waiting.
enum class Share : std::uint8_t { kRows, kColumns, kHeads };

// What actions read and write, beside values: all quantised activations, the whole cache.
constexpr std::int32_t kQuantized = -2, kCache = -3;

class Builder {
 public:
  Builder(const graph::Graph& graph, ValueId logits,
          const std::function<bool(const graph::Linear&)>& in_blocks)
      : graph_(graph), uses_(graph.value_count()), last_reader_(graph.value_count(), nullptr) {
    for (const Node& node : graph.nodes())
      for (const ValueId input : node.inputs) last_reader_[at(input.index)] = &node;
    for (const Node& node : graph.nodes())
      if (node.output != logits) add(node, in_blocks);
    place(logits);
  }

  DecoderProgram take() { return std::move(program_); }

 private:
  struct Access {
    Share share;
    std::vector<std::int32_t> reads, writes;
  };
  // The stretches between two meetings in which a value is written, and read last.
  struct Uses {
    std::size_t first = 0, last = 0;
  };

  void add(const Node& node, const std::function<bool(const graph::Linear&)>& in_blocks) {
    Action action;
    action.node = &node;
    Access access{Share::kRows, {}, {node.output.index}};
    for (const ValueId input : node.inputs) access.reads.push_back(input.index);
    if (in_place(node)) access.writes.push_back(node.inputs[0].index);
    if (const auto* linear = std::get_if<graph::Linear>(&node.op)) {
      access.share = Share::kColumns;
      if ((action.quantized = in_blocks(*linear))) {
        quantize(node.inputs[0]);
        access.reads = {kQuantized};
      }
    }
    if (const auto* rope = std::get_if<graph::Rope>(&node.op)) action.index = angles_of(*rope);
    if (std::holds_alternative<graph::Attention>(node.op)) {
      action.index = layers_++;
      store(action);
      access.share = Share::kHeads;
      access.reads.push_back(kCache);
    }
    emit(action, access);
  }

  // Whether a node writes over its first input, which nobody else reads afterwards.
  bool in_place(const Node& node) const {
    const bool by_element = std::holds_alternative<graph::Activate>(node.op) ||
                            std::holds_alternative<graph::Multiply>(node.op) ||
                            std::holds_alternative<graph::Add>(node.op) ||
                            std::holds_alternative<graph::Scale>(node.op);
    return by_element && last_reader_[at(node.inputs[0].index)] == &node;
  }

  void quantize(ValueId value) {
    if (quantized_ == value) return;
    quantized_ = value;
    emit({.kind = Action::Kind::kQuantize, .value = value},
         {Share::kRows, {value.index}, {kQuantized}});
  }

  void store(Action action) {
    action.kind = Action::Kind::kStore;
    emit(action,
         {Share::kRows, {action.node->inputs[1].index, action.node->inputs[2].index}, {kCache}});
  }

  std::size_t angles_of(const graph::Rope& rope) {
    const auto same = [&](const graph::Rope* other) {
      return other->frequency == rope.frequency && other->scale == rope.scale &&
             other->long_beta == rope.long_beta && other->long_context == rope.long_context;
    };
    const auto found = std::ranges::find_if(program_.ropes, same);
    const auto index = static_cast<std::size_t>(found - program_.ropes.begin());
    if (found == program_.ropes.end()) program_.ropes.push_back(&rope);
    return index;
  }

  static bool meet(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b) {
    return std::ranges::any_of(a, [&](std::int32_t i) { return std::ranges::count(b, i) != 0; });
  }

  void emit(Action action, Access access) {
    action.meet_before = std::ranges::any_of(since_, [&](const Access& other) {
      if (other.share == Share::kRows && access.share == Share::kRows) return false;
      return meet(other.writes, access.reads) || meet(other.reads, access.writes) ||
             meet(other.writes, access.writes);
    });
    if (action.meet_before) {
      since_.clear();
      ++stretch_;
    }
    for (const std::int32_t read : access.reads)
      if (read >= 0) uses_[at(read)].last = stretch_;
    if (action.kind == Action::Kind::kNode)
      uses_[at(action.node->output.index)] = {stretch_, stretch_};
    since_.push_back(std::move(access));
    program_.actions.push_back(action);
  }

  // Memory is taken again after the stretch of the last use.
  void place(ValueId logits) {
    struct Block {
      std::int64_t offset, size;
      std::size_t last;
    };
    std::vector<Block> blocks;  // by offset
    program_.offsets.assign(graph_.value_count(), -1);
    for (const Node& node : graph_.nodes()) {
      if (node.output == logits) continue;
      const Uses uses = uses_[at(node.output.index)];
      std::erase_if(blocks, [&](const Block& block) { return block.last < uses.first; });
      if (in_place(node)) {
        const std::int64_t offset = program_.offsets[at(node.inputs[0].index)];
        const auto block = std::ranges::find(blocks, offset, &Block::offset);
        block->last = std::max(block->last, uses.last);
        program_.offsets[at(node.output.index)] = offset;
        continue;
      }
      const std::int64_t size = round_up<std::int64_t>(graph_.value(node.output).cols, 16);
      std::int64_t offset = 0;
      auto before = blocks.begin();
      for (; before != blocks.end() && before->offset - offset < size; ++before)
        offset = before->offset + before->size;
      blocks.insert(before, {offset, size, uses.last});
      program_.offsets[at(node.output.index)] = offset;
      program_.columns = std::max(program_.columns, offset + size);
    }
  }

  const graph::Graph& graph_;
  DecoderProgram program_;
  std::vector<Access> since_;             // the workers last met
  std::vector<Uses> uses_;                // by value
  std::vector<const Node*> last_reader_;  // by value
  std::size_t stretch_ = 0, layers_ = 0;
  ValueId quantized_;  // what the quantised activations are of
};

}  // namespace

DecoderProgram make_program(const graph::Graph& graph, ValueId logits,
                            const std::function<bool(const graph::Linear&)>& in_blocks) {
  return Builder(graph, logits, in_blocks).take();
}

}  // namespace tack
