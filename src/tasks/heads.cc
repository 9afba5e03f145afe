#include "tasks/heads.h"

#include <utility>

#include "graph/weights.h"

namespace tack {
namespace {

graph::WeightSource source_of(const Model& model) {
  return
      [&model](const graph::Weight& weight) -> const TensorView& { return model.tensor(weight); };
}

// A head out of its two tensors; empty when the model does not have them.
Result<LinearHead> linear_head(const Model& model, std::string_view weight_name,
                               std::string_view bias_name) {
  LinearHead head;
  for (const graph::Weight& weight : model.graph().weights())
    if (weight.name == weight_name) {
      TACK_TRY(head.weight, graph::load_vector(weight, source_of(model)));
      head.classes = static_cast<std::int32_t>(weight.shape[0]);
      head.dims = weight.shape[1];
    } else if (weight.name == bias_name) {
      TACK_TRY(head.bias, graph::load_vector(weight, source_of(model)));
    }
  return head;
}

}  // namespace

TagHead zero_tag_head(std::int64_t tags, std::int64_t dims) {
  const auto zeros = [](std::int64_t n) {
    return std::vector<float>(static_cast<std::size_t>(n), 0.0F);
  };
  TagHead head;
  head.emissions.weight = zeros(tags * dims);
  head.emissions.bias = zeros(tags);
  head.emissions.classes = static_cast<std::int32_t>(tags);
  head.emissions.dims = dims;
  head.transitions = zeros(tags * tags);
  head.start = zeros(tags);
  head.end = zeros(tags);
  return head;
}

Result<TagHead> tag_head_of(const Model& model) {
  if (model.tags().empty())
    return fail(ErrorCode::kUsage, "{}: is no tagger", model.path().string());
  TagHead head;
  head.emissions.classes = static_cast<std::int32_t>(model.tags().size());
  head.emissions.dims = model.embedding_dim();
  for (const graph::Weight& weight : model.graph().weights())
    for (const auto& [name, values] :
         {std::pair{kTagWeight, &head.emissions.weight}, std::pair{kTagBias, &head.emissions.bias},
          std::pair{kTransitions, &head.transitions}, std::pair{kStart, &head.start},
          std::pair{kEnd, &head.end}})
      if (weight.name == name) {
        TACK_TRY(*values, graph::load_vector(weight, source_of(model)));
      }
  return head;
}

LinearHead zero_span_head(std::int64_t dims) {
  LinearHead head;
  head.weight.assign(static_cast<std::size_t>(2 * dims), 0.0F);
  head.bias.assign(2, 0.0F);
  head.classes = 2;
  head.dims = dims;
  return head;
}

bool is_extractor(const Model& model) {
  return model.graph().find_output("span") != nullptr;
}

Result<LinearHead> span_head_of(const Model& model) {
  if (!is_extractor(model))
    return fail(ErrorCode::kUsage, "{}: answers no questions: is no extractor",
                model.path().string());
  return linear_head(model, kSpanWeight, kSpanBias);
}

Result<LinearHead> head_of(const Model& model) {
  return linear_head(model, kHeadWeight, kHeadBias);
}

}  // namespace tack
