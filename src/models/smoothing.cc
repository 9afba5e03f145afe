#include "models/smoothing.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "graph/reference.h"

namespace tack {
namespace {

// How much of the spread of a column goes to the weights, and the norms that measure a column. The
// paper takes maxima; high powers are as wary of outliers and hang less on one token. Chosen on
// training rows of BANKING77 and STS-B (docs/decisions.md).
constexpr double kAlpha = 0.5;
constexpr double kActivationPower = 8, kWeightPower = 4;
constexpr double kStepsPerOctave = 8;

// Which columns are outliers is a property of the weights, not of the text: any varied prose shows
// them. These sentences are our own.
constexpr std::array<std::string_view, 24> kSentences = {
    "The parcel arrived two days late, and the box was open.",
    "How do I reset my password?",
    "Revenue grew by 12.5 % in the third quarter, to $4.2 billion.",
    "thanks!!",
    "A 54-year-old man was admitted with chest pain that began three hours earlier.",
    "Please transfer 250 euros to my savings account on the first of every month.",
    "The court held that the contract could not be enforced, because notice was never given.",
    "Turn off the lights in the kitchen and play some jazz.",
    "why was my card declined at the shop yesterday???",
    "In 1969 two people walked on the moon while a third waited in orbit.",
    "def add(a, b): return a + b  # the sum of two numbers",
    "Paris is the capital of France; Berlin is the capital of Germany.",
    "I want to speak to a human being about my bill.",
    "Mix the flour, two eggs and a pinch of salt, then let the dough rest for an hour.",
    "ERROR 404: the page /orders/8841 was not found on this server",
    "Book a table for four people at seven o'clock tonight near the station.",
    "The old lighthouse keeper climbed the stairs every evening, lit the lamp, and watched the "
    "ships "
    "pass until the fog hid them from his sight.",
    "What's the weather like in Madrid this weekend?",
    "Plants turn sunlight, water and carbon dioxide into sugar and oxygen.",
    "u guys charged me twice this month, refund pls",
    "Supplier 17 can deliver 3,000 units by Friday if we confirm before noon.",
    "He said: \"I never signed that form,\" and left the room.",
    "best pizza ever",
    "The train from platform 9 to Vienna is delayed by about twenty-five minutes.",
};

struct Inputs {
  std::vector<std::int32_t> ids;
  std::vector<std::int64_t> starts = {0};
};

Inputs tokenize(const Model& model) {
  Inputs inputs;
  for (std::string_view sentence : kSentences) {
    const Tokens tokens = model.tokenizer().encode(sentence, model.context_length());
    inputs.ids.insert(inputs.ids.end(), tokens.ids.begin(), tokens.ids.end());
    inputs.starts.push_back(static_cast<std::int64_t>(inputs.ids.size()));
  }
  return inputs;
}

// sums[k] += sum over rows of |matrix[r][k]|^power.
void add_powers(std::span<const float> matrix, double power, std::vector<double>& sums) {
  for (std::size_t i = 0; i < matrix.size(); ++i)
    sums[i % sums.size()] += std::pow(std::fabs(static_cast<double>(matrix[i])), power);
}

std::vector<std::int64_t> exponents(std::span<const double> activation,
                                    std::span<const double> weight) {
  std::vector<double> octaves(activation.size(), 0.0);
  double mean = 0;
  for (std::size_t k = 0; k < octaves.size(); ++k) {
    if (activation[k] > 0 && weight[k] > 0)
      octaves[k] = kAlpha * std::log2(activation[k]) / kActivationPower -
                   (1 - kAlpha) * std::log2(weight[k]) / kWeightPower;
    mean += octaves[k] / static_cast<double>(octaves.size());
  }
  std::vector<std::int64_t> out;
  for (double octave : octaves)
    out.push_back(
        std::clamp<std::int64_t>(std::lround((octave - mean) * kStepsPerOctave), -127, 127));
  return out;
}

}  // namespace

Result<SmoothingExponents> measure_smoothing(const Model& model) {
  const graph::Graph& graph = model.graph();
  const graph::WeightSource source = [&](const graph::Weight& weight) -> const TensorView& {
    return model.tensor(weight);
  };
  const Inputs inputs = tokenize(model);
  TACK_TRY(const auto values,
           graph::run_reference(graph, source, {.ids = inputs.ids, .starts = inputs.starts}));
  // By input value: over all layers that read it.
  std::map<std::int32_t, std::vector<double>> weight_powers;
  const auto each_linear = [&](auto&& visit) -> Status {
    for (const graph::Node& node : graph.nodes())
      if (const auto* op = std::get_if<graph::Linear>(&node.op))
        TACK_RETURN_IF_ERROR(visit(node.inputs[0], graph.weight(op->weight)));
    return {};
  };
  TACK_RETURN_IF_ERROR(each_linear([&](graph::ValueId input, const graph::Weight& w) -> Status {
    TACK_TRY(const auto matrix, graph::load_vector(w, source));
    auto& powers = weight_powers[input.index];
    powers.resize(static_cast<std::size_t>(graph.value(input).cols), 0.0);
    add_powers(matrix, kWeightPower, powers);
    return {};
  }));
  SmoothingExponents out;
  TACK_RETURN_IF_ERROR(each_linear([&](graph::ValueId input, const graph::Weight& w) -> Status {
    std::vector<double> powers(static_cast<std::size_t>(graph.value(input).cols), 0.0);
    add_powers(values[static_cast<std::size_t>(input.index)], kActivationPower, powers);
    out[w.name] = exponents(powers, weight_powers[input.index]);
    return {};
  }));
  return out;
}

Result<std::vector<float>> smoothing_factors(const std::vector<std::int64_t>& exponents) {
  std::vector<float> factors;
  factors.reserve(exponents.size());
  for (std::int64_t e : exponents) {
    if (e < -127 || e > 127) return fail("smoothing exponent {} is not in -127..127", e);
    factors.push_back(static_cast<float>(std::exp2(static_cast<double>(e) / kStepsPerOctave)));
  }
  return factors;
}

}  // namespace tack
