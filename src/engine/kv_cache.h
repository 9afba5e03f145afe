// Keys and values of sequences, by layer and head, in the tiles of kernels/cached_attention.h. A
// layer with a window keeps its last tiles in a ring. Memory is touched only where tokens come.
#pragma once

#include <cstdint>
#include <vector>

#include "base/untouched_buffer.h"
#include "kernels/cached_attention.h"

namespace tack {

// What a layer keeps of a sequence.
struct KvLayer {
  std::int64_t kv_heads = 0, head_dim = 0;
  std::int64_t window = 0;  // 0: everything
};

class KvCache {
 public:
  // `context`: tokens of a sequence; `batch`: the most that one call brings. Throws std::bad_alloc,
  // also where the size is no number of bytes.
  KvCache(std::vector<KvLayer> layers, kernels::KvType type, std::int64_t sequences,
          std::int64_t context, std::int64_t batch);

  std::int64_t length(std::int64_t sequence) const { return lengths_[at(sequence)]; }
  kernels::KvHead head(std::int64_t sequence, std::size_t layer, std::int64_t head) const;
  // After all heads of all layers have stored theirs.
  void advance(std::int64_t sequence, std::int64_t tokens);

  // False, and the sequence is empty, when a window has lost what lies before `length`.
  bool rewind(std::int64_t sequence, std::int64_t length);
  // `to` has the first `length` tokens of `from`, at most all of them; false, and nothing changes,
  // when a window has lost them.
  bool copy(std::int64_t from, std::int64_t to, std::int64_t length);

  std::size_t bytes() const { return memory_.size(); }

 private:
  struct Layer {
    KvLayer shape;
    std::int64_t slots = 0;      // tiles of a head
    std::size_t head_bytes = 0;  // of all slots
    std::size_t offset = 0;      // in a sequence's memory
  };
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
  // Whether the rows before `length` that the next token sees are all there.
  bool has(std::int64_t sequence, std::int64_t length) const;

  std::vector<Layer> layers_;
  kernels::KvType type_;
  std::vector<std::int64_t> lengths_, longest_;  // longest_: since a sequence was last empty
  std::size_t sequence_bytes_ = 0;
  UntouchedBuffer memory_;
};

}  // namespace tack
