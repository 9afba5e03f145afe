// More training rows out of those there are.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "eval/dataset.h"

namespace tack {

// For every tagged text that has spans, `copies` more in which each span's text is that of a span
// of the same name elsewhere in the data, drawn by the seed. Labels stay. So a tagger learns from
// what stands around a span, not only the values it has seen.
Dataset with_swapped_spans(const Dataset& data, std::int64_t copies, std::uint64_t seed);

// `copies` changed copies of every text, copy after copy, for a teacher to label: each word is left
// out with probability 0.1, replaced by a word of the texts (as often as it occurs there) with
// 0.15, or swapped with the next with 0.1; at least one word changes. A text of one word is
// replaced or stays. A function of the seed; white space between words becomes a blank.
std::vector<std::string> text_variants(std::span<const std::string> texts, std::int64_t copies,
                                       std::uint64_t seed);

}  // namespace tack
