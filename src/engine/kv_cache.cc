#include "engine/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

#include "base/checked.h"

namespace tack {

using kernels::kKvTile;

namespace {

// Far from the end of what counts bytes, so that a sum of a few of them is too.
std::size_t product(std::size_t a, std::size_t b) {
  const auto bytes = checked_mul(a, b);
  if (!bytes || *bytes > std::numeric_limits<std::size_t>::max() >> 16) throw std::bad_alloc();
  return *bytes;
}

}  // namespace

KvCache::KvCache(std::vector<KvLayer> layers, kernels::KvType type, std::int64_t sequences,
                 std::int64_t context, std::int64_t batch)
    : type_(type), lengths_(at(sequences), 0), longest_(at(sequences), 0) {
  for (const KvLayer& shape : layers) {
    Layer layer{.shape = shape, .offset = sequence_bytes_};
    layer.slots = div_up(context, kKvTile);
    // What a batch sees, wherever in a tile it begins.
    if (shape.window > 0)
      layer.slots = std::min(layer.slots, (shape.window + batch - 2) / kKvTile + 2);
    layer.head_bytes = product(at(layer.slots), kernels::kv_tile_bytes(type, shape.head_dim));
    sequence_bytes_ += product(at(shape.kv_heads), layer.head_bytes);
    layers_.push_back(layer);
  }
  memory_ = UntouchedBuffer(product(at(sequences), sequence_bytes_));
}

kernels::KvHead KvCache::head(std::int64_t sequence, std::size_t index, std::int64_t head) const {
  const Layer& layer = layers_[index];
  return {.tiles = memory_.data() + at(sequence) * sequence_bytes_ + layer.offset +
                   at(head) * layer.head_bytes,
          .slots = layer.slots,
          .head_dim = layer.shape.head_dim,
          .type = type_};
}

void KvCache::advance(std::int64_t sequence, std::int64_t tokens) {
  std::int64_t& length = lengths_[at(sequence)];
  length += tokens;
  longest_[at(sequence)] = std::max(longest_[at(sequence)], length);
}

bool KvCache::has(std::int64_t sequence, std::int64_t length) const {
  // The next token sees window - 1 rows before it.
  const std::int64_t tiles = div_up(longest_[at(sequence)], kKvTile);
  return std::ranges::all_of(layers_, [&](const Layer& layer) {
    const std::int64_t first = (tiles - layer.slots) * kKvTile;
    return first <= 0 || first <= length - (layer.shape.window - 1);
  });
}

bool KvCache::rewind(std::int64_t sequence, std::int64_t length) {
  const bool kept = has(sequence, length);
  lengths_[at(sequence)] = kept ? std::min(length, lengths_[at(sequence)]) : 0;
  if (lengths_[at(sequence)] == 0) longest_[at(sequence)] = 0;
  return kept;
}

bool KvCache::copy(std::int64_t from, std::int64_t to, std::int64_t length) {
  length = std::min(length, lengths_[at(from)]);
  if (from == to) return rewind(to, length);
  if (!has(from, length)) return false;
  // A ring is taken as it is, with what has overwritten its oldest tiles.
  const std::int64_t tiles = div_up(longest_[at(from)], kKvTile), wanted = div_up(length, kKvTile);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const std::int64_t used = tiles > layer.slots ? layer.slots : wanted;
    const std::size_t bytes = at(used) * kernels::kv_tile_bytes(type_, layer.shape.head_dim);
    for (std::int64_t h = 0; h < layer.shape.kv_heads; ++h)
      std::memcpy(head(to, i, h).tiles, head(from, i, h).tiles, bytes);
  }
  lengths_[at(to)] = length;
  longest_[at(to)] = length == 0 ? 0 : longest_[at(from)];
  return true;
}

}  // namespace tack
