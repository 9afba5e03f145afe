#include "train/tape.h"

#include <cmath>
#include <fstream>

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/random.h"
#include "graph/reference.h"

namespace tack {
namespace {

using graph::Graph;
using graph::ValueId;
using kernels::Activation;

struct Batch {
  std::vector<std::int32_t> ids, types;
  std::vector<std::int64_t> starts = {0};
  graph::Batch view() const { return {.ids = ids, .type_ids = types, .starts = starts}; }
};

Batch make_batch(std::vector<std::int64_t> lengths, std::int32_t vocab) {
  Batch batch;
  Random random(3);
  for (std::int64_t length : lengths) {
    for (std::int64_t i = 0; i < length; ++i) {
      batch.ids.push_back(
          static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocab))));
      batch.types.push_back(i > length / 2 ? 1 : 0);
    }
    batch.starts.push_back(static_cast<std::int64_t>(batch.ids.size()));
  }
  return batch;
}

std::int64_t count(const Shape& shape) {
  std::int64_t n = 1;
  for (std::int64_t d : shape) n *= d;
  return n;
}

std::vector<std::vector<double>> random_weights(const Graph& g) {
  Random random(7);
  std::vector<std::vector<double>> weights;
  for (const auto& w : g.weights()) {
    auto& values = weights.emplace_back(static_cast<std::size_t>(count(w.shape)));
    const double scale = w.shape.size() == 2 ? 1 / std::sqrt(static_cast<double>(w.shape[1])) : 0.3;
    // Rounded to f32, so that both sides start from the same numbers.
    for (double& x : values)
      x = static_cast<float>(scale * random.normal() + (w.name.ends_with("norm") ? 1 : 0));
  }
  return weights;
}

// The weights of a tape and their gradients.
struct Store {
  std::vector<std::vector<float>> values, gradients;
  std::vector<Parameter> parameters;
  Store(const Graph& g, const std::vector<std::vector<double>>& weights) {
    for (std::size_t i = 0; i < g.weights().size(); ++i) {
      values.emplace_back(weights[i].begin(), weights[i].end());
      gradients.emplace_back(weights[i].size(), 0.0F);
    }
    for (std::size_t i = 0; i < values.size(); ++i)
      parameters.push_back(
          {values[i].data(), gradients[i].data(), static_cast<std::int64_t>(values[i].size())});
  }
};

std::vector<ValueId> outputs_of(const Graph& g) {
  std::vector<ValueId> ids;
  for (const auto& output : g.outputs()) ids.push_back(output.value);
  return ids;
}

// The loss: the sum of outputs times fixed numbers.
std::vector<double> loss_weights(std::size_t n) {
  std::vector<double> r(n);
  for (std::size_t i = 0; i < n; ++i)
    r[i] = static_cast<float>(std::sin(1.0 + 1.7 * static_cast<double>(i)));
  return r;
}

double loss(const Graph& g, const std::vector<std::vector<double>>& weights, const Batch& batch) {
  const auto values = graph::run_reference_f64(g, weights, batch.view());
  double sum = 0;
  for (ValueId output : outputs_of(g)) {
    const auto& y = values[static_cast<std::size_t>(output.index)];
    const auto r = loss_weights(y.size());
    for (std::size_t i = 0; i < y.size(); ++i) sum += r[i] * y[i];
  }
  return sum;
}

struct RunOptions {
  bool bf16 = false;
  bool recompute = false;
  float dropout = 0;
};

// Returns the bytes of the tape.
std::size_t run_backward(const Graph& g, Store& store, const Batch& batch, ThreadPool& pool,
                         RunOptions options) {
  std::int64_t longest = 0;
  for (std::size_t s = 1; s < batch.starts.size(); ++s)
    longest = std::max(longest, batch.starts[s] - batch.starts[s - 1]);
  const auto outputs = outputs_of(g);
  auto tape = Tape::create(g, outputs, store.parameters,
                           {.max_tokens = static_cast<std::int64_t>(batch.ids.size()) + 5,
                            .max_sequences = static_cast<std::int64_t>(batch.starts.size()) + 1,
                            .max_length = longest,
                            .bf16 = options.bf16,
                            .recompute = options.recompute},
                           pool);
  if (!tape) {
    ADD_FAILURE() << tape.error().message;
    return 0;
  }
  for (auto& gradient : store.gradients) std::ranges::fill(gradient, 0.0F);
  (*tape)->forward(batch.view(), options.dropout, 5);
  for (ValueId output : outputs) {
    const auto dy = (*tape)->gradient(output);
    const auto r = loss_weights(dy.size());
    for (std::size_t i = 0; i < dy.size(); ++i) dy[i] += static_cast<float>(r[i]);
  }
  (*tape)->backward();
  return (*tape)->bytes();
}

// Every parameter of every weight, by central differences in f64.
void check_gradients(const Graph& g, const Batch& batch, double tolerance) {
  auto weights = random_weights(g);
  Store store(g, weights);
  ThreadPool pool(2);
  run_backward(g, store, batch, pool, {});
  for (std::size_t w = 0; w < weights.size(); ++w) {
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < weights[w].size(); ++i) {
      const double h = 1e-5, x = weights[w][i];
      weights[w][i] = x + h;
      const double above = loss(g, weights, batch);
      weights[w][i] = x - h;
      const double below = loss(g, weights, batch);
      weights[w][i] = x;
      const double numeric = (above - below) / (2 * h);
      difference += std::pow(static_cast<double>(store.gradients[w][i]) - numeric, 2);
      norm += numeric * numeric;
    }
    EXPECT_LT(std::sqrt(difference), tolerance * std::sqrt(norm) + 1e-6) << g.weights()[w].name;
  }
}

Graph encoder(Activation activation, graph::PoolKind pool, int layers = 1) {
  Graph g;
  const std::int64_t d = 20, ff = 28, heads = 2, labels = 5;
  const auto linear = [&](ValueId x, const std::string& name, std::int64_t out, std::int64_t in) {
    return g.linear(x, g.weight(name, {out, in}), g.weight(name + ".bias", {out}));
  };
  const auto norm = [&](ValueId x, const std::string& name) {
    return g.layer_norm(x, g.weight(name + "norm", {d}), g.weight(name + ".beta", {d}), 1e-6F);
  };
  ValueId x = g.embedding(g.weight("tokens", {11, d}), graph::Index::kTokenId);
  x = g.add(x, g.embedding(g.weight("types", {2, d}), graph::Index::kTokenType));
  x = g.add(x, g.embedding(g.weight("positions", {16, d}), graph::Index::kPosition));
  x = norm(x, "first");
  for (int l = 0; l < layers; ++l) {
    const std::string of = l == 0 ? "" : std::to_string(l) + ".";
    const ValueId q = linear(x, of + "q", d, d), k = linear(x, of + "k", d, d),
                  v = linear(x, of + "v", d, d);
    const ValueId mixed = g.attention(q, k, v, {heads, heads, d / heads, 0.3F, false, 0});
    x = norm(g.add(linear(mixed, of + "out", d, d), x), of + "second");
    const ValueId up = g.activate(linear(x, of + "up", ff, d), activation);
    x = norm(g.add(linear(up, of + "down", d, ff), x), of + "third");
  }
  const ValueId pooled = g.l2_normalize(g.pool(x, pool));
  g.output("hidden", x);
  g.output("logits", linear(pooled, "head", labels, d));
  return g;
}

Graph decoder(Activation activation, bool causal, std::int64_t window, bool interleaved,
              int layers = 1) {
  Graph g;
  const std::int64_t d = 16, ff = 20, heads = 4, kv = 2, dim = 6;
  const auto linear = [&](ValueId x, const std::string& name, std::int64_t out, std::int64_t in) {
    return g.linear(x, g.weight(name, {out, in}));
  };
  const graph::WeightId table = g.weight("tokens", {11, d});
  ValueId x = g.embedding(table, graph::Index::kTokenId);
  const std::vector<float> frequency = {1.0F, 0.4F, 0.05F};
  for (int l = 0; l < layers; ++l) {
    const std::string of = l == 0 ? "" : std::to_string(l) + ".";
    const ValueId n = g.rms_norm(x, g.weight(of + "first.norm", {d}), 1e-5F);
    const ValueId q =
        g.rope(linear(n, of + "q", heads * dim, d), {heads, dim, interleaved, frequency});
    const ValueId k = g.rope(linear(n, of + "k", kv * dim, d), {kv, dim, interleaved, frequency});
    const ValueId v = linear(n, of + "v", kv * dim, d);
    const ValueId mixed = g.attention(q, k, v, {heads, kv, dim, 0.4F, causal, window});
    x = g.add(x, linear(mixed, of + "out", d, heads * dim));
    const ValueId m = g.rms_norm(x, g.weight(of + "second.norm", {d}), 1e-5F);
    const ValueId gate = g.activate(linear(m, of + "gate", ff, d), activation);
    x = g.add(x, linear(g.multiply(gate, linear(m, of + "up", ff, d)), of + "down", d, ff));
  }
  // A tied head: the gradients of both uses of the table add up.
  g.output("logits", g.linear(x, table));
  return g;
}

// What Gemma 3 and Ministral 3 have besides: norms of heads and after blocks, a scaled embedding,
// positions that scale what they turn.
Graph long_decoder() {
  Graph g;
  const std::int64_t d = 16, heads = 4, kv = 2, dim = 6;
  const auto linear = [&](ValueId x, const std::string& name, std::int64_t out, std::int64_t in) {
    return g.linear(x, g.weight(name, {out, in}));
  };
  const graph::Rope turn{heads, dim, false, {1.0F, 0.4F, 0.05F}, 1.25F, 0.5F, 3};
  const graph::Rope turn_keys{kv, dim, false, {1.0F, 0.4F, 0.05F}, 1.25F};
  ValueId x = g.scale(g.embedding(g.weight("tokens", {11, d}), graph::Index::kTokenId), 4.0F);
  const ValueId n = g.rms_norm(x, g.weight("first.norm", {d}), 1e-5F);
  const ValueId q = g.rms_norm(linear(n, "q", heads * dim, d), g.weight("q.norm", {dim}), 1e-5F, 4);
  const ValueId k = g.rms_norm(linear(n, "k", kv * dim, d), g.weight("k.norm", {dim}), 1e-5F, 2);
  const ValueId mixed = g.attention(g.rope(q, turn), g.rope(k, turn_keys),
                                    linear(n, "v", kv * dim, d), {heads, kv, dim, 0.4F, true, 0});
  const ValueId out = linear(mixed, "out", d, heads * dim);
  x = g.add(x, g.rms_norm(out, g.weight("second.norm", {d}), 1e-5F));
  g.output("logits", linear(x, "head", 11, d));
  return g;
}

TEST(Tape, EncoderGradientsMatchFiniteDifferences) {
  for (const auto pool : {graph::PoolKind::kMean, graph::PoolKind::kCls, graph::PoolKind::kLast})
    check_gradients(encoder(Activation::kGeluErf, pool), make_batch({3, 1, 9}, 11), 2e-5);
  for (const auto activation :
       {Activation::kGeluTanh, Activation::kSilu, Activation::kTanh, Activation::kNone})
    check_gradients(encoder(activation, graph::PoolKind::kMean), make_batch({4, 7}, 11), 2e-5);
}

// What distillation reads: values that others read too, with gradients of their own.
TEST(Tape, OutputsInTheMiddleAddTheirGradients) {
  Graph g = encoder(Activation::kGeluErf, graph::PoolKind::kMean);
  int added = 0;
  for (const graph::Node& node : std::vector(g.nodes()))
    if (std::holds_alternative<graph::Attention>(node.op) ||
        std::holds_alternative<graph::LayerNorm>(node.op)) {
      g.output("middle " + std::to_string(added++), node.output);
      if (!std::holds_alternative<graph::Attention>(node.op)) continue;
      for (const ValueId input : node.inputs) g.output("q, k or v", input);
    }
  const ValueId hidden = g.find_output("middle 2")->value;
  const graph::WeightId w = g.weight("projection", {7, 20});
  g.output("projected", g.linear(hidden, w));
  g.output("projected too", g.linear(g.find_output("hidden")->value, w));
  check_gradients(g, make_batch({3, 1, 9}, 11), 2e-5);
}

TEST(Tape, DecoderGradientsMatchFiniteDifferences) {
  check_gradients(decoder(Activation::kSilu, true, 0, true), make_batch({5, 1, 7}, 11), 2e-5);
  check_gradients(decoder(Activation::kGeluTanh, true, 3, false), make_batch({9, 2}, 11), 2e-5);
  check_gradients(decoder(Activation::kSilu, false, 3, false), make_batch({9, 2}, 11), 2e-5);
  check_gradients(long_decoder(), make_batch({9, 2}, 11), 2e-5);
}

// Written by tools/golden/gradients.py: the same graphs in PyTorch, f64.
TEST(Tape, GradientsMatchPyTorch) {
  std::ifstream file(std::string(TACK_SOURCE_DIR) + "/src/train/golden/gradients.json");
  ASSERT_TRUE(file);
  const Json golden = Json::parse(file);
  ASSERT_EQ(golden.size(), 2U);
  for (const auto& [name, entry] : golden.items()) {
    const Graph g = name == "encoder" ? encoder(Activation::kGeluErf, graph::PoolKind::kMean)
                                      : decoder(Activation::kSilu, true, 3, true);
    Batch batch{.ids = entry["ids"].get<std::vector<std::int32_t>>(),
                .types = entry["types"].get<std::vector<std::int32_t>>(),
                .starts = entry["starts"].get<std::vector<std::int64_t>>()};
    std::vector<std::vector<double>> weights;
    for (const auto& w : g.weights())
      weights.push_back(entry["weights"][w.name].get<std::vector<double>>());
    Store store(g, weights);
    ThreadPool pool(1);
    run_backward(g, store, batch, pool, {});
    for (std::size_t w = 0; w < weights.size(); ++w) {
      const auto expected = entry["gradients"][g.weights()[w].name].get<std::vector<double>>();
      ASSERT_EQ(expected.size(), weights[w].size());
      double difference = 0, norm = 0;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        difference += std::pow(static_cast<double>(store.gradients[w][i]) - expected[i], 2);
        norm += expected[i] * expected[i];
      }
      EXPECT_LT(std::sqrt(difference), 2e-5 * std::sqrt(norm) + 1e-6)
          << name << " " << g.weights()[w].name;
    }
  }
}

TEST(Tape, ThreadsDoNotChangeABit) {
  const Graph g = encoder(Activation::kGeluErf, graph::PoolKind::kMean);
  const Batch batch = make_batch({3, 1, 16, 5, 12, 2, 7}, 11);
  const auto weights = random_weights(g);
  for (const bool bf16 : {false, true}) {
    Store one(g, weights), three(g, weights);
    ThreadPool single(1), several(3);
    run_backward(g, one, batch, single, {.bf16 = bf16});
    run_backward(g, three, batch, several, {.bf16 = bf16});
    EXPECT_EQ(one.gradients, three.gradients) << bf16;
  }
}

TEST(Tape, Bf16IsCloseToF32) {
  if (kernels::bf16_product() == nullptr) GTEST_SKIP() << "no bf16 on this processor or level";
  const Graph g = encoder(Activation::kGeluErf, graph::PoolKind::kMean);
  const Batch batch = make_batch({3, 1, 16, 5}, 11);
  const auto weights = random_weights(g);
  Store full(g, weights), half(g, weights);
  ThreadPool pool(2);
  run_backward(g, full, batch, pool, {});
  run_backward(g, half, batch, pool, {.bf16 = true});
  for (std::size_t w = 0; w < weights.size(); ++w) {
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < weights[w].size(); ++i) {
      difference += std::pow(full.gradients[w][i] - half.gradients[w][i], 2);
      norm += std::pow(full.gradients[w][i], 2);
    }
    EXPECT_LT(std::sqrt(difference), 0.02 * std::sqrt(norm) + 1e-3) << g.weights()[w].name;
  }
}

// The same bits from less memory: with dropout, outputs in the middle, and a part that is frozen.
TEST(Tape, RecomputationDoesNotChangeABit) {
  Graph middle = encoder(Activation::kGeluErf, graph::PoolKind::kCls, 3);
  for (const graph::Node& node : middle.nodes())
    if (std::holds_alternative<graph::Attention>(node.op)) middle.output("mixed", node.output);
  const Batch batch = make_batch({3, 1, 16, 5}, 11);
  ThreadPool pool(2);
  for (const Graph& g : {encoder(Activation::kGeluErf, graph::PoolKind::kMean, 3), middle,
                         decoder(Activation::kSilu, true, 3, true, 3)})
    for (const bool frozen : {false, true})
      for (const bool bf16 : {false, true}) {
        if (bf16 && kernels::bf16_product() == nullptr) continue;
        const auto weights = random_weights(g);
        Store kept(g, weights), again(g, weights);
        for (std::size_t w = 0; w < weights.size() / 2; ++w)
          if (frozen) kept.parameters[w].gradient = again.parameters[w].gradient = nullptr;
        RunOptions options{.bf16 = bf16, .dropout = 0.2F};
        const std::size_t all = run_backward(g, kept, batch, pool, options);
        options.recompute = true;
        const std::size_t less = run_backward(g, again, batch, pool, options);
        EXPECT_EQ(kept.gradients, again.gradients) << frozen << bf16;
        EXPECT_LT(less, all);
      }
}

// Everything before one weight is frozen: also where one input of an attention has a gradient and
// another has none.
TEST(Tape, FrozenWeightsGetNoGradientAndChangeNothingElse) {
  const Graph g = encoder(Activation::kGeluErf, graph::PoolKind::kMean, 2);
  const Batch batch = make_batch({3, 1, 9}, 11);
  const auto weights = random_weights(g);
  Store all(g, weights);
  ThreadPool pool(2);
  run_backward(g, all, batch, pool, {});
  for (const std::string first : {"k", "v", "up", "1.k", "1.v", "1.down"}) {
    Store some(g, weights);
    const auto frozen = [&](std::size_t w) {
      return std::ranges::find(g.weights(), first, &graph::Weight::name) - g.weights().begin() >
             static_cast<std::ptrdiff_t>(w);
    };
    for (std::size_t w = 0; w < weights.size(); ++w)
      if (frozen(w)) some.parameters[w].gradient = nullptr;
    run_backward(g, some, batch, pool, {});
    for (std::size_t w = 0; w < weights.size(); ++w)
      EXPECT_EQ(some.gradients[w],
                frozen(w) ? std::vector<float>(weights[w].size(), 0.0F) : all.gradients[w])
          << g.weights()[w].name << ", trained from " << first;
  }
}

TEST(Tape, DropoutIsAFunctionOfItsSeedAndKeepsTheMean) {
  Graph g;
  const ValueId x = g.embedding(g.weight("tokens", {1, 64}), graph::Index::kTokenId);
  const ValueId y = g.linear(x, g.weight("w", {64, 64}));
  g.output("y", g.add(y, x));
  std::vector<std::vector<double>> weights = {std::vector<double>(64, 1.0),
                                              std::vector<double>(64 * 64, 1.0 / 64)};
  Store store(g, weights);
  ThreadPool pool(2);
  Batch batch{.ids = std::vector<std::int32_t>(100, 0), .types = {}, .starts = {0, 100}};
  auto tape = Tape::create(g, outputs_of(g), store.parameters,
                           {.max_tokens = 100, .max_sequences = 1, .max_length = 100}, pool);
  ASSERT_TRUE(tape);
  const auto run = [&](std::uint64_t seed) {
    (*tape)->forward(batch.view(), 0.25F, seed);
    const auto v = (*tape)->value(g.outputs()[0].value);
    return std::vector<float>(v.begin(), v.end());
  };
  const auto first = run(1);
  EXPECT_EQ(first, run(1));
  EXPECT_NE(first, run(2));
  double sum = 0;
  for (float v : run(1)) {
    EXPECT_TRUE(std::abs(v - 1.0F) < 1e-2F || std::abs(v - 7.0F / 3) < 1e-2F) << v;
    sum += static_cast<double>(v);
  }
  EXPECT_NEAR(sum / 6400, 2.0, 0.05);
  // The mask of the backward is that of the forward: d(sum of y)/d(w x) is 0 or 4/3.
  (*tape)->forward(batch.view(), 0.25F, 1);
  std::ranges::fill((*tape)->gradient(g.outputs()[0].value), 1.0F);
  (*tape)->backward();
  double expected = 0;
  for (float v : first) expected += v > 1.5F ? 4.0 / 3 : 0.0;
  double got = 0;  // each weight's gradient is the sum over rows of mask * x, x = 1
  for (int r = 0; r < 64; ++r)
    got += static_cast<double>(store.gradients[1][static_cast<std::size_t>(r) * 64]);
  EXPECT_NEAR(got, expected, 1e-2 * expected);
}

}  // namespace
}  // namespace tack
