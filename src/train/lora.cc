#include "train/lora.h"

namespace tack {

AdaptedGraph add_lora(const graph::Graph& graph, std::int64_t rank,
                      const std::function<bool(std::string_view weight)>& wanted) {
  AdaptedGraph out;
  for (const graph::Weight& weight : graph.weights()) out.graph.weight(weight.name, weight.shape);
  out.values.resize(graph.value_count());
  const auto now = [&](graph::ValueId old) {
    return out.values[static_cast<std::size_t>(old.index)];
  };
  for (const graph::Node& node : graph.nodes()) {
    std::vector<graph::ValueId> inputs;
    for (graph::ValueId input : node.inputs) inputs.push_back(now(input));
    graph::ValueId result = out.graph.append(node.op, inputs, graph.value(node.output));
    if (const auto* linear = std::get_if<graph::Linear>(&node.op)) {
      const graph::Weight& weight = graph.weight(linear->weight);
      if (wanted(weight.name)) {
        const graph::WeightId a =
            out.graph.weight(weight.name + ".lora_a", {rank, weight.shape[1]});
        const graph::WeightId b =
            out.graph.weight(weight.name + ".lora_b", {weight.shape[0], rank});
        result = out.graph.add(result, out.graph.linear(out.graph.linear(inputs[0], a), b));
      }
    }
    out.values[static_cast<std::size_t>(node.output.index)] = result;
  }
  for (const graph::Output& output : graph.outputs())
    out.graph.output(output.name, now(output.value));
  return out;
}

}  // namespace tack
