#include "tasks/generator.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "graph/weights.h"
#include "tasks/artifact.h"
#include "tasks/features.h"
#include "tasks/text_pieces.h"
#include "train/vocabulary_loss.h"

namespace tack {
namespace {

constexpr std::string_view kTokenTable = "token_embd.weight";

// Table and norms keep their size; matrices decay.
TrainRule rule_of(const graph::Weight& weight) {
  return {.trains = true,
          .decays = weight.shape.size() == 2 && weight.name != kTokenTable,
          .rate_factor = 1};
}

// Pieces of text as examples. The loss of a step is a mean over examples, each divided by the mean
// number of tokens of all: over an epoch, nats per token.
class TextCurriculum final : public Curriculum {
 public:
  TextCurriculum(const TextPieces& train, const TextPieces& validation, graph::ValueId hidden,
                 VocabularyLoss& loss)
      : train_(train),
        validation_(validation),
        hidden_(hidden),
        loss_(loss),
        mean_tokens_(static_cast<double>(train.predictions()) / static_cast<double>(train.size())) {
  }

  std::size_t size() const override { return train_.size(); }
  ExampleTokens tokens(std::size_t example) const override { return {train_.inputs(example), {}}; }
  bool has_validation() const override { return true; }
  std::int64_t longest_validation() const override { return validation_.longest(); }

  double loss(Tape& tape, std::span<const std::size_t> examples, double scale) override {
    targets_.clear();
    for (const std::size_t example : examples)
      targets_.insert(targets_.end(), train_.targets(example).begin(),
                      train_.targets(example).end());
    return loss_.learn(tape.value(hidden_), targets_, scale / mean_tokens_, tape.gradient(hidden_));
  }

  Result<double> validate(const Forward& forward) override {
    std::vector<ExampleTokens> texts;
    for (std::size_t p = 0; p < validation_.size(); ++p)
      texts.push_back({validation_.inputs(p), {}});
    double sum = 0;
    TACK_RETURN_IF_ERROR(
        forward(texts, [&](std::size_t first, std::size_t count, const Tape& tape) {
          targets_.clear();
          for (std::size_t p = first; p < first + count; ++p)
            targets_.insert(targets_.end(), validation_.targets(p).begin(),
                            validation_.targets(p).end());
          sum += loss_.measure(tape.value(hidden_), targets_);
        }));
    return -sum / static_cast<double>(validation_.predictions());
  }
  std::string validation_text(double value) const override {
    return fmt::format("validation perplexity {:.3f}", std::exp(-value));
  }

 private:
  const TextPieces& train_;
  const TextPieces& validation_;
  graph::ValueId hidden_;
  VocabularyLoss& loss_;
  double mean_tokens_;
  std::vector<std::int32_t> targets_;
};

Status check(const Model& start, const TrainSettings& settings) {
  if (!start.generates() || start.gguf() == nullptr)
    return fail(ErrorCode::kUsage,
                "{}: kind = \"generate\" goes on from a decoder in a GGUF file (tack convert)",
                start.path().string());
  if (settings.length > start.context_length())
    return fail(ErrorCode::kUsage, "[train] length = {} is more than the context of {}: {} tokens",
                settings.length, start.path().string(), start.context_length());
  return {};
}

}  // namespace

Result<VocabularyOutput> vocabulary_output(const Model& model) {
  const graph::Output* logits = model.graph().find_output("logits");
  for (const graph::Node& node : model.graph().nodes())
    if (logits != nullptr && node.output == logits->value)
      if (const auto* linear = std::get_if<graph::Linear>(&node.op);
          linear != nullptr && linear->bias.index < 0)
        return VocabularyOutput{node.inputs.front(), linear->weight};
  return fail(ErrorCode::kUsage, "{}: its logits are no linear layer of its hidden vectors",
              model.path().string());
}

Result<TrainedDecoder> train_decoder(const std::shared_ptr<const Model>& start,
                                     const Dataset& train_texts, const Dataset& validation_texts,
                                     const TrainSettings& settings, std::int64_t batch_tokens,
                                     const std::filesystem::path& path,
                                     const FineTuneOptions& options) {
  TACK_RETURN_IF_ERROR(check(*start, settings));
  const TextPieces train_pieces(*start, train_texts, settings.length),
      validation_pieces(*start, validation_texts, settings.length);
  for (const auto& [pieces, texts] :
       {std::pair{&train_pieces, &train_texts}, std::pair{&validation_pieces, &validation_texts}})
    if (pieces->size() == 0) return fail("{}: no token to predict in it", texts->name);

  const graph::Graph& graph = start->graph();
  TACK_TRY(const VocabularyOutput head, vocabulary_output(*start));
  const std::array<graph::ValueId, 1> outputs = {head.hidden};
  std::vector<bool> used = used_weights(graph, outputs);
  used[static_cast<std::size_t>(head.weight.index)] = true;
  const auto source = [&](const graph::Weight& w) -> const TensorView& { return start->tensor(w); };
  TACK_TRY(ParameterSet parameters,
           ParameterSet::create(
               graph, used, [&](const graph::Weight& w) { return graph::load_vector(w, source); },
               rule_of));
  ThreadPool pool(options.threads);
  const graph::Weight& table = graph.weight(head.weight);
  const Parameter of_head =
      parameters.tape_parameters()[static_cast<std::size_t>(head.weight.index)];
  VocabularyLoss loss({of_head.value, of_head.gradient, table.shape[0], table.shape[1]},
                      settings.loop.bf16, pool);
  TextCurriculum curriculum(train_pieces, validation_pieces, head.hidden, loss);

  TrainerOptions loop = settings.loop;
  loop.batch = std::max<std::int64_t>(
      1, std::llround(static_cast<double>(batch_tokens) * static_cast<double>(train_pieces.size()) /
                      static_cast<double>(train_pieces.predictions())));
  loop.checkpoint = options.checkpoint;
  loop.description = options.description;
  loop.label = options.label;
  TrainedDecoder out;
  out.tokens = train_pieces.predictions();
  TACK_TRY(out.training, train(graph, outputs, parameters, curriculum, loop, pool));
  out.training.memory_bytes += loss.bytes();
  out.trained_parameters = parameters.trained();

  const TemporaryFile full(path, ".f32");
  {
    std::map<std::string, std::vector<float>> tensors;
    for (const ParameterSet::Weight& w : parameters.weights()) {
      const auto values = parameters.values(w);
      tensors[w.name].assign(values.begin(), values.end());
    }
    TACK_RETURN_IF_ERROR(write_trained_encoder(*start, tensors, {}, full.path()));
  }
  TACK_RETURN_IF_ERROR(
      convert_model(full.path(), path,
                    {.type = options.type, .name = start->name(), .threads = options.threads}));
  TACK_TRY(out.model, Model::open(path));
  return out;
}

}  // namespace tack
