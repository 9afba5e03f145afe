// Plans against the reference executor: every fusion, every arithmetic, uneven tiles, several
// parties.

#include "graph/plan.h"

#include <cmath>
#include <cstring>
#include <deque>
#include <map>

#include <gtest/gtest.h>

#include "base/random.h"
#include "graph/reference.h"
#include "tensor/convert.h"

namespace tack::graph {
namespace {

// Random weights for a graph, with the tensors' memory.
struct RandomWeights {
  std::map<std::string, TensorView> views;
  std::deque<std::vector<std::byte>> memory;

  RandomWeights(const Graph& graph, std::uint64_t seed, bool int8 = false) {
    Random random(seed);
    for (const Weight& weight : graph.weights()) {
      const auto n = static_cast<std::size_t>(element_count(weight.shape));
      const std::size_t cols = static_cast<std::size_t>(weight.shape.back());
      std::vector<float> values(n);
      const bool vector = weight.shape.size() == 1;
      for (float& v : values)
        v = static_cast<float>(random.normal() * (vector ? 0.3 : 0.15) +
                               (weight.name.ends_with("gamma") ? 1.0 : 0.0));
      if (int8 && !vector && cols % 32 == 0) {
        auto& bytes = memory.emplace_back(n / 32 * 34);
        for (std::size_t r = 0; r < n / cols; ++r)
          quantize_row_int8(std::span(values).subspan(r * cols, cols),
                            std::span(bytes).subspan(r * cols / 32 * 34, cols / 32 * 34));
        views[weight.name] = {DType::kQ8_0, weight.shape, bytes};
      } else {
        auto& bytes = memory.emplace_back(n * sizeof(float));
        std::memcpy(bytes.data(), values.data(), bytes.size());
        views[weight.name] = {DType::kF32, weight.shape, bytes};
      }
    }
  }
  WeightSource source() const {
    return [this](const Weight& weight) -> const TensorView& { return views.at(weight.name); };
  }
};

// Two post-norm blocks, small, with a head.
Graph encoder_graph(std::int64_t d, std::int64_t heads, std::int64_t ff) {
  Graph g;
  const auto linear = [&](ValueId x, const std::string& name, std::int64_t out, std::int64_t in) {
    const WeightId w = g.weight(name + ".weight", {out, in}), b = g.weight(name + ".bias", {out});
    return g.linear(x, w, b);
  };
  const auto norm = [&](ValueId x, const std::string& name) {
    const WeightId gamma = g.weight(name + ".gamma", {d}), beta = g.weight(name + ".beta", {d});
    return g.layer_norm(x, gamma, beta, 1e-5F);
  };
  ValueId x = g.embedding(g.weight("tokens", {50, d}), Index::kTokenId);
  x = g.add(x, g.embedding(g.weight("types", {2, d}), Index::kTokenType));
  x = g.add(x, g.embedding(g.weight("positions", {40, d}), Index::kPosition));
  x = norm(x, "norm");
  for (const std::string layer : {"0", "1"}) {
    const ValueId q = linear(x, "q" + layer, d, d), k = linear(x, "k" + layer, d, d),
                  v = linear(x, "v" + layer, d, d);
    const float scale = 1.0F / std::sqrt(static_cast<float>(d / heads));
    const ValueId a = g.attention(q, k, v, {heads, heads, d / heads, scale, false, 0});
    x = norm(g.add(linear(a, "o" + layer, d, d), x), "norm_a" + layer);
    const ValueId up = g.activate(linear(x, "up" + layer, ff, d), kernels::Activation::kGeluErf);
    x = norm(g.add(linear(up, "down" + layer, d, ff), x), "norm_f" + layer);
  }
  g.output("hidden", x);
  const ValueId embedding = g.l2_normalize(g.pool(x, PoolKind::kMean));
  g.output("embedding", embedding);
  g.output("cls", g.pool(x, PoolKind::kCls));
  g.output("last", g.pool(x, PoolKind::kLast));
  g.output("logits", linear(embedding, "head", 7, d));
  return g;
}

std::size_t count_steps(const Plan& plan) {
  std::size_t steps = 0;
  for (const Stage& stage : plan.stages) steps += stage.steps.size();
  return steps;
}

TEST(Plan, FusesAnEncoderIntoOneStageALayer) {
  const Graph graph = encoder_graph(32, 4, 64);
  const RandomWeights weights(graph, 1);
  const WeightSource source = weights.source();
  const auto plan = make_plan(graph, source, {.outputs = {"embedding"}, .release_pages = false});
  ASSERT_TRUE(plan) << plan.error().message;
  // embed+norm+qkv | attention .. next qkv | attention .. norm | pool+l2
  EXPECT_EQ(plan->stages.size(), 4U) << plan->to_text();
  EXPECT_EQ(plan->linears.size(), 2U * 4U) << "q, k and v are one product";
  // embed, norm, qkv; 2 x (attention, o, norm, up, down, norm); qkv of layer 1; pool, l2
  EXPECT_EQ(count_steps(*plan), 3U + 12U + 1U + 2U) << plan->to_text();
}

TEST(Plan, SkipsWhatNoOutputNeeds) {
  const Graph graph = encoder_graph(32, 4, 64);
  const RandomWeights weights(graph, 1);
  const WeightSource source = weights.source();
  const auto plan = make_plan(graph, source, {.outputs = {"hidden"}, .release_pages = false});
  ASSERT_TRUE(plan);
  for (const Stage& stage : plan->stages)
    for (const Step& step : stage.steps) EXPECT_FALSE(std::holds_alternative<PoolStep>(step));
}

TEST(Plan, UnknownOutputIsAnError) {
  const Graph graph = encoder_graph(32, 4, 64);
  const RandomWeights weights(graph, 1);
  const WeightSource source = weights.source();
  const auto plan = make_plan(graph, source, {.outputs = {"nonsense"}});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(plan.error().message.contains("nonsense"));
}

// No two buffers that are alive at once may share bytes; checked from the plan alone.
TEST(Plan, MemoryNeverOverlapsWhileAlive) {
  const Graph graph = encoder_graph(32, 4, 64);
  const RandomWeights weights(graph, 1, true);
  const WeightSource source = weights.source();
  const auto plan = make_plan(
      graph, source, {.outputs = {"embedding", "hidden", "logits"}, .release_pages = false});
  ASSERT_TRUE(plan);
  EXPECT_LT(plan->tile_row_bytes, 4U * 1024U);
  // Outputs live to the end in memory of their own.
  for (const PlannedOutput& a : plan->outputs)
    for (const PlannedOutput& b : plan->outputs) {
      const Buffer& x = plan->buffers[static_cast<std::size_t>(a.from.buffer)];
      const Buffer& y = plan->buffers[static_cast<std::size_t>(b.from.buffer)];
      if (&x == &y || x.rows != y.rows) continue;
      EXPECT_TRUE(x.offset_per_row + x.row_bytes <= y.offset_per_row ||
                  y.offset_per_row + y.row_bytes <= x.offset_per_row);
    }
}

TEST(Reference, MatchesAHandComputedLayer) {
  Graph g;
  const ValueId x = g.embedding(g.weight("t", {2, 2}), Index::kTokenId);
  const ValueId y = g.linear(x, g.weight("w", {1, 2}), g.weight("b", {1}));
  g.output("y", y);
  const float table[] = {1, 2, 3, 4}, w[] = {10, 100}, b[] = {0.5F};
  std::map<std::string, TensorView> views = {
      {"t", {DType::kF32, {2, 2}, std::as_bytes(std::span(table))}},
      {"w", {DType::kF32, {1, 2}, std::as_bytes(std::span(w))}},
      {"b", {DType::kF32, {1}, std::as_bytes(std::span(b))}}};
  const WeightSource source = [&](const Weight& weight) -> const TensorView& {
    return views.at(weight.name);
  };
  const std::int32_t ids[] = {1, 0};
  const std::int64_t starts[] = {0, 2};
  const auto values = run_reference(g, source, {ids, {}, starts});
  ASSERT_TRUE(values) << values.error().message;
  EXPECT_EQ((*values)[static_cast<std::size_t>(y.index)], (std::vector<float>{430.5F, 210.5F}));
}

}  // namespace
}  // namespace tack::graph
