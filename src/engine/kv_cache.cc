#include "engine/kv_cache.h"

#include <algorithm>
#include <cstring>

namespace tack {

KvCache::KvCache(std::vector<KvLayer> layers, std::int64_t sequences, std::int64_t context,
                 std::int64_t batch)
    : lengths_(at(sequences), 0) {
  for (const KvLayer& shape : layers) {
    Layer layer{.shape = shape, .offset = sequence_floats_};
    // With room for a window more than a call needs, so that rows move once in a window.
    layer.capacity = shape.window > 0 ? std::min(context, 2 * shape.window + batch) : context;
    layer.first.assign(at(sequences), 0);
    sequence_floats_ += 2 * at(shape.kv_heads * layer.capacity * shape.head_dim);
    layers_.push_back(std::move(layer));
  }
  memory_ = AlignedBuffer(at(sequences) * sequence_floats_ * sizeof(float));
}

std::int64_t KvCache::first_after(const Layer& layer, std::int64_t sequence,
                                  std::int64_t tokens) const {
  const std::int64_t first = layer.first[at(sequence)], length = lengths_[at(sequence)];
  if (length + tokens - first <= layer.capacity) return first;
  return std::max(first, length - (layer.shape.window - 1));
}

KvCache::Rows KvCache::append(std::int64_t sequence, std::size_t index, std::int64_t head,
                              std::int64_t tokens) {
  const Layer& layer = layers_[index];
  const std::int64_t d = layer.shape.head_dim, head_floats = layer.capacity * d;
  float* const base = memory_.as<float>() + at(sequence) * sequence_floats_ + layer.offset;
  Rows rows{base + 2 * head * head_floats, base + (2 * head + 1) * head_floats,
            first_after(layer, sequence, tokens), 0};
  const std::int64_t length = lengths_[at(sequence)];
  rows.rows = length + tokens - rows.first;
  if (const std::int64_t dropped = rows.first - layer.first[at(sequence)]; dropped > 0) {
    const std::size_t bytes = at((length - rows.first) * d) * sizeof(float);
    std::memmove(rows.k, rows.k + dropped * d, bytes);
    std::memmove(rows.v, rows.v + dropped * d, bytes);
  }
  return rows;
}

void KvCache::advance(std::int64_t sequence, std::int64_t tokens) {
  for (Layer& layer : layers_) layer.first[at(sequence)] = first_after(layer, sequence, tokens);
  lengths_[at(sequence)] += tokens;
}

bool KvCache::rewind(std::int64_t sequence, std::int64_t length) {
  // The next token sees window - 1 rows before it.
  const bool kept = std::ranges::all_of(layers_, [&](const Layer& layer) {
    const std::int64_t first = layer.first[at(sequence)];
    return first == 0 || first <= length - (layer.shape.window - 1);
  });
  lengths_[at(sequence)] = kept ? std::min(length, lengths_[at(sequence)]) : 0;
  if (!kept)
    for (Layer& layer : layers_) layer.first[at(sequence)] = 0;
  return kept;
}

}  // namespace tack
