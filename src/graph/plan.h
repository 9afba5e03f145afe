// The planner: from the operator graph to stages of fused steps over rows, with static memory.
//
// A stage is a list of steps that look only at their own row, so a worker runs the whole stage on a
// tile of rows while they are in its cache, and workers meet (a barrier) only between stages: where
// attention or pooling reads rows that other workers wrote. A BERT layer is one stage.
//
// Values that live inside one stage get memory per worker and tile; values that cross stages get
// memory per batch row. Both are laid out once, as bytes per row, for any number of rows.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "graph/graph.h"
#include "graph/weights.h"

namespace tack::graph {

struct Buffer {
  Rows rows = Rows::kTokens;
  std::size_t row_bytes = 0;
  bool tile_local = false;         // memory of one worker, indexed from the first row of its tile
  std::size_t offset_per_row = 0;  // begins at offset_per_row * (row capacity of batch or tile)
};

// Columns [column, ...) of a buffer of f32.
struct Operand {
  std::int32_t buffer = -1;
  std::int64_t column = 0;
};

struct EmbedStep {  // out = sum of table rows
  struct Table {
    TensorView view;
    Index index;
  };
  std::vector<Table> tables;
  Operand out;
  std::int64_t cols;
};
struct QuantizeStep {  // f32 rows to the int8 kernels' rows, and one f32 scale a row
  Operand in;
  std::int32_t out, scale;
  std::int64_t cols;
  std::vector<float> column_scale;  // [cols] that values are multiplied by first, or empty
};
struct LinearStep {       // out = residual + f(in W^T + bias)
  std::int32_t weights;   // Plan::linears
  Operand in;             // int8: the rows of a QuantizeStep
  std::int32_t in_scale;  // int8: its scales
  kernels::Activation activation;
  Operand residual;  // buffer -1: none
  Operand out;
};
struct LayerNormStep {
  std::vector<float> gamma, beta;
  float eps;
  Operand in, out;
};
struct ActivateStep {
  kernels::Activation function;
  Operand in, out;
  std::int64_t cols;
};
struct AddStep {
  Operand a, b, out;
  std::int64_t cols;
};
struct AttentionStep {
  Attention attributes;
  Operand q, k, v, out;
};
struct PoolStep {
  PoolKind kind;
  Operand in, out;  // in: tokens, out: sequences
  std::int64_t cols;
};
struct L2NormalizeStep {
  float eps;
  Operand in, out;
  std::int64_t cols;
};

using Step = std::variant<EmbedStep, QuantizeStep, LinearStep, LayerNormStep, ActivateStep, AddStep,
                          AttentionStep, PoolStep, L2NormalizeStep>;

struct Stage {
  Rows rows;
  std::vector<Step> steps;
};

struct PlannedOutput {
  std::string name;
  Operand from;
  Rows rows;
  std::int64_t cols;
};

struct Plan {
  std::vector<Stage> stages;
  std::vector<Buffer> buffers;
  std::vector<PackedLinear> linears;
  std::vector<PlannedOutput> outputs;
  std::size_t token_bytes = 0;     // arena bytes per token of a batch
  std::size_t sequence_bytes = 0;  // arena bytes per sequence of a batch
  std::size_t tile_row_bytes = 0;  // scratch bytes per tile row and worker
  std::int64_t max_head_dim = 0;   // 0: no attention

  std::size_t weight_bytes() const;
  std::string to_text() const;  // one line per step
};

struct PlanOptions {
  std::vector<std::string> outputs;  // which graph outputs; others are not computed
  bool fuse = true;                  // false: one step per operator (to test the fusions)
  // Computes every linear layer in this type; unset: natural_linear_type of each tensor.
  std::optional<LinearType> linear_type;
  bool release_pages = true;
  // Int8: factors of a weight's input columns; weights are multiplied by them and activations
  // divided. Weights that share an input have the same. Unset or empty: none.
  std::function<std::span<const float>(const Weight&)> smoothing;
};

// Errors: an output the graph does not have (kNotFound), a tensor of a type that cannot be
// computed.
Result<Plan> make_plan(const Graph& graph, const WeightSource& source, const PlanOptions& options);

}  // namespace tack::graph
