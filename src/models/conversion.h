// What all ways of writing a model as a GGUF share: `tack convert`, `tack quantize`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/result.h"
#include "formats/gguf.h"
#include "graph/graph.h"
#include "models/architecture.h"
#include "models/model.h"
#include "tensor/dtype.h"

namespace tack {

// What the name of a type, as the command line has it, means.
struct ConversionTarget {
  std::string_view name;
  DType dtype;              // of matrices
  std::uint32_t file_type;  // llama.cpp's general.file_type
  bool int8 = false;        // of encoders only
  DType outer = dtype;      // of the tables at both ends of the model
};
// kUsage names the types that are known.
Result<ConversionTarget> conversion_target(std::string_view type);

// What the target asks for, whether or not the rows fit it (fitting_dtype() of tensor/blocks.h).
DType wanted_dtype(const Architecture& architecture, const graph::Weight& weight,
                   const ConversionTarget& target);

// The type that `tack convert --type` gives a tensor. Errors: kUsage for one that is not known.
Result<DType> converted_type(const Model& model, const graph::Weight& weight,
                             std::string_view type);

// General and tokenizer keys of the model at `from`, whichever kind it is, then the architecture's
// own: all but what says how its weights are stored.
Status copy_metadata(const std::filesystem::path& from, const Model& model,
                     const Architecture& architecture, GgufWriter& writer);

}  // namespace tack
