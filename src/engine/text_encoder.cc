#include "engine/text_encoder.h"

#include <algorithm>
#include <atomic>
#include <numeric>

#include "base/cpu.h"
#include "base/interrupt.h"
#include "base/thread_pool.h"
#include "engine/executor.h"
#include "graph/plan.h"

namespace tack {
namespace {

// A packed batch with its memory, reused from batch to batch.
struct PackedBatch {
  std::vector<std::int32_t> ids, type_ids;
  std::vector<std::int64_t> starts;
  std::vector<std::size_t> texts;  // which input each sequence is

  void clear() {
    ids.clear();
    type_ids.clear();
    starts.assign(1, 0);
    texts.clear();
  }
  void add(std::size_t text, const Tokens& tokens) {
    ids.insert(ids.end(), tokens.ids.begin(), tokens.ids.end());
    if (tokens.type_ids.empty())
      type_ids.resize(ids.size(), 0);
    else
      type_ids.insert(type_ids.end(), tokens.type_ids.begin(), tokens.type_ids.end());
    starts.push_back(static_cast<std::int64_t>(ids.size()));
    texts.push_back(text);
  }
  graph::Batch view() const { return {ids, type_ids, starts}; }
};

class PlannedEncoder final : public TextEncoder {
 public:
  PlannedEncoder(std::shared_ptr<const Model> model, graph::Plan plan, int threads,
                 std::int64_t micro_batch_tokens)
      : model_(std::move(model)),
        plan_(std::move(plan)),
        pool_(threads),
        micro_batch_(std::min(micro_batch_tokens, model_->context_length())) {
    const std::int64_t longest = model_->context_length();
    const Executor::Limits alone{longest, micro_batch_, longest, kTileRows};
    for (int worker = 0; worker < threads; ++worker) private_.emplace_back(plan_, 1, alone);
    if (threads > 1) {
      const Executor::Limits together{longest, 2 * threads, longest, kTileRows};
      shared_.emplace_back(plan_, threads, together);
    }
    packed_.resize(static_cast<std::size_t>(threads));
  }

  const Model& model() const override { return *model_; }
  int threads() const override { return pool_.size(); }
  std::string plan_text() const override { return plan_.to_text(); }

  std::int64_t output_dim(std::string_view output) const override {
    const auto o = find(output);
    return o ? plan_.outputs[*o].cols : 0;
  }

  Memory memory() const override {
    Memory memory{plan_.weight_bytes(), 0};
    for (const Executor& executor : private_) memory.arena += executor.memory_bytes();
    for (const Executor& executor : shared_) memory.arena += executor.memory_bytes();
    return memory;
  }

  Result<Encoded> run(std::span<const std::string_view> texts,
                      std::span<const std::string_view> outputs) override {
    std::vector<Tokens> tokens(texts.size());
    const auto tokenize = [&](std::size_t i) {
      tokens[i] = model_->tokenizer().encode(texts[i], model_->context_length());
    };
    if (texts.size() < kParallelTokenize)
      for (std::size_t i = 0; i < texts.size(); ++i) tokenize(i);
    else
      pool_.parallel_for(static_cast<std::int64_t>(texts.size()),
                         [&](std::int64_t i) { tokenize(static_cast<std::size_t>(i)); });
    return encode(tokens, outputs);
  }

  Result<Encoded> run_tokens(std::span<const Tokens> inputs,
                             std::span<const std::string_view> outputs) override {
    const std::int64_t vocab = model_->tokenizer().vocab_size();
    for (const Tokens& input : inputs) {
      if (static_cast<std::int64_t>(input.ids.size()) > model_->context_length())
        return fail(ErrorCode::kUsage, "an input has {} tokens, the model takes {}",
                    input.ids.size(), model_->context_length());
      for (TokenId id : input.ids)
        if (id < 0 || id >= vocab)
          return fail(ErrorCode::kUsage, "token id {} is outside the vocabulary of {}", id, vocab);
    }
    return encode(inputs, outputs);
  }

 private:
  static constexpr std::int64_t kTileRows = 24;
  // Below this many texts a wake-up of the workers costs more than tokenizing alone.
  static constexpr std::size_t kParallelTokenize = 16;

  std::optional<std::size_t> find(std::string_view output) const {
    for (std::size_t o = 0; o < plan_.outputs.size(); ++o)
      if (plan_.outputs[o].name == output) return o;
    return std::nullopt;
  }

  Result<Encoded> encode(std::span<const Tokens> inputs,
                         std::span<const std::string_view> outputs) {
    Encoded encoded;
    first_token_.assign(1, 0);
    for (const Tokens& input : inputs)
      first_token_.push_back(first_token_.back() + input.ids.size());
    std::vector<std::size_t> wanted;
    for (std::string_view name : outputs) {
      const auto o = find(name);
      if (!o)
        return fail(ErrorCode::kNotFound, "{}: the model has no output '{}'", model_->name(), name);
      wanted.push_back(*o);
      const bool of_tokens = plan_.outputs[*o].rows == graph::Rows::kTokens;
      encoded.outputs.emplace_back(
          static_cast<std::size_t>(of_tokens ? first_token_.back() : first_token_.size() - 1) *
          static_cast<std::size_t>(plan_.outputs[*o].cols));
    }
    encoded.info.reserve(inputs.size());
    for (const Tokens& input : inputs)
      encoded.info.push_back({static_cast<std::int64_t>(input.ids.size()), input.truncated});
    if (shares_work(inputs))
      encode_together(inputs, wanted, encoded);
    else
      encode_apart(inputs, wanted, encoded);
    if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
    return encoded;
  }

  // Few texts: all workers on one batch. Otherwise each worker on batches of its own, which needs
  // no barriers.
  bool shares_work(std::span<const Tokens> inputs) const {
    if (shared_.empty() || inputs.empty()) return false;
    const auto& limits = shared_.front().limits();
    if (static_cast<std::int64_t>(inputs.size()) > limits.sequences) return false;
    std::int64_t tokens = 0, longest = 0;
    for (const Tokens& input : inputs) {
      const auto n = static_cast<std::int64_t>(input.ids.size());
      tokens += n;
      longest = std::max(longest, n);
    }
    // Apart, the time is at best that of the longest text on one worker.
    return tokens <= limits.tokens && longest * pool_.size() > tokens;
  }

  void encode_together(std::span<const Tokens> inputs, std::span<const std::size_t> wanted,
                       Encoded& encoded) {
    PackedBatch& batch = packed_.front();
    batch.clear();
    for (std::size_t i = 0; i < inputs.size(); ++i) batch.add(i, inputs[i]);
    const graph::Batch view = batch.view();
    Executor& executor = shared_.front();
    pool_.run([&](int worker) { executor.run(worker, view, pool_.barrier()); });
    collect(executor, batch, wanted, encoded);
  }

  void encode_apart(std::span<const Tokens> inputs, std::span<const std::size_t> wanted,
                    Encoded& encoded) {
    // Longest first: the last batches to finish are small, so workers end together.
    std::vector<std::size_t> order(inputs.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return inputs[a].ids.size() > inputs[b].ids.size();
    });
    std::vector<std::size_t> cuts = {0};  // batch b is order[cuts[b], cuts[b + 1])
    std::int64_t tokens = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto n = static_cast<std::int64_t>(inputs[order[i]].ids.size());
      if (i > cuts.back() && (tokens + n > micro_batch_ ||
                              static_cast<std::int64_t>(i - cuts.back()) >= micro_batch_)) {
        cuts.push_back(i);
        tokens = 0;
      }
      tokens += n;
    }
    cuts.push_back(order.size());

    std::atomic<std::size_t> next{0};
    const auto work = [&](int worker) {
      const auto w = static_cast<std::size_t>(worker);
      SpinBarrier alone(1);
      for (std::size_t b; (b = next.fetch_add(1)) + 1 < cuts.size() && !interrupted();) {
        PackedBatch& batch = packed_[w];
        batch.clear();
        for (std::size_t i = cuts[b]; i < cuts[b + 1]; ++i) batch.add(order[i], inputs[order[i]]);
        private_[w].run(0, batch.view(), alone);
        collect(private_[w], batch, wanted, encoded);
      }
    };
    if (cuts.size() == 2)
      work(0);
    else
      pool_.run(work);
  }

  void collect(const Executor& executor, const PackedBatch& batch,
               std::span<const std::size_t> wanted, Encoded& encoded) const {
    for (std::size_t o = 0; o < wanted.size(); ++o) {
      const bool of_tokens = plan_.outputs[wanted[o]].rows == graph::Rows::kTokens;
      const auto copy = [&](std::int64_t from, std::size_t to) {
        const auto row = executor.output(wanted[o], from);
        std::ranges::copy(
            row, encoded.outputs[o].begin() + static_cast<std::ptrdiff_t>(to * row.size()));
      };
      for (std::size_t s = 0; s < batch.texts.size(); ++s) {
        if (!of_tokens) {
          copy(static_cast<std::int64_t>(s), batch.texts[s]);
          continue;
        }
        std::size_t to = first_token_[batch.texts[s]];
        for (std::int64_t t = batch.starts[s]; t < batch.starts[s + 1]; ++t) copy(t, to++);
      }
    }
  }

  std::shared_ptr<const Model> model_;
  graph::Plan plan_;
  ThreadPool pool_;
  const std::int64_t micro_batch_;
  std::vector<Executor> private_;  // one a worker
  std::vector<Executor> shared_;   // none with one thread, else one
  std::vector<PackedBatch> packed_;
  std::vector<std::size_t> first_token_;  // of each input, and their number, of the run under way
};

}  // namespace

Result<std::unique_ptr<TextEncoder>> TextEncoder::create(std::shared_ptr<const Model> model,
                                                         const EncoderOptions& options) {
  graph::PlanOptions plan_options;
  plan_options.linear_type = options.linear_type;
  for (const std::string& output : options.outputs)
    if (model->graph().find_output(output) != nullptr) plan_options.outputs.push_back(output);
  if (plan_options.outputs.empty())
    return fail("{}: the model has none of the outputs asked for", model->name());
  const graph::WeightSource source = [&](const graph::Weight& weight) -> const TensorView& {
    return model->tensor(weight);
  };
  plan_options.smoothing = [&](const graph::Weight& weight) { return model->smoothing(weight); };
  TACK_TRY(auto plan, graph::make_plan(model->graph(), source, plan_options));
  const int threads = options.threads > 0 ? options.threads : cpu_info().logical_cores;
  return std::make_unique<PlannedEncoder>(std::move(model), std::move(plan), threads,
                                          std::max<std::int64_t>(1, options.micro_batch_tokens));
}

Result<std::vector<float>> TextEncoder::embed(std::span<const std::string> texts) {
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  constexpr std::string_view kOutput = "embedding";
  TACK_TRY(auto encoded, run(views, {&kOutput, 1}));
  return std::move(encoded.outputs.front());
}

}  // namespace tack
