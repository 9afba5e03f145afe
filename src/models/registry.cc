#include <algorithm>
#include <array>

#include "models/architecture.h"

namespace tack {
namespace {

const std::array<const Architecture*, 4>& all() {
  static const std::array<const Architecture*, 4> kAll = {
      &bert_architecture(), &llama_architecture(), &gemma3_architecture(),
      &ministral3_architecture()};
  return kAll;
}

}  // namespace

Result<const Architecture*> find_architecture(std::string_view gguf_name) {
  std::string known;
  for (const Architecture* architecture : all()) {
    if (architecture->name == gguf_name) return architecture;
    known.append(known.empty() ? "" : ", ").append(architecture->name);
  }
  return fail("architecture '{}' is not supported; known: {}", gguf_name, known);
}

Result<const Architecture*> find_hf_architecture(std::string_view model_type) {
  std::string known;
  for (const Architecture* architecture : all())
    for (const std::string_view type : architecture->hf_model_types) {
      if (type == model_type) return architecture;
      known.append(known.empty() ? "" : ", ").append(type);
    }
  return fail("model type '{}' is not supported; known: {}", model_type, known);
}

}  // namespace tack
