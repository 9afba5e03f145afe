// Weights that are trained as what a file holds of them: blocks of a GGUF type, whose two f16
// (scale and offset) are learned, and whose codes stay or follow what they are chosen from.
//
// A block computes scale * scale_code[g] * code + offset * offset_code[g] (tensor/block_parts.h).
// The codes of the groups' scales stay as they are. Trained are two numbers a block, of one size
// whatever the block's: r, 1 at first, and o, 0 at first:
//   scale  = f16(scale_0 r)
//   offset = f16(offset_0 + unit o - scale_0 (r - 1) lean)
// where `lean` is the part of the scaled codes that an offset expresses, so that the two do not
// pull at the same thing, and `unit` makes o as strong as r. Both are rounded as they are stored:
// the tape computes with the very values that the file decodes to. Rounding, to f16 and to codes,
// lets gradients pass (straight through: Bengio et al. 2013, arXiv:1308.3432; of learned steps
// Esser et al. 2020, arXiv:1902.08153).
//
// With learned codes each weight has an f32 beside, from which its code is chosen anew every step:
// the level that is nearest with the scale and offset of then. What lies beyond the outer levels
// gets no gradient.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "graph/graph.h"
#include "tensor/dtype.h"
#include "train/parameters.h"
#include "train/reparametrisation.h"

namespace tack {

struct QuantizedTraining {
  bool codes = false;    // learned, too
  float scale_rate = 1;  // rate_factor of r and o
  double after = 0;      // share of the steps that are trained without quantization (with codes)
};

class QuantizedWeights final : public Reparametrisation {
 public:
  // The pool must outlive this.
  QuantizedWeights(const QuantizedTraining& settings, ThreadPool& pool)
      : settings_(settings), pool_(pool) {}

  // A weight of the graph computes as these blocks decode, whole rows of them; the graph gets
  // weights for its numbers, which no operator reads. `fit`: scales and offsets are first set to
  // what fits `values` best. Errors: kUsage for a type without parts, blocks that are not finite.
  // `values`, of as many elements, are what learned codes are chosen from; empty without.
  Status add(graph::Graph& graph, graph::WeightId weight, DType dtype,
             std::span<const std::byte> blocks, std::vector<float> values, bool fit);

  // For ParameterSet::create(): what it needs of the graph's weights, where they start and how they
  // are trained. `rule` is that of the weight itself, of learned codes.
  void choose(std::vector<bool>& used) const;                    // resized to the graph's weights
  const std::vector<float>* start(std::string_view name) const;  // null: not one of these
  std::optional<TrainRule> rule(std::string_view name) const;
  void attach(ParameterSet& parameters);

  std::vector<Parameter> tape_parameters() override;
  void materialise(std::int64_t step, std::int64_t steps) override;
  void pull_back() override;

  // After materialise(n, n): as the file has them, and what they decode to. Of names that were
  // added.
  bool has(std::string_view name) const { return find(name) != nullptr; }
  DType dtype(std::string_view name) const { return find(name)->dtype; }
  // Neither one of these nor one of their numbers.
  bool is_plain(std::string_view name) const { return !has(name) && !rule(name); }
  std::vector<std::byte> blocks(std::string_view name) const;
  std::span<const float> values(std::string_view name) const;
  // Mean size of a step from one code to the next.
  double mean_step(std::string_view name) const;
  std::int64_t numbers() const;  // r and o of all
  std::size_t bytes() const;

 private:
  struct Tensor {
    std::string name;
    graph::WeightId weight, r, o;
    DType dtype;
    std::int64_t blocks = 0, block = 0, group = 0, groups = 0;  // groups of a block
    bool offsets = false;
    std::vector<std::int8_t> codes, scale_codes, offset_codes;
    std::vector<float> scale_0, offset_0, unit, lean;  // [blocks]
    std::vector<float> scale, offset;                  // [blocks], as they are now
    std::vector<float> start;                          // until the ParameterSet has it
    std::vector<float> start_r, start_o;
    AlignedBuffer values, gradients;  // gradients: with frozen codes
    const ParameterSet::Weight *of_latents = nullptr, *of_r = nullptr, *of_o = nullptr;
  };
  const Tensor* find(std::string_view name) const;
  template <class Body>
  void for_blocks(const Tensor& tensor, const Body& body);
  void set_scale(Tensor& tensor, std::int64_t b, float r, float o);
  void choose_codes(Tensor& tensor, std::int64_t b, const float* latents);
  void decode(Tensor& tensor, std::int64_t b);
  // r and o with the least squared error for the codes that the block has.
  void fit(Tensor& tensor, std::int64_t b, const float* latents, float& r, float& o);
  void pull_back(Tensor& tensor, std::int64_t b);

  QuantizedTraining settings_;
  ThreadPool& pool_;
  ParameterSet* parameters_ = nullptr;
  std::vector<std::unique_ptr<Tensor>> tensors_;
  bool quantized_ = true;  // of the last materialise()
};

// For values that are no whole multiple of a step from the codes given: those nearest to them among
// the values whose nearest code is the given one. Learned codes then begin with the codes given.
std::vector<float> within_codes(DType dtype, std::span<const std::byte> blocks,
                                std::span<const float> values);

}  // namespace tack
