// The type that `tack convert` gives a tensor, for what is trained in that type before.
#pragma once

#include <string_view>

#include "base/result.h"
#include "models/model.h"

namespace tack {

// `type` as in ConvertOptions. Errors: kUsage for one that is not known.
Result<DType> converted_type(const Model& model, const graph::Weight& weight,
                             std::string_view type);

}  // namespace tack
