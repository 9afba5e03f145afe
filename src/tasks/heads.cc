#include "tasks/heads.h"

#include <utility>

#include "graph/weights.h"

namespace tack {
namespace {

graph::WeightSource source_of(const Model& model) {
  return
      [&model](const graph::Weight& weight) -> const TensorView& { return model.tensor(weight); };
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

Result<LinearHead> head_of(const Model& model) {
  LinearHead head;
  for (const graph::Weight& weight : model.graph().weights())
    if (weight.name == kHeadWeight) {
      TACK_TRY(head.weight, graph::load_vector(weight, source_of(model)));
      head.classes = static_cast<std::int32_t>(weight.shape[0]);
      head.dims = weight.shape[1];
    } else if (weight.name == kHeadBias) {
      TACK_TRY(head.bias, graph::load_vector(weight, source_of(model)));
    }
  return head;
}

}  // namespace tack
