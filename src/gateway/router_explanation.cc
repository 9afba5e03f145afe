#include "gateway/router_explanation.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace tack::gateway {
namespace {

// A word as people see it: between white space, without signs at its ends.
std::string_view bare(std::string_view word) {
  const auto is_sign = [](char c) {
    return static_cast<unsigned char>(c) < 0x80 && std::isalnum(static_cast<unsigned char>(c)) == 0;
  };
  while (!word.empty() && is_sign(word.front())) word.remove_prefix(1);
  while (!word.empty() && is_sign(word.back())) word.remove_suffix(1);
  return word;
}

// Calls each(begin, end) for what stands between white space.
void each_word(std::string_view text,
               const std::function<void(std::size_t begin, std::size_t end)>& each) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  for (std::size_t at = text.find_first_not_of(kSpace); at != std::string_view::npos;) {
    const std::size_t end = std::min(text.find_first_of(kSpace, at), text.size());
    each(at, end);
    at = text.find_first_not_of(kSpace, end);
  }
}

std::vector<std::string_view> distinct_words(std::string_view text, std::size_t most) {
  std::vector<std::string_view> words;
  each_word(text, [&](std::size_t begin, std::size_t end) {
    const std::string_view word = bare(text.substr(begin, end - begin));
    if (word.empty() || words.size() >= most) return;
    if (std::ranges::find(words, word) == words.end()) words.push_back(word);
  });
  return words;
}

std::string without(std::string_view text, std::string_view word) {
  std::string out;
  std::size_t copied = 0;
  each_word(text, [&](std::size_t begin, std::size_t end) {
    if (bare(text.substr(begin, end - begin)) != word) return;
    out += text.substr(copied, begin - copied);
    copied = end;
  });
  return out += text.substr(copied);
}

class Explainer {
 public:
  Explainer(const LearnedRouter& router, const RouterEmbed& embed)
      : router_(router), embed_(embed), features_(router.features()) {}

  // Leaves the text's features in features().
  Result<std::vector<float>> quality(std::string_view text) {
    std::vector<float> embedding;
    if (router_.needs_embedding()) {
      TACK_TRY(embedding, embed_(text));
    }
    TACK_RETURN_IF_ERROR(router_.features_of(text, embedding, features_));
    return quality_of(features_);
  }
  std::vector<float> quality_of(std::span<const float> features) const {
    std::vector<float> out(router_.models());
    router_.quality_of_features(features, out);
    return out;
  }
  double gain(std::span<const float> quality) const {
    const RouterCard& card = router_.card();
    return static_cast<double>(quality[card.strong]) -
           static_cast<double>(quality[card.cheapest()]);
  }
  // The gain if the features from `begin` to `end` were as in most training prompts.
  double typical_gain(std::size_t begin, std::size_t end) const {
    std::vector<float> changed = features_;
    for (std::size_t f = begin; f < end; ++f) changed[f] = router_.typical()[f];
    return gain(quality_of(changed));
  }

 private:
  const LearnedRouter& router_;
  const RouterEmbed& embed_;
  std::vector<float> features_;
};

void strongest_first(std::vector<Influence>& influences) {
  std::erase_if(influences, [](const Influence& i) { return std::abs(i.change) < 0.0005; });
  std::ranges::stable_sort(influences, std::greater{},
                           [](const Influence& i) { return std::abs(i.change); });
}

std::string listed(std::span<const Influence> influences, std::size_t most) {
  std::string out;
  for (const Influence& influence : influences.first(std::min(most, influences.size())))
    out += fmt::format("{}{} {:+.3f}", out.empty() ? "" : ", ", influence.what, influence.change);
  return out.empty() ? "nothing" : out;
}

Json listed_json(const std::vector<Influence>& influences) {
  Json out = Json::array();
  for (const Influence& influence : influences)
    out.push_back({{"what", influence.what}, {"change", influence.change}});
  return out;
}

}  // namespace

Result<RouteExplanation> explain_route(const LearnedRouter& router, std::string_view text,
                                       const RoutingPolicy& policy, const RouterEmbed& embed,
                                       std::size_t most_words) {
  RouteExplanation out;
  Explainer explainer(router, embed);
  TACK_TRY(out.quality, explainer.quality(text));
  out.policy = policy;
  out.choice = choose(router.card(), out.quality, policy);
  out.gain = explainer.gain(out.quality);
  for (std::size_t f = 0; f < kForms; ++f)
    out.forms.push_back(
        {std::string(name_of(static_cast<Form>(f))), out.gain - explainer.typical_gain(f, f + 1)});
  out.topic = out.gain - explainer.typical_gain(kForms, router.features());
  strongest_first(out.forms);
  for (const std::string_view word : distinct_words(text, most_words)) {
    TACK_TRY(const std::vector<float> changed, explainer.quality(without(text, word)));
    out.words.push_back({fmt::format("'{}'", word), out.gain - explainer.gain(changed)});
  }
  strongest_first(out.words);
  return out;
}

std::string explanation_text(const RouterCard& card, const RouteExplanation& explanation) {
  constexpr std::size_t kListed = 5;
  std::string out = fmt::format("asks {}\n", explanation.choice.reason);
  for (std::size_t m = 0; m < card.models.size(); ++m)
    out += fmt::format("  {:<32} {:5.1f} % to suffice, at {:5.1f} % of the dearest model's cost\n",
                       card.models[m].name, 100 * static_cast<double>(explanation.quality[m]),
                       100 * card.models[m].cost);
  out += fmt::format("gain of {} over {}: {:.3f}; of that\n", card.models[card.strong].name,
                     card.models[card.cheapest()].name, explanation.gain);
  out += fmt::format("  what it is about: {:+.3f}\n", explanation.topic);
  out += fmt::format("  its form: {}\n", listed(explanation.forms, kListed));
  return out + fmt::format("  its words: {}\n", listed(explanation.words, kListed));
}

Json to_json(const RouterCard& card, const RouteExplanation& explanation) {
  Json json = {{"model", card.models[explanation.choice.model].name},
               {"reason", explanation.choice.reason},
               {"rate", explanation.policy.rate},
               {"always_strong", explanation.policy.always_strong},
               {"gain", explanation.gain}};
  json["models"] = Json::array();
  for (std::size_t m = 0; m < card.models.size(); ++m)
    json["models"].push_back({{"name", card.models[m].name},
                              {"quality", explanation.quality[m]},
                              {"cost", card.models[m].cost}});
  json["topic"] = explanation.topic;
  json["forms"] = listed_json(explanation.forms);
  json["words"] = listed_json(explanation.words);
  return json;
}

}  // namespace tack::gateway
