#include "train/tape.h"

#include <cassert>
#include <cstring>
#include <type_traits>

#include "train/tape_impl.h"

namespace tack {

Tape::Impl::Impl(const graph::Graph& graph, std::vector<Parameter> parameters,
                 const TapeOptions& options, ThreadPool& pool)
    : graph_(graph),
      parameters_(std::move(parameters)),
      options_(options),
      pool_(pool),
      product_(kernels::kernels().product) {
  if (options.bf16 && kernels::bf16_product() != nullptr) product_ = *kernels::bf16_product();
}

Status Tape::Impl::prepare(std::span<const ValueId> outputs) {
  outputs_.assign(outputs.begin(), outputs.end());
  parameters_.resize(graph_.weights().size());
  std::vector<bool> trained;
  for (const Parameter& p : parameters_) trained.push_back(p.gradient != nullptr);
  plan_ = plan_tape(graph_, outputs, trained, options_.recompute);
  for (const TapeStep& step : plan_.forward)
    for (WeightId id : weights_of(graph_.nodes()[step.node].op))
      if (parameter(id).value == nullptr)
        return fail(ErrorCode::kUsage, "no values for the weight {}", graph_.weight(id).name);
  const auto bytes = [](std::int64_t columns, std::int64_t row_count) {
    return at(columns * row_count) * sizeof(float);
  };
  token_arena_ = AlignedBuffer(bytes(plan_.token_columns, options_.max_tokens));
  sequence_arena_ = AlignedBuffer(bytes(plan_.sequence_columns, options_.max_sequences));
  std::int64_t groups = 1;
  for (const Node& node : graph_.nodes())
    if (const auto* norm = std::get_if<graph::RmsNorm>(&node.op))
      groups = std::max(groups, norm->groups);
  statistics_.assign(at(2 * groups * std::max(options_.max_tokens, options_.max_sequences)), 0.0F);
  take_scratch();
  return {};
}

void Tape::Impl::take_scratch() {
  std::size_t scratch = 0, straight = 0, transposed = 0;
  for (const TapeStep& step : plan_.forward) {
    const Node& node = graph_.nodes()[step.node];
    if (const auto* op = std::get_if<graph::Attention>(&node.op))
      scratch = std::max(
          {scratch, kernels::attention_backward_scratch_bytes(options_.max_length, op->head_dim),
           sizeof(float) * kernels::attention_scratch_floats(options_.max_length, op->head_dim)});
    if (!std::holds_alternative<graph::Linear>(node.op)) continue;
    const std::int64_t most_rows = graph_.value(node.output).rows == graph::Rows::kTokens
                                       ? options_.max_tokens
                                       : options_.max_sequences;
    const std::int64_t in = cols(node.inputs[0]), out = cols(node.output);
    scratch = std::max(scratch, kernels::product_panel_bytes(std::max({in, out, most_rows})));
    if (product_.packs_straight)
      straight =
          std::max(straight, kernels::product_packed_bytes(product_, most_rows, std::max(in, out)));
    transposed = std::max(transposed, kernels::product_packed_bytes(product_, out, most_rows));
  }
  for (int w = 0; w < pool_.size(); ++w) scratch_.emplace_back(scratch);
  packed_ = AlignedBuffer(straight);
  packed_transposed_ = AlignedBuffer(transposed);
}

void Tape::Impl::forward(const graph::Batch& batch, float dropout, std::uint64_t seed) {
  assert(batch.tokens() <= options_.max_tokens && batch.sequences() <= options_.max_sequences);
  batch_ = batch;
  dropout_ = dropout;
  seed_ = seed;
  cut_sequences();
  run_steps(plan_.forward);
  // Only now: the memory may have held values.
  for (const ValueId v : outputs_)
    std::memset(gradient(v), 0, at(rows(v) * cols(v)) * sizeof(float));
}

void Tape::Impl::backward() {
  run_steps(plan_.backward);
}

void Tape::Impl::run_steps(std::span<const TapeStep> steps) {
  pool_.run([&](int worker) {
    for (const TapeStep& step : steps) {
      const Node& node = graph_.nodes()[step.node];
      std::visit(
          [&]<class Op>(const Op& op) {
            if (step.kind == TapeStep::Kind::kBackward)
              derive(node, step.node, op, worker);
            else if constexpr (std::is_same_v<Op, graph::Linear>)
              run(node, step.node, op, worker, step.shares_input);
            else
              run(node, step.node, op, worker);
          },
          node.op);
      pool_.barrier().arrive_and_wait();
    }
  });
}

// Sequences times heads cost their length squared: cut so that workers get equal shares.
void Tape::Impl::cut_sequences() {
  cost_.assign(1, 0);
  for (std::int64_t s = 0; s < batch_.sequences(); ++s) {
    const std::int64_t length = batch_.starts[at(s) + 1] - batch_.starts[at(s)];
    cost_.push_back(cost_.back() + length * (length + 32));
  }
}

float* Tape::Impl::place_of(ValueId v, std::int64_t offset) {
  const bool tokens = graph_.value(v).rows == graph::Rows::kTokens;
  return (tokens ? token_arena_ : sequence_arena_).as<float>() +
         offset * (tokens ? options_.max_tokens : options_.max_sequences);
}

void Tape::Impl::pack(const kernels::ProductArgs& args, AlignedBuffer& packed, int worker) const {
  pack_part(product_, args, packed.data(), worker, pool_.size());
}

void Tape::Impl::product(const kernels::ProductArgs& args, const AlignedBuffer& packed,
                         int worker) {
  multiply_part(product_, args, packed.data(), scratch_[at(worker)].data(), worker, pool_.size());
}

std::size_t Tape::Impl::bytes() const {
  std::size_t sum =
      token_arena_.size() + sequence_arena_.size() + packed_.size() + packed_transposed_.size();
  for (const AlignedBuffer& scratch : scratch_) sum += scratch.size();
  return sum;
}

Tape::Tape(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tape::~Tape() = default;

Result<std::unique_ptr<Tape>> Tape::create(const graph::Graph& graph,
                                           std::span<const graph::ValueId> outputs,
                                           std::vector<Parameter> parameters,
                                           const TapeOptions& options, ThreadPool& pool) {
  auto impl = std::make_unique<Impl>(graph, std::move(parameters), options, pool);
  TACK_RETURN_IF_ERROR(impl->prepare(outputs));
  return std::unique_ptr<Tape>(new Tape(std::move(impl)));
}

void Tape::forward(const graph::Batch& batch, float dropout, std::uint64_t seed) {
  impl_->forward(batch, dropout, seed);
}
std::span<const float> Tape::value(graph::ValueId output) const {
  return {impl_->value(output), at(impl_->rows(output) * impl_->cols(output))};
}
std::span<float> Tape::gradient(graph::ValueId output) {
  return {impl_->gradient(output), at(impl_->rows(output) * impl_->cols(output))};
}
void Tape::backward() {
  impl_->backward();
}
std::size_t Tape::bytes() const {
  return impl_->bytes();
}

}  // namespace tack
