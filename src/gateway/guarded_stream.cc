#include "gateway/guarded_stream.h"

#include <algorithm>
#include <chrono>
#include <map>

namespace tack::gateway {

using guard::Role;
using guard::Stage;
using guard::Subject;
using guard::Verdict;
using net::Async;

namespace {

// Between two checks that ask models; without models every event is checked. A check may take a
// fifth of the time: a free machine looks at nearly every token, a busy one at many together.
constexpr int kTimesOfACheck = 4;
constexpr std::chrono::milliseconds kLeastTime{5};
constexpr std::size_t kMostHeldEvents = 16;
constexpr std::size_t kMostHeldBytes = 8192;  // of events
constexpr std::chrono::milliseconds kMostHeldTime{50};
// Of an answer that has to be held whole.
constexpr std::size_t kMostWholeBytes = 8 << 20;

// What one event adds to a choice: its texts, and the arguments it gives to tools.
std::string text_of(const Json& choice) {
  std::string text;
  const auto add = [&](const Json& value) {
    if (value.is_string()) text += value.get_ref<const std::string&>();
  };
  if (const Json* own = find_member(choice, "text")) add(*own);
  const Json* delta = find_member(choice, "delta");
  if (delta == nullptr || !delta->is_object()) return text;
  for (const auto& [name, value] : delta->items()) {
    if (name == "tool_calls" && value.is_array()) {
      for (const Json& call : value)
        if (const Json* function = find_member(call, "function"))
          if (const Json* arguments = find_member(*function, "arguments")) add(*arguments);
    } else if (name != "role") {
      add(value);
    }
  }
  return text;
}

// What one choice has said.
struct Said {
  std::string text;
  std::size_t checked = 0;  // up to here nothing is wrong, whatever follows
  std::size_t judged = 0;   // the end of what the last check saw
};

class GuardedStream final : public EventStream {
 public:
  GuardedStream(const Guarding& guarding, std::shared_ptr<const Exchange> exchange,
                std::deque<std::string> read, std::unique_ptr<EventStream> events, Outcome outcome)
      : guarding_(guarding),
        exchange_(std::move(exchange)),
        whole_(guarding.guard().needs_whole_answer()),
        read_(std::move(read)),
        events_(std::move(events)),
        outcome_(std::move(outcome)) {}

  Async<Expected<std::optional<std::string>>> next() override {
    while (true) {
      if (!passed_.empty()) {
        std::optional<std::string> event = std::move(passed_.front());
        passed_.pop_front();
        co_return event;
      }
      if (ended_) co_return std::nullopt;
      if (failure_) co_return std::unexpected(*failure_);
      co_await advance();
    }
  }

  Outcome outcome() const override {
    Outcome outcome = events_ != nullptr ? events_->outcome() : outcome_;
    if (blocked_) outcome.finish_reason = "content_filter";
    return outcome;
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Held {
    std::string event;
    std::map<std::size_t, std::size_t>
        ends;  // of each choice it speaks for: what it says ends here
  };

  // Takes one event and, when it is time, checks what is held.
  Async<void> advance() {
    bool at_end = false;
    if (!read_.empty()) {
      take(std::move(read_.front()));
      read_.pop_front();
    } else if (events_ == nullptr) {
      at_end = true;
    } else {
      auto event = co_await events_->next();
      if (!event)
        broken_ = event.error();
      else if (*event)
        take(**std::move(event));
      at_end = !event || !*event;
    }
    if (at_end || is_time()) co_await check(at_end);
    if (blocked_) co_return;
    pass(at_end);
    if (at_end && broken_) failure_ = broken_;
    if (at_end && !broken_) ended_ = true;
  }

  void take(std::string event) {
    Held held{std::move(event), {}};
    const Json json = Json::parse(held.event, nullptr, false);
    const Json* choices = json.is_object() ? find_member(json, "choices") : nullptr;
    if (choices != nullptr && choices->is_array()) {
      for (const Json& choice : *choices) {
        Said& said = said_[index_of(choice)];
        said.text += text_of(choice);
        held.ends[index_of(choice)] = said.text.size();
      }
      if (!choices->empty()) head_ = head_of(json);
    }
    held_bytes_ += held.event.size();
    held_.push_back(std::move(held));
    ++unchecked_;
  }

  bool is_time() const {
    if (whole_) return held_bytes_ > kMostWholeBytes;
    return !guarding_.output_asks_models() || begins() || unchecked_ >= kMostHeldEvents ||
           held_bytes_ >= kMostHeldBytes || Clock::now() >= next_check_;
  }

  // Until the first word of an answer has gone every piece is checked, so that it does not wait.
  bool begins() const {
    return std::ranges::any_of(said_, [](const auto& choice) {
      return choice.second.checked == 0 && choice.second.judged < choice.second.text.size();
    });
  }

  Async<void> check(bool complete) {
    const auto begun = Clock::now();
    for (auto& [index, said] : said_) {
      if (said.judged == said.text.size() && !complete) continue;
      // What was asked matters to checks of whole answers alone, and may be long.
      Subject subject;
      if (complete) subject.passages = Guarding::passages_of(*exchange_->call);
      subject.complete = complete;
      subject.judged = said.judged;
      subject.passages.push_back({Role::kAssistant, said.text});
      Verdict verdict = co_await guarding_.run(Stage::kOutput, std::move(subject));
      guarding_.note(*exchange_, Stage::kOutput, verdict);
      if (verdict.blocked) {
        block(verdict);
        co_return;
      }
      said.judged = said.text.size();
      const std::size_t held_back = complete ? 0 : guarding_.guard().held_back(said.text);
      said.checked =
          std::max(said.checked, said.text.size() - std::min(held_back, said.text.size()));
    }
    if (whole_ && !complete) {
      broken_ = Failure{.message = "the answer is longer than what can be held to be checked"};
      failure_ = broken_;
      held_.clear();
    }
    unchecked_ = 0;
    const auto now = Clock::now();
    next_check_ = now + std::clamp<Clock::duration>(kTimesOfACheck * (now - begun), kLeastTime,
                                                    kMostHeldTime);
  }

  // What has been checked may go, in order.
  void pass(bool complete) {
    if (whole_ && !complete) return;
    while (!held_.empty()) {
      for (const auto& [index, end] : held_.front().ends)
        if (end > said_[index].checked) return;
      held_bytes_ -= held_.front().event.size();
      passed_.push_back(std::move(held_.front().event));
      held_.pop_front();
    }
  }

  // Nothing of what is held goes out, and the model is told to stop.
  void block(const Verdict& verdict) {
    outcome_ = outcome();
    events_.reset();
    blocked_ = ended_ = true;
    held_.clear();
    read_.clear();
    Json event = head_;
    event["choices"] = Json::array();
    const bool chat = exchange_->call->operation == Operation::kChat;
    const std::string refusal = refusal_of(guarding_.guard(), verdict);
    for (const auto& [index, said] : said_) {
      Json choice = {{"index", index}};
      if (chat)
        choice["delta"] = {{"refusal", refusal}};
      else
        choice["text"] = "";
      choice["finish_reason"] = "content_filter";
      event["choices"].push_back(std::move(choice));
    }
    passed_.push_back(to_text(event));
  }

  const Guarding& guarding_;
  const std::shared_ptr<const Exchange> exchange_;
  const bool whole_;
  std::deque<std::string> read_;
  std::unique_ptr<EventStream> events_;
  Outcome outcome_;
  std::deque<Held> held_;
  std::deque<std::string> passed_;
  std::map<std::size_t, Said> said_;  // by choice
  Json head_ = Json::object();        // of an event with choices
  std::size_t held_bytes_ = 0, unchecked_ = 0;
  Clock::time_point next_check_{};
  std::optional<Failure> broken_, failure_;
  bool ended_ = false, blocked_ = false;
};

}  // namespace

std::unique_ptr<EventStream> guarded_stream(const Guarding& guarding,
                                            std::shared_ptr<const Exchange> exchange,
                                            std::deque<std::string> read,
                                            std::unique_ptr<EventStream> events, Outcome outcome) {
  return std::make_unique<GuardedStream>(guarding, std::move(exchange), std::move(read),
                                         std::move(events), std::move(outcome));
}

}  // namespace tack::gateway
