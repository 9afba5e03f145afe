#include "tasks/student.h"

#include <algorithm>
#include <numeric>
#include <system_error>

#include <fmt/ranges.h>

#include "graph/weights.h"
#include "models/layers.h"
#include "models/narrow.h"
#include "tasks/features.h"
#include "tasks/frozen.h"

namespace tack {
namespace {

// Texts that importance is measured on.
constexpr std::size_t kSample = 512;
constexpr std::size_t kBatch = 32;

// The numbers of the `count` largest scores, ascending; of equal ones the first.
std::vector<std::int64_t> largest(const std::vector<double>& scores, std::int64_t count) {
  std::vector<std::int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](std::int64_t a, std::int64_t b) {
    return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
  });
  order.resize(static_cast<std::size_t>(count));
  std::ranges::sort(order);
  return order;
}

// First and second moments of the columns of a value.
struct Moments {
  std::vector<double> sum, square;
  double rows = 0;

  void add(std::span<const float> values, std::int64_t cols) {
    const auto width = static_cast<std::size_t>(cols);
    sum.resize(width);
    square.resize(width);
    for (std::size_t row = 0; row < values.size(); row += width) {
      for (std::size_t c = 0; c < width; ++c) {
        const auto x = static_cast<double>(values[row + c]);
        sum[c] += x;
        square[c] += x * x;
      }
      rows += 1;
    }
  }
};

// How much the columns add to what the linear layer `weight` makes of them: the mean of their
// squares times the squared norm of their weights.
Result<std::vector<double>> contribution(const Model& model, const graph::Weight& weight,
                                         const Moments& input) {
  TACK_TRY(const auto matrix,
           graph::load_vector(weight, [&](const graph::Weight& w) -> const TensorView& {
             return model.tensor(w);
           }));
  std::vector<double> norm(input.sum.size());
  for (std::size_t i = 0; i < matrix.size(); ++i)
    norm[i % norm.size()] += static_cast<double>(matrix[i]) * static_cast<double>(matrix[i]);
  for (std::size_t c = 0; c < norm.size(); ++c) norm[c] *= input.square[c] / input.rows;
  return norm;
}

// What a linear layer reads, and its weight; null: there is none of that name.
struct LinearInput {
  graph::ValueId input;
  const graph::Weight* weight = nullptr;
};
LinearInput linear_named(const graph::Graph& graph, const std::string& name) {
  for (const graph::Node& node : graph.nodes())
    if (const auto* linear = std::get_if<graph::Linear>(&node.op);
        linear != nullptr && graph.weight(linear->weight).name == name)
      return {node.inputs[0], &graph.weight(linear->weight)};
  return {};
}

Result<Narrowing> choose(const std::shared_ptr<const Model>& model, const EncoderShape& target,
                         std::span<const std::string> texts, int threads) {
  TACK_TRY(const EncoderShape full, encoder_shape(*model));
  const graph::Graph& graph = model->graph();
  const auto layers = layer_values(graph);
  std::vector<graph::ValueId> hidden = {layers.front().input};
  std::vector<LinearInput> mixed, down;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    hidden.push_back(layers[l].hidden);
    mixed.push_back(linear_named(graph, fmt::format("blk.{}.attn_output.weight", l)));
    down.push_back(linear_named(graph, fmt::format("blk.{}.ffn_down.weight", l)));
    if (mixed.back().weight == nullptr || down.back().weight == nullptr)
      return fail(ErrorCode::kUsage, "{}: layer {} cannot be made narrower", model->name(), l);
  }
  std::vector<graph::ValueId> outputs = hidden;
  for (const auto& list : {mixed, down})
    for (const LinearInput& linear : list) outputs.push_back(linear.input);

  std::vector<Tokens> tokens;
  const std::size_t count = std::min(kSample, texts.size());
  for (std::size_t i = 0; i < count; ++i)
    tokens.push_back(
        model->tokenizer().encode(texts[i * texts.size() / count], model->context_length()));
  const TrainingTexts packed(std::move(tokens), model->tokenizer().vocab_size());
  ThreadPool pool(threads);
  TACK_TRY(const auto frozen,
           FrozenModel::create(model, outputs, packed, kBatch,
                               static_cast<std::int64_t>(kBatch) * packed.longest(), pool));
  std::vector<Moments> moments(outputs.size());
  std::vector<std::size_t> examples;
  for (std::size_t i = 0; i < count; ++i) {
    examples.push_back(i);
    if (examples.size() < kBatch && i + 1 < count) continue;
    frozen->run(examples);
    for (std::size_t o = 0; o < outputs.size(); ++o)
      moments[o].add(frozen->value(outputs[o]), graph.value(outputs[o]).cols);
    examples.clear();
  }

  Narrowing kept;
  std::vector<double> variance(static_cast<std::size_t>(full.width));
  for (std::size_t h = 0; h < hidden.size(); ++h)
    for (std::size_t d = 0; d < variance.size(); ++d) {
      const double mean = moments[h].sum[d] / moments[h].rows;
      variance[d] += moments[h].square[d] / moments[h].rows - mean * mean;
    }
  kept.dims = largest(variance, target.width);
  const std::int64_t head_dim = full.width / full.heads;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    TACK_TRY(const auto columns,
             contribution(*model, *mixed[l].weight, moments[hidden.size() + l]));
    std::vector<double> heads(static_cast<std::size_t>(full.heads));
    for (std::size_t c = 0; c < columns.size(); ++c)
      heads[c / static_cast<std::size_t>(head_dim)] += columns[c];
    kept.heads.push_back(largest(heads, target.heads));
    TACK_TRY(const auto channels,
             contribution(*model, *down[l].weight, moments[hidden.size() + layers.size() + l]));
    kept.channels.push_back(largest(channels, target.ffn));
  }
  return kept;
}

}  // namespace

Result<Student> make_student(const std::shared_ptr<const Model>& base, const StudentShape& shape,
                             std::span<const std::string> texts, const std::filesystem::path& path,
                             int threads) {
  const std::int64_t layers = layer_count(*base);
  Student out;
  out.model = base;
  if (shape.layer_count > layers)
    return fail(ErrorCode::kUsage, "layers is {}, but {} has {}", shape.layer_count, base->name(),
                layers);
  out.layers = !shape.layers.empty()
                   ? shape.layers
                   : spread_layers(layers, shape.layer_count > 0 ? shape.layer_count : layers);
  out.dims.resize(static_cast<std::size_t>(base->embedding_dim()));
  std::iota(out.dims.begin(), out.dims.end(), 0);
  if (!shape.any()) return out;
  out.description = fmt::format("student: layers {} of {}", fmt::join(out.layers, ", "), layers);
  TACK_RETURN_IF_ERROR(write_layers(*base, out.layers, path));
  TACK_TRY(out.model, Model::open(path));
  if (shape.width == 0 && shape.ffn == 0) return out;

  TACK_TRY(const EncoderShape full, encoder_shape(*base));
  TACK_TRY(const EncoderShape target, narrowed_shape(*base, shape.width, shape.ffn));
  TACK_TRY(const Narrowing kept, choose(out.model, target, texts, threads));
  const TemporaryFile narrow(path, ".narrow");
  TACK_RETURN_IF_ERROR(write_narrow(*out.model, kept, narrow.path()));
  // The student's file takes the place of the one it was cut from, which is still mapped.
  std::error_code error;
  std::filesystem::rename(narrow.path(), path, error);
  if (error) return fail("{}: cannot be written: {}", path.string(), error.message());
  TACK_TRY(out.model, Model::open(path));
  out.dims = kept.dims;
  out.description +=
      fmt::format(", {} of {} wide, {} of {} heads, {} of {} in between", target.width, full.width,
                  target.heads, full.heads, target.ffn, full.ffn);
  return out;
}

}  // namespace tack
