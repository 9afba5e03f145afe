#include "tensor/k_blocks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "tensor/convert.h"
#include "tensor/store_f16.h"

namespace tack {
namespace {

// All searches try many candidates on the same few values. The candidates are the inner loop: lanes
// that need no sum across them, which compilers turn into vectors without changing any bit.

constexpr int kValues = 256;

// The nearest integer, ties to even, of |x| < 2^22; in vectors on every processor, as nearbyint is
// not.
float nearest(float x) {
  constexpr float kBig = 0x1.8p23F;
  return (x + kBig) - kBig;
}
// The code of x / scale, where `inverse` is 1 / scale.
float code_of(float x, float inverse, float least, float most) {
  const float scaled = x * inverse;
  const float above = scaled > least ? scaled : least;
  return nearest(above < most ? above : most);
}
// Of a scale; a scale of zero makes every code zero. Scales are f16, so none is infinite.
float inverse_of(float scale) {
  return scale == 0.0F ? 0.0F : 1.0F / scale;
}
float rounded_to_f16(double x) {
  return f16_to_f32(f32_to_f16(std::clamp(static_cast<float>(x), -65504.0F, 65504.0F)));
}

// Q4_K and Q5_K. Eight parts of 32 values; a value is scale * code - least, where a part's scale
// and least are codes of 6 bits times the block's two f16.
constexpr int kParts = 8, kPart = 32;
constexpr int kMostSix = 63;

struct Line {
  float scale = 0, least = 0;
};

// The line and codes of least squared error for one part, scale and least not rounded. Tried are
// codes over ranges that end a little inside or outside the extremes of the values; for given codes
// the best line is a linear regression.
template <int kMost>
Line fit_line(const float* x) {
  // In steps of the plain range, at both ends. Denser or iterated grids gained less than 0.1 %.
  constexpr std::array<float, 6> kInside = {-0.2F, 0.1F, 0.45F, 0.8F, 1.2F, 1.7F};
  constexpr std::size_t kCount = kInside.size() * kInside.size();
  const auto [lowest, highest] = std::minmax_element(x, x + kPart);
  const float low = std::min(*lowest, 0.0F), high = std::max(*highest, low);  // least is positive
  const float step = (high - low) / kMost;
  if (step < std::numeric_limits<float>::min()) return {0, -low};
  float sum = 0;
  for (int i = 0; i < kPart; ++i) sum += x[i];
  const float mean = sum / kPart;

  float from[kCount], inverse[kCount];
  for (std::size_t k = 0; k < kCount; ++k) {
    const float below = kInside[k / kInside.size()], above = kInside[k % kInside.size()];
    // A range that begins at zero has one end to try, so more places of it.
    from[k] = low < 0 ? low + below * step : 0.0F;
    const float to = high - (low < 0 ? above : above + below - 0.9F) * step;
    inverse[k] = kMost / (to - from[k]);
  }
  float codes[kCount] = {}, squares[kCount] = {}, products[kCount] = {};
  for (int i = 0; i < kPart; ++i)
    for (std::size_t k = 0; k < kCount; ++k) {
      const float code = code_of(x[i] - from[k], inverse[k], 0, kMost);
      codes[k] += code;
      squares[k] += code * code;
      products[k] += (x[i] - mean) * code;
    }
  Line best;
  float most_explained = -1;
  for (std::size_t k = 0; k < kCount; ++k) {
    const float variance = squares[k] - codes[k] * codes[k] / kPart;
    Line line;
    float explained = -1;
    if (variance > 0) {
      line.scale = products[k] / variance;
      line.least = line.scale * codes[k] / kPart - mean;
      explained = line.scale * products[k] + mean * mean * kPart;
    }
    // One code for all, or a least that cannot be stored: the best line through zero.
    if ((!(variance > 0) || line.least < 0) && squares[k] > 0) {
      const float product = products[k] + mean * codes[k];
      line = {product / squares[k], 0};
      explained = line.scale * product;
    }
    if (explained > most_explained) {
      most_explained = explained;
      best = line;
    }
  }
  return best;
}

struct LineBlock {
  float scale = 0, least = 0;  // f16: of the codes below
  int scales[kParts] = {}, leasts[kParts] = {};
  float error = std::numeric_limits<float>::max();  // squared, of all values
};

// Chooses the codes of every part's scale and least among the nearest and their neighbours, by the
// error that is left when the values take their nearest codes.
template <int kMost>
void choose_sixes(const float* x, const Line* lines, LineBlock& block) {
  constexpr int kCount = 9;
  block.error = 0;
  for (int part = 0; part < kParts; ++part, x += kPart) {
    const int scale =
        static_cast<int>(code_of(lines[part].scale, inverse_of(block.scale), 1, kMostSix - 1));
    const int least =
        static_cast<int>(code_of(lines[part].least, inverse_of(block.least), 1, kMostSix - 1));
    float scales[kCount], leasts[kCount], inverse[kCount], errors[kCount] = {};
    for (int k = 0; k < kCount; ++k) {
      scales[k] = block.scale * static_cast<float>(scale + k / 3 - 1);
      leasts[k] = block.least * static_cast<float>(least + k % 3 - 1);
      inverse[k] = inverse_of(scales[k]);
    }
    for (int i = 0; i < kPart; ++i)
      for (int k = 0; k < kCount; ++k) {
        const float code = code_of(x[i] + leasts[k], inverse[k], 0, kMost);
        const float off = x[i] - (scales[k] * code - leasts[k]);
        errors[k] += off * off;
      }
    const auto best = static_cast<int>(std::min_element(errors, errors + kCount) - errors);
    block.scales[part] = scale + best / 3 - 1;
    block.leasts[part] = least + best % 3 - 1;
    block.error += errors[best];
  }
}

template <int kMost>
void codes_of(const float* x, const LineBlock& block, std::uint8_t* codes) {
  for (int i = 0; i < kValues; ++i) {
    const int part = i / kPart;
    const float inverse = inverse_of(block.scale * static_cast<float>(block.scales[part]));
    const float least = block.least * static_cast<float>(block.leasts[part]);
    codes[i] = static_cast<std::uint8_t>(code_of(x[i] + least, inverse, 0, kMost));
  }
}

// The block's two f16 of least squared error for the codes it has: a regression on two variables.
template <int kMost>
void fit_scales(const float* x, LineBlock& block) {
  std::uint8_t codes[kValues];
  codes_of<kMost>(x, block, codes);
  double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
  for (int i = 0; i < kValues; ++i) {
    const double a = block.scales[i / kPart] * codes[i], b = block.leasts[i / kPart];
    aa += a * a, ab += a * b, bb += b * b, xa += a * x[i], xb += b * x[i];
  }
  double scale = aa > 0 ? xa / aa : 0, least = 0;
  if (const double determinant = aa * bb - ab * ab; determinant > 1e-9 * aa * bb) {
    scale = (xa * bb - xb * ab) / determinant;
    least = (xa * ab - xb * aa) / determinant;
  } else if (bb > 0) {
    return;
  }
  if (!(scale > 0) || !(least >= 0)) return;
  block.scale = rounded_to_f16(scale);
  block.least = rounded_to_f16(least);
}

template <int kMost>
LineBlock search_lines(const float* x) {
  constexpr int kStarts = 4, kRounds = 2;
  Line lines[kParts];
  float scale = 0, least = 0;
  for (int part = 0; part < kParts; ++part) {
    lines[part] = fit_line<kMost>(x + part * kPart);
    scale = std::max(scale, lines[part].scale);
    least = std::max(least, lines[part].least);
  }
  // The largest scale gets the largest code, or one a little lower: the others then round better or
  // worse.
  LineBlock best;
  for (int start = 0; start < kStarts; ++start) {
    LineBlock block;
    block.scale = rounded_to_f16(scale / static_cast<float>(kMostSix - start));
    block.least = rounded_to_f16(least / kMostSix);
    choose_sixes<kMost>(x, lines, block);
    if (block.error < best.error) best = block;
  }
  for (int round = 0; round < kRounds; ++round) {
    LineBlock block = best;
    fit_scales<kMost>(x, block);
    choose_sixes<kMost>(x, lines, block);
    if (!(block.error < best.error)) break;
    best = block;
  }
  return best;
}

// f16 scale, f16 least, 6 bits of both for each part in 12 bytes.
void store_lines(const LineBlock& block, std::byte* to) {
  store_f16(to, block.scale);
  store_f16(to + 2, block.least);
  std::uint8_t packed[12] = {};
  for (int k = 0; k < 4; ++k) {
    const int scale = block.scales[k + 4], least = block.leasts[k + 4];
    packed[k] = static_cast<std::uint8_t>(block.scales[k] | scale >> 4 << 6);
    packed[k + 4] = static_cast<std::uint8_t>(block.leasts[k] | least >> 4 << 6);
    packed[k + 8] = static_cast<std::uint8_t>((scale & 15) | (least & 15) << 4);
  }
  std::memcpy(to + 4, packed, sizeof packed);
}

// Per 64 values, 32 low nibbles and then their high ones.
void store_nibbles(const std::uint8_t* codes, std::byte* to) {
  for (int i = 0; i < kValues / 2; ++i) {
    const std::uint8_t* const pair = codes + i / 32 * 64 + i % 32;
    to[i] = static_cast<std::byte>((pair[0] & 15) | (pair[32] & 15) << 4);
  }
}

// Q6_K. Sixteen parts of 16 values; a value is scale * (code - 32), where a part's scale is an s8
// times the block's f16.
constexpr int kSmallParts = 16, kSmallPart = 16;
constexpr float kLowest = -32, kHighest = 31;

// The factor of least squared error for one part, not rounded: tried are factors that bring the
// value furthest from zero to about either end of the codes.
float fit_factor(const float* x) {
  constexpr std::array<float, 8> kEnds = {29.8F, 30.4F, 31.0F, 31.4F, 31.8F, 32.2F, 32.6F, 33.2F};
  constexpr std::size_t kCount = 2 * kEnds.size();
  float furthest = 0;
  for (int i = 0; i < kSmallPart; ++i)
    if (std::fabs(x[i]) > std::fabs(furthest)) furthest = x[i];
  if (std::fabs(furthest) < 64 * std::numeric_limits<float>::min()) return 0;
  float inverse[kCount], squares[kCount] = {}, products[kCount] = {};
  for (std::size_t k = 0; k < kCount; ++k)
    inverse[k] = (k % 2 == 0 ? kEnds[k / 2] : -kEnds[k / 2]) / furthest;
  for (int i = 0; i < kSmallPart; ++i)
    for (std::size_t k = 0; k < kCount; ++k) {
      const float code = code_of(x[i], inverse[k], kLowest, kHighest);
      squares[k] += code * code;
      products[k] += x[i] * code;
    }
  float best = 0, most_explained = 0;
  for (std::size_t k = 0; k < kCount; ++k) {
    const float explained = products[k] * products[k] / squares[k];
    if (explained > most_explained) {
      most_explained = explained;
      best = products[k] / squares[k];
    }
  }
  return best;
}

struct FactorBlock {
  float scale = 0;  // f16
  int factors[kSmallParts] = {};
  float error = std::numeric_limits<float>::max();
};

void choose_factors(const float* x, const float* wanted, FactorBlock& block) {
  constexpr int kCount = 4;  // the two integers at either side, and one beyond
  block.error = 0;
  for (int part = 0; part < kSmallParts; ++part, x += kSmallPart) {
    const float exact = wanted[part] * inverse_of(block.scale);
    const int first = static_cast<int>(std::clamp(std::floor(exact) - 1, -128.0F, 124.0F));
    float scales[kCount], inverse[kCount], errors[kCount] = {};
    for (int k = 0; k < kCount; ++k) {
      scales[k] = block.scale * static_cast<float>(first + k);
      inverse[k] = inverse_of(scales[k]);
    }
    for (int i = 0; i < kSmallPart; ++i)
      for (int k = 0; k < kCount; ++k) {
        const float off = x[i] - scales[k] * code_of(x[i], inverse[k], kLowest, kHighest);
        errors[k] += off * off;
      }
    const auto best = static_cast<int>(std::min_element(errors, errors + kCount) - errors);
    block.factors[part] = first + best;
    block.error += errors[best];
  }
}

// Codes less 32.
void codes_of(const float* x, const FactorBlock& block, std::int8_t* codes) {
  for (int i = 0; i < kValues; ++i) {
    const float scale = block.scale * static_cast<float>(block.factors[i / kSmallPart]);
    codes[i] = static_cast<std::int8_t>(code_of(x[i], inverse_of(scale), kLowest, kHighest));
  }
}

void fit_scale(const float* x, FactorBlock& block) {
  std::int8_t codes[kValues];
  codes_of(x, block, codes);
  double aa = 0, xa = 0;
  for (int i = 0; i < kValues; ++i) {
    const double a = block.factors[i / kSmallPart] * codes[i];
    aa += a * a, xa += a * x[i];
  }
  if (aa > 0) block.scale = rounded_to_f16(xa / aa);
}

FactorBlock search_factors(const float* x) {
  constexpr int kStarts = 4, kRounds = 2;
  float wanted[kSmallParts], most = 0;
  for (int part = 0; part < kSmallParts; ++part) {
    wanted[part] = fit_factor(x + part * kSmallPart);
    if (std::fabs(wanted[part]) > std::fabs(most)) most = wanted[part];
  }
  FactorBlock best;
  for (int start = 0; start < kStarts; ++start) {
    FactorBlock block;
    block.scale = rounded_to_f16(most / static_cast<float>(-128 + start));
    choose_factors(x, wanted, block);
    if (block.error < best.error) best = block;
  }
  for (int round = 0; round < kRounds; ++round) {
    FactorBlock block = best;
    fit_scale(x, block);
    choose_factors(x, wanted, block);
    if (!(block.error < best.error)) break;
    best = block;
  }
  return best;
}

}  // namespace

void write_q4_k(const float* from, std::byte* block) {
  const LineBlock found = search_lines<15>(from);
  std::uint8_t codes[kValues];
  codes_of<15>(from, found, codes);
  store_lines(found, block);
  store_nibbles(codes, block + 16);
}

void write_q5_k(const float* from, std::byte* block) {
  const LineBlock found = search_lines<31>(from);
  std::uint8_t codes[kValues];
  codes_of<31>(from, found, codes);
  store_lines(found, block);
  for (int i = 0; i < kPart; ++i) {  // bit k of a byte: the fifth bit of the k-th part
    int fifths = 0;
    for (int part = 0; part < kParts; ++part) fifths |= codes[part * kPart + i] >> 4 << part;
    block[16 + i] = static_cast<std::byte>(fifths);
  }
  store_nibbles(codes, block + 48);
}

void write_q6_k(const float* from, std::byte* block) {
  const FactorBlock found = search_factors(from);
  std::int8_t codes[kValues];
  codes_of(from, found, codes);
  const auto code = [&](int i) { return codes[i] + 32; };
  for (int half = 0; half < 2; ++half)
    for (int i = 0; i < 32; ++i) {
      const int at = half * 128 + i, c[4] = {code(at), code(at + 32), code(at + 64), code(at + 96)};
      std::byte* const low = block + half * 64 + i;
      low[0] = static_cast<std::byte>((c[0] & 15) | (c[2] & 15) << 4);
      low[32] = static_cast<std::byte>((c[1] & 15) | (c[3] & 15) << 4);
      block[128 + half * 32 + i] =
          static_cast<std::byte>(c[0] >> 4 | c[1] >> 4 << 2 | c[2] >> 4 << 4 | c[3] >> 4 << 6);
    }
  for (int part = 0; part < kSmallParts; ++part)
    block[192 + part] = static_cast<std::byte>(static_cast<std::int8_t>(found.factors[part]));
  store_f16(block + 208, found.scale);
}

}  // namespace tack
