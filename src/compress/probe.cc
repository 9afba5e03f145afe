#include "compress/probe.h"

#include <algorithm>
#include <map>

#include "base/cpu.h"
#include "base/thread_pool.h"
#include "graph/weights.h"
#include "tensor/convert.h"
#include "train/parameters.h"
#include "train/tape.h"

namespace tack {
namespace {

constexpr std::int64_t kBatch = 512;  // tokens; a longer chunk is run alone

class DecoderProbe final : public Probe {
 public:
  static Result<std::unique_ptr<Probe>> create(std::shared_ptr<const Model> model,
                                               const ProbeOptions& options) {
    const std::int64_t sequences = std::max<std::int64_t>(kBatch / options.longest, 1);
    TACK_TRY(auto decoder,
             Decoder::create(std::move(model),
                             {.threads = options.threads,
                              .context = options.longest,
                              .sequences = sequences,
                              .batch = std::max(kBatch, options.longest),
                              .kv = options.exact ? kernels::KvType::kF32 : kernels::KvType::kF16,
                              .exact = options.exact,
                              .observe = options.observe,
                              .replace = options.replace}));
    std::unique_ptr<DecoderProbe> probe(new DecoderProbe);
    probe->decoder_ = std::move(decoder);
    probe->sequences_ = sequences;
    probe->logits_ = options.outputs ? DecoderPart::Logits::kAll : DecoderPart::Logits::kNone;
    return probe;
  }

  std::int64_t batch() const override { return decoder_->batch(); }
  Output output() const override { return Output::kLogits; }
  std::int64_t width() const override { return decoder_->vocab_size(); }

  Result<std::span<const float>> run(std::span<const std::vector<TokenId>> chunks) override {
    if (static_cast<std::int64_t>(chunks.size()) > sequences_)
      return fail("{} chunks at once, at most {} can be run", chunks.size(), sequences_);
    std::vector<DecoderPart> parts;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const auto sequence = static_cast<std::int64_t>(i);
      decoder_->rewind(sequence, 0);
      parts.push_back({sequence, chunks[i], logits_});
    }
    return decoder_->run(parts);
  }

 private:
  DecoderProbe() = default;
  std::unique_ptr<Decoder> decoder_;
  std::int64_t sequences_ = 1;
  DecoderPart::Logits logits_ = DecoderPart::Logits::kAll;
};

class EncoderProbe final : public Probe {
 public:
  static Result<std::unique_ptr<Probe>> create(std::shared_ptr<const Model> model,
                                               const ProbeOptions& options) {
    const graph::Graph& graph = model->graph();
    const int threads = options.threads > 0 ? options.threads : cpu_info().logical_cores;
    std::unique_ptr<EncoderProbe> probe(new EncoderProbe(std::move(model), threads));
    probe->observe_ = options.observe;
    TACK_RETURN_IF_ERROR(probe->choose_output(graph));
    std::vector<graph::ValueId> values = {probe->output_value_};
    if (probe->observe_) probe->find_readers(values);
    TACK_RETURN_IF_ERROR(probe->load(options, values));
    probe->batch_ = std::max(kBatch, options.longest);
    TACK_TRY(probe->tape_, Tape::create(graph, values, probe->parameters_->tape_parameters(),
                                        {.max_tokens = probe->batch_,
                                         .max_sequences = probe->batch_,
                                         .max_length = options.longest,
                                         .bf16 = false},
                                        probe->pool_));
    return probe;
  }

  std::int64_t batch() const override { return batch_; }
  Output output() const override { return output_; }
  std::int64_t width() const override { return model_->graph().value(output_value_).cols; }

  Result<std::span<const float>> run(std::span<const std::vector<TokenId>> chunks) override {
    ids_.clear();
    starts_.assign(1, 0);
    for (const auto& chunk : chunks) {
      ids_.insert(ids_.end(), chunk.begin(), chunk.end());
      starts_.push_back(static_cast<std::int64_t>(ids_.size()));
    }
    tape_->forward({.ids = ids_, .type_ids = {}, .starts = starts_});
    for (const auto& [input, weights] : readers_) {
      const auto x = tape_->value({input});
      const std::int64_t cols = model_->graph().value({input}).cols;
      pool_.run([&](int worker) {
        observe_({.weights = weights,
                  .x = x.data(),
                  .rows = static_cast<std::int64_t>(x.size()) / cols,
                  .cols = cols,
                  .worker = worker,
                  .workers = pool_.size()});
      });
    }
    return tape_->value(output_value_);
  }

 private:
  EncoderProbe(std::shared_ptr<const Model> model, int threads)
      : model_(std::move(model)), pool_(threads) {}

  // What the model is for: labels or tags before the vector they come from.
  Status choose_output(const graph::Graph& graph) {
    // An extractor's head reads what its embedding is pooled from.
    const bool extracts = graph.find_output("span") != nullptr;
    for (const char* name : {"logits", "tags", extracts ? "hidden" : "embedding", "hidden"})
      if (const graph::Output* found = graph.find_output(name)) {
        output_value_ = found->value;
        const std::string_view kind = name;
        output_ = kind == "logits" || kind == "tags" ? Output::kLogits : Output::kVectors;
        return {};
      }
    return fail("{}: a model without outputs", model_->path().string());
  }

  void find_readers(std::vector<graph::ValueId>& values) {
    const graph::Graph& graph = model_->graph();
    for (const graph::Node& node : graph.nodes())
      if (const auto* op = std::get_if<graph::Linear>(&node.op)) {
        auto& weights = readers_[node.inputs[0].index];
        if (weights.empty()) values.push_back(node.inputs[0]);
        weights.push_back(graph.weight(op->weight).name);
      }
  }

  Status load(const ProbeOptions& options, std::span<const graph::ValueId> values) {
    const graph::WeightSource source = [&](const graph::Weight& weight) -> const TensorView& {
      const TensorView* other = options.replace ? options.replace(weight.name) : nullptr;
      return other != nullptr ? *other : model_->tensor(weight);
    };
    TACK_TRY(auto parameters,
             ParameterSet::create(
                 model_->graph(), used_weights(model_->graph(), values),
                 [&](const graph::Weight& weight) { return graph::load_vector(weight, source); },
                 [](const graph::Weight&) { return TrainRule{.trains = false}; }));
    parameters_ = std::make_unique<ParameterSet>(std::move(parameters));
    return {};
  }

  const std::shared_ptr<const Model> model_;
  ThreadPool pool_;
  std::unique_ptr<ParameterSet> parameters_;
  std::unique_ptr<Tape> tape_;
  std::function<void(const LinearInputs&)> observe_;
  std::map<std::int32_t, std::vector<std::string_view>> readers_;  // by input value
  graph::ValueId output_value_;
  Output output_ = Output::kVectors;
  std::int64_t batch_ = 0;
  std::vector<std::int32_t> ids_;
  std::vector<std::int64_t> starts_;
};

}  // namespace

Result<std::unique_ptr<Probe>> Probe::create(std::shared_ptr<const Model> model,
                                             const ProbeOptions& options) {
  if (options.longest < 1 || options.longest > model->context_length())
    return fail(ErrorCode::kUsage, "chunks of {} tokens: {} takes 1 to {}", options.longest,
                model->name(), model->context_length());
  return model->generates() ? DecoderProbe::create(std::move(model), options)
                            : EncoderProbe::create(std::move(model), options);
}

std::size_t chunks_at_once(const Probe& probe, std::span<const std::vector<TokenId>> chunks) {
  std::int64_t tokens = 0;
  std::size_t count = 0;
  while (count < chunks.size()) {
    tokens += static_cast<std::int64_t>(chunks[count].size());
    if (count > 0 && tokens > probe.batch()) break;
    ++count;
  }
  return count;
}

}  // namespace tack
