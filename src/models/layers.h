// The layers of a model: what they compute, and a model with some of them (where a student begins).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/gguf_draft.h"
#include "graph/graph.h"
#include "models/model.h"

namespace tack {

// How many layers ("blk.N.") the model has.
std::int64_t layer_count(const Model& model);

// The values of one layer in a graph. -1 where the layer has none of that kind.
struct LayerValues {
  graph::ValueId input;              // what q, k and v are made from
  graph::ValueId hidden;             // what the next layer reads, of the last one output "hidden"
  graph::ValueId q, k, v, attended;  // of its attention: [tokens, heads * head_dim]
};
// In order. Layers are told apart by the names of their weights ("blk.N."), so a graph with
// adapters has the same values.
std::vector<LayerValues> layer_values(const graph::Graph& graph);

// `count` of `layers`, evenly spread, the first among them.
std::vector<std::int64_t> spread_layers(std::int64_t layers, std::int64_t count);

// Whether a key of a GGUF's metadata belongs to a head or to a task: a copy of the encoder alone
// leaves it out.
bool is_task_key(std::string_view key);

// The graph without the layers `dropped` [layers]: what read the result of one reads what that
// layer read. The weights are those of `graph`, all of them, by the same numbers.
graph::Graph without_layers(const graph::Graph& graph, const std::vector<bool>& dropped);

// How many neighbouring layers must go at once so that the model can still be described: 1, or of
// layers of which every n-th sees everything and the others a window, n.
std::int64_t layer_unit(const Model& model);

// The model with the layers `keep` (ascending, by number) only, numbered anew; heads of tasks stay.
// The draft views the model. Errors: kUsage for a layer that is not there, for layers with windows
// that no longer stand where the architecture has them, for a model that is no GGUF.
Result<GgufDraft> with_layers(const Model& model, const std::vector<std::int64_t>& keep);

// Writes the model with the layers `keep` (ascending, by number) only, without a classification
// head and what belongs to it. Atomic. Errors: kUsage for a layer that is not there, a model that
// is no GGUF.
Status write_layers(const Model& model, const std::vector<std::int64_t>& keep,
                    const std::filesystem::path& path);

}  // namespace tack
