#include "compress/calibrate.h"

#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "graph/reference.h"
#include "models/made_up_decoder.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

class Calibration : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_calibrate_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::shared_ptr<const Model> open_decoder(const std::string& name) {
    const Json golden = golden_decoders();
    EXPECT_TRUE(write_made_up_checkpoint(directory_, golden[name]["config"]));
    const auto model = Model::open(directory_, Model::Use::kWeights);
    EXPECT_TRUE(model) << model.error().message;
    return *model;
  }
  static CalibrationTokens chunks(const Model& model, int count, std::int64_t size) {
    CalibrationTokens tokens;
    tokens.chunk_size = size;
    for (int c = 0; c < count; ++c) {
      std::vector<TokenId> ids;
      for (std::int64_t i = 0; i < size; ++i)
        ids.push_back(static_cast<TokenId>((c * 31 + i * i * 7 + 3) % model.vocab_size()));
      tokens.chunks.push_back(std::move(ids));
    }
    return tokens;
  }

  // What linear layers read, by the reference executor: x [rows, cols] of each weight.
  static std::map<std::string, std::vector<std::vector<float>>> inputs(
      const Model& model, const CalibrationTokens& tokens) {
    std::map<std::string, std::vector<std::vector<float>>> out;
    const graph::WeightSource source = [&](const graph::Weight& weight) -> const TensorView& {
      return model.tensor(weight);
    };
    for (const auto& chunk : tokens.chunks) {
      const std::vector<std::int64_t> starts = {0, static_cast<std::int64_t>(chunk.size())};
      const auto values =
          graph::run_reference(model.graph(), source, {.ids = chunk, .starts = starts});
      EXPECT_TRUE(values);
      for (const graph::Node& node : model.graph().nodes())
        if (const auto* op = std::get_if<graph::Linear>(&node.op)) {
          const auto& x = (*values)[static_cast<std::size_t>(node.inputs[0].index)];
          const auto cols = static_cast<std::size_t>(model.graph().value(node.inputs[0]).cols);
          for (std::size_t r = 0; r + cols <= x.size(); r += cols)
            out[model.graph().weight(op->weight).name].emplace_back(
                x.begin() + static_cast<std::ptrdiff_t>(r),
                x.begin() + static_cast<std::ptrdiff_t>(r + cols));
        }
    }
    return out;
  }

  static void expect_equal(const ImportanceMatrix& a, const ImportanceMatrix& b) {
    ASSERT_EQ(a.tensors.size(), b.tensors.size());
    for (const auto& [name, column] : a.tensors) {
      EXPECT_EQ(column.squares, b.tensors.at(name).squares) << name;
      EXPECT_EQ(column.rows, b.tensors.at(name).rows) << name;
    }
  }

  // Sums of squares and of products against those of the reference executor.
  static void compare(const std::shared_ptr<const Model>& model, const CalibrationTokens& tokens) {
    const auto expected = inputs(*model, tokens);
    const auto matrix = measure_importance(model, tokens, {.threads = 2});
    ASSERT_TRUE(matrix) << matrix.error().message;
    ASSERT_EQ(matrix->tensors.size(), expected.size());
    const auto moments = measure_second_moments(
        model, tokens, [](std::string_view) { return true; }, {.threads = 2});
    ASSERT_TRUE(moments) << moments.error().message;
    std::map<std::string, const InputMoments*> of_weight;
    for (const InputMoments& m : *moments)
      for (const std::string& weight : m.weights) of_weight[weight] = &m;
    for (const auto& [name, rows] : expected) {
      SCOPED_TRACE(name);
      const auto& column = matrix->tensors.at(name);
      const std::size_t cols = rows.front().size();
      EXPECT_EQ(column.rows, static_cast<std::int64_t>(rows.size()));
      ASSERT_TRUE(of_weight.contains(name));
      const InputMoments& m = *of_weight[name];
      EXPECT_EQ(m.rows, column.rows);
      double largest = 0, worst = 0;
      for (std::size_t i = 0; i < cols; ++i)
        for (std::size_t j = 0; j < cols; ++j) {
          double sum = 0;
          for (const auto& row : rows)
            sum += static_cast<double>(row[i]) * static_cast<double>(row[j]);
          largest = std::max(largest, std::abs(sum));
          worst = std::max(worst, std::abs(sum - static_cast<double>(m.sums[i * cols + j])));
          if (i == j)
            worst = std::max(worst, std::abs(sum - static_cast<double>(column.squares[i])));
        }
      EXPECT_LT(worst, 2e-5 * largest);
    }
  }

  fs::path directory_;
};

TEST_F(Calibration, DecodersReadWhatTheReferenceSays) {
  for (const char* name : {"llama 3", "gemma 3"}) {
    SCOPED_TRACE(name);
    const auto model = open_decoder(name);
    compare(model, chunks(*model, 3, 20));
  }
}

TEST_F(Calibration, EncodersReadWhatTheReferenceSays) {
  const auto path = resolve_model("all-minilm-l6-v2");
  ASSERT_TRUE(path);
  const auto model = Model::open(*path);
  ASSERT_TRUE(model);
  CalibrationTokens tokens;
  tokens.chunk_size = 32;
  for (const char* text : {"My card was charged twice.", "hello", "Where is the station?"})
    tokens.chunks.push_back((*model)->tokenizer().encode(text, 32).ids);
  // Products of one layer only: the reference's are slow.
  const auto expected = inputs(**model, tokens);
  const auto matrix = measure_importance(*model, tokens, {.threads = 2});
  ASSERT_TRUE(matrix) << matrix.error().message;
  ASSERT_EQ(matrix->tensors.size(), expected.size());
  for (const auto& [name, rows] : expected)
    for (std::size_t k = 0; k < rows.front().size(); ++k) {
      double sum = 0;
      for (const auto& row : rows) sum += static_cast<double>(row[k]) * static_cast<double>(row[k]);
      ASSERT_NEAR(static_cast<double>(matrix->tensors.at(name).squares[k]), sum, 1e-4 + 1e-3 * sum)
          << name << " " << k;
    }
}

TEST_F(Calibration, BitsDoNotDependOnThreadsOrInterruptions) {
  const auto model = open_decoder("llama 3");
  // More than one call: a call takes 512 tokens.
  const CalibrationTokens tokens = chunks(*model, 40, 30);
  const auto whole = measure_importance(model, tokens, {.threads = 1});
  ASSERT_TRUE(whole);
  const auto shared = measure_importance(model, tokens, {.threads = 3});
  ASSERT_TRUE(shared);
  expect_equal(*whole, *shared);
  std::vector<std::pair<ImportanceMatrix, std::size_t>> kept;
  const auto keep = [&](const ImportanceMatrix& sums, std::size_t next) -> Status {
    kept.emplace_back(sums, next);
    return {};
  };
  ASSERT_TRUE(measure_importance(model, tokens, {.threads = 2, .keep = keep, .keep_seconds = 0}));
  ASSERT_GE(kept.size(), 3U);
  for (const auto& [sums, next] : kept) {
    const auto resumed = measure_importance(model, tokens, {.threads = 2}, sums, next);
    ASSERT_TRUE(resumed);
    expect_equal(*whole, *resumed);
  }
}

}  // namespace
}  // namespace tack
