// Pairs of texts from any bytes; the first byte picks the format and what a row has.
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "eval/pairs.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr tack::RowFormat kFormats[] = {tack::RowFormat::kCsv, tack::RowFormat::kTsv,
                                          tack::RowFormat::kJsonl, tack::RowFormat::kJson};
  tack::DataSource source;
  source.path = "fuzz";
  source.format = kFormats[data[0] & 3];
  const bool scored = (data[0] & 4) != 0;
  source.pairs.kind = scored ? tack::PairKind::kScored : tack::PairKind::kPositive;
  source.pairs.other = "other";
  if (scored) source.pairs.score = "score";
  if (!scored && (data[0] & 8) != 0) source.pairs.negative = "negative";
  const auto pairs = tack::parse_pairs({reinterpret_cast<const char*>(data + 1), size - 1}, source);
  if (!pairs) return 0;
  if (pairs->others.size() != pairs->size() || pairs->size() == 0) std::abort();
  if (pairs->scores.size() != (scored ? pairs->size() : 0)) std::abort();
  if (pairs->negatives.size() != (source.pairs.negative.empty() ? 0 : pairs->size())) std::abort();
  for (float score : pairs->scores)
    if (!std::isfinite(score)) std::abort();
  const auto split = tack::split_pairs(*pairs, 0.5, 1);
  if (split.first.size() + split.second.size() != pairs->size()) std::abort();
  return 0;
}
