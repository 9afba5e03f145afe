// An extractor at work: questions and contexts in, the stretch of the context that answers out.
//
// tack.calibration of an extractor:
//   {"window", "overlap"}    tokens, as it was trained (tasks/windows.h)
//   {"answer_threshold"}     margin below which there is no answer; absent: there always is one
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/text_encoder.h"
#include "eval/answer_metrics.h"
#include "tasks/evaluate.h"
#include "tasks/windows.h"

namespace tack {

struct QuestionText {
  std::string_view question, context;
};

struct Extraction {
  bool answered = false;
  Stretch stretch;        // of the context; also the best guess when not answered
  double margin = 0;      // log of how much more probable the answer is than none
  float probability = 0;  // of what is said: the answer, in its window, or none
  std::int64_t tokens = 0, windows = 0;
  std::int64_t truncated = 0;  // tokens of the question that were dropped

  // "" when there is no answer.
  std::string_view text(std::string_view context) const {
    return answered ? context.substr(static_cast<std::size_t>(stretch.begin),
                                     static_cast<std::size_t>(stretch.end - stretch.begin))
                    : std::string_view{};
  }
};

struct ExtractorOptions {
  std::int64_t longest = kLongestAnswer;  // tokens of an answer
  std::optional<double> threshold;        // of the margin, in place of the model's own
};

// Used by one thread at a time, like the encoder inside it.
class Extractor {
 public:
  // Errors: those of Model::open; kUsage for a model without such a head.
  static Result<std::unique_ptr<Extractor>> open(const std::filesystem::path& path,
                                                 EncoderOptions options = {},
                                                 const ExtractorOptions& extraction = {});

  const Model& model() const { return encoder_->model(); }
  const TextEncoder& encoder() const { return *encoder_; }
  const WindowRule& rule() const { return rule_; }
  // Whether it may say that there is no answer.
  bool refuses() const { return options_.threshold.has_value(); }

  Result<std::vector<Extraction>> predict(std::span<const QuestionText> questions);

 private:
  Extractor(std::unique_ptr<TextEncoder> encoder, const WindowRule& rule,
            const ExtractorOptions& options)
      : encoder_(std::move(encoder)), rule_(rule), options_(options) {}

  Extraction conclude(const Answer& answer) const;

  std::unique_ptr<TextEncoder> encoder_;
  WindowRule rule_;
  ExtractorOptions options_;
};

// {"answer", "start", "end", "probability", ...}; positions count characters; null without an
// answer.
Json extraction_json(std::string_view context, const Extraction& extraction);

struct ExtractEvaluation {
  std::vector<Extraction> answers;
  std::vector<AnswerScore> scores;
  AnswerMetrics metrics;
  std::vector<float> latency_us;  // of single questions, one by one, sorted
  double texts_per_second = 0;
  std::int64_t truncated_rows = 0;  // questions that were cut

  std::vector<bool> right() const;  // of questions: exact match
  Json to_json() const;
};

// Errors: interruption.
Result<ExtractEvaluation> evaluate(Extractor& extractor, const QuestionSet& data,
                                   const EvaluateOptions& options = {});

}  // namespace tack
