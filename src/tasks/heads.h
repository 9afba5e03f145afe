// The heads of task models as numbers, and the names of their tensors.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "models/layers.h"
#include "models/model.h"
#include "train/crf.h"
#include "train/logistic.h"

namespace tack {

inline constexpr std::string_view kHeadWeight = "cls.output.weight";
inline constexpr std::string_view kHeadBias = "cls.output.bias";
inline constexpr std::string_view kTagWeight = "tag.output.weight";
inline constexpr std::string_view kTagBias = "tag.output.bias";
inline constexpr std::string_view kTransitions = "tag.transitions";
inline constexpr std::string_view kStart = "tag.start";
inline constexpr std::string_view kEnd = "tag.end";

inline constexpr std::string_view kSpanWeight = "span.output.weight";
inline constexpr std::string_view kSpanBias = "span.output.bias";

// A tagger's head: a linear layer on every token, and the CRF's scores (empty: none).
struct TagHead {
  LinearHead emissions;
  std::vector<float> transitions, start, end;  // [tags, tags] (row: from), [tags], [tags]

  CrfScores scores() const { return {transitions, start, end}; }
};
TagHead zero_tag_head(std::int64_t tags, std::int64_t dims);
// Errors: a tensor that cannot be read; a model without tags.
Result<TagHead> tag_head_of(const Model& model);

// An extractor's head: of every token, how well an answer begins and how well it ends there.
LinearHead zero_span_head(std::int64_t dims);
bool is_extractor(const Model& model);
// Errors: a tensor that cannot be read; a model that is no extractor.
Result<LinearHead> span_head_of(const Model& model);

// The classification head of a task model. Errors: a tensor that cannot be read.
Result<LinearHead> head_of(const Model& model);

}  // namespace tack
