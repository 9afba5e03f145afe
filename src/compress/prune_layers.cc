#include "compress/prune_layers.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <fmt/ranges.h>

#include "compress/divergence.h"
#include "compress/prune_vocabulary.h"
#include "models/layers.h"

namespace tack {
namespace {

std::vector<std::int64_t> kept_layers(const std::vector<bool>& dropped) {
  std::vector<std::int64_t> kept;
  for (std::size_t i = 0; i < dropped.size(); ++i)
    if (!dropped[i]) kept.push_back(static_cast<std::int64_t>(i));
  return kept;
}

Status check_count(const Model& model, std::int64_t keep, std::int64_t unit) {
  const std::int64_t layers = layer_count(model);
  if (keep < 1 || keep >= layers)
    return fail(ErrorCode::kUsage, "{}: it has {} layers; choose 1 to {} to keep", model.name(),
                layers, layers - 1);
  if ((layers - keep) % unit != 0)
    return fail(ErrorCode::kUsage,
                "{}: layers go {} at a time, to keep every {}th without a window: keep {} less a "
                "multiple of {}, or name them with --drop-layers",
                model.name(), unit, unit, layers, unit);
  return {};
}

// The neighbours whose loss harms least, of those that are left.
Result<LayerPruning::Step> least_harm(const Model& model, const GraphDivergence& divergence,
                                      const std::vector<bool>& dropped, std::int64_t unit) {
  const std::vector<std::int64_t> left = kept_layers(dropped);
  std::optional<LayerPruning::Step> best;
  for (std::size_t first = 0; first + static_cast<std::size_t>(unit) <= left.size(); ++first) {
    LayerPruning::Step step;
    std::vector<bool> without = dropped;
    for (std::size_t i = first; i < first + static_cast<std::size_t>(unit); ++i) {
      step.layers.push_back(left[i]);
      without[static_cast<std::size_t>(left[i])] = true;
    }
    TACK_TRY(step.harm, divergence.of(without_layers(model.graph(), without)));
    if (!std::isfinite(step.harm)) return fail("{}: what it says is not finite", model.name());
    if (!best || step.harm < best->harm) best = std::move(step);
  }
  return *best;
}

Status choose(const Model& model, std::span<const std::string> texts, const LayerChoice& choice,
              std::vector<bool>& dropped, LayerPruning& result) {
  const std::int64_t unit = layer_unit(model);
  if (choice.drop.empty()) TACK_RETURN_IF_ERROR(check_count(model, choice.keep, unit));
  if (texts.empty() && !choice.drop.empty()) return {};
  TACK_TRY(const CalibrationTokens tokens,
           draw_tokens(model, texts, {.most = divergence_tokens(model)}));
  TACK_TRY(const auto probe, GraphProbe::create(model, choice.threads));
  result.tokens = tokens.tokens();
  TACK_TRY(const GraphDivergence divergence, GraphDivergence::create(model, *probe, tokens));
  const auto report = [&](const LayerPruning::Step& step) {
    if (choice.message)
      choice.message(fmt::format("without layer{} {}: {} {:.5f}", step.layers.size() > 1 ? "s" : "",
                                 fmt::join(step.layers, ", "), harm_name(model), step.harm));
  };
  if (!choice.drop.empty()) {
    LayerPruning::Step step{.layers = choice.drop};
    TACK_TRY(step.harm, divergence.of(without_layers(model.graph(), dropped)));
    report(step);
    result.steps.push_back(std::move(step));
    return {};
  }
  for (std::int64_t left = layer_count(model); left > choice.keep; left -= unit) {
    TACK_TRY(LayerPruning::Step step, least_harm(model, divergence, dropped, unit));
    for (const std::int64_t layer : step.layers) dropped[static_cast<std::size_t>(layer)] = true;
    report(step);
    result.steps.push_back(std::move(step));
  }
  return {};
}

}  // namespace

const char* harm_name(const Model& model) {
  return model.generates() ? "KL divergence per token" : "1 - cosine";
}

Result<LayerPruning> prune_layers(const Model& model, std::span<const std::string> texts,
                                  const LayerChoice& choice, const std::filesystem::path& out) {
  const std::int64_t layers = layer_count(model);
  std::vector<bool> dropped(static_cast<std::size_t>(layers));
  for (const std::int64_t layer : choice.drop) {
    if (layer < 0 || layer >= layers)
      return fail(ErrorCode::kUsage, "{}: there is no layer {}: it has {}, from 0", model.name(),
                  layer, layers);
    dropped[static_cast<std::size_t>(layer)] = true;
  }
  LayerPruning result;
  // What cannot be described is refused before anything long.
  if (!choice.drop.empty()) TACK_RETURN_IF_ERROR(with_layers(model, kept_layers(dropped)));
  TACK_RETURN_IF_ERROR(choose(model, texts, choice, dropped, result));
  result.kept = kept_layers(dropped);
  TACK_TRY(GgufDraft draft, with_layers(model, result.kept));
  TACK_RETURN_IF_ERROR(add_lineage(
      model, {{"layers", result.kept}, {"of", layers}, {"command", choice.command}}, draft));
  result.bytes_before = model.file_bytes();
  TACK_TRY(result.bytes_after, draft.file_bytes());
  if (!out.empty()) TACK_RETURN_IF_ERROR(draft.write(out));
  return result;
}

}  // namespace tack
