// Which type every tensor of a model gets, and the bytes of the file that comes of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "models/conversion.h"
#include "models/model.h"

namespace tack {

struct QuantizationPlan {
  std::map<std::string, DType, std::less<>> types;  // by weight; all weights of the graph
  std::uint32_t file_type = 0;                      // llama.cpp's general.file_type
};

// A model, and what is known of every weight before any is changed.
class Quantizable {
 public:
  struct Tensor {
    const graph::Weight* weight = nullptr;
    const TensorView* view = nullptr;
    bool open = false;            // a matrix that may have any type; else:
    DType fixed = DType::kF32;    // what it has
    std::vector<DType> possible;  // of an open one: the types that its rows fit, exact ones last
  };

  // Errors (kUsage): an adapter; weights in blocks already, unless `requantize`.
  static Result<Quantizable> open(const std::filesystem::path& path,
                                  std::shared_ptr<const Model> model, bool requantize);

  const Model& model() const { return *model_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }
  std::int64_t parameters() const;

  // What `tack convert --type` makes of it. `others` counts rows that took another type than asked.
  Result<QuantizationPlan> uniform(std::string_view type, std::int64_t& others) const;
  // Of chosen types of the open tensors; general.file_type is that of most weights.
  QuantizationPlan mixed(const std::map<std::string, DType, std::less<>>& open) const;

  // How a tensor's bytes are made: gives them to the sink.
  using Source = std::function<Status(const Tensor& tensor, DType type, const GgufWriter::Sink&)>;
  // Everything but bytes that `source` makes when the file is written.
  Result<GgufWriter> writer(const QuantizationPlan& plan, const Source& source) const;
  // Bytes of the file that it writes. Cheap but for the first after a set().
  Result<std::uint64_t> file_bytes(const QuantizationPlan& plan) const;
  // Of these, all that are not the weights': the same whatever the types are.
  Result<std::uint64_t> bytes_beside() const;

  // Keys set in the file beside the model's own.
  void set(std::string key, GgufValue value) {
    extra_.emplace_back(std::move(key), std::move(value));
    beside_.reset();
  }

 private:
  std::uint64_t weight_bytes(const QuantizationPlan& plan) const;

  std::filesystem::path path_;
  std::shared_ptr<const Model> model_;
  const Architecture* architecture_ = nullptr;
  std::vector<Tensor> tensors_;
  std::vector<std::pair<std::string, GgufValue>> extra_;
  mutable std::optional<std::uint64_t> beside_;  // bytes_beside(), once it was asked for
};

// Bytes of a tensor in a file, with what fills it up.
std::uint64_t stored_bytes(DType type, const Shape& shape);

}  // namespace tack
