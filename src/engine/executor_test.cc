// The executor against the reference: arithmetic types, fused and not, uneven tiles, one to three
// parties, and the promise that results do not depend on any of it.

#include "engine/executor.h"

#include <cmath>
#include <cstring>
#include <deque>
#include <map>

#include <gtest/gtest.h>

#include "base/random.h"
#include "graph/plan.h"
#include "graph/reference.h"
#include "tensor/convert.h"

namespace tack {
namespace {

using namespace graph;  // NOLINT

struct Weights {
  std::map<std::string, TensorView> views;
  std::deque<std::vector<std::byte>> memory;
  // `exact` stays f32.
  explicit Weights(const Graph& graph, bool int8, std::string_view exact = "") {
    Random random(7);
    for (const Weight& weight : graph.weights()) {
      const auto cols = static_cast<std::size_t>(weight.shape.back());
      std::vector<float> values(static_cast<std::size_t>(element_count(weight.shape)));
      const bool norm = weight.name.ends_with("gamma");
      for (float& v : values)
        v = static_cast<float>(norm ? 1 + 0.1 * random.normal() : 0.2 * random.normal());
      if (int8 && weight.name != exact && weight.shape.size() == 2 && cols % 32 == 0) {
        auto& bytes = memory.emplace_back(values.size() / 32 * 34);
        for (std::size_t r = 0; r < values.size() / cols; ++r)
          quantize_row_int8(std::span(values).subspan(r * cols, cols),
                            std::span(bytes).subspan(r * cols / 32 * 34, cols / 32 * 34));
        views[weight.name] = {DType::kQ8_0, weight.shape, bytes};
      } else {
        auto& bytes = memory.emplace_back(values.size() * sizeof(float));
        std::memcpy(bytes.data(), values.data(), bytes.size());
        views[weight.name] = {DType::kF32, weight.shape, bytes};
      }
    }
  }
  WeightSource source() const {
    return [this](const Weight& weight) -> const TensorView& { return views.at(weight.name); };
  }
};

constexpr std::int64_t kDim = 96, kHeads = 3, kFf = 160;

Graph block() {
  Graph g;
  const auto linear = [&](ValueId x, const std::string& name, std::int64_t out) {
    const WeightId w = g.weight(name + ".w", {out, g.value(x).cols}),
                   b = g.weight(name + ".b", {out});
    return g.linear(x, w, b);
  };
  const auto norm = [&](ValueId x, const std::string& name) {
    const WeightId gamma = g.weight(name + ".gamma", {kDim}),
                   beta = g.weight(name + ".beta", {kDim});
    return g.layer_norm(x, gamma, beta, 1e-12F);
  };
  ValueId x = g.add(g.embedding(g.weight("tokens", {60, kDim}), Index::kTokenId),
                    g.embedding(g.weight("types", {2, kDim}), Index::kTokenType));
  x = norm(g.add(x, g.embedding(g.weight("positions", {64, kDim}), Index::kPosition)), "n0");
  const ValueId q = linear(x, "q", kDim), k = linear(x, "k", kDim), v = linear(x, "v", kDim);
  const ValueId a = g.attention(q, k, v, {kHeads, kHeads, kDim / kHeads, 0.2F, false, 0});
  x = norm(g.add(linear(a, "o", kDim), x), "n1");
  const ValueId up = g.activate(linear(x, "up", kFf), kernels::Activation::kGeluErf);
  x = norm(g.add(linear(up, "down", kDim), x), "n2");
  g.output("hidden", x);
  g.output("embedding", g.l2_normalize(g.pool(x, PoolKind::kMean)));
  g.output("pooled", g.activate(linear(g.pool(x, PoolKind::kCls), "pooler", kDim),
                                kernels::Activation::kTanh));
  g.output("last", g.pool(x, PoolKind::kLast));
  return g;
}

struct Input {
  std::vector<std::int32_t> ids, types;
  std::vector<std::int64_t> starts = {0};
  explicit Input(std::initializer_list<std::int64_t> lengths) {
    Random random(3);
    for (std::int64_t n : lengths) {
      for (std::int64_t i = 0; i < n; ++i) {
        ids.push_back(static_cast<std::int32_t>(random.below(60)));
        types.push_back(static_cast<std::int32_t>(random.below(2)));
      }
      starts.push_back(static_cast<std::int64_t>(ids.size()));
    }
  }
  Batch batch() const { return {ids, types, starts}; }
};

const std::vector<std::string> kOutputs = {"hidden", "embedding", "pooled", "last"};

std::vector<std::vector<float>> run(const Plan& plan, const Batch& batch, int parties,
                                    std::int64_t tile_rows) {
  Executor executor(plan, parties,
                    {.tokens = batch.tokens(),
                     .sequences = batch.sequences(),
                     .longest = 64,
                     .tile_rows = tile_rows});
  ThreadPool pool(parties);
  pool.run([&](int party) { executor.run(party, batch, pool.barrier()); });
  std::vector<std::vector<float>> outputs;
  for (std::size_t o = 0; o < plan.outputs.size(); ++o) {
    auto& values = outputs.emplace_back();
    const std::int64_t rows =
        plan.outputs[o].rows == Rows::kTokens ? batch.tokens() : batch.sequences();
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto row = executor.output(o, r);
      values.insert(values.end(), row.begin(), row.end());
    }
  }
  return outputs;
}

double relative_error(const std::vector<float>& x, const std::vector<float>& y) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    difference += std::pow(static_cast<double>(x[i]) - y[i], 2);
    size += std::pow(static_cast<double>(y[i]), 2);
  }
  return std::sqrt(difference / size);
}

struct Case {
  const char* name;
  LinearType type;
  bool int8_weights, fuse;
  double tolerance;
};

class ExecutorMatchesReference : public testing::TestWithParam<Case> {};

TEST_P(ExecutorMatchesReference, OnPackedSequences) {
  const Case& c = GetParam();
  const Graph graph = block();
  const Weights weights(graph, c.int8_weights);
  const WeightSource source = weights.source();
  const auto plan = make_plan(
      graph, source,
      {.outputs = kOutputs, .fuse = c.fuse, .linear_type = c.type, .release_pages = false});
  ASSERT_TRUE(plan) << plan.error().message;
  const Input input({1, 7, 33, 2, 12});
  const auto reference = run_reference(graph, source, input.batch());
  ASSERT_TRUE(reference);
  const auto outputs = run(*plan, input.batch(), 1, 24);
  for (std::size_t o = 0; o < kOutputs.size(); ++o) {
    const auto value = static_cast<std::size_t>(graph.find_output(kOutputs[o])->value.index);
    ASSERT_EQ(outputs[o].size(), (*reference)[value].size());
    EXPECT_LT(relative_error(outputs[o], (*reference)[value]), c.tolerance) << kOutputs[o] << "\n"
                                                                            << plan->to_text();
  }
  // Neither tiles nor parties change a bit in int8. oneDNN orders the sums of its f32 and bf16
  // products by the number of rows.
  const double tolerance = c.type == LinearType::kBf16 ? 1e-3 : 2e-6;
  for (const int parties : {1, 2, 3})
    for (const std::int64_t tile : {1, 5, 64}) {
      const auto again = run(*plan, input.batch(), parties, tile);
      for (std::size_t o = 0; o < outputs.size(); ++o)
        if (c.type == LinearType::kInt8)
          EXPECT_EQ(again[o], outputs[o]) << parties << " x " << tile;
        else
          EXPECT_LT(relative_error(again[o], outputs[o]), tolerance) << parties << " x " << tile;
    }
}

// Then one product gives two of q, k and v, and another the third: their rows are not equally long.
TEST(Executor, TakesMatricesOfDifferentTypesUnderOneAttention) {
  const Graph graph = block();
  const Input input({1, 7, 33, 2, 12});
  for (const char* exact : {"q.w", "k.w", "v.w", "o.w", "up.w"}) {
    const Weights weights(graph, true, exact);
    const WeightSource source = weights.source();
    const auto plan = make_plan(graph, source, {.outputs = kOutputs, .release_pages = false});
    ASSERT_TRUE(plan) << plan.error().message;
    const auto reference = run_reference(graph, source, input.batch());
    ASSERT_TRUE(reference);
    const auto outputs = run(*plan, input.batch(), 1, 24);
    const auto value = static_cast<std::size_t>(graph.find_output("hidden")->value.index);
    EXPECT_LT(relative_error(outputs[0], (*reference)[value]), 0.02) << exact;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, ExecutorMatchesReference,
                         testing::Values(Case{"f32", LinearType::kF32, false, true, 2e-6},
                                         Case{"f32_unfused", LinearType::kF32, false, false, 2e-6},
                                         Case{"bf16", LinearType::kBf16, false, true, 2e-2},
                                         Case{"int8", LinearType::kInt8, true, true, 3e-2},
                                         Case{"int8_unfused", LinearType::kInt8, true, false,
                                              3e-2}),
                         [](const auto& instance) { return instance.param.name; });

// A sequence's result is the same alone and among others.
TEST(Executor, BatchingChangesNothing) {
  const Graph graph = block();
  const Weights weights(graph, true);
  const WeightSource source = weights.source();
  const auto plan = make_plan(
      graph, source,
      {.outputs = {"embedding"}, .linear_type = LinearType::kInt8, .release_pages = false});
  ASSERT_TRUE(plan);
  const Input input({9, 3, 20});
  const auto together = run(*plan, input.batch(), 1, 8);
  for (std::size_t s = 0; s < 3; ++s) {
    const auto first = static_cast<std::size_t>(input.starts[s]);
    const auto count = static_cast<std::size_t>(input.starts[s + 1]) - first;
    const std::vector<std::int64_t> starts = {0, static_cast<std::int64_t>(count)};
    const Batch alone{std::span(input.ids).subspan(first, count),
                      std::span(input.types).subspan(first, count), starts};
    const auto single = run(*plan, alone, 1, 8);
    EXPECT_TRUE(std::equal(single[0].begin(), single[0].end(),
                           together[0].begin() + static_cast<std::ptrdiff_t>(s * kDim)));
  }
}

}  // namespace
}  // namespace tack
