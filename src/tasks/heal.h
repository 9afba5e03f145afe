// A quantized decoder brought closer to the model it was made from: what its blocks hold is trained
// against what the unquantized model says to a text.
//
// The loss is the divergence KL(original || quantized) of the next token, at every token, and the
// distance of a few hidden layers. Every tensor keeps its type and size; trained are the scales and
// offsets of blocks (compress/quantized_weights.h), with learned codes these too, and the vectors
// that a file has in f32 (norms). The idea is that of MLX's DWQ.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "eval/dataset.h"
#include "models/model.h"
#include "train/trainer.h"

namespace tack {

struct HealSettings {
  bool codes = false;  // learned, too
  std::int64_t steps = 200;
  std::int64_t batch_tokens = 2048;  // of a step, about: documents are not cut for it
  std::int64_t length = 0;           // most tokens of a piece; 0: 512, or the context
  double rate = 2e-3;                // of scales, as a share of them; of offsets likewise
  double code_rate = 5;              // of what codes are chosen from, times rate, in steps of codes
  double hidden = 1;                 // weight of the distance of hidden layers
  std::int64_t layers = 4;           // how many of them, evenly spread
  std::int64_t validations = 10;     // how often the divergence is measured; the best is kept
  std::uint64_t seed = 1;
  bool bf16 = true;

  Json to_json() const;
};

struct HealOptions {
  int threads = 1;
  std::filesystem::path checkpoint;  // empty: none
  double checkpoint_seconds = 60;
  std::string command;  // for the lineage
};

struct Healed {
  std::shared_ptr<const Model> model;  // the file that was written
  TrainingResult training;             // validations are -nats per token
  double before = 0, after = 0;        // divergence on the validation text, nats per token
  std::int64_t trained_parameters = 0, frozen_codes = 0;
  std::int64_t tensors = 0;  // whose blocks were trained
};

// `train` and `validation` are plain documents. Writes to `path`, which may be the quantized
// model's. Errors: kUsage for models that are no decoders in GGUF files, differ in shapes or
// tokens, or where the first has no blocks; those of training.
Result<Healed> heal(const std::shared_ptr<const Model>& quantized,
                    const std::shared_ptr<const Model>& original, const Dataset& train,
                    const Dataset& validation, const HealSettings& settings,
                    const std::filesystem::path& path, const HealOptions& options);

}  // namespace tack
