#include "gateway/guarding.h"

#include <cmath>

#include "gateway/guarded_stream.h"
#include "net/deadline.h"

namespace tack::gateway {

using guard::Passage;
using guard::Role;
using guard::Stage;
using guard::Subject;
using guard::Verdict;
using net::Async;

namespace {

// That the I/O thread looks at itself: about a millisecond.
constexpr std::size_t kMostOwnBytes = 16 << 10;

// Content is a string, or parts of which some are texts.
void add_text(const Json& content, std::string& to) {
  if (content.is_string()) {
    to += content.get_ref<const std::string&>();
  } else if (content.is_array()) {
    for (const Json& part : content) {
      const Json* text = part.is_string() ? &part : find_member(part, "text");
      if (text == nullptr || !text->is_string()) continue;
      if (!to.empty()) to += '\n';
      to += text->get_ref<const std::string&>();
    }
  }
}

Role role_of(const Json& message) {
  const Json* role = find_member(message, "role");
  const std::string name = role != nullptr && role->is_string() ? role->get<std::string>() : "";
  if (name == "system" || name == "developer") return Role::kSystem;
  if (name == "assistant") return Role::kAssistant;
  return name == "tool" || name == "function" ? Role::kTool : Role::kUser;
}

// What a message of the assistant says: its text, and the arguments it gives to tools.
std::string said_by(const Json& message) {
  std::string text;
  if (const Json* content = find_member(message, "content")) add_text(*content, text);
  const Json* calls = find_member(message, "tool_calls");
  if (calls == nullptr || !calls->is_array()) return text;
  for (const Json& call : *calls) {
    const Json* function = find_member(call, "function");
    const Json* arguments = function != nullptr ? find_member(*function, "arguments") : nullptr;
    if (arguments == nullptr || !arguments->is_string()) continue;
    if (!text.empty()) text += '\n';
    text += arguments->get_ref<const std::string&>();
  }
  return text;
}

}  // namespace

std::string told(Stage stage, const Verdict& verdict) {
  std::string text;
  for (const guard::Finding& finding : verdict.findings) {
    if (!finding.tripped && !finding.failed) continue;
    text += fmt::format("; guard: {} of the {}", finding.check,
                        stage == Stage::kOutput ? "answer" : "request");
    if (finding.failed) text += " could not be checked";
    if (!finding.category.empty()) text += fmt::format(", {}", finding.category);
    if (!std::isnan(finding.score) && !std::isnan(finding.threshold))
      text += fmt::format(", {:.2f} (trips from {:.2f} on)", finding.score, finding.threshold);
    if (finding.observed) text += ", only observed";
  }
  return text;
}

std::string refusal_of(const guard::Guard& guard, const Verdict& verdict) {
  if (!guard.config().refusal.empty()) return guard.config().refusal;
  const guard::Finding* finding = verdict.first_tripped();
  const std::string why = finding != nullptr ? finding->reason : "a check did not pass";
  return fmt::format("This answer was withheld: {}.", why);
}

void Guarding::note(const Exchange& exchange, Stage stage, const Verdict& verdict) const {
  const std::string note = told(stage, verdict);
  std::string& reason = exchange.account->record.reason;
  // What only observes a stream says the same again with every further token.
  if (note.empty() || reason.contains(note)) return;
  reason += note;
  if (auditing_ != nullptr) auditing_->guard(exchange, stage, verdict);
  if (!verdict.blocked) return;
  const guard::Finding* finding = verdict.first_tripped();
  exchange.account->headers.set("x-tack-guard", finding != nullptr ? finding->check : "blocked");
}

Guarding::Guarding(std::shared_ptr<const guard::Guard> guard, LocalModels& models,
                   const Auditing* auditing, Metrics* metrics, net::Workers* workers)
    : guard_(std::move(guard)),
      models_(models),
      auditing_(auditing),
      metrics_(metrics),
      workers_(workers) {
  const Subject subject{{{Role::kUser, "a question"}, {Role::kAssistant, "an answer"}}, true};
  output_asks_models_ = has(Stage::kOutput) && !guard_->questions(Stage::kOutput, subject).empty();
}

Async<std::vector<Result<guard::Answer>>> Guarding::ask_all(
    std::vector<guard::Question> questions) const {
  std::vector<Result<guard::Answer>> answers;
  for (guard::Question& question : questions) {
    auto answer = co_await models_.ask(std::move(question));
    if (answer)
      answers.emplace_back(*std::move(answer));
    else
      answers.emplace_back(fail("{}", answer.error().message));
  }
  co_return answers;
}

void Guarding::count(Stage stage, const Verdict& verdict, double seconds) const {
  if (metrics_ == nullptr) return;
  std::vector<Metrics::CheckOutcome> outcomes;
  for (const guard::Finding& finding : verdict.findings)
    if (finding.tripped || finding.failed)
      outcomes.push_back({finding.check, finding.observed || !verdict.blocked ? "observed"
                                         : finding.failed                     ? "failed"
                                                                              : "blocked"});
  metrics_->guard(std::string(guard::stage_name(stage)), seconds, outcomes);
}

Async<Verdict> Guarding::run(Stage stage, Subject subject) const {
  const AttemptClock clock;
  std::size_t bytes = 0;
  for (const Passage& passage : subject.passages) bytes += passage.text.size();
  const bool elsewhere = workers_ != nullptr && bytes > kMostOwnBytes;
  std::vector<guard::Question> questions;
  auto ask = [&] { return guard_->questions(stage, subject); };
  if (elsewhere)
    questions = co_await net::offload(*workers_, ask);
  else
    questions = ask();
  std::vector<Result<guard::Answer>> answers;
  if (!questions.empty()) {
    const std::size_t count = questions.size();
    const auto limit = guard_->config().timeout;
    auto in_time = co_await net::within(limit, ask_all(std::move(questions)));
    if (in_time) answers = *std::move(in_time);
    while (answers.size() < count)
      answers.emplace_back(fail("no answer within {} ms", limit.count()));
  }
  Verdict verdict;
  auto judge = [&] { return guard_->judge(stage, subject, answers); };
  if (elsewhere)
    verdict = co_await net::offload(*workers_, judge);
  else
    verdict = judge();
  count(stage, verdict, clock.ms() / 1000);
  co_return verdict;
}

std::vector<Passage> Guarding::passages_of(const Call& call) {
  std::vector<Passage> passages;
  if (call.operation == Operation::kChat) {
    const Json* messages = find_member(call.body, "messages");
    if (messages != nullptr && messages->is_array())
      for (const Json& message : *messages)
        passages.push_back({role_of(message), said_by(message)});
    return passages;
  }
  const Json* input = find_member(call.body, input_member(call.operation));
  std::string text;
  if (input != nullptr) add_text(*input, text);
  passages.push_back({Role::kUser, std::move(text)});
  return passages;
}

Async<std::optional<Failure>> Guarding::check_request(const Exchange& exchange) const {
  if (!has(Stage::kPreFlight) && !has(Stage::kInput)) co_return std::nullopt;
  const std::vector<Passage> passages = passages_of(*exchange.call);
  for (const Stage stage : {Stage::kPreFlight, Stage::kInput}) {
    if (!has(stage)) continue;
    Subject subject{passages};
    const Verdict verdict = co_await run(stage, std::move(subject));
    note(exchange, stage, verdict);
    if (!verdict.blocked) continue;
    const guard::Finding* finding = verdict.first_tripped();
    co_return Failure{.status = 400,
                      .message = finding != nullptr ? finding->reason : "a check did not pass",
                      .type = "invalid_request_error",
                      .code = "content_filter",
                      .param = std::string(input_member(exchange.call->operation)),
                      .another_may_answer = false};
  }
  co_return std::nullopt;
}

Async<void> Guarding::check_answer(const Exchange& exchange, Answer& answer) const {
  Json body = Json::parse(answer.reply.body, nullptr, false);
  const auto choices = body.is_object() ? body.find("choices") : body.end();
  if (!body.is_object() || choices == body.end() || !choices->is_array()) co_return;
  const std::vector<Passage> asked = passages_of(*exchange.call);
  bool changed = false;
  for (Json& choice : *choices) {
    if (!choice.is_object()) continue;
    const auto message = choice.find("message");
    const bool chat = message != choice.end() && message->is_object();
    Subject subject{asked};
    const Json* text = find_member(choice, "text");
    subject.passages.push_back({Role::kAssistant, chat ? said_by(*message)
                                                  : text != nullptr && text->is_string()
                                                      ? text->get<std::string>()
                                                      : std::string()});
    const Verdict verdict = co_await run(Stage::kOutput, std::move(subject));
    note(exchange, Stage::kOutput, verdict);
    if (!verdict.blocked) continue;
    changed = true;
    const std::string refusal = refusal_of(*guard_, verdict);
    if (chat)
      *message = {{"role", "assistant"}, {"content", nullptr}, {"refusal", refusal}};
    else
      choice["text"] = "";
    choice.erase("logprobs");
    choice["finish_reason"] = "content_filter";
    answer.reply.outcome.finish_reason = "content_filter";
  }
  if (changed) answer.reply.body = to_text(body);
}

void Guarding::check_stream(const std::shared_ptr<const Exchange>& exchange, Answer& answer) const {
  answer.reply.events = guarded_stream(*this, exchange, std::exchange(answer.events, {}),
                                       std::move(answer.reply.events), answer.reply.outcome);
  answer.complete = false;
}

}  // namespace tack::gateway
