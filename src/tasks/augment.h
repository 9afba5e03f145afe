// More training rows out of those there are.
#pragma once

#include <cstdint>

#include "eval/dataset.h"

namespace tack {

// For every tagged text that has spans, `copies` more in which each span's text is that of a span
// of the same name elsewhere in the data, drawn by the seed. Labels stay. So a tagger learns from
// what stands around a span, not only the values it has seen.
Dataset with_swapped_spans(const Dataset& data, std::int64_t copies, std::uint64_t seed);

}  // namespace tack
