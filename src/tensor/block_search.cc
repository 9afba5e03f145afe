#include "tensor/block_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include "tensor/blocks.h"
#include "tensor/convert.h"

namespace tack {
namespace {

// All searches try many candidates on the same few values: the lanes of vectors, of which four are
// on every processor. Nothing is summed across lanes, so the bits are the same everywhere. A
// candidate that has been tried has codes; for those codes the best scale and offset are a linear
// regression, which is the candidate of the next round.

constexpr int kMostValues = 256;

using Lanes = float __attribute__((vector_size(16)));
constexpr std::size_t kLanes = sizeof(Lanes) / sizeof(float);
constexpr Lanes kNone = {};

Lanes all(float x) {
  return Lanes{x, x, x, x};
}

// One number for each of kCount candidates; those beyond kCount in the last vector are copies of
// the last candidate, which min() passes over.
template <std::size_t kCount>
struct Each {
  static constexpr std::size_t kVectors = (kCount + kLanes - 1) / kLanes;
  Lanes lanes[kVectors];

  template <typename Of>
  static Each of(const Of& number) {
    Each out;
    for (std::size_t k = 0; k < kVectors * kLanes; ++k)
      out.lanes[k / kLanes][k % kLanes] = number(std::min(k, kCount - 1));
    return out;
  }
  float operator[](std::size_t k) const { return lanes[k / kLanes][k % kLanes]; }
  std::size_t least() const {
    std::size_t best = 0;
    for (std::size_t k = 1; k < kCount; ++k)
      if ((*this)[k] < (*this)[best]) best = k;
    return best;
  }
};

// The nearest integer, ties to even, of |x| < 2^22.
template <typename T>
T nearest(T x) {
  constexpr float kBig = 0x1.8p23F;
  return (x + kBig) - kBig;
}

// What codes there are. Even: all integers of a range.
template <int kLeastCode, int kMostCode>
struct Even {
  static constexpr float kLeast = kLeastCode, kMost = kMostCode;
  static Lanes code(Lanes scaled) {
    const Lanes least = all(kLeast), most = all(kMost);
    const Lanes above = scaled > least ? scaled : least;
    return nearest(above < most ? above : most);
  }
};
// The table of IQ4_NL: up from the lowest by a gap for every middle that the value exceeds.
struct Uneven {
  static constexpr float kLeast = kUnevenLevels.front(), kMost = kUnevenLevels.back();
  static Lanes code(Lanes scaled) {
    Lanes out = all(kLeast);
    for (std::size_t i = 0; i + 1 < kUnevenLevels.size(); ++i) {
      const float low = kUnevenLevels[i], high = kUnevenLevels[i + 1];
      out += scaled > all(0.5F * (low + high)) ? all(high - low) : kNone;
    }
    return out;
  }
};

// A scale of zero makes every code the one nearest to zero.
float inverse_of(float scale) {
  const float inverse = 1.0F / scale;
  return std::isfinite(inverse) ? inverse : 0.0F;
}
Lanes inverse_of(Lanes scale) {
  const Lanes inverse = 1.0F / scale;
  return inverse - inverse == kNone ? inverse : kNone;
}
float rounded_to_f16(double x) {
  return f16_to_f32(f32_to_f16(std::clamp(static_cast<float>(x), -65504.0F, 65504.0F)));
}

template <std::size_t kCount>
Each<kCount> rounded_to_f16(const Each<kCount>& numbers) {
  return Each<kCount>::of([&](std::size_t k) { return rounded_to_f16(numbers[k]); });
}

// Values and what each counts.
struct Values {
  const float* x;
  const float* weight;  // positive
  Values from(int i) const { return {x + i, weight + i}; }
};

// Scales without offsets: Q4_0, Q5_0, Q8_0, IQ4_NL, and the groups of Q3_K, Q6_K, IQ4_XS.

template <std::size_t kCount>
struct Scales {
  Each<kCount> scale, error;
  Each<kCount> better;  // of least error for the codes that `scale` leads to
};

template <typename Codes, int kSize, std::size_t kCount>
void try_scales(const Values& values, Scales<kCount>& tried) {
  for (std::size_t v = 0; v < Each<kCount>::kVectors; ++v) {
    const Lanes scale = tried.scale.lanes[v], inverse = inverse_of(scale);
    Lanes error = kNone, squares = kNone, products = kNone;
    for (int i = 0; i < kSize; ++i) {
      const float x = values.x[i], weight = values.weight[i];
      const Lanes code = Codes::code(x * inverse), off = x - scale * code, weighted = weight * code;
      error += weight * (off * off);
      squares += weighted * code;
      products += weighted * x;
    }
    tried.error.lanes[v] = error;
    tried.better.lanes[v] = squares > kNone ? products / squares : kNone;
  }
}

float furthest_from_zero(const float* x, int count) {
  float furthest = 0;
  for (int i = 0; i < count; ++i)
    if (std::fabs(x[i]) > std::fabs(furthest)) furthest = x[i];
  return furthest;
}

// Parts of the way to the ends of the codes at which the value furthest from zero is put. Beyond 1
// it is clipped.
constexpr auto kEnds =
    std::to_array<float>({0.7F,   0.8F,  0.86F, 0.9F,  0.93F, 0.955F, 0.975F, 0.99F, 1.0F, 1.01F,
                          1.025F, 1.04F, 1.06F, 1.09F, 1.13F, 1.18F,  1.25F,  1.35F, 1.5F, 1.7F});

// The scale of least error: rounded to f16 where `kRounded`.
template <typename Codes, int kSize, bool kRounded>
float fit_scale(const Values& values) {
  constexpr int kRounds = 2;
  const float furthest = furthest_from_zero(values.x, kSize);
  if (std::fabs(furthest) < 64 * std::numeric_limits<float>::min()) return 0;
  using Every = Each<2 * kEnds.size()>;
  Scales<2 * kEnds.size()> tried;
  tried.scale = Every::of([&](std::size_t k) {
    return furthest / (kEnds[k / 2] * (k % 2 == 0 ? Codes::kLeast : Codes::kMost));
  });
  float best = 0, least = std::numeric_limits<float>::max();
  for (int round = 0; round <= kRounds; ++round) {
    if (kRounded) tried.scale = rounded_to_f16(tried.scale);
    try_scales<Codes, kSize>(values, tried);
    const std::size_t k = tried.error.least();
    if (tried.error[k] < least) {
      least = tried.error[k];
      best = tried.scale[k];
    }
    tried.scale = tried.better;
  }
  return best;
}

// Scales and offsets: Q4_1, Q5_1, and the groups of Q2_K, Q4_K, Q5_K. A value is
// scale * code + offset, codes from 0.

struct Line {
  float scale = 0, offset = 0;
};

template <std::size_t kCount>
struct Lines {
  Each<kCount> scale, offset, error;
  Each<kCount> better_scale, better_offset;
};

template <int kMost, int kSize, bool kBounded, std::size_t kCount>
void try_lines(const Values& values, Lines<kCount>& tried) {
  using Codes = Even<0, kMost>;
  // Sums are taken from the heaviest value: one that outweighs the others by a million would else
  // cancel them.
  const auto pivot = std::max_element(values.weight, values.weight + kSize) - values.weight;
  const float x_pivot = values.x[pivot];
  float weights = 0, sum = 0;
  for (int i = 0; i < kSize; ++i) {
    weights += values.weight[i];
    sum += values.weight[i] * (values.x[i] - x_pivot);
  }
  const float mean = sum / weights;
  for (std::size_t v = 0; v < Each<kCount>::kVectors; ++v) {
    const Lanes scale = tried.scale.lanes[v], offset = tried.offset.lanes[v],
                inverse = inverse_of(scale);
    const Lanes code_pivot = Codes::code((x_pivot - offset) * inverse);
    Lanes error = kNone, codes = kNone, squares = kNone, products = kNone;
    for (int i = 0; i < kSize; ++i) {
      const float x = values.x[i], weight = values.weight[i];
      const Lanes code = Codes::code((x - offset) * inverse);
      const Lanes off = x - (scale * code + offset);
      const Lanes away = code - code_pivot, weighted = weight * away;
      error += weight * (off * off);
      codes += weighted;
      squares += weighted * away;
      products += weighted * (x - x_pivot);
    }
    const Lanes mean_code = codes / weights, variance = squares - codes * mean_code;
    Lanes better = variance > kNone ? (products - codes * mean) / variance : kNone;
    Lanes start = mean + x_pivot - better * (mean_code + code_pivot);
    if (kBounded) {  // else the best through zero
      const Lanes square = squares + code_pivot * (2 * codes + code_pivot * weights);
      const Lanes product = products + code_pivot * sum + x_pivot * (codes + code_pivot * weights);
      const Lanes through_zero = square > kNone ? product / square : kNone;
      better = start > kNone ? through_zero : better;
      start = start > kNone ? kNone : start;
    }
    tried.error.lanes[v] = error;
    tried.better_scale.lanes[v] = better;
    tried.better_offset.lanes[v] = start;
  }
}

// Errors alone.
template <int kMost, int kSize, std::size_t kCount>
Each<kCount> errors_of_lines(const Values& values, const Each<kCount>& scales,
                             const Each<kCount>& offsets) {
  Each<kCount> out;
  for (std::size_t v = 0; v < Each<kCount>::kVectors; ++v) {
    const Lanes scale = scales.lanes[v], offset = offsets.lanes[v], inverse = inverse_of(scale);
    Lanes error = kNone;
    for (int i = 0; i < kSize; ++i) {
      const float x = values.x[i];
      const Lanes code = Even<0, kMost>::code((x - offset) * inverse);
      const Lanes off = x - (scale * code + offset);
      error += values.weight[i] * (off * off);
    }
    out.lanes[v] = error;
  }
  return out;
}

// How far inside the extremes of the values the codes end, in parts of half of the range.
template <int kMost>
struct LineGrid;
template <>
struct LineGrid<3> {
  static constexpr auto kInside = std::to_array<float>({-0.05F, 0.1F, 0.25F, 0.4F});
};
template <>
struct LineGrid<15> {
  static constexpr auto kInside = std::to_array<float>({-0.05F, 0.0F, 0.07F, 0.15F, 0.25F, 0.4F});
};
template <>
struct LineGrid<31> {
  static constexpr auto kInside =
      std::to_array<float>({-0.03F, -0.01F, 0.0F, 0.015F, 0.04F, 0.08F, 0.15F, 0.3F});
};

// The line of least error. Bounded: its offset is not positive; else both are rounded to f16.
template <int kMost, int kSize, bool kBounded>
Line fit_line(const Values& values) {
  constexpr int kRounds = 2;
  constexpr auto kInside = LineGrid<kMost>::kInside;
  constexpr std::size_t kCount = kInside.size() * kInside.size();
  const auto [lowest, highest] = std::minmax_element(values.x, values.x + kSize);
  float low = *lowest, high = *highest;
  if (kBounded) {
    low = std::min(low, 0.0F);
    high = std::max(high, low);
  }
  const float half = 0.5F * (high - low);
  if (half < std::numeric_limits<float>::min())
    return {0, kBounded ? low : rounded_to_f16(static_cast<double>(low))};
  // A range that begins at zero has one end to try, so more places of it.
  const bool from_zero = kBounded && low >= 0;
  Lines<kCount> tried;
  tried.offset = Each<kCount>::of(
      [&](std::size_t k) { return from_zero ? 0.0F : low + kInside[k / kInside.size()] * half; });
  tried.scale = Each<kCount>::of([&](std::size_t k) {
    const float below = kInside[k / kInside.size()], above = kInside[k % kInside.size()];
    const float inside = from_zero ? 0.5F * (above + 0.2F * below) : above;
    return (high - inside * half - tried.offset[k]) / kMost;
  });
  Line best;
  float least = std::numeric_limits<float>::max();
  for (int round = 0; round <= kRounds; ++round) {
    if (!kBounded) {
      tried.scale = rounded_to_f16(tried.scale);
      tried.offset = rounded_to_f16(tried.offset);
    }
    try_lines<kMost, kSize, kBounded>(values, tried);
    const std::size_t k = tried.error.least();
    if (tried.error[k] < least) {
      least = tried.error[k];
      best = {tried.scale[k], tried.offset[k]};
    }
    tried.scale = tried.better_scale;
    tried.offset = tried.better_offset;
  }
  return best;
}

// Blocks of one scale, with or without offset.

template <typename Codes>
void give_codes(const float* x, BlockParts& parts) {
  for (int i = 0; i < parts.values; i += static_cast<int>(kLanes)) {
    const int g = i / parts.group;
    const float inverse = inverse_of(parts.scale * static_cast<float>(parts.scale_code[g]));
    const float offset = parts.offset * static_cast<float>(parts.offset_code[g]);
    const Lanes four = {x[i], x[i + 1], x[i + 2], x[i + 3]};
    const Lanes codes = Codes::code((four - offset) * inverse);
    for (int k = 0; k < static_cast<int>(kLanes); ++k)
      parts.code[i + k] = static_cast<std::int8_t>(codes[k]);
  }
}

template <typename Codes>
BlockParts fit_scale_block(const Values& values) {
  BlockParts parts{.values = 32, .group = 32, .scale = fit_scale<Codes, 32, true>(values)};
  parts.scale_code[0] = 1;
  give_codes<Codes>(values.x, parts);
  return parts;
}

template <int kMost>
BlockParts fit_line_block(const Values& values) {
  const Line line = fit_line<kMost, 32, false>(values);
  BlockParts parts{.values = 32, .group = 32, .scale = line.scale, .offset = line.offset};
  parts.scale_code[0] = parts.offset_code[0] = 1;
  give_codes<Even<0, kMost>>(values.x, parts);
  return parts;
}

// Blocks of 256 in groups whose scales, and offsets, are codes times those of the block. Which
// codes is decided by the error that is left when the values take their nearest codes. Two kinds of
// groups say how one is fitted and chosen, fit_groups() searches.

// A block whose codes are not given yet, and its error.
struct Draft {
  BlockParts parts;
  float error = std::numeric_limits<float>::max();
};

// Q3_K, Q6_K, IQ4_XS.
template <typename ItsCodes, int kGroupSize, int kLeastScale, int kMostScale>
struct ScaleGroups {
  using Codes = ItsCodes;
  using Wanted = float;  // a group's scale
  static constexpr int kGroup = kGroupSize, kGroups = kMostValues / kGroup;
  static constexpr int kStarts = 6;
  // Scale codes that are tried for a group: around the one wanted.
  static constexpr std::size_t kNear = 4;

  static float fit_group(const Values& values) { return fit_scale<Codes, kGroup, false>(values); }

  static float choose(const Values& values, float wanted, int g, BlockParts& parts) {
    const float exact = wanted * inverse_of(parts.scale);
    const int first =
        static_cast<int>(std::clamp(std::floor(exact) - 1, static_cast<float>(kLeastScale),
                                    static_cast<float>(kMostScale - static_cast<int>(kNear) + 1)));
    Scales<kNear> tried;
    tried.scale = Each<kNear>::of([&](std::size_t k) {
      return parts.scale * static_cast<float>(first + static_cast<int>(k));
    });
    try_scales<Codes, kGroup>(values, tried);
    const std::size_t best = tried.error.least();
    parts.scale_code[g] = static_cast<std::int8_t>(first + static_cast<int>(best));
    return tried.error[best];
  }

  // The largest gets the code furthest from zero, or one a little nearer: the others then round
  // better or worse.
  static void begin(int start, const float* wanted, BlockParts& parts) {
    float most = 0;
    for (int g = 0; g < kGroups; ++g)
      if (std::fabs(wanted[g]) > std::fabs(most)) most = wanted[g];
    parts.scale = rounded_to_f16(most / static_cast<float>(kLeastScale + start));
  }

  // The block's scale of least error for the codes it has.
  static void improve(const Values& values, BlockParts& parts) {
    give_codes<Codes>(values.x, parts);
    double squares = 0, products = 0;
    for (int i = 0; i < kMostValues; ++i) {
      const double by = parts.scale_code[i / kGroup] * parts.code[i];
      const double weighted = by * static_cast<double>(values.weight[i]);
      squares += weighted * by;
      products += weighted * static_cast<double>(values.x[i]);
    }
    if (squares > 0) parts.scale = rounded_to_f16(products / squares);
  }
};

// Q2_K, Q4_K, Q5_K. Codes of scales and offsets go from 0 to kMostScale.
template <int kMost, int kGroupSize, int kMostScale>
struct LineGroups {
  using Codes = Even<0, kMost>;
  using Wanted = Line;
  static constexpr int kGroup = kGroupSize, kGroups = kMostValues / kGroup;
  static constexpr int kScaleStarts = kMostScale > 15 ? 4 : 3,
                       kOffsetStarts = kMostScale > 15 ? 1 : 2,
                       kStarts = kScaleStarts * kOffsetStarts;
  static constexpr int kAway = kMostScale > 15 ? 1 : 2;  // to either side of the code wanted
  static constexpr int kSide = 2 * kAway + 1;
  static constexpr std::size_t kNear = std::size_t{kSide} * kSide;

  static int around(float wanted, float unit) {
    return static_cast<int>(std::clamp(nearest(std::clamp(wanted * inverse_of(unit), 0.0F, 100.0F)),
                                       static_cast<float>(kAway),
                                       static_cast<float>(kMostScale - kAway)));
  }

  static Line fit_group(const Values& values) { return fit_line<kMost, kGroup, true>(values); }

  static float choose(const Values& values, const Line& wanted, int g, BlockParts& parts) {
    const int scale = around(wanted.scale, parts.scale) - kAway,
              offset = around(wanted.offset, parts.offset) - kAway;
    const auto scales = Each<kNear>::of([&](std::size_t k) {
      return parts.scale * static_cast<float>(scale + static_cast<int>(k) / kSide);
    });
    const auto offsets = Each<kNear>::of([&](std::size_t k) {
      return parts.offset * static_cast<float>(offset + static_cast<int>(k) % kSide);
    });
    const auto errors = errors_of_lines<kMost, kGroup>(values, scales, offsets);
    const std::size_t best = errors.least();
    parts.scale_code[g] = static_cast<std::int8_t>(scale + static_cast<int>(best) / kSide);
    parts.offset_code[g] = static_cast<std::int8_t>(offset + static_cast<int>(best) % kSide);
    return errors[best];
  }

  // The largest scale and offset get the largest codes, or some a little smaller.
  static void begin(int start, const Line* wanted, BlockParts& parts) {
    float scale = 0, offset = 0;
    for (int g = 0; g < kGroups; ++g) {
      scale = std::max(scale, wanted[g].scale);
      offset = std::min(offset, wanted[g].offset);
    }
    parts.scale = rounded_to_f16(scale / static_cast<float>(kMostScale - start % kScaleStarts));
    parts.offset = rounded_to_f16(offset / static_cast<float>(kMostScale - start / kScaleStarts));
  }

  // The block's scale and offset of least error for the codes it has: a regression on two
  // variables.
  static void improve(const Values& values, BlockParts& parts) {
    give_codes<Codes>(values.x, parts);
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    for (int i = 0; i < kMostValues; ++i) {
      const int g = i / kGroup;
      const double a = parts.scale_code[g] * parts.code[i], b = parts.offset_code[g],
                   x = static_cast<double>(values.x[i]),
                   weight = static_cast<double>(values.weight[i]);
      aa += weight * a * a, ab += weight * a * b, bb += weight * b * b;
      xa += weight * x * a, xb += weight * x * b;
    }
    double scale = aa > 0 ? xa / aa : 0, offset = 0;
    if (const double determinant = aa * bb - ab * ab; determinant > 1e-9 * aa * bb) {
      scale = (xa * bb - xb * ab) / determinant;
      offset = (xb * aa - xa * ab) / determinant;
    } else if (bb > 0) {
      return;
    }
    if (!(scale > 0) || !(offset <= 0)) return;
    parts.scale = rounded_to_f16(scale);
    parts.offset = rounded_to_f16(offset);
  }
};

// The codes of all groups for a block's scale and offset.
template <typename Groups>
void choose_all(const Values& values, const typename Groups::Wanted* wanted, Draft& draft) {
  draft.error = 0;
  for (int g = 0; g < Groups::kGroups; ++g)
    draft.error += Groups::choose(values.from(g * Groups::kGroup), wanted[g], g, draft.parts);
}

// The best of several beginnings, improved while that helps.
template <typename Groups>
BlockParts fit_groups(const Values& values) {
  constexpr int kRounds = 3;
  typename Groups::Wanted wanted[Groups::kGroups];
  for (int g = 0; g < Groups::kGroups; ++g)
    wanted[g] = Groups::fit_group(values.from(g * Groups::kGroup));
  Draft best;
  for (int start = 0; start < Groups::kStarts; ++start) {
    Draft draft{.parts = {.values = kMostValues, .group = Groups::kGroup}};
    Groups::begin(start, wanted, draft.parts);
    choose_all<Groups>(values, wanted, draft);
    if (draft.error < best.error) best = draft;
  }
  for (int round = 0; round < kRounds; ++round) {
    Draft draft = best;
    Groups::improve(values, draft.parts);
    choose_all<Groups>(values, wanted, draft);
    if (!(draft.error < best.error)) break;
    best = draft;
  }
  give_codes<typename Groups::Codes>(values.x, best.parts);
  return best.parts;
}

using GroupsQ2K = LineGroups<3, 16, 15>;
using GroupsQ3K = ScaleGroups<Even<-4, 3>, 16, -32, 31>;
using GroupsQ4K = LineGroups<15, 32, 63>;
using GroupsQ5K = LineGroups<31, 32, 63>;
using GroupsQ6K = ScaleGroups<Even<-32, 31>, 16, -128, 127>;
using GroupsIQ4XS = ScaleGroups<Uneven, 32, -32, 31>;

// The weights of `count` values, at most 1; one of zero still decides between what is else equal.
void weigh(const float* importance, int count, float* weight) {
  float most = 0;
  if (importance != nullptr)
    for (int i = 0; i < count; ++i) most = std::max(most, importance[i]);
  for (int i = 0; i < count; ++i)
    weight[i] = most > 0 ? std::max(importance[i] / most, 1e-12F) : 1.0F;
}

template <typename Groups>
void refit(const Values& values, int group, BlockParts& parts) {
  const auto wanted = Groups::fit_group(values);
  Groups::choose(values, wanted, group, parts);
}

}  // namespace

BlockParts fit_block(DType dtype, const float* x, const float* importance) {
  float weight[kMostValues];
  weigh(importance, static_cast<int>(info(dtype).block_elements), weight);
  const Values values{x, weight};
  switch (dtype) {
    case DType::kQ4_0:
      return fit_scale_block<Even<-8, 7>>(values);
    case DType::kQ4_1:
      return fit_line_block<15>(values);
    case DType::kQ5_0:
      return fit_scale_block<Even<-16, 15>>(values);
    case DType::kQ5_1:
      return fit_line_block<31>(values);
    case DType::kQ8_0:
      return fit_scale_block<Even<-127, 127>>(values);
    case DType::kQ2_K:
      return fit_groups<GroupsQ2K>(values);
    case DType::kQ3_K:
      return fit_groups<GroupsQ3K>(values);
    case DType::kQ4_K:
      return fit_groups<GroupsQ4K>(values);
    case DType::kQ5_K:
      return fit_groups<GroupsQ5K>(values);
    case DType::kQ6_K:
      return fit_groups<GroupsQ6K>(values);
    case DType::kIQ4_NL:
      return fit_scale_block<Uneven>(values);
    case DType::kIQ4_XS:
      return fit_groups<GroupsIQ4XS>(values);
    default:
      return {};
  }
}

void refit_group(DType dtype, const float* x, const float* importance, int group,
                 BlockParts& parts) {
  float weight[kMostValues];
  weigh(importance, parts.group, weight);
  const Values values{x, weight};
  switch (dtype) {
    case DType::kQ2_K:
      return refit<GroupsQ2K>(values, group, parts);
    case DType::kQ3_K:
      return refit<GroupsQ3K>(values, group, parts);
    case DType::kQ4_K:
      return refit<GroupsQ4K>(values, group, parts);
    case DType::kQ5_K:
      return refit<GroupsQ5K>(values, group, parts);
    case DType::kQ6_K:
      return refit<GroupsQ6K>(values, group, parts);
    case DType::kIQ4_XS:
      return refit<GroupsIQ4XS>(values, group, parts);
    default:
      return;
  }
}

CodeRounder::CodeRounder(DType dtype)
    : uneven_(dtype == DType::kIQ4_NL || dtype == DType::kIQ4_XS),
      least_(block_levels(dtype).front()),
      most_(block_levels(dtype).back()) {}

std::int8_t CodeRounder::nearest(float scaled) const {
  const float within = std::clamp(scaled, least_, most_);
  if (!uneven_) return static_cast<std::int8_t>(tack::nearest(within));
  return static_cast<std::int8_t>(Uneven::code(all(within))[0]);
}

}  // namespace tack
