// A model with some of the attention heads and feed-forward channels of its layers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/gguf_draft.h"
#include "models/model.h"

namespace tack {

// Sizes of a layer, which all layers share.
struct LayerWidth {
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0, ffn = 0;
};
LayerWidth layer_width(const Model& model);

struct WidthCut {
  // By layer, ascending; empty: as they are.
  std::vector<std::vector<std::int64_t>> heads, channels;
  // Tensors whose values change, by name: those that read heads and channels, in the new shape.
  std::map<std::string, std::vector<float>> refit;
};

// The model so cut: rows of tensors as they lie, those of `refit` in the type they had, or f16
// where that is one of blocks. The draft views the model. Errors: kUsage for a model that is no
// GGUF, for heads of a model whose keys and values are shared among queries or whose heads cannot
// be fewer (only BERT's can).
Result<GgufDraft> with_width(const Model& model, const WidthCut& cut);

}  // namespace tack
