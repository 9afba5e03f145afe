#include "compress/prune_width.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/interrupt.h"
#include "compress/divergence.h"
#include "compress/prune_columns.h"
#include "compress/prune_layers.h"
#include "compress/prune_vocabulary.h"
#include "models/layers.h"
#include "models/width_cut.h"

namespace tack {
namespace {

constexpr std::int64_t kUnit = 32;  // channels in a block of weights

// A linear layer of the graph; -1 where there is none of that name.
struct Reader {
  graph::ValueId input;
  graph::WeightId weight, bias;
};
Reader find_reader(const graph::Graph& graph, const std::string& name) {
  for (const graph::Node& node : graph.nodes())
    if (const auto* linear = std::get_if<graph::Linear>(&node.op);
        linear != nullptr && graph.weight(linear->weight).name == name + ".weight")
      return {node.inputs[0], linear->weight, linear->bias};
  return {};
}

Status check_choice(const Model& model, const WidthChoice& choice, bool& in_blocks) {
  const LayerWidth width = layer_width(model);
  if (model.gguf() == nullptr)
    return fail(ErrorCode::kUsage, "{}: convert the model to GGUF first (tack convert)",
                model.path().string());
  if (choice.heads > 0 && model.architecture() != "bert")
    return fail(ErrorCode::kUsage, "--heads: those of {} models stay, BERT's can be pruned",
                model.architecture());
  if (choice.heads > 0 && choice.heads >= width.heads)
    return fail(ErrorCode::kUsage, "--heads {}: the layers of {} have {}; choose fewer",
                choice.heads, model.name(), width.heads);
  std::int64_t unit = kUnit;
  for (const graph::Weight& weight : model.graph().weights()) {
    const bool refit = (choice.ffn > 0 && weight.name.ends_with(".ffn_down.weight")) ||
                       (choice.heads > 0 && weight.name.ends_with(".attn_output.weight"));
    const std::int64_t block = info(model.tensor(weight).dtype).block_elements;
    in_blocks = in_blocks || (refit && block > 1);
    if (refit) unit = std::max(unit, block);
  }
  if (choice.ffn > 0 && (choice.ffn >= width.ffn || choice.ffn % unit != 0))
    return fail(ErrorCode::kUsage,
                "--ffn {}: the feed-forward layers of {} are {} wide; choose a multiple of {} "
                "below that",
                choice.ffn, model.name(), width.ffn, unit);
  if (in_blocks && !choice.requantize)
    return fail(ErrorCode::kUsage,
                "{}: its matrices are in blocks already: prune the f16 or f32 model, or say "
                "--requantize, which stores those that are fitted again as f16",
                model.name());
  return {};
}

class WidthPruner {
 public:
  WidthPruner(const Model& model, const WidthChoice& choice, const CalibrationTokens& tokens,
              GraphProbe& probe)
      : model_(model), choice_(choice), tokens_(tokens), probe_(probe) {}

  Status run(WidthPruning& result) {
    const std::int64_t layers = layer_count(model_);
    const LayerWidth width = layer_width(model_);
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      WidthPruning::Layer& report = result.layers.emplace_back();
      const auto name = [&](const char* part) { return fmt::format("blk.{}.{}", layer, part); };
      if (choice_.heads > 0) {
        TACK_TRY(auto kept, prune(name("attn_output"),
                                  {.group = width.head_dim, .keep = choice_.heads}, report.heads));
        cut_.heads.push_back(std::move(kept));
      }
      if (choice_.ffn > 0) {
        TACK_TRY(auto kept, prune(name("ffn_down"), {.keep = choice_.ffn}, report.ffn));
        cut_.channels.push_back(std::move(kept));
      }
      if (choice_.message) choice_.message(line(layer, report));
    }
    return {};
  }
  const WidthCut& cut() const { return cut_; }

 private:
  static std::string line(std::int64_t layer, const WidthPruning::Layer& report) {
    std::string out = fmt::format("layer {}:", layer);
    if (report.heads >= 0) out += fmt::format(" attention lost {:.2f} %", 100 * report.heads);
    if (report.ffn >= 0)
      out += fmt::format("{} feed-forward lost {:.2f} %", report.heads >= 0 ? "," : "",
                         100 * report.ffn);
    return out;
  }

  // Groups of columns that stay; the weights in the probe become what they are then, with zeros
  // where columns went.
  Result<std::vector<std::int64_t>> prune(const std::string& name, const ColumnChoice& choice,
                                          double& error) {
    const Reader reader = find_reader(model_.graph(), name);
    if (reader.weight.index < 0)
      return fail(ErrorCode::kUsage, "{}: there is no {}", model_.name(), name);
    const std::int64_t cols = model_.graph().value(reader.input).cols;
    SecondMoments moments(cols);
    TACK_RETURN_IF_ERROR(
        probe_.run(model_.graph(), {&reader.input, 1}, tokens_.chunks,
                   [&](std::size_t, std::span<const std::span<const float>> x) -> Status {
                     if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
                     moments.add(x[0], probe_.pool());
                     return {};
                   }));
    std::vector<float>& weight = probe_.weight(reader.weight);
    std::vector<float> none;
    std::vector<float>& bias = reader.bias.index < 0 ? none : probe_.weight(reader.bias);
    TACK_TRY(PrunedColumns pruned, prune_columns(moments, weight, bias, choice, probe_.pool()));
    error = pruned.error;
    spread(pruned, choice.group, cols, weight);
    bias = pruned.bias;
    cut_.refit[name + ".weight"] = std::move(pruned.weight);
    if (!bias.empty()) cut_.refit[name + ".bias"] = bias;
    return std::move(pruned.groups);
  }

  static void spread(const PrunedColumns& pruned, std::int64_t group, std::int64_t cols,
                     std::vector<float>& weight) {
    std::ranges::fill(weight, 0.0F);
    const std::int64_t out = static_cast<std::int64_t>(weight.size()) / cols;
    auto from = pruned.weight.begin();
    for (std::int64_t o = 0; o < out; ++o)
      for (const std::int64_t g : pruned.groups) {
        std::copy_n(from, group, weight.begin() + o * cols + g * group);
        from += group;
      }
  }

  const Model& model_;
  const WidthChoice& choice_;
  const CalibrationTokens& tokens_;
  GraphProbe& probe_;
  WidthCut cut_;
};

}  // namespace

Result<WidthPruning> prune_width(const Model& model, std::span<const std::string> texts,
                                 const WidthChoice& choice, const std::filesystem::path& out) {
  WidthPruning result;
  TACK_RETURN_IF_ERROR(check_choice(model, choice, result.refit_as_f16));
  // Second moments of n columns want a few times n tokens.
  const std::int64_t most = std::clamp<std::int64_t>(4 * layer_width(model).ffn, 4096, 16384);
  TACK_TRY(const CalibrationTokens tokens, draw_tokens(model, texts, {.most = most}));
  TACK_TRY(const auto probe, GraphProbe::create(model, choice.threads));
  result.tokens = tokens.tokens();
  TACK_TRY(const GraphDivergence divergence, GraphDivergence::create(model, *probe, tokens));
  WidthPruner pruner(model, choice, tokens, *probe);
  TACK_RETURN_IF_ERROR(pruner.run(result));
  TACK_TRY(result.harm, divergence.of(model.graph()));
  TACK_TRY(GgufDraft draft, with_width(model, pruner.cut()));
  Json entry = {{"command", choice.command}};
  if (choice.ffn > 0) entry["ffn"] = choice.ffn;
  if (choice.heads > 0) entry["heads"] = choice.heads;
  TACK_RETURN_IF_ERROR(add_lineage(model, entry, draft));
  result.bytes_before = model.file_bytes();
  TACK_TRY(result.bytes_after, draft.file_bytes());
  if (!out.empty()) TACK_RETURN_IF_ERROR(draft.write(out));
  return result;
}

}  // namespace tack
