// Measures what the linear layers of a model read, over a text.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compress/calibration_text.h"
#include "compress/importance.h"
#include "models/model.h"

namespace tack {

struct CalibrationOptions {
  int threads = 0;  // 0: all usable cores; the sums are the same bits for any number
  std::function<void(std::int64_t done, std::int64_t total)> progress;  // tokens; may be empty
  // Called now and then with the sums over all chunks before number `next`, to be kept: given as
  // `so_far` and `next` the measurement goes on, to the same bits. May be empty.
  std::function<Status(const ImportanceMatrix& sums, std::size_t next)> keep;
  double keep_seconds = 20;
};

// The sums of squares of all that linear layers read, by weight: of a decoder also the head's,
// under the name of the table that it is. Sums are f32 of each call, added in the chunks' order.
// Errors: a model that computes what is no number (its weight); kInterrupted, after `keep`.
Result<ImportanceMatrix> measure_importance(const std::shared_ptr<const Model>& model,
                                            const CalibrationTokens& tokens,
                                            const CalibrationOptions& options,
                                            ImportanceMatrix so_far = {}, std::size_t next = 0);

// The sums of x x^T of what some linear layers read.
struct InputMoments {
  std::vector<std::string> weights;  // that read it
  std::int64_t size = 0;             // columns
  std::int64_t rows = 0;             // that were summed
  std::vector<float> sums;           // [size, size], symmetric
};

// Those of the weights that `wanted` names, in the graph's order; inputs are read once each, so
// layers that share one share an entry. Memory: 4 size^2 bytes an entry. Errors likewise.
Result<std::vector<InputMoments>> measure_second_moments(
    const std::shared_ptr<const Model>& model, const CalibrationTokens& tokens,
    const std::function<bool(std::string_view weight)>& wanted, const CalibrationOptions& options);

}  // namespace tack
