// What a tagger's answers are worth: spans count when name, begin and end are right (as conlleval).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "eval/metrics.h"
#include "text/span.h"

namespace tack {

struct SpanAnswers {
  std::vector<std::vector<Span>> truth, predicted;         // of each text
  std::vector<std::int32_t> label_truth, label_predicted;  // empty: texts have no label
};

struct SpanMetrics {
  std::int64_t rows = 0;
  Estimate precision, recall, f1;                // micro, over all spans
  Estimate exact;                                // of texts, all spans right, and the label
  std::optional<Estimate> accuracy;              // of labels, where texts have one
  std::map<std::string, ClassMetrics> per_name;  // support: spans
};

SpanMetrics compute_span_metrics(const SpanAnswers& answers, const MetricsOptions& options = {});

}  // namespace tack
