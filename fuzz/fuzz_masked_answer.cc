// Any bytes as what an upstream answers to a masked call, and as what a guard checks: events that
// are JSON stay JSON, nothing is thrown, and of a word that the guard knows nothing passes.
#include <cstdint>
#include <cstdlib>
#include <deque>

#include "gateway/guarded_stream.h"
#include "gateway/made_up_parts.h"
#include "gateway/masking.h"

namespace {

using namespace tack;
using namespace tack::gateway;
using net::Async;

constexpr std::string_view kWord = "ab";

class WordGuard final : public guard::Guard {
 public:
  WordGuard() { config_.output.emplace_back(); }
  const guard::GuardConfig& config() const override { return config_; }
  std::vector<guard::Question> questions(guard::Stage, const guard::Subject&) const override {
    return {};
  }
  guard::Verdict judge(guard::Stage, const guard::Subject& subject,
                       std::span<const Result<guard::Answer>>) const override {
    guard::Verdict verdict;
    verdict.blocked = subject.passages.back().text.contains(kWord);
    return verdict;
  }
  bool needs_whole_answer() const override { return false; }
  std::size_t held_back(std::string_view answer) const override { return answer.ends_with('a'); }

 private:
  guard::GuardConfig config_;
};

Async<std::vector<std::string>> all_of(std::unique_ptr<EventStream> stream) {
  std::vector<std::string> events;
  while (true) {
    auto event = co_await stream->next();
    if (!event || !*event) break;
    events.push_back(**std::move(event));
  }
  co_return events;
}

std::deque<std::string> split(std::string_view bytes) {
  std::deque<std::string> events;
  while (!bytes.empty() && events.size() < 64) {
    const std::size_t end = bytes.find('\n');
    events.emplace_back(bytes.substr(0, end));
    bytes = end == bytes.npos ? "" : bytes.substr(end + 1);
  }
  return events;
}

// "content" of choice 0.
std::string said(const std::vector<std::string>& events) {
  std::string text;
  for (const std::string& event : events) {
    const Json json = Json::parse(event, nullptr, false);
    const Json* choices = json.is_object() ? find_member(json, "choices") : nullptr;
    if (choices == nullptr || !choices->is_array() || choices->empty()) continue;
    const Json* index = find_member(choices->front(), "index");
    if (index != nullptr && *index != 0) continue;
    const Json* delta = find_member(choices->front(), "delta");
    const Json* content = delta != nullptr ? find_member(*delta, "content") : nullptr;
    if (content != nullptr && content->is_string()) text += content->get<std::string>();
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static NoModels models;
  static const auto masker = *Masker::create({}, models);
  static const auto masked = [] {
    auto call = std::make_shared<Call>();
    call->body = {{"messages", Json::array({{{"role", "user"}, {"content", "x@example.com"}}})}};
    return *run_to_end(masker->mask(call));
  }();
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);

  Reply reply{.events = std::make_unique<ListedEvents>(split(bytes)), .outcome = {}};
  run_to_end(all_of(MaskedCall::restored(masked, std::move(reply)).events));
  Reply body{.body = std::string(bytes), .outcome = {}};
  MaskedCall::restored(masked, std::move(body));
  auto received = std::make_shared<Call>();
  received->body = Json::parse(bytes, nullptr, false);
  if (received->body.is_object()) run_to_end(masker->mask(received));

  static const GatewayConfig config;
  static const Guarding guarding(std::make_shared<WordGuard>(), models);
  auto exchange = std::make_shared<Exchange>();
  exchange->account = std::make_shared<Account>(config, nullptr);
  exchange->call = std::make_shared<Call>();
  const auto passed = run_to_end(all_of(guarded_stream(
      guarding, exchange, {}, std::make_unique<ListedEvents>(split(bytes)), Outcome{})));
  if (said(passed).contains(kWord)) std::abort();
  Guarding::passages_of(*received);
  return 0;
}
