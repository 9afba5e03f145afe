#include "train/trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/random.h"
#include "train/losses.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kVocab = 20, kDim = 16, kClasses = 3;

struct Net {
  graph::Graph graph;
  graph::ValueId logits;
};

Net make_net() {
  Net net;
  graph::Graph& g = net.graph;
  graph::ValueId x = g.embedding(g.weight("table", {kVocab, kDim}), graph::Index::kTokenId);
  x = g.add(g.linear(x, g.weight("w", {kDim, kDim})), x);
  x = g.layer_norm(x, g.weight("gamma", {kDim}), g.weight("beta", {kDim}), 1e-6F);
  net.logits = g.linear(g.pool(x, graph::PoolKind::kMean), g.weight("head", {kClasses, kDim}));
  return net;
}

ParameterSet make_parameters(const Net& net) {
  Random random(5);
  const std::array<graph::ValueId, 1> outputs = {net.logits};
  auto set = ParameterSet::create(
      net.graph, used_weights(net.graph, outputs),
      [&](const graph::Weight& w) -> Result<std::vector<float>> {
        std::vector<float> values(static_cast<std::size_t>(element_count(w.shape)), 1.0F);
        if (w.name != "gamma")
          for (float& v : values) v = static_cast<float>(0.2 * random.normal());
        return values;
      },
      [](const graph::Weight& w) {
        return TrainRule{.trains = true, .decays = w.shape.size() == 2, .rate_factor = 1};
      });
  EXPECT_TRUE(set);
  return std::move(*set);
}

// The class of a text is the kind of token that stands in it most: token % 3.
class Toy : public Curriculum {
 public:
  explicit Toy(graph::ValueId logits) : logits_(logits) {
    Random random(9);
    for (int i = 0; i < 120; ++i) {
      std::vector<std::int32_t> ids;
      std::array<int, 3> votes{};
      for (std::uint64_t k = 0; k < 3 + random.below(6); ++k) {
        ids.push_back(static_cast<std::int32_t>(random.below(kVocab)));
        ++votes[static_cast<std::size_t>(ids.back() % 3)];
      }
      labels_.push_back(static_cast<std::int32_t>(std::ranges::max_element(votes) - votes.begin()));
      texts_.push_back(std::move(ids));
    }
  }
  std::size_t size() const override { return 100; }
  ExampleTokens tokens(std::size_t i) const override { return {texts_[i], {}}; }
  bool has_validation() const override { return true; }
  std::int64_t longest_validation() const override { return 16; }
  double loss(Tape& tape, std::span<const std::size_t> examples, double scale) override {
    ++steps;
    if (on_step) on_step(steps);
    std::vector<std::int32_t> labels;
    for (std::size_t e : examples) labels.push_back(labels_[e]);
    const double value =
        cross_entropy(tape.value(logits_), labels, kClasses, 0, scale, tape.gradient(logits_));
    return steps == nan_at ? std::numeric_limits<double>::quiet_NaN() : value;
  }
  Result<double> validate(const Forward& forward) override {
    std::vector<ExampleTokens> texts;
    for (std::size_t i = 100; i < 120; ++i) texts.push_back(tokens(i));
    int right = 0;
    TACK_RETURN_IF_ERROR(forward(texts, [&](std::size_t first, std::size_t count,
                                            const Tape& tape) {
      const auto logits = tape.value(logits_);
      for (std::size_t i = 0; i < count; ++i) {
        const auto row = logits.subspan(i * kClasses, kClasses);
        right += std::ranges::max_element(row) - row.begin() == labels_[100 + first + i] ? 1 : 0;
      }
    }));
    return right / 20.0;
  }
  std::function<void(int)> on_step;
  int steps = 0, nan_at = -1;

 private:
  graph::ValueId logits_;
  std::vector<std::vector<std::int32_t>> texts_;
  std::vector<std::int32_t> labels_;
};

TrainerOptions options(const fs::path& checkpoint = {}) {
  TrainerOptions o;
  o.epochs = 12;
  o.batch = 8;
  o.rate = 5e-3;
  o.checkpoint = checkpoint;
  o.checkpoint_seconds = 0;  // after every step
  o.description = "a toy\nrate 5e-3";
  return o;
}

struct Outcome {
  std::vector<float> values;
  Result<TrainingResult> result = fail("not run");
};

Outcome run(const TrainerOptions& o, int threads = 2, std::function<void(int)> on_step = {},
            int nan_at = -1) {
  const Net net = make_net();
  ParameterSet parameters = make_parameters(net);
  Toy toy(net.logits);
  toy.on_step = std::move(on_step);
  toy.nan_at = nan_at;
  ThreadPool pool(threads);
  const std::array<graph::ValueId, 1> outputs = {net.logits};
  Outcome out;
  out.result = train(net.graph, outputs, parameters, toy, o, pool);
  out.values.assign(parameters.values().begin(), parameters.values().end());
  return out;
}

// A path of this process, whose file goes when the tests have ended.
fs::path scratch(const char* name) {
  static struct Left {
    std::vector<fs::path> paths;
    ~Left() {
      std::error_code ignored;
      for (const fs::path& path : paths) fs::remove(path, ignored);
    }
  } left;
  const fs::path path =
      fs::path(testing::TempDir()) / ("tack_" + std::to_string(::getpid()) + "_" + name);
  fs::remove(path);
  left.paths.push_back(path);
  return path;
}

TEST(Trainer, LearnsAndKeepsTheBestEpoch) {
  const Outcome out = run(options());
  ASSERT_TRUE(out.result) << out.result.error().message;
  EXPECT_EQ(out.result->epochs.size(), 12U);
  EXPECT_EQ(out.result->steps, 12 * 13);
  EXPECT_LT(out.result->epochs.back().loss, 0.5 * out.result->epochs.front().loss);
  EXPECT_GT(out.result->best_validation, 0.8);
  for (const EpochRecord& e : out.result->epochs)
    EXPECT_LE(e.validation, out.result->best_validation);
}

TEST(Trainer, TheSameSeedGivesTheSameBitsForAnyThreads) {
  const Outcome one = run(options(), 1), three = run(options(), 3);
  EXPECT_EQ(one.values, three.values);
  TrainerOptions other = options();
  other.seed = 2;
  EXPECT_NE(run(other).values, one.values);
}

TEST(Trainer, GoesOnFromACheckpointAsIfNeverStopped) {
  for (double average : {0.0, 0.99}) {
    const fs::path path = scratch("checkpoint.gguf"), copy = scratch("copy.gguf");
    TrainerOptions o = options(path);
    o.average = average;
    // What a kill at step 40 would have left behind.
    const Outcome whole = run(o, 2, [&](int step) {
      if (step == 40) fs::copy_file(path, copy, fs::copy_options::overwrite_existing);
    });
    ASSERT_TRUE(whole.result) << whole.result.error().message;
    // Trained to its end, it is all there.
    int steps = 0;
    const Outcome again = run(o, 2, [&](int) { ++steps; });
    ASSERT_TRUE(again.result) << again.result.error().message;
    EXPECT_EQ(steps, 0);
    EXPECT_EQ(again.values, whole.values);
    fs::copy_file(copy, path, fs::copy_options::overwrite_existing);
    int first = 0;
    const Outcome rest = run(o, 2, [&](int step) { first = step; });
    ASSERT_TRUE(rest.result) << rest.result.error().message;
    EXPECT_TRUE(rest.result->resumed);
    EXPECT_EQ(first, 12 * 13 - 39);  // the steps that were left
    EXPECT_EQ(rest.values, whole.values);
    EXPECT_EQ(rest.result->losses, whole.result->losses);
    EXPECT_EQ(rest.result->best_epoch, whole.result->best_epoch);
  }
}

TEST(Trainer, RefusesACheckpointOfAnotherRunAndADamagedOne) {
  const fs::path path = scratch("other.gguf"), copy = scratch("other-copy.gguf");
  (void)run(options(path), 2, [&](int step) {
    if (step == 5) fs::copy_file(path, copy, fs::copy_options::overwrite_existing);
  });
  fs::copy_file(copy, path, fs::copy_options::overwrite_existing);
  TrainerOptions o = options(path);
  o.description = "a toy\nrate 1e-3";
  Outcome refused = run(o);
  ASSERT_FALSE(refused.result);
  EXPECT_EQ(refused.result.error().code, ErrorCode::kUsage);
  EXPECT_NE(refused.result.error().message.find("was 'rate 5e-3', is 'rate 1e-3'"),
            std::string::npos)
      << refused.result.error().message;
  fs::resize_file(path, fs::file_size(path) / 2);
  EXPECT_FALSE(run(options(path)).result);
}

TEST(Trainer, ALossThatIsNotANumberStopsAndKeepsTheCheckpoint) {
  const fs::path path = scratch("nan.gguf");
  const Outcome out = run(options(path), 2, {}, 30);
  ASSERT_FALSE(out.result);
  EXPECT_NE(out.result.error().message.find("step 30 (epoch 3)"), std::string::npos)
      << out.result.error().message;
  EXPECT_TRUE(fs::exists(path));
}

TEST(Trainer, StopsEarlyWithoutABetterValidation) {
  TrainerOptions o = options();
  o.epochs = 200;
  o.patience = 5;
  o.schedule = Schedule::kConstant;
  const Outcome out = run(o);
  ASSERT_TRUE(out.result);
  EXPECT_TRUE(out.result->stopped_early);
  EXPECT_EQ(static_cast<std::int64_t>(out.result->epochs.size()), out.result->best_epoch + 5);
}

// Texts of one class belong together: each example is two of them, drawn anew every epoch.
class TwoTexts final : public Toy {
 public:
  explicit TwoTexts(graph::ValueId output) : Toy(output) { TwoTexts::begin_epoch(0); }
  bool joint() const override { return true; }
  void begin_epoch(std::int64_t epoch) override {
    for (std::size_t i = 0; i < 100; ++i)
      partner_[i] = (i + 1 + static_cast<std::size_t>(epoch)) % 100;
  }
  std::size_t sequences(std::size_t) const override { return 2; }
  ExampleTokens sequence(std::size_t example, std::size_t s) const override {
    return tokens(s == 0 ? example : partner_[example]);
  }
  double joint_loss(std::span<const float> values, std::span<const std::size_t> examples,
                    double scale, std::span<float> gradient) override {
    ++steps;
    if (on_step) on_step(steps);
    EXPECT_EQ(values.size(), examples.size() * 2 * kClasses);
    std::vector<float> left, right;
    for (std::size_t i = 0; i < examples.size() * 2; ++i) {
      const auto row = values.subspan(i * kClasses, kClasses);
      (i % 2 == 0 ? left : right).insert((i % 2 == 0 ? left : right).end(), row.begin(), row.end());
    }
    std::vector<float> left_slope(left.size()), right_slope(right.size());
    const double loss =
        contrastive({.queries = left, .keys = right, .cols = kClasses, .temperature = 0.5}, scale,
                    left_slope, right_slope);
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      const std::size_t row = i / kClasses;
      gradient[i] += (row % 2 == 0 ? left_slope : right_slope)[row / 2 * kClasses + i % kClasses];
    }
    return loss;
  }

 private:
  std::array<std::size_t, 100> partner_{};
};

Outcome run_pairs(const TrainerOptions& o, int threads = 2, std::function<void(int)> on_step = {}) {
  const Net net = make_net();
  ParameterSet parameters = make_parameters(net);
  TwoTexts curriculum(net.logits);
  curriculum.on_step = std::move(on_step);
  ThreadPool pool(threads);
  const std::array<graph::ValueId, 1> outputs = {net.logits};
  Outcome out;
  out.result = train(net.graph, outputs, parameters, curriculum, o, pool);
  out.values.assign(parameters.values().begin(), parameters.values().end());
  return out;
}

TEST(Trainer, AJointLossIsTheSameInOnePartAndInMany) {
  TrainerOptions o = options();
  o.epochs = 3;
  o.batch = 16;
  const Outcome whole = run_pairs(o);
  ASSERT_TRUE(whole.result) << whole.result.error().message;
  EXPECT_LT(whole.result->epochs.back().loss, whole.result->epochs.front().loss);
  EXPECT_EQ(run_pairs(o, 3).values, whole.values);
  // Without dropout (whose masks are drawn by part) only the order of sums differs.
  o.dropout = 0;
  const Outcome one = run_pairs(o);
  o.micro_tokens = 20;  // about three texts at once
  const Outcome many = run_pairs(o);
  ASSERT_TRUE(many.result) << many.result.error().message;
  EXPECT_EQ(many.result->tokens, one.result->tokens);
  ASSERT_EQ(many.result->losses.size(), one.result->losses.size());
  for (std::size_t i = 0; i < 5; ++i)
    EXPECT_NEAR(many.result->losses[i], one.result->losses[i], 0.02 * one.result->losses[i]) << i;
}

TEST(Trainer, AJointCurriculumGoesOnFromACheckpointAsIfNeverStopped) {
  const fs::path path = scratch("joint.gguf"), copy = scratch("joint-copy.gguf");
  TrainerOptions o = options(path);
  o.epochs = 4;
  o.micro_tokens = 20;
  const Outcome whole = run_pairs(o, 2, [&](int step) {
    if (step == 31) fs::copy_file(path, copy, fs::copy_options::overwrite_existing);
  });
  ASSERT_TRUE(whole.result) << whole.result.error().message;
  fs::copy_file(copy, path, fs::copy_options::overwrite_existing);
  const Outcome rest = run_pairs(o, 1);
  ASSERT_TRUE(rest.result) << rest.result.error().message;
  EXPECT_TRUE(rest.result->resumed);
  EXPECT_EQ(rest.values, whole.values);
  EXPECT_EQ(rest.result->losses, whole.result->losses);
}

TEST(Schedules, WarmUpAndDecay) {
  EXPECT_DOUBLE_EQ(scheduled_rate(Schedule::kLinear, 2, 5, 10, 110), 1);
  EXPECT_DOUBLE_EQ(scheduled_rate(Schedule::kLinear, 2, 10, 10, 110), 2);
  EXPECT_GT(scheduled_rate(Schedule::kLinear, 2, 110, 10, 110), 0);
  EXPECT_NEAR(scheduled_rate(Schedule::kLinear, 2, 60, 10, 109), 1, 1e-12);
  EXPECT_NEAR(scheduled_rate(Schedule::kCosine, 2, 60, 10, 109), 1, 1e-12);
  EXPECT_DOUBLE_EQ(scheduled_rate(Schedule::kConstant, 2, 60, 10, 110), 2);
}

}  // namespace
}  // namespace tack
