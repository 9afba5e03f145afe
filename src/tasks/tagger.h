// A tagger at work: texts in, named spans out, and a label for the whole text where it has one.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "eval/dataset.h"
#include "eval/span_metrics.h"
#include "tasks/evaluate.h"
#include "tasks/predictor.h"
#include "train/crf.h"

namespace tack {

// The tags that BIO needs for these names: "O", then "B-" and "I-" of each.
TagRules bio_rules(const std::vector<std::string>& names);

// Spans of a text as the tags of its words, and back. A word belongs to the first span it touches;
// words that were cut off are "O".
std::vector<std::int32_t> tags_of_words(const TagRules& rules, std::span<const Word> words,
                                        std::span<const Span> spans);
std::vector<Span> spans_of_words(const TagRules& rules, std::span<const Word> words,
                                 std::span<const std::int32_t> tags);

// The rows of a text's words that have tokens: [words, width] out of [tokens, width].
std::vector<float> word_rows(std::span<const float> tokens, std::span<const Word> words,
                             std::size_t width);

struct TagPrediction {
  std::vector<Span> spans;          // in order, bytes of the text
  std::optional<Prediction> label;  // of a joint model
  std::int64_t tokens = 0, truncated = 0;
};

// Used by one thread at a time, like the encoder inside it.
class Tagger {
 public:
  // Errors: those of Model::open; kUsage for a model without tags.
  static Result<std::unique_ptr<Tagger>> open(const std::filesystem::path& path,
                                              EncoderOptions options = {});

  const Model& model() const { return encoder_->model(); }
  const TextEncoder& encoder() const { return *encoder_; }
  const std::vector<std::string>& labels() const { return model().labels(); }

  Result<std::vector<TagPrediction>> predict(std::span<const std::string_view> texts);

 private:
  Tagger(std::unique_ptr<TextEncoder> encoder, TagRules rules, const CrfScores& scores,
         const Calibration& calibration)
      : encoder_(std::move(encoder)),
        rules_(std::move(rules)),
        decoder_(rules_, scores),
        calibration_(calibration) {}

  std::unique_ptr<TextEncoder> encoder_;
  TagRules rules_;
  TagDecoder decoder_;
  Calibration calibration_;
};

// {"label", "probability", "spans": [{"start", "end", "label", "text"}], ...}; positions count
// characters.
Json tag_json(std::string_view text, const TagPrediction& prediction,
              const std::vector<std::string>& labels);

struct TagEvaluation {
  SpanAnswers answers;
  SpanMetrics metrics;
  std::vector<float> latency_us;  // of single texts, one by one, sorted
  double texts_per_second = 0;
  std::int64_t truncated_rows = 0;

  std::vector<bool> right() const;  // of texts: all spans, and the label
  Json to_json() const;
};

// `data` is tagged and was read with the tagger's labels. Errors: interruption.
Result<TagEvaluation> evaluate(Tagger& tagger, const Dataset& data,
                               const EvaluateOptions& options = {});

}  // namespace tack
