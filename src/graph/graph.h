// The typed operator graph: what a model is made of.
//
// A model is written once, as a Graph, by its file in models/. Inference plans it (graph/plan.h);
// the reference executor (graph/reference.h) runs it operator by operator, and training
// (train/tape.h) runs the same primitives and their backward. The graph holds no weights, only
// their names and shapes.
//
// Every value is a matrix: `rows` is symbolic (one row per token, or per sequence of the batch),
// `cols` is known. Building checks shapes at once: a builder method with operands that do not fit
// is a bug of the model file and asserts; sizes that come from a configuration are checked by the
// model.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/activation.h"
#include "tensor/tensor_view.h"

namespace tack::graph {

enum class Rows : std::uint8_t { kTokens, kSequences };

struct ValueId {
  std::int32_t index = -1;
  bool operator==(const ValueId&) const = default;
};
struct WeightId {
  std::int32_t index = -1;
  bool operator==(const WeightId&) const = default;
};

struct Value {
  Rows rows;
  std::int64_t cols;
};
struct Weight {
  std::string name;  // the tensor's name in GGUF
  Shape shape;
};

// What picks the row of an embedding table for each token.
enum class Index : std::uint8_t { kTokenId, kPosition, kTokenType };
enum class PoolKind : std::uint8_t { kMean, kCls, kLast };

struct Embedding {
  WeightId table;
  Index index;
};  // () -> [tokens, d]
struct Add {};  // (a, b) -> a + b
struct LayerNorm {
  WeightId gamma, beta;
  float eps;
};  // (x)
struct RmsNorm {
  WeightId gamma;  // [cols / groups]
  float eps;
  std::int64_t groups = 1;  // stretches of a row, each normalised by itself: the heads of QK-norm
};  // (x) -> x / sqrt(mean(x^2) + eps) * gamma
struct Scale {
  float factor;
};  // (x) -> factor * x
struct Linear {
  WeightId weight;
  WeightId bias;
};  // (x [r, in]) -> [r, out]; bias -1: none
struct Activate {
  kernels::Activation function;
};  // (x)
struct Multiply {};  // (a, b) -> a * b, element by element: the gate of GeGLU and SwiGLU
// Rotary positions (Su et al. 2021): of every head, pairs of columns turn by position * frequency.
struct Rope {
  std::int64_t heads, head_dim;
  bool interleaved;              // pairs (2i, 2i + 1), as GGUF's Llama; else (i, i + head_dim / 2)
  std::vector<float> frequency;  // [head_dim / 2], radians per position
  float scale = 1;               // of what is turned: YaRN's attention factor
  // Queries of long contexts grow: times 1 + beta ln(1 + floor(position / context)); 0: never.
  float long_beta = 0;
  std::int64_t long_context = 0;

  // Radians of pair i, the product rounded to f32 as where the models were trained: at position
  // 16,000 the rounding is 1e-3 radians.
  float angle(std::int64_t position, std::size_t i) const {
    return static_cast<float>(position) * frequency[i];
  }
  // Factor of the row at `position`: scale and growth together.
  double factor(std::int64_t position) const;
};  // (x [tokens, heads * head_dim])
struct Attention {  // (q, k, v) -> [tokens, heads * head_dim]
  std::int64_t heads, kv_heads, head_dim;
  float scale;
  bool causal;
  std::int64_t window;  // 0: none
};
struct Pool {
  PoolKind kind;
};  // (x [tokens, d]) -> [sequences, d]
struct L2Normalize {
  float eps;
};  // (x)

using Op = std::variant<Embedding, Add, LayerNorm, RmsNorm, Scale, Linear, Activate, Multiply, Rope,
                        Attention, Pool, L2Normalize>;

struct Node {
  Op op;
  std::vector<ValueId> inputs;
  ValueId output;
};

struct Output {
  std::string name;  // "embedding", "logits", "hidden"
  ValueId value;
};

class Graph {
 public:
  WeightId weight(std::string name, Shape shape);

  ValueId embedding(WeightId table, Index index);
  ValueId add(ValueId a, ValueId b);
  ValueId layer_norm(ValueId x, WeightId gamma, WeightId beta, float eps);
  ValueId rms_norm(ValueId x, WeightId gamma, float eps, std::int64_t groups = 1);
  ValueId scale(ValueId x, float factor);
  ValueId linear(ValueId x, WeightId weight, WeightId bias = {});
  ValueId activate(ValueId x, kernels::Activation function);
  ValueId multiply(ValueId a, ValueId b);
  ValueId rope(ValueId x, Rope attributes);
  ValueId attention(ValueId q, ValueId k, ValueId v, const Attention& attributes);
  ValueId pool(ValueId x, PoolKind kind);
  ValueId l2_normalize(ValueId x, float eps = 1e-12F);
  // A node as it stands in another graph: same operator and type, with these inputs and weights.
  ValueId append(Op op, std::vector<ValueId> inputs, Value type);
  void output(std::string name, ValueId value);

  const std::vector<Node>& nodes() const { return nodes_; }  // in topological order
  const std::vector<Weight>& weights() const { return weights_; }
  const std::vector<Output>& outputs() const { return outputs_; }
  const Value& value(ValueId id) const { return values_[static_cast<std::size_t>(id.index)]; }
  const Weight& weight(WeightId id) const { return weights_[static_cast<std::size_t>(id.index)]; }
  std::size_t value_count() const { return values_.size(); }
  const Output* find_output(std::string_view name) const;

  // One line per node, for `tack show --graph` and failing tests.
  std::string to_text() const;

 private:
  ValueId add_node(Op op, std::vector<ValueId> inputs, Value type);
  std::vector<Node> nodes_;
  std::vector<Value> values_;
  std::vector<Weight> weights_;
  std::vector<Output> outputs_;
};

}  // namespace tack::graph
