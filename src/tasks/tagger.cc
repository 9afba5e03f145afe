#include "tasks/tagger.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tasks/heads.h"

namespace tack {

TagRules bio_rules(const std::vector<std::string>& names) {
  std::vector<std::string> tags = {"O"};
  for (const std::string& name : names)
    for (const char* prefix : {"B-", "I-"}) tags.push_back(prefix + name);
  return TagRules(std::move(tags));
}

std::vector<std::int32_t> tags_of_words(const TagRules& rules, std::span<const Word> words,
                                        std::span<const Span> spans) {
  const auto tag = [&](const std::string& name) {
    const auto found = std::ranges::find(rules.names(), name);
    return found == rules.names().end() ? 0
                                        : static_cast<std::int32_t>(found - rules.names().begin());
  };
  std::vector<std::int32_t> out(words.size(), tag("O"));
  std::size_t w = 0;
  for (const Span& span : spans) {
    while (w < words.size() && words[w].end <= span.begin) ++w;
    bool first = true;
    for (; w < words.size() && words[w].begin < span.end; ++w) {
      if (words[w].token < 0) continue;
      out[w] = tag((first ? "B-" : "I-") + span.name);
      first = false;
    }
  }
  return out;
}

std::vector<Span> spans_of_words(const TagRules& rules, std::span<const Word> words,
                                 std::span<const std::int32_t> tags) {
  std::vector<Span> spans = tag_spans(rules, tags);
  for (Span& span : spans) {
    span.begin = words[static_cast<std::size_t>(span.begin)].begin;
    span.end = words[static_cast<std::size_t>(span.end) - 1].end;
  }
  return spans;
}

std::vector<float> word_rows(std::span<const float> tokens, std::span<const Word> words,
                             std::size_t width) {
  std::vector<float> rows;
  for (const Word& word : words) {
    if (word.token < 0) break;  // what is cut off stands at the end
    const auto row = tokens.subspan(static_cast<std::size_t>(word.token) * width, width);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

Result<std::unique_ptr<Tagger>> Tagger::open(const std::filesystem::path& path,
                                             EncoderOptions options) {
  TACK_TRY(auto model, Model::open(path));
  TACK_TRY(const TagHead head, tag_head_of(*model));
  TACK_TRY(const Calibration calibration, Calibration::of(*model));
  options.outputs = {"tags"};
  if (!model->labels().empty()) options.outputs.emplace_back("logits");
  TagRules rules(model->tags());
  TACK_TRY(auto encoder, TextEncoder::create(std::move(model), options));
  return std::unique_ptr<Tagger>(
      new Tagger(std::move(encoder), std::move(rules), head.scores(), calibration));
}

Result<std::vector<TagPrediction>> Tagger::predict(std::span<const std::string_view> texts) {
  constexpr std::array<std::string_view, 2> kOutputs = {"tags", "logits"};
  std::vector<Tokens> tokens(texts.size());
  std::vector<std::vector<Word>> words(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i)
    tokens[i] = model().tokenizer().encode_words(texts[i], model().context_length(), words[i]);
  const std::size_t labels = this->labels().size();
  TACK_TRY(const Encoded encoded,
           encoder_->run_tokens(tokens, std::span(kOutputs).first(labels > 0 ? 2 : 1)));
  std::vector<TagPrediction> out(texts.size());
  const auto width = static_cast<std::size_t>(rules_.size());
  std::size_t first = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::size_t count = tokens[i].ids.size();
    const auto rows = word_rows(std::span(encoded.outputs[0]).subspan(first * width, count * width),
                                words[i], width);
    first += count;
    out[i].spans = spans_of_words(rules_, words[i], decoder_.best(rows));
    if (labels > 0)
      out[i].label = calibration_.apply(std::span(encoded.outputs[1]).subspan(i * labels, labels));
    out[i].tokens = encoded.info[i].tokens;
    out[i].truncated = encoded.info[i].truncated;
  }
  return out;
}

Json tag_json(std::string_view text, const TagPrediction& prediction,
              const std::vector<std::string>& labels) {
  const auto offsets = character_offsets(text);
  const auto character = [&](std::int64_t byte) {
    return std::ranges::lower_bound(offsets, byte) - offsets.begin();
  };
  Json spans = Json::array();
  for (const Span& span : prediction.spans)
    spans.push_back({{"start", character(span.begin)},
                     {"end", character(span.end)},
                     {"label", span.name},
                     {"text", text.substr(static_cast<std::size_t>(span.begin),
                                          static_cast<std::size_t>(span.end - span.begin))}});
  Json json = {{"spans", std::move(spans)},
               {"tokens", prediction.tokens},
               {"truncated", prediction.truncated}};
  if (const auto& label = prediction.label) {
    json["label"] = labels[label->label];
    // Six digits: what calibration can promise, and what does not depend on the batch.
    json["probability"] =
        std::round(static_cast<double>(label->probabilities[label->label]) * 1e6) / 1e6;
    json["out_of_scope"] = label->out_of_scope;
  }
  return json;
}

std::vector<bool> TagEvaluation::right() const {
  std::vector<bool> out;
  for (std::size_t i = 0; i < answers.truth.size(); ++i)
    out.push_back(
        answers.truth[i] == answers.predicted[i] &&
        (answers.label_truth.empty() || answers.label_truth[i] == answers.label_predicted[i]));
  return out;
}

Json TagEvaluation::to_json() const {
  Json json = {{"rows", metrics.rows},
               {"f1", interval(metrics.f1)},
               {"precision", interval(metrics.precision)},
               {"recall", interval(metrics.recall)},
               {"exact", interval(metrics.exact)},
               {"latency_us", latency_json(latency_us)},
               {"texts_per_second", texts_per_second},
               {"truncated_rows", truncated_rows}};
  if (metrics.accuracy) json["accuracy"] = interval(*metrics.accuracy);
  Json& names = json["per_span"] = Json::object();
  for (const auto& [name, c] : metrics.per_name)
    names[name] = {
        {"precision", c.precision}, {"recall", c.recall}, {"f1", c.f1}, {"support", c.support}};
  return json;
}

Result<TagEvaluation> evaluate(Tagger& tagger, const Dataset& data,
                               const EvaluateOptions& options) {
  TagEvaluation result;
  SpanAnswers& answers = result.answers;
  answers.truth = data.spans;
  const bool labelled = !tagger.labels().empty();
  if (labelled) answers.label_truth = data.labels;
  const std::vector<std::string_view> texts(data.texts.begin(), data.texts.end());
  const auto answer = [&](std::size_t first, std::size_t count) {
    return tagger.predict(std::span(texts).subspan(first, count));
  };
  const auto take = [&](std::size_t, std::vector<TagPrediction>& predictions) {
    for (TagPrediction& p : predictions) {
      answers.predicted.push_back(std::move(p.spans));
      if (labelled)
        // As for classifiers, the threshold counts where there is something to refuse.
        answers.label_predicted.push_back(
            p.label->out_of_scope && answers.label_truth[answers.label_predicted.size()] < 0
                ? kOutOfScope
                : static_cast<std::int32_t>(p.label->label));
      result.truncated_rows += p.truncated > 0 ? 1 : 0;
    }
  };
  TACK_RETURN_IF_ERROR(run_timed(data.size(), 1024, options, answer, take, result));
  result.metrics = compute_span_metrics(answers, options.metrics);
  return result;
}

}  // namespace tack
