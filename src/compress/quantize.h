// `tack quantize`: a model's weights in types of blocks, one for all or mixed under a budget of the
// bytes of the file.
//
// A budget is spent where it counts: the divergence from the unquantised model is measured with one
// group of tensors after another in a low type (on a piece of the calibration text that is kept
// apart), which gives what a unit of each tensor's weighted error costs; then the types with the
// least sum of costs are taken (compress/allocation.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "tensor/dtype.h"

namespace tack {

enum class QuantizeMethod : std::uint8_t {
  kRtn,         // every weight to the nearest, all columns worth the same
  kImportance,  // scales that are best for the columns that matter
  kGptq,        // and columns that repair what those before them did (compress/gptq.h)
};
Result<QuantizeMethod> parse_quantize_method(std::string_view name);

struct QuantizeOptions {
  // One of the three.
  std::string type;          // as tack convert has it
  std::uint64_t budget = 0;  // bytes of the file
  double bits = 0;           // of the file, for each weight

  QuantizeMethod method = QuantizeMethod::kImportance;
  std::filesystem::path imatrix;       // read instead of measured; empty: measured
  std::filesystem::path save_imatrix;  // empty: not written
  std::optional<std::string> text;     // to calibrate on; none: a small one of ours
  std::string text_name;               // where it is from
  std::int64_t chunk = 512;            // tokens read together
  std::int64_t tokens = 0;             // of the text that are read; 0: as many as the size allows
  bool requantize = false;             // weights in blocks are taken as they are
  bool dry_run = false;                // nothing is written
  int threads = 0;                     // 0: all usable cores; the file is the same for any number
  std::string command;                 // for the lineage
  std::function<void(const std::string& line)> message;  // news and warnings; may be empty
  // How far a step is; may be empty.
  std::function<void(const char* step, std::int64_t done, std::int64_t total)> progress;
};

struct QuantizeReport {
  struct Tensor {
    std::string name;
    DType from, to;
    std::int64_t weights = 0;
    std::uint64_t bytes = 0;
  };
  std::vector<Tensor> tensors;
  std::int64_t other_types = 0;  // whose rows did not fit the type that was asked for
  std::int64_t weights = 0;
  std::uint64_t bytes = 0;  // of the file, exact also when it is not written
  // What the file would take with one type for all matrices.
  std::vector<std::pair<std::string, std::uint64_t>> uniform_bytes;
  std::string unit;                           // of the divergences
  std::optional<double> predicted, measured;  // divergence from the unquantised model
  double seconds = 0;
  bool written = false;

  double bits_per_weight() const;
  Json to_json() const;
  std::string to_text() const;
};

// `to` may be `from`: it is replaced when the new file is complete. "TO.checkpoint" keeps what was
// measured until then. Errors (kUsage): options that contradict each other, a budget below what is
// possible (which is said), an importance matrix of another model, weights in blocks already, a
// text that does not serve; kInterrupted.
Result<QuantizeReport> quantize_model(const std::filesystem::path& from,
                                      const std::filesystem::path& to,
                                      const QuantizeOptions& options);

}  // namespace tack
