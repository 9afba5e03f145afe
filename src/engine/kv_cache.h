// Keys and values of sequences, by layer and head. A layer with a window keeps its last tokens
// only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"

namespace tack {

// What a layer keeps of a sequence.
struct KvLayer {
  std::int64_t kv_heads = 0, head_dim = 0;
  std::int64_t window = 0;  // 0: everything
};

class KvCache {
 public:
  // `context`: tokens of a sequence; `batch`: the most that one append brings.
  KvCache(std::vector<KvLayer> layers, std::int64_t sequences, std::int64_t context,
          std::int64_t batch);

  std::int64_t length(std::int64_t sequence) const { return lengths_[at(sequence)]; }

  // One head's rows of a sequence, [rows, head_dim] each, with room for `tokens` new ones behind:
  // the last `tokens` of `rows`. The first row stands for position `first`. Moves rows together
  // where a window leaves some behind: each head is asked for once between two calls of advance().
  struct Rows {
    float* k;
    float* v;
    std::int64_t first, rows;
  };
  Rows append(std::int64_t sequence, std::size_t layer, std::int64_t head, std::int64_t tokens);
  // After all heads of all layers have appended.
  void advance(std::int64_t sequence, std::int64_t tokens);

  // False, and the sequence is empty, when a window has lost what lies before `length`.
  bool rewind(std::int64_t sequence, std::int64_t length);

  std::size_t bytes() const { return memory_.size(); }

 private:
  struct Layer {
    KvLayer shape;
    std::int64_t capacity = 0;        // rows of a head
    std::size_t offset = 0;           // of a sequence's rows, in floats
    std::vector<std::int64_t> first;  // [sequences]: the position of row 0
  };
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
  // The position of row 0 once `tokens` more are in.
  std::int64_t first_after(const Layer& layer, std::int64_t sequence, std::int64_t tokens) const;

  std::vector<Layer> layers_;
  std::vector<std::int64_t> lengths_;
  std::size_t sequence_floats_ = 0;
  AlignedBuffer memory_;
};

}  // namespace tack
