#include "compress/graph_probe.h"

#include <algorithm>

#include "base/cpu.h"
#include "graph/weights.h"

namespace tack {
namespace {

std::int64_t size_of(const auto& list) {
  return static_cast<std::int64_t>(list.size());
}

// Chunks that are run together.
struct Batch {
  std::vector<TokenId> ids;
  std::vector<std::int64_t> starts = {0};

  std::size_t chunks() const { return starts.size() - 1; }
};

std::vector<Batch> batches_of(std::span<const std::vector<TokenId>> chunks) {
  std::vector<Batch> batches;
  while (!chunks.empty()) {
    const std::size_t count = chunks_at_once(chunks);
    Batch& batch = batches.emplace_back();
    for (const auto& chunk : chunks.first(count)) {
      batch.ids.insert(batch.ids.end(), chunk.begin(), chunk.end());
      batch.starts.push_back(size_of(batch.ids));
    }
    chunks = chunks.subspan(count);
  }
  return batches;
}

}  // namespace

std::size_t chunks_at_once(std::span<const std::vector<TokenId>> chunks) {
  std::int64_t tokens = 0;
  std::size_t count = 0;
  while (count < chunks.size()) {
    tokens += size_of(chunks[count]);
    if (count > 0 && tokens > kProbeBatch) break;
    ++count;
  }
  return count;
}

Result<std::unique_ptr<GraphProbe>> GraphProbe::create(const Model& model, int threads,
                                                       const Replace& replace) {
  std::unique_ptr<GraphProbe> probe(
      new GraphProbe(threads > 0 ? threads : cpu_info().logical_cores));
  const graph::WeightSource source = [&](const graph::Weight& weight) -> const TensorView& {
    const TensorView* other = replace ? replace(weight.name) : nullptr;
    return other != nullptr ? *other : model.tensor(weight);
  };
  for (const graph::Weight& weight : model.graph().weights()) {
    TACK_TRY(auto values, graph::load_vector(weight, source));
    probe->weights_.push_back(std::move(values));
  }
  return probe;
}

Status GraphProbe::run(const graph::Graph& graph, std::span<const graph::ValueId> outputs,
                       std::span<const std::vector<TokenId>> chunks, const Visit& visit,
                       std::int64_t most_tokens) {
  std::vector<Parameter> parameters;
  for (const std::vector<float>& values : weights_)
    parameters.push_back({.value = values.data(), .size = size_of(values)});
  const std::vector<Batch> batches = batches_of(chunks);
  TapeOptions options{.bf16 = false};
  for (const auto& chunk : chunks)
    options.max_length = std::max(options.max_length, size_of(chunk));
  for (const Batch& batch : batches) {
    options.max_tokens = std::max(options.max_tokens, size_of(batch.ids));
    options.max_sequences =
        std::max(options.max_sequences, static_cast<std::int64_t>(batch.chunks()));
  }
  TACK_TRY(const auto tape, Tape::create(graph, outputs, std::move(parameters), options, pool_));
  std::vector<std::span<const float>> values(outputs.size());
  std::int64_t seen = 0;
  for (const Batch& batch : batches) {
    if (most_tokens > 0 && seen >= most_tokens) break;
    seen += size_of(batch.ids);
    tape->forward({.ids = batch.ids, .type_ids = {}, .starts = batch.starts});
    for (std::size_t o = 0; o < outputs.size(); ++o) values[o] = tape->value(outputs[o]);
    TACK_RETURN_IF_ERROR(visit(batch.chunks(), values));
  }
  return {};
}

}  // namespace tack
