#include "compress/probe.h"

#include <algorithm>
#include <numeric>

#include "base/cpu.h"
#include "base/interrupt.h"
#include "base/random.h"
#include "graph/weights.h"

namespace tack {
namespace {

constexpr std::int64_t kBatchTokens = 512;

std::int64_t size_of(const auto& list) {
  return static_cast<std::int64_t>(list.size());
}

// A decoder's text in pieces, each as if it were a text of its own.
void add_pieces(const Model& model, const std::string& text, std::int64_t piece,
                std::vector<Tokens>& out) {
  const SpecialTokens& special = model.tokenizer().special();
  std::vector<TokenId> ids = model.tokenizer().encode(text).ids;
  const bool begins = special.add_bos && special.bos.has_value();
  if (special.add_eos && !ids.empty()) ids.pop_back();
  std::size_t at = begins ? 1 : 0;
  const auto room = static_cast<std::size_t>(std::max<std::int64_t>(piece - (begins ? 1 : 0), 1));
  while (at < ids.size()) {
    const std::size_t count = std::min(room, ids.size() - at);
    Tokens tokens;
    if (begins) tokens.ids.push_back(*special.bos);
    const auto from = ids.begin() + static_cast<std::ptrdiff_t>(at);
    tokens.ids.insert(tokens.ids.end(), from, from + static_cast<std::ptrdiff_t>(count));
    out.push_back(std::move(tokens));
    at += count;
  }
}

}  // namespace

std::vector<Tokens> probe_inputs(const Model& model, std::span<const std::string> texts,
                                 const ProbeTokens& tokens) {
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random random(1);
  random.shuffle(std::span(order));
  std::vector<Tokens> pieces;
  const std::int64_t piece = std::min(tokens.piece, model.context_length());
  if (model.generates()) {
    std::vector<Tokens> all;
    for (const std::string& text : texts) add_pieces(model, text, piece, all);
    order.resize(all.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    random.shuffle(std::span(order));
    for (const std::size_t i : order) pieces.push_back(std::move(all[i]));
  } else {
    std::int64_t count = 0;
    for (const std::size_t i : order) {
      if (count >= tokens.most) break;
      pieces.push_back(model.tokenizer().encode(texts[i], model.context_length()));
      count += size_of(pieces.back().ids);
    }
  }
  std::int64_t count = 0;
  std::size_t kept = 0;
  while (kept < pieces.size() && (kept == 0 || count + size_of(pieces[kept].ids) <= tokens.most))
    count += size_of(pieces[kept++].ids);
  pieces.resize(kept);
  return pieces;
}

Result<std::unique_ptr<Probe>> Probe::create(const Model& model, std::vector<Tokens> inputs,
                                             int threads) {
  if (inputs.empty())
    return fail(ErrorCode::kUsage, "no texts to measure on: name some with --data");
  std::unique_ptr<Probe> probe(new Probe(threads > 0 ? threads : cpu_info().logical_cores));
  probe->inputs_ = std::move(inputs);
  const auto source = [&](const graph::Weight& weight) -> const TensorView& {
    return model.tensor(weight);
  };
  for (const graph::Weight& weight : model.graph().weights()) {
    TACK_TRY(auto values, graph::load_vector(weight, source));
    probe->weights_.push_back(std::move(values));
  }
  probe->make_batches();
  return probe;
}

void Probe::make_batches() {
  for (const Tokens& tokens : inputs_) {
    const std::int64_t count = size_of(tokens.ids);
    if (batches_.empty() || (batches_.back().starts.back() + count > kBatchTokens))
      batches_.emplace_back();
    Batch& batch = batches_.back();
    batch.ids.insert(batch.ids.end(), tokens.ids.begin(), tokens.ids.end());
    batch.type_ids.insert(batch.type_ids.end(), tokens.type_ids.begin(), tokens.type_ids.end());
    batch.type_ids.resize(batch.ids.size(), 0);
    batch.starts.push_back(size_of(batch.ids));
    tokens_ += count;
    longest_ = std::max(longest_, count);
  }
}

Status Probe::run(const graph::Graph& graph, std::span<const graph::ValueId> outputs,
                  const Visit& visit, std::int64_t most_tokens) {
  std::vector<Parameter> parameters;
  for (const std::vector<float>& values : weights_)
    parameters.push_back({.value = values.data(), .size = size_of(values)});
  TapeOptions options{.max_length = longest_, .bf16 = false};
  for (const Batch& batch : batches_) {
    options.max_tokens = std::max(options.max_tokens, size_of(batch.ids));
    options.max_sequences = std::max(options.max_sequences, size_of(batch.starts) - 1);
  }
  TACK_TRY(const auto tape, Tape::create(graph, outputs, std::move(parameters), options, pool_));
  std::vector<std::span<const float>> values(outputs.size());
  std::int64_t seen = 0;
  for (std::size_t b = 0; b < batches_.size(); ++b) {
    if (most_tokens > 0 && seen >= most_tokens) break;
    seen += size_of(batches_[b].ids);
    if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
    const Batch& batch = batches_[b];
    tape->forward({.ids = batch.ids, .type_ids = batch.type_ids, .starts = batch.starts});
    for (std::size_t o = 0; o < outputs.size(); ++o) values[o] = tape->value(outputs[o]);
    TACK_RETURN_IF_ERROR(visit(static_cast<std::int64_t>(b), values));
  }
  return {};
}

}  // namespace tack
