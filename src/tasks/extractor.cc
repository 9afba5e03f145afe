#include "tasks/extractor.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tasks/heads.h"

namespace tack {
namespace {

constexpr std::int64_t kOverlap = 64;  // of a model that does not say

// What tack.calibration says. Errors: a number that is none, or out of range.
Status read_calibration(const Model& model, WindowRule& rule, ExtractorOptions& options) {
  const Json* json = model.tack_metadata("calibration");
  if (json == nullptr) return {};
  for (const auto& [key, to] :
       {std::pair{"window", &rule.length}, std::pair{"overlap", &rule.overlap}}) {
    const auto found = json->find(key);
    if (found == json->end()) continue;
    const std::int64_t least = to == &rule.length ? 16 : 0;
    if (!found->is_number_integer() || found->get<std::int64_t>() < least ||
        found->get<std::int64_t>() > model.context_length())
      return fail("{}: tack.calibration: '{}' is {}, expected {} to {}", model.path().string(), key,
                  to_text(*found), least, model.context_length());
    *to = found->get<std::int64_t>();
  }
  if (const auto found = json->find("answer_threshold");
      found != json->end() && !options.threshold) {
    if (!found->is_number())
      return fail("{}: tack.calibration: 'answer_threshold' is no number", model.path().string());
    options.threshold = found->get<double>();
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Extractor>> Extractor::open(const std::filesystem::path& path,
                                                   EncoderOptions options,
                                                   const ExtractorOptions& extraction) {
  TACK_TRY(auto model, Model::open(path));
  if (!is_extractor(*model))
    return fail(ErrorCode::kUsage,
                "{}: answers no questions: it was not built with kind = \"span\"", path.string());
  WindowRule rule{model->context_length(), std::min(kOverlap, model->context_length())};
  ExtractorOptions own = extraction;
  TACK_RETURN_IF_ERROR(read_calibration(*model, rule, own));
  options.outputs = {"span"};
  TACK_TRY(auto encoder, TextEncoder::create(std::move(model), options));
  return std::unique_ptr<Extractor>(new Extractor(std::move(encoder), rule, own));
}

Result<std::vector<Extraction>> Extractor::predict(std::span<const QuestionText> questions) {
  constexpr std::array<std::string_view, 1> kOutputs = {"span"};
  struct Place {
    std::size_t question, context;
    Window window;
  };
  std::vector<Extraction> out(questions.size());
  std::vector<ContextTokens> contexts;
  std::vector<Place> places;
  std::vector<Tokens> inputs;
  const Tokenizer& tokenizer = model().tokenizer();
  for (std::size_t q = 0; q < questions.size(); ++q) {
    const auto& [question, context] = questions[q];
    // Questions about the same context often come together.
    if (q == 0 || context.data() != questions[q - 1].context.data() ||
        context.size() != questions[q - 1].context.size())
      contexts.push_back(context_tokens(tokenizer, context));
    const Tokens asked = question_tokens(tokenizer, question, rule_);
    out[q].truncated = asked.truncated;
    for (const Window& window : make_windows(asked, contexts.back(), rule_)) {
      places.push_back({q, contexts.size() - 1, window});
      inputs.push_back(window_tokens(asked, contexts.back(), window));
      out[q].tokens += window.tokens;
      ++out[q].windows;
    }
  }
  TACK_TRY(const Encoded encoded, encoder_->run_tokens(inputs, kOutputs));
  std::vector<Answer> answers(questions.size());
  std::size_t first = 0;
  for (const auto& [question, c, window] : places) {
    const auto count = static_cast<std::size_t>(2 * window.tokens);
    const WindowScores scores =
        window_scores(std::span(encoded.outputs[0]).subspan(first, count), window, contexts[c]);
    answers[question].add(find_answer(scores, window, contexts[c], options_.longest));
    first += count;
  }
  for (std::size_t q = 0; q < out.size(); ++q) {
    const Extraction said = conclude(answers[q]);
    out[q].answered = said.answered;
    out[q].stretch = said.stretch;
    out[q].margin = said.margin;
    out[q].probability = said.probability;
  }
  return out;
}

Extraction Extractor::conclude(const Answer& answer) const {
  Extraction out;
  if (!answer.any) {  // a context without words
    out.probability = 1;
    return out;
  }
  out.answered = !options_.threshold || answer.margin >= *options_.threshold;
  out.stretch = answer.stretch;
  out.margin = answer.margin;
  out.probability =
      static_cast<float>(std::exp(out.answered ? answer.log_probability : answer.log_none));
  return out;
}

Json extraction_json(std::string_view context, const Extraction& extraction) {
  Json json;
  if (extraction.answered) {
    const auto offsets = character_offsets(context);
    const auto character = [&](std::int64_t byte) {
      return std::ranges::lower_bound(offsets, byte) - offsets.begin();
    };
    json = {{"answer", extraction.text(context)},
            {"start", character(extraction.stretch.begin)},
            {"end", character(extraction.stretch.end)}};
  } else {
    json = {{"answer", nullptr}, {"start", nullptr}, {"end", nullptr}};
  }
  // Six digits: what does not depend on the batch.
  json["probability"] = std::round(static_cast<double>(extraction.probability) * 1e6) / 1e6;
  json["windows"] = extraction.windows;
  json["tokens"] = extraction.tokens;
  json["truncated"] = extraction.truncated;
  return json;
}

std::vector<bool> ExtractEvaluation::right() const {
  std::vector<bool> out;
  for (const AnswerScore& score : scores) out.push_back(score.exact > 0);
  return out;
}

Json ExtractEvaluation::to_json() const {
  Json json = {{"rows", metrics.rows},
               {"exact", interval(metrics.exact)},
               {"f1", interval(metrics.f1)},
               {"latency_us", latency_json(latency_us)},
               {"texts_per_second", texts_per_second},
               {"truncated_rows", truncated_rows}};
  if (metrics.unanswerable) {
    json["answerable_exact"] = interval(*metrics.answerable_exact);
    json["answerable_f1"] = interval(*metrics.answerable_f1);
    json["unanswerable"] = interval(*metrics.unanswerable);
  }
  return json;
}

Result<ExtractEvaluation> evaluate(Extractor& extractor, const QuestionSet& data,
                                   const EvaluateOptions& options) {
  ExtractEvaluation result;
  std::vector<QuestionText> all;
  for (std::size_t i = 0; i < data.size(); ++i)
    all.push_back({data.questions[i].text, data.context_of(i)});
  std::vector<bool> answerable;
  const auto answer = [&](std::size_t first, std::size_t count) {
    return extractor.predict(std::span(all).subspan(first, count));
  };
  const auto take = [&](std::size_t first, const std::vector<Extraction>& said) {
    for (std::size_t i = 0; i < said.size(); ++i) {
      const auto gold = data.answers_of(first + i);
      answerable.push_back(!gold.empty());
      result.scores.push_back(score_answer(said[i].text(all[first + i].context), gold));
      result.truncated_rows += said[i].truncated > 0 ? 1 : 0;
      result.answers.push_back(said[i]);
    }
  };
  TACK_RETURN_IF_ERROR(run_timed(data.size(), 256, options, answer, take, result));
  result.metrics = compute_answer_metrics(result.scores, answerable, options.metrics);
  return result;
}

}  // namespace tack
