#include "gateway/router_card.h"

#include <algorithm>
#include <cmath>

#include "gateway/router_features.h"

namespace tack::gateway {
namespace {

constexpr int kFormatVersion = 1;

// Reads the fields of an object; the first that is missing or wrong is remembered, and what is read
// after it does not count.
class Fields {
 public:
  Fields(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) wrong("", "is no object");
  }
  const Json* find(const char* key) const {
    if (!json_.is_object()) return nullptr;
    const auto at = json_.find(key);
    return at == json_.end() || at->is_null() ? nullptr : &*at;
  }
  double number(const char* key, double low, double high) {
    const Json* value = find(key);
    if (value == nullptr || !value->is_number()) return wrong(key, "is no number"), low;
    const auto number = value->get<double>();
    if (!(number >= low && number <= high))
      return wrong(key, fmt::format("is {}, outside [{}, {}]", number, low, high)), low;
    return number;
  }
  bool boolean(const char* key) {
    const Json* value = find(key);
    if (value == nullptr || !value->is_boolean())
      return wrong(key, "is neither true nor false"), false;
    return value->get<bool>();
  }
  std::string text(const char* key) {
    const Json* value = find(key);
    if (value == nullptr || !value->is_string() || value->get_ref<const std::string&>().empty())
      return wrong(key, "is no text"), "";
    return value->get<std::string>();
  }
  const Json& list(const char* key, std::size_t least, std::size_t most) {
    static const Json kNone = Json::array();
    const Json* value = find(key);
    if (value == nullptr || !value->is_array()) return wrong(key, "is no list"), kNone;
    if (value->size() < least || value->size() > most)
      return wrong(key, fmt::format("has {} elements", value->size())), kNone;
    return *value;
  }
  void wrong(std::string_view key, std::string_view what) {
    if (status_) status_ = fail("{}{}{} {}", where_, key.empty() ? "" : ".", key, what);
  }
  const Status& status() const { return status_; }

 private:
  const Json& json_;
  std::string where_;
  Status status_;
};

constexpr double kMostRate = 1e6;  // of a unit of cost; more than any difference of qualities

Json policy_json(const RoutingPolicy& policy) {
  return {{"rate", policy.rate}, {"always_strong", policy.always_strong}};
}

Result<RoutingPolicy> policy_from(const Json& json, const std::string& where) {
  Fields fields(json, where);
  RoutingPolicy policy;
  policy.rate = fields.number("rate", -kMostRate, kMostRate);
  policy.always_strong = fields.boolean("always_strong");
  TACK_RETURN_IF_ERROR(fields.status());
  return policy;
}

Result<RoutedModel> model_from(const Json& json, const std::string& where) {
  Fields fields(json, where);
  RoutedModel model;
  model.name = fields.text("name");
  model.price.input = fields.number("input_price", 0, 1e9);
  model.price.output = fields.number("output_price", 0, 1e9);
  model.cost = fields.number("cost", 0, 1);
  model.quality = fields.number("quality", 0, 1);
  TACK_RETURN_IF_ERROR(fields.status());
  return model;
}

Result<std::vector<RoutedModel>> models_from(Fields& fields) {
  std::vector<RoutedModel> models;
  for (const Json& json : fields.list("models", 2, kMaxRoutedModels)) {
    TACK_TRY(RoutedModel model, model_from(json, fmt::format("models[{}]", models.size())));
    if (std::ranges::find(models, model.name, &RoutedModel::name) != models.end())
      return fail("two models are called '{}'", model.name);
    models.push_back(std::move(model));
  }
  return models;
}

Result<std::vector<PolicyPoint>> points_from(Fields& fields) {
  constexpr std::size_t kMost = 10'000;
  std::vector<PolicyPoint> points;
  for (const Json& json : fields.list("points", 1, kMost)) {
    const std::string where = fmt::format("points[{}]", points.size());
    TACK_TRY(const RoutingPolicy policy, policy_from(json, where));
    Fields own(json, where);
    PolicyPoint point{policy, own.number("strong_share", 0, 1), own.number("cost", 0, 1),
                      own.number("quality", 0, 1)};
    TACK_RETURN_IF_ERROR(own.status());
    if (!points.empty() && point.policy.rate < points.back().policy.rate)
      return fail("{}.rate is below the one before", where);
    points.push_back(point);
  }
  return points;
}

Result<RouterEncoder> encoder_from(const Json& json) {
  Fields fields(json, "encoder");
  RouterEncoder encoder;
  encoder.name = fields.text("name");
  encoder.dims = static_cast<std::int64_t>(fields.number("dims", 1, 65536));
  for (const Json& number : fields.list("probe", 1, kProbeNumbers)) {
    if (!number.is_number()) fields.wrong("probe", "is no list of numbers");
    if (number.is_number()) encoder.probe.push_back(number.get<float>());
  }
  TACK_RETURN_IF_ERROR(fields.status());
  return encoder;
}

Status check_versions(Fields& fields) {
  const double format = fields.number("version", 0, 1e6);
  const double features = fields.number("features", 0, 1e6);
  TACK_RETURN_IF_ERROR(fields.status());
  if (format != kFormatVersion || features != kFeatureVersion)
    return fail("made by another version of tack (format {}, features {}; this one reads {}, {})",
                format, features, kFormatVersion, kFeatureVersion);
  return {};
}

}  // namespace

std::size_t RouterCard::cheapest() const {
  std::size_t best = 0;
  for (std::size_t m = 1; m < models.size(); ++m) {
    const bool better = models[m].quality > models[best].quality;
    if (models[m].cost < models[best].cost || (models[m].cost == models[best].cost && better))
      best = m;
  }
  return best;
}

Json to_json(const RouterCard& card) {
  Json json = {{"version", kFormatVersion}, {"features", kFeatureVersion}};
  json["models"] = Json::array();
  for (const RoutedModel& model : card.models)
    json["models"].push_back({{"name", model.name},
                              {"input_price", model.price.input},
                              {"output_price", model.price.output},
                              {"cost", model.cost},
                              {"quality", model.quality}});
  json["strong"] = card.strong;
  json["encoder"] = nullptr;
  if (card.encoder)
    json["encoder"] = {
        {"name", card.encoder->name}, {"dims", card.encoder->dims}, {"probe", card.encoder->probe}};
  json["policy"] = policy_json(card.policy);
  json["points"] = Json::array();
  for (const PolicyPoint& point : card.points) {
    Json own = policy_json(point.policy);
    own["strong_share"] = point.strong_share;
    own["cost"] = point.cost;
    own["quality"] = point.quality;
    json["points"].push_back(std::move(own));
  }
  json["target"] = card.target;
  json["measured"] = card.measured;
  json["lineage"] = card.lineage;
  return json;
}

Result<RouterCard> router_card_from(const Json& json) {
  Fields fields(json, "tack.router");
  TACK_RETURN_IF_ERROR(check_versions(fields));
  RouterCard card;
  TACK_TRY(card.models, models_from(fields));
  card.strong = static_cast<std::size_t>(fields.number("strong", 0, kMaxRoutedModels));
  TACK_RETURN_IF_ERROR(fields.status());
  if (card.strong >= card.models.size()) return fail("tack.router.strong names no model");
  if (const Json* encoder = fields.find("encoder")) {
    TACK_TRY(card.encoder, encoder_from(*encoder));
  }
  const Json* policy = fields.find("policy");
  if (policy == nullptr) return fail("tack.router.policy is missing");
  TACK_TRY(card.policy, policy_from(*policy, "policy"));
  TACK_TRY(card.points, points_from(fields));
  TACK_RETURN_IF_ERROR(fields.status());
  const auto copy = [&](const char* key) {
    const Json* value = fields.find(key);
    return value == nullptr ? Json() : *value;
  };
  card.target = copy("target");
  card.measured = copy("measured");
  card.lineage = copy("lineage");
  return card;
}

}  // namespace tack::gateway
