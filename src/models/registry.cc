#include <array>

#include "models/architecture.h"

namespace tack {
namespace {

const std::array<const Architecture*, 1>& all() {
  static const std::array<const Architecture*, 1> kAll = {&bert_architecture()};
  return kAll;
}

Result<const Architecture*> find(std::string_view wanted, std::string_view Architecture::* member) {
  std::string known;
  for (const Architecture* architecture : all()) {
    if (architecture->*member == wanted) return architecture;
    known.append(known.empty() ? "" : ", ").append(architecture->*member);
  }
  return fail("architecture '{}' is not supported; known: {}", wanted, known);
}

}  // namespace

Result<const Architecture*> find_architecture(std::string_view gguf_name) {
  return find(gguf_name, &Architecture::name);
}

Result<const Architecture*> find_hf_architecture(std::string_view model_type) {
  return find(model_type, &Architecture::hf_model_type);
}

}  // namespace tack
