#include "gateway/answer_meter.h"

#include <algorithm>
#include <cmath>

#include <simdjson.h>

#include "gateway/upstream_request.h"

namespace tack::gateway {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kKeptParser = 1024 * 1024;  // bytes of JSON; what is longer is seldom

// Copies the text where it must, and keeps its memory for the next one of the thread.
struct Parsed {
  explicit Parsed(std::string_view json) {
    if (json.empty()) return;  // a view of nothing may have no address to copy from
    thread_local dom::parser kept;
    dom::parser& parser = json.size() <= kKeptParser ? kept : own;
    error = parser.parse(json.data(), json.size()).get(root);
  }
  dom::parser own;
  dom::element root;
  simdjson::error_code error = simdjson::EMPTY;
};

std::optional<dom::element> member(dom::element value, std::string_view name) {
  dom::object object;
  dom::element found;
  if (value.get(object) || object.at_key(name).get(found) || found.is_null()) return std::nullopt;
  return found;
}

std::string_view text_member(dom::element value, std::string_view name) {
  std::string_view text;
  const auto found = member(value, name);
  return found && !found->get(text) ? text : std::string_view();
}

std::int64_t count_member(dom::element value, std::string_view name) {
  std::int64_t count = 0;
  const auto found = member(value, name);
  if (!found || found->get(count)) return 0;
  return std::clamp<std::int64_t>(count, 0, std::int64_t{1} << 40);
}

// Calls with each item of a list; how many there are.
template <class Visit>
std::size_t for_each(dom::element value, std::string_view name, const Visit& visit) {
  dom::array list;
  const auto found = member(value, name);
  if (!found || found->get(list)) return 0;
  std::size_t index = 0;
  for (const dom::element item : list) visit(item, index++);
  return index;
}

store::TokenUse usage_of(dom::element usage) {
  store::TokenUse use{.prompt = count_member(usage, "prompt_tokens"),
                      .completion = count_member(usage, "completion_tokens")};
  if (const auto details = member(usage, "prompt_tokens_details"))
    use.cached = std::min(use.prompt, count_member(*details, "cached_tokens"));
  return use;
}

// Of a message or a delta: what the model wrote.
std::size_t written_bytes(dom::element message) {
  std::size_t bytes = 0;
  for (const char* name : {"content", "refusal", "reasoning_content", "reasoning"})
    bytes += text_member(message, name).size();
  for_each(message, "tool_calls", [&](dom::element call, std::size_t) {
    if (const auto function = member(call, "function"))
      bytes += text_member(*function, "name").size() + text_member(*function, "arguments").size();
  });
  return bytes;
}

struct LogProbabilities {
  double sum = 0;
  std::size_t count = 0;
};

// Of chats {"content": [{"logprob": -0.1}]}, of completions {"token_logprobs": [-0.1]}.
LogProbabilities log_probabilities(dom::element logprobs) {
  LogProbabilities out;
  const auto add = [&](dom::element token, std::size_t) {
    double value = 0;
    const auto inner = token.is_object() ? member(token, "logprob") : std::optional(token);
    if (!inner || inner->get(value) || !std::isfinite(value)) return;
    out.sum += std::min(value, 0.0);
    ++out.count;
  };
  for (const char* name : {"content", "token_logprobs"}) for_each(logprobs, name, add);
  return out;
}

}  // namespace

AnswerMeter::Kind AnswerMeter::invalid(std::string_view why) {
  why_ = why;
  return Kind::kInvalid;
}

AnswerMeter::Kind AnswerMeter::add_body(std::string_view json) {
  return call_->operation == Operation::kEmbeddings ? add_embeddings(json) : look_at(json, false);
}

AnswerMeter::Kind AnswerMeter::add_chunk(std::string_view json) {
  return look_at(json, true);
}

AnswerMeter::Kind AnswerMeter::look_at(std::string_view json, bool chunk) {
  const Parsed parsed(json);
  if (parsed.error)
    return invalid(fmt::format("the {} is no JSON: {}", chunk ? "event" : "answer",
                               simdjson::error_message(parsed.error)));
  if (!parsed.root.is_object())
    return invalid(chunk ? "the event is no JSON object" : "the answer is no JSON object");
  if (member(parsed.root, "error")) return Kind::kError;
  const auto usage = member(parsed.root, "usage");
  if (usage && usage->is_object()) usage_ = usage_of(*usage);
  const std::size_t choices =
      for_each(parsed.root, "choices", [&](dom::element choice, std::size_t index) {
        for (const char* name : {"message", "delta"})
          if (const auto message = member(choice, name)) text_bytes_ += written_bytes(*message);
        text_bytes_ += text_member(choice, "text").size();
        if (const auto reason = text_member(choice, "finish_reason"); !reason.empty())
          outcome_.finish_reason = reason;
        const auto logprobs = member(choice, "logprobs");
        if (!logprobs || index > 0) return;
        const LogProbabilities more = log_probabilities(*logprobs);
        log_probability_ += more.sum;
        log_probabilities_ += more.count;
      });
  if (!chunk && choices == 0) return invalid("the answer has no choices");
  return chunk && choices == 0 && usage_ ? Kind::kUsageOnly : Kind::kAnswer;
}

// Numbers by the thousand: only the frame is looked at.
AnswerMeter::Kind AnswerMeter::add_embeddings(std::string_view json) {
  namespace ondemand = simdjson::ondemand;
  const simdjson::padded_string text(json);
  ondemand::parser parser;
  ondemand::document document;
  ondemand::object object;
  simdjson::error_code error = parser.iterate(text).get(document);
  if (!error) error = document.get_object().get(object);
  if (error)
    return invalid(fmt::format("the answer is no JSON object: {}", simdjson::error_message(error)));
  bool has_data = false;
  for (auto field : object) {
    std::string_view name;
    ondemand::value value;
    error = field.unescaped_key().get(name);
    if (!error) error = std::move(field).value().get(value);
    if (error) break;
    if (name == "error" && !value.is_null()) return Kind::kError;
    if (name == "data") has_data = true;
    if (name != "usage") continue;
    std::string_view raw;
    error = simdjson::to_json_string(value).get(raw);
    const Parsed usage(raw);
    if (!error && !usage.error && usage.root.is_object()) usage_ = usage_of(usage.root);
  }
  if (error)
    return invalid(fmt::format("the answer is no JSON: {}", simdjson::error_message(error)));
  return has_data ? Kind::kAnswer : invalid("the answer has no data");
}

Outcome AnswerMeter::outcome() const {
  Outcome out = outcome_;
  if (usage_)
    out.tokens = *usage_;
  else
    out.tokens = {.prompt = estimate_prompt_tokens(*call_),
                  .completion = static_cast<std::int64_t>((text_bytes_ + 3) / 4),
                  .estimated = true};
  if (log_probabilities_ > 0)
    out.confidence = std::exp(log_probability_ / static_cast<double>(log_probabilities_));
  return out;
}

}  // namespace tack::gateway
