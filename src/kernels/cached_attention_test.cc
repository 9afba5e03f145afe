// Attention over a cache: against the definition in f64, every level against the scalar one bit by
// bit, and the same bits however the tokens and the positions are divided.

#include "kernels/cached_attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "base/aligned_buffer.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "kernels/test_levels.h"

namespace tack::kernels {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

struct Shape {
  std::int64_t tokens, group, dim, window;
};

// A sequence whose keys and values all are in the cache, and its queries.
struct Sequence {
  Shape shape;
  std::vector<float> q, k, v;  // [tokens, group * dim], [tokens, dim]
};

Sequence make(Shape shape, std::uint64_t seed) {
  Random random(seed);
  const auto normals = [&](std::int64_t n) {
    std::vector<float> x(at(n));
    for (float& value : x) value = static_cast<float>(random.normal());
    return x;
  };
  return {shape, normals(shape.tokens * shape.group * shape.dim), normals(shape.tokens * shape.dim),
          normals(shape.tokens * shape.dim)};
}

struct Cache {
  AlignedBuffer memory;
  KvHead head;
};
Cache fill(const Kernels& level, const Sequence& s, KvType type) {
  const std::int64_t slots = (s.shape.tokens + kKvTile - 1) / kKvTile;
  Cache cache{AlignedBuffer(at(slots) * kv_tile_bytes(type, s.shape.dim)), {}};
  cache.head = {cache.memory.data(), slots, s.shape.dim, type};
  for (std::int64_t t = 0; t < s.shape.tokens; ++t)
    level.cached_attention.store(cache.head, t, s.k.data() + t * s.shape.dim,
                                 s.v.data() + t * s.shape.dim);
  return cache;
}

// The last `count` tokens, `piece` at a time; spans one by one when `apart`.
std::vector<float> attend(const Kernels& level, const Sequence& s, const Cache& cache,
                          std::int64_t count, std::int64_t piece, bool apart) {
  const auto [tokens, group, dim, window] = s.shape;
  const std::int64_t floats = kv_state_floats(dim), columns = group * dim;
  AlignedBuffer scratch(at(cached_attention_scratch_floats(dim)) * sizeof(float));
  std::vector<float> out(at(count * columns)), state(at(kKvQueryRows * floats)), part = state;
  for (std::int64_t i = 0; i < count; i += piece) {
    CachedAttentionArgs args{.head = cache.head,
                             .group = group,
                             .tokens = std::min(piece, count - i),
                             .position = tokens - count + i,
                             .q = s.q.data() + (tokens - count + i) * columns,
                             .q_stride = columns,
                             .scale = 0.3F,
                             .window = window,
                             .begin = 0,
                             .end = tokens,
                             .state = state.data(),
                             .scratch = scratch.as<float>()};
    if (apart) args.end = kKvSpan;
    level.cached_attention.attend(args);
    args.state = part.data();
    for (; apart && args.end < tokens;) {
      args.begin = args.end;
      args.end += kKvSpan;
      level.cached_attention.attend(args);
      level.cached_attention.merge(args.tokens * group, dim, part.data(), state.data());
    }
    level.cached_attention.finish(args.tokens, group, dim, state.data(), out.data() + i * columns,
                                  columns);
  }
  return out;
}

double exact(const Sequence& s, std::int64_t token, std::int64_t head, std::int64_t d) {
  const auto [tokens, group, dim, window] = s.shape;
  double total = 0, sum = 0;
  for (std::int64_t j = window > 0 ? std::max<std::int64_t>(0, token - window + 1) : 0; j <= token;
       ++j) {
    double score = 0;
    for (std::int64_t e = 0; e < dim; ++e)
      score += static_cast<double>(s.q[at((token * group + head) * dim + e)]) *
               static_cast<double>(s.k[at(j * dim + e)]);
    const double weight = std::exp(0.3 * score);
    total += weight;
    sum += weight * static_cast<double>(s.v[at(j * dim + d)]);
  }
  return sum / total;
}

constexpr Shape kShapes[] = {{1, 1, 32, 0},    {5, 3, 32, 0},    {70, 4, 64, 0},
                             {1100, 4, 64, 0}, {1100, 2, 32, 9}, {600, 1, 96, 200}};

TEST(CachedAttention, IsTheDefinition) {
  for (const Shape& shape : kShapes)
    for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
      const Sequence s = make(shape, 1);
      const double tolerance = type == KvType::kF32 ? 1e-5 : type == KvType::kF16 ? 3e-3 : 5e-2;
      const std::int64_t count = std::min<std::int64_t>(shape.tokens, 7);
      for (const Kernels* level : levels()) {
        const auto out = attend(*level, s, fill(*level, s, type), count, 3, false);
        for (std::int64_t i = 0; i < count; ++i)
          for (std::int64_t h = 0; h < shape.group; ++h)
            for (std::int64_t d = 0; d < shape.dim; d += 7)
              ASSERT_NEAR(out[at((i * shape.group + h) * shape.dim + d)],
                          exact(s, shape.tokens - count + i, h, d), tolerance)
                  << isa_name(level->isa) << " " << shape.tokens << " " << static_cast<int>(type);
      }
    }
}

TEST(CachedAttention, HasTheSameBitsHoweverItIsDivided) {
  for (const Shape& shape : kShapes)
    for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
      const Sequence s = make(shape, 2);
      const std::int64_t count = std::min<std::int64_t>(shape.tokens, 18);
      const Kernels& scalar = *levels().front();
      const Cache cache = fill(scalar, s, type);
      const auto want = attend(scalar, s, cache, count, 1, false);
      for (const Kernels* level : levels())
        for (const std::int64_t piece : {1, 2, 6})
          for (const bool apart : {false, true})
            ASSERT_EQ(attend(*level, s, fill(*level, s, type), count, piece, apart), want)
                << isa_name(level->isa) << " " << shape.tokens << " " << static_cast<int>(type)
                << " " << piece << apart;
    }
}

// f16 of every kind is rounded alike on every level.
TEST(CachedAttention, HalvesAreRoundedAlike) {
  Random random(3);
  std::vector<float> values = {0.0F,    -0.0F,          1e-8F,     6e-8F,    2.98e-8F,
                               6.1e-5F, 65504.0F,       65519.0F,  65520.0F, 1e6F,
                               -1e9F,   1.00048828125F, 1.0014648F};
  while (values.size() < 4096)
    values.push_back(static_cast<float>(random.normal() *
                                        std::exp2(static_cast<double>(random.below(44)) - 30)));
  const Sequence s{{64, 1, 64, 0}, {}, values, values};
  const Cache want = fill(*levels().front(), s, KvType::kF16);
  for (const Kernels* level : levels()) {
    const Cache got = fill(*level, s, KvType::kF16);
    EXPECT_EQ(std::memcmp(got.memory.data(), want.memory.data(), want.memory.size()), 0)
        << isa_name(level->isa);
  }
}

}  // namespace
}  // namespace tack::kernels
