// A model with some of its dimensions, heads and feed-forward channels: a narrower student begins
// as a piece of its teacher.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/result.h"
#include "models/model.h"

namespace tack {

// Sizes of an encoder.
struct EncoderShape {
  std::int64_t width = 0, heads = 0, ffn = 0;  // hidden size, attention heads, feed-forward size
};
// Errors: kUsage for an architecture whose tensors cannot be narrowed.
Result<EncoderShape> encoder_shape(const Model& model);

// What stays, by number, ascending. Every layer keeps as many heads and channels as the others, and
// heads whole: heads * (width / heads of the model) is the new width.
struct Narrowing {
  std::vector<std::int64_t> dims;                // of the hidden vectors
  std::vector<std::vector<std::int64_t>> heads;  // of each layer
  std::vector<std::vector<std::int64_t>> channels;
};

// The sizes asked for (0: as it is) that `model` can be cut to. Errors: kUsage saying which sizes
// can be: multiples of 32, and a width of whole heads.
Result<EncoderShape> narrowed_shape(const Model& model, std::int64_t width, std::int64_t ffn);

// Writes the model with what `kept` names, in f32, without heads of tasks. Atomic. Errors: as
// encoder_shape(); a model that is no GGUF.
Status write_narrow(const Model& model, const Narrowing& kept, const std::filesystem::path& path);

}  // namespace tack
