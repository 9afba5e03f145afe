#include "server/decisions.h"

#include <algorithm>
#include <optional>

namespace tack::server {
namespace {

using Kind = DecisionQuestion::Kind;

// A head with what it said of the text.
struct Head {
  std::string_view name;  // "": the model has only this one
  std::span<const std::string> labels;
  const Prediction* said = nullptr;
};

std::vector<Head> heads_of(const ModelInfo& model, std::span<const Prediction> predictions) {
  if (model.heads.empty()) return {{"", model.labels, &predictions[0]}};
  std::vector<Head> heads;
  for (const TaskHead& head : model.heads)
    heads.push_back({head.name, head.labels, &predictions[heads.size()]});
  return heads;
}

bool same_without_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

bool means(const std::string& label, bool value) {
  return same_without_case(label, value ? "true" : "false") ||
         same_without_case(label, value ? "yes" : "no");
}

// The one label that an option stands for.
std::optional<std::size_t> label_of(const Head& head, const Json& option) {
  std::optional<std::size_t> found;
  for (std::size_t k = 0; k < head.labels.size(); ++k) {
    const std::string& label = head.labels[k];
    if (!(option.is_boolean() ? means(label, option.get<bool>()) : option == label)) continue;
    if (found) return std::nullopt;
    found = k;
  }
  return found;
}

std::optional<std::size_t> label_of(const Head& head, const std::string& text) {
  return label_of(head, Json(text));
}

// The label that a predicate names.
std::optional<std::size_t> named_label(const Head& head, const DecisionQuestion& question) {
  if (question.name)
    if (const auto label = label_of(head, *question.name)) return label;
  return label_of(head, question.instructions);
}

// The labels that the question speaks of, in its order; empty when the head does not have them all.
std::vector<std::size_t> labels_of(const Head& head, const DecisionQuestion& question) {
  std::vector<std::size_t> labels;
  if (question.kind == Kind::kPredicate) {
    if (const auto label = named_label(head, question)) labels.push_back(*label);
    return labels;
  }
  for (const Json& option : question.options) {
    const auto label = label_of(head, option);
    if (!label || std::ranges::find(labels, *label) != labels.end()) return {};
    labels.push_back(*label);
  }
  return labels;
}

// "yes" of a head that answers one statement with yes or no.
std::vector<std::size_t> yes_of(const Head& head, const DecisionQuestion&) {
  const auto yes = label_of(head, Json(true));
  if (head.labels.size() != 2 || !yes || !label_of(head, Json(false))) return {};
  return {*yes};
}

// Where the answer is: a head, and labels of it. No labels: the question cannot be answered.
struct Place {
  const Head* head = nullptr;
  std::vector<std::size_t> labels;
};

// The only one of the heads in which `find` finds labels.
template <class Find>
Place only_place(std::span<const Head> heads, const DecisionQuestion& question, const Find& find) {
  Place place;
  for (const Head& head : heads) {
    auto labels = find(head, question);
    if (labels.empty()) continue;
    if (place.head != nullptr) return {};  // either of them could be meant
    place = {&head, std::move(labels)};
  }
  return place;
}

Place place_of(std::span<const Head> heads, const DecisionQuestion& question) {
  if (question.name && heads.size() > 1) {
    const auto named = std::ranges::find(heads, *question.name, &Head::name);
    if (named != heads.end()) heads = std::span(&*named, 1);
  }
  const Place place = only_place(heads, question, labels_of);
  if (!place.labels.empty() || question.kind != Kind::kPredicate) return place;
  return only_place(heads, question, yes_of);
}

// The probabilities of the labels among themselves; empty when they have none.
std::vector<double> shares(const Prediction& said, std::span<const std::size_t> labels) {
  std::vector<double> values;
  double sum = 0;
  for (const std::size_t label : labels) {
    values.push_back(said.probabilities[label]);
    sum += values.back();
  }
  if (!(sum > 0)) return {};
  for (double& value : values) value /= sum;
  return values;
}

Json choice_json(const DecisionQuestion& question, const std::vector<double>& probabilities) {
  const auto best = std::ranges::max_element(probabilities) - probabilities.begin();
  Json list = Json::array();
  for (std::size_t i = 0; i < probabilities.size(); ++i)
    list.push_back({{"value", question.options[i]}, {"probability", probabilities[i]}});
  return {{"type", "choice"},
          {"name", nullptr},
          {"choice", question.options[static_cast<std::size_t>(best)]},
          {"confidence", *std::ranges::max_element(probabilities)},
          {"probabilities", std::move(list)}};
}

Json score_json(const DecisionQuestion& question, const std::vector<double>& probabilities) {
  Json list = Json::array();
  double expected = 0;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    expected += static_cast<double>(i) * probabilities[i];
    list.push_back(
        {{"label", question.options[i]}, {"value", i}, {"probability", probabilities[i]}});
  }
  return {{"type", "score"},
          {"name", nullptr},
          {"score", expected},
          {"confidence", *std::ranges::max_element(probabilities)},
          {"probabilities", std::move(list)}};
}

Json answer(std::span<const Head> heads, const DecisionQuestion& question) {
  const Json refusal = {{"type", "refusal"}, {"name", nullptr}};
  const Place place = place_of(heads, question);
  if (place.labels.empty() || place.head->said->out_of_scope) return refusal;
  const Prediction& said = *place.head->said;
  if (question.kind == Kind::kPredicate)
    return {{"type", "predicate"},
            {"name", nullptr},
            {"probability", said.probabilities[place.labels.front()]}};
  const std::vector<double> probabilities = shares(said, place.labels);
  if (probabilities.empty()) return refusal;
  return question.kind == Kind::kChoice ? choice_json(question, probabilities)
                                        : score_json(question, probabilities);
}

}  // namespace

Json decision_json(const DecisionRequest& request, const ModelInfo& model,
                   std::span<const Prediction> predictions) {
  const std::vector<Head> heads = heads_of(model, predictions);
  Json answers = Json::array();
  std::int64_t given = 0;
  for (const DecisionQuestion& question : request.questions) {
    Json one = answer(heads, question);
    if (question.name) one["name"] = *question.name;
    given += one["type"] != "refusal" ? 1 : 0;
    answers.push_back(std::move(one));
  }
  const std::int64_t tokens = predictions.front().tokens;
  return {{"answers", std::move(answers)},
          {"model", model.id},
          {"usage",
           {{"input_tokens", tokens},
            {"input_tokens_details", {{"cached_tokens", 0}, {"cache_write_tokens", 0}}},
            {"output_tokens", given},
            {"output_tokens_details", {{"reasoning_tokens", 0}}},
            {"total_tokens", tokens + given}}},
          {"truncated", predictions.front().truncated > 0 ? 1 : 0}};
}

}  // namespace tack::server
