#include "gateway/restored_stream.h"

#include "gateway/fold.h"
#include "privacy/restorer.h"

namespace tack::gateway {

using net::Async;
using privacy::Restorer;
using privacy::Vault;

namespace {

void restore_texts(const Vault& vault, Json& node, bool arguments) {
  if (node.is_string()) {
    auto& text = node.get_ref<std::string&>();
    Restorer restorer(vault, arguments ? privacy::json_text : nullptr);
    std::string out = restorer.add(text);
    text = out + restorer.finish();
  } else if (node.is_object()) {
    for (auto& [name, value] : node.items()) restore_texts(vault, value, name == "arguments");
  } else if (node.is_array()) {
    for (Json& value : node) restore_texts(vault, value, arguments);
  }
}

// The texts of one choice: "content", "refusal", "text" and what else there is, and of each call of
// a tool its arguments.
class Choice {
 public:
  explicit Choice(const Vault& vault) : vault_(vault) {}

  // `choice`: of one event. Its texts become what can be given out.
  void restore(Json& choice) {
    if (const auto text = choice.find("text"); text != choice.end() && text->is_string())
      add(restorer(texts_, "text", false), *text);
    if (const auto delta = choice.find("delta"); delta != choice.end() && delta->is_object())
      for (auto& [name, value] : delta->items()) {
        if (name == "tool_calls")
          restore_calls(value);
        else if (name != "role" && value.is_string())
          add(restorer(texts_, name, false), value);
      }
    const Json* reason = find_member(choice, "finish_reason");
    if (reason != nullptr) give_out(choice);
  }
  // Adds what is held; false when that is nothing.
  bool give_out(Json& choice) {
    bool any = false;
    for (auto& [name, one] : texts_) {
      const std::string held = one.finish();
      if (held.empty()) continue;
      any = true;
      Json& to = name == "text" ? choice["text"] : delta_of(choice)[name];
      to = (to.is_string() ? to.get<std::string>() : "") + held;
    }
    for (auto& [index, one] : calls_) {
      const std::string held = one.finish();
      if (held.empty()) continue;
      any = true;
      Json& calls = delta_of(choice)["tool_calls"];
      if (!calls.is_array()) calls = Json::array();
      Json function = {{"arguments", held}};
      calls.push_back({{"index", index}, {"function", std::move(function)}});
    }
    return any;
  }

 private:
  template <class Key, class Name>
  Restorer& restorer(std::map<Key, Restorer>& all, const Name& name, bool arguments) {
    const auto at = all.find(name);
    if (at != all.end()) return at->second;
    return all.try_emplace(name, vault_, arguments ? privacy::json_text : nullptr).first->second;
  }
  // An upstream may send anything in its place.
  static Json& delta_of(Json& choice) {
    Json& delta = choice["delta"];
    if (!delta.is_object()) delta = Json::object();
    return delta;
  }
  static void add(Restorer& to, Json& text) { text = to.add(text.get_ref<const std::string&>()); }
  void restore_calls(Json& calls) {
    if (!calls.is_array()) return;
    for (Json& call : calls) {
      const auto function = call.is_object() ? call.find("function") : call.end();
      if (!call.is_object() || function == call.end() || !function->is_object()) continue;
      const auto arguments = function->find("arguments");
      if (arguments != function->end() && arguments->is_string())
        add(restorer(calls_, index_of(call), true), *arguments);
    }
  }

  const Vault& vault_;
  std::map<std::string, Restorer> texts_;  // by member
  std::map<std::size_t, Restorer> calls_;  // by index
};

class RestoredStream final : public EventStream {
 public:
  RestoredStream(std::shared_ptr<const MaskedCall> masked, std::unique_ptr<EventStream> events)
      : masked_(std::move(masked)), events_(std::move(events)) {}

  Async<Expected<std::optional<std::string>>> next() override {
    auto event = co_await events_->next();
    if (!event) co_return event;
    if (!*event) co_return rest();
    Json json = Json::parse(**event, nullptr, false);
    const auto choices = json.is_object() ? json.find("choices") : json.end();
    if (!json.is_object() || choices == json.end() || !choices->is_array()) co_return event;
    for (Json& choice : *choices)
      if (choice.is_object()) choice_of(index_of(choice)).restore(choice);
    if (!choices->empty()) head_ = head_of(json);
    std::optional<std::string> text = to_text(json);
    co_return text;
  }
  Outcome outcome() const override { return events_->outcome(); }

 private:
  static constexpr std::size_t kMostChoices = 128;

  Choice& choice_of(std::size_t index) {
    index = std::min(index, kMostChoices);
    return choices_.try_emplace(index, masked_->vault()).first->second;
  }
  // Of a stream that ended without saying so; once.
  std::optional<std::string> rest() {
    Json event = std::exchange(head_, Json());
    if (event.is_null()) return std::nullopt;
    event["choices"] = Json::array();
    for (auto& [index, choice] : choices_) {
      Json part = {{"index", index}};
      if (choice.give_out(part)) event["choices"].push_back(std::move(part));
    }
    if (event["choices"].empty()) return std::nullopt;
    return to_text(event);
  }

  const std::shared_ptr<const MaskedCall> masked_;
  const std::unique_ptr<EventStream> events_;
  std::map<std::size_t, Choice> choices_;
  Json head_;  // of an event with choices
};

}  // namespace

std::string restored_body(const Vault& vault, const std::string& body) {
  Json json = Json::parse(body, nullptr, false);
  if (!json.is_object()) return body;
  if (const auto choices = json.find("choices"); choices != json.end())
    restore_texts(vault, *choices, false);
  return to_text(json);
}

std::unique_ptr<EventStream> restored_stream(std::shared_ptr<const MaskedCall> masked,
                                             std::unique_ptr<EventStream> events) {
  return std::make_unique<RestoredStream>(std::move(masked), std::move(events));
}

}  // namespace tack::gateway
