#include "compress/probe.h"

#include <algorithm>
#include <map>

#include "compress/graph_probe.h"

namespace tack {
namespace {

Status run_decoder(const std::shared_ptr<const Model>& model, const ProbeOptions& options,
                   std::int64_t longest, std::span<const std::vector<TokenId>> chunks,
                   const ProbeVisit& visit) {
  const std::int64_t sequences = std::max<std::int64_t>(kProbeBatch / longest, 1);
  const auto logits =
      options.output.empty() ? DecoderPart::Logits::kNone : DecoderPart::Logits::kAll;
  TACK_TRY(const auto decoder, Decoder::create(model, {.threads = options.threads,
                                                       .context = longest,
                                                       .sequences = sequences,
                                                       .batch = std::max(kProbeBatch, longest),
                                                       .kv = options.exact ? kernels::KvType::kF32
                                                                           : kernels::KvType::kF16,
                                                       .exact = options.exact,
                                                       .observe = options.observe,
                                                       .replace = options.replace}));
  while (!chunks.empty()) {
    const std::size_t count = std::min(chunks_at_once(chunks), static_cast<std::size_t>(sequences));
    std::vector<DecoderPart> parts;
    for (std::size_t i = 0; i < count; ++i) {
      const auto sequence = static_cast<std::int64_t>(i);
      decoder->rewind(sequence, 0);
      parts.push_back({sequence, chunks[i], logits});
    }
    TACK_TRY(const auto rows, decoder->run(parts));
    TACK_RETURN_IF_ERROR(visit(count, rows));
    chunks = chunks.subspan(count);
  }
  return {};
}

Status run_encoder(const Model& model, const ProbeOptions& options,
                   std::span<const std::vector<TokenId>> chunks, const ProbeVisit& visit) {
  const graph::Graph& graph = model.graph();
  TACK_TRY(const auto probe, GraphProbe::create(model, options.threads, options.replace));
  const auto observed = options.observe ? shared_inputs(graph) : std::vector<SharedInput>();
  std::vector<graph::ValueId> values;
  for (const SharedInput& input : observed) values.push_back(input.value);
  if (!options.output.empty()) {
    const graph::Output* output = graph.find_output(options.output);
    if (output == nullptr)
      return fail("{}: it has no output '{}'", model.path().string(), options.output);
    values.push_back(output->value);
  }
  return probe->run(
      graph, values, chunks,
      [&](std::size_t count, std::span<const std::span<const float>> found) -> Status {
        for (std::size_t i = 0; i < observed.size(); ++i) {
          const auto& [value, cols, weights] = observed[i];
          probe->pool().run([&](int worker) {
            options.observe({.weights = weights,
                             .x = found[i].data(),
                             .rows = static_cast<std::int64_t>(found[i].size()) / cols,
                             .cols = cols,
                             .worker = worker,
                             .workers = probe->pool().size()});
          });
        }
        return visit(count, options.output.empty() ? std::span<const float>() : found.back());
      });
}

}  // namespace

std::vector<SharedInput> shared_inputs(const graph::Graph& graph) {
  std::vector<SharedInput> inputs;
  std::map<std::int32_t, std::size_t> by_value;
  for (const graph::Node& node : graph.nodes())
    if (const auto* op = std::get_if<graph::Linear>(&node.op)) {
      const graph::ValueId value = node.inputs[0];
      const auto [found, added] = by_value.try_emplace(value.index, inputs.size());
      if (added) inputs.push_back({value, graph.value(value).cols, {}});
      inputs[found->second].weights.push_back(graph.weight(op->weight).name);
    }
  return inputs;
}

Status run_probe(const std::shared_ptr<const Model>& model, const ProbeOptions& options,
                 std::span<const std::vector<TokenId>> chunks, const ProbeVisit& visit) {
  std::int64_t longest = 1;
  for (const auto& chunk : chunks)
    longest = std::max(longest, static_cast<std::int64_t>(chunk.size()));
  if (longest > model->context_length())
    return fail(ErrorCode::kUsage, "chunks of {} tokens: {} takes 1 to {}", longest, model->name(),
                model->context_length());
  return model->generates() ? run_decoder(model, options, longest, chunks, visit)
                            : run_encoder(*model, options, chunks, visit);
}

}  // namespace tack
