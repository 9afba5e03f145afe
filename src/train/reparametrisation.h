// What stands between the numbers that are trained and the weights that a tape computes with: of
// quantized weights the first are scales, offsets and what codes are chosen from, the second the
// values that those decode to (compress/quantized_weights.h).
#pragma once

#include <cstdint>
#include <vector>

#include "train/tape.h"

namespace tack {

// Its state is in the values of the ParameterSet alone, so checkpoints hold it.
class Reparametrisation {
 public:
  virtual ~Reparametrisation() = default;

  // The memory that the tape computes with, in place of ParameterSet::tape_parameters().
  virtual std::vector<Parameter> tape_parameters() = 0;
  // Makes the weights from the trained numbers: for the step that follows `step` others of `steps`,
  // or, with as many as there are, for a validation and for the result.
  virtual void materialise(std::int64_t step, std::int64_t steps) = 0;
  // After the backward of a step, before the optimizer: gradients of the weights become those of
  // the trained numbers.
  virtual void pull_back() = 0;
};

}  // namespace tack
