// What a person reads after `compress`: the candidates, size against quality, before and after.
#pragma once

#include <string>

#include "tasks/compress.h"

namespace tack {

// The plan before anything was made: predicted sizes, and what is within the limit.
std::string plan_text(const CompressResult& result);

// Size (logarithmic) against quality as characters, the candidates that are not beaten as letters,
// and a table of those. Lines, each ended.
std::string frontier_text(const CompressResult& result);

// Original and result on the gate's rows, beside each other.
std::string before_after_text(const CompressResult& result);

// One self-contained page: before and after, the frontier (inline SVG), all candidates.
std::string compress_html(const std::string& title, const CompressResult& result);

Json compress_json(const CompressResult& result);

}  // namespace tack
