#include "engine/generator.h"

#include <algorithm>
#include <utility>

#include "text/stop_matcher.h"
#include "text/tokenizer.h"

namespace tack {
namespace {

constexpr std::size_t kKeptConstraints = 32;
// Tokens that another request is about to read; fewer are read again.
constexpr std::size_t kWorthWaiting = 32;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

std::size_t common_prefix(std::span<const TokenId> a, std::span<const TokenId> b) {
  const auto differ = std::ranges::mismatch(a, b);
  return static_cast<std::size_t>(differ.in1 - a.begin());
}

}  // namespace

struct Generator::Job {
  GenerationId id = 0;
  GenerationRequest request;
  Sampler sampler;
  StopMatcher stops;
  StreamDecoder text;
  std::optional<ConstraintState> form;
  std::vector<std::uint32_t> allowed;  // of the form, by token
  std::vector<TokenId> output;
  std::int64_t reused = 0;

  std::int64_t prompt_tokens() const { return static_cast<std::int64_t>(request.prompt.size()); }
  std::int64_t output_tokens() const { return static_cast<std::int64_t>(output.size()); }
};

std::string_view finish_reason_name(FinishReason reason) {
  return reason == FinishReason::kLength ? "length" : "stop";
}

std::vector<TokenId> end_tokens(const Tokenizer& tokenizer) {
  std::vector<TokenId> ends;
  for (const auto& id : {tokenizer.special().eos, tokenizer.special().eot})
    if (id && std::ranges::find(ends, *id) == ends.end()) ends.push_back(*id);
  return ends;
}

Generator::Generator(std::unique_ptr<Decoder> decoder, const GeneratorOptions& options)
    : options_(options),
      decoder_(std::move(decoder)),
      ends_(end_tokens(decoder_->model().tokenizer())),
      slots_(at(options.decoder.sequences)) {}

Generator::~Generator() = default;

Result<std::unique_ptr<Generator>> Generator::create(std::shared_ptr<const Model> model,
                                                     const GeneratorOptions& options) {
  TACK_TRY(auto decoder, Decoder::create(std::move(model), options.decoder));
  return std::unique_ptr<Generator>(new Generator(std::move(decoder), options));
}

std::int64_t Generator::kv_tokens() const {
  std::size_t sum = 0;
  for (const Slot& slot : slots_) sum += slot.held.size();
  return static_cast<std::int64_t>(sum);
}

std::size_t Generator::running() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(slots_, [](const Slot& slot) { return slot.job != nullptr; }));
}

Result<std::shared_ptr<const Constraint>> Generator::constraint(const OutputForm& form) {
  std::string key = form.kind == OutputForm::Kind::kJson ? "json" : to_text(form.schema);
  for (const std::string& choice : form.choices)
    key += fmt::format("\n{}:{}", choice.size(), choice);
  for (const auto& [kept, constraint] : constraints_)
    if (kept == key) return constraint;
  if (!vocabulary_) {
    const Tokenizer& tokenizer = model().tokenizer();
    // The rows of the logits may be more than the tokens.
    std::vector<std::string> tokens(at(decoder_->vocab_size()));
    const std::int64_t known = std::min(tokenizer.vocab_size(), decoder_->vocab_size());
    for (TokenId id = 0; id < known; ++id) tokens[at(id)] = tokenizer.token_bytes(id);
    TACK_TRY(vocabulary_, TokenVocabulary::create(std::move(tokens), ends_));
  }
  const auto make = [&] {
    switch (form.kind) {
      case OutputForm::Kind::kSchema:
        return Constraint::from_schema(form.schema, vocabulary_);
      case OutputForm::Kind::kChoices:
        return Constraint::from_choices(form.choices, vocabulary_);
      default:
        return Constraint::any_json(vocabulary_);
    }
  };
  TACK_TRY(auto made, make());
  constraints_.emplace_back(std::move(key), made);
  if (constraints_.size() > kKeptConstraints) constraints_.pop_front();
  return made;
}

Result<GenerationId> Generator::add(GenerationRequest request) {
  if (waiting_.size() >= options_.waiting)
    return fail(ErrorCode::kUnreachable,
                "too many requests are waiting ({}); try again in a moment", waiting_.size());
  const auto prompt = static_cast<std::int64_t>(request.prompt.size());
  if (prompt == 0) return fail(ErrorCode::kUsage, "the prompt is empty");
  if (prompt >= context())
    return fail(
        ErrorCode::kUsage,
        "the prompt has {} tokens: with a context of {} at most {} leave room for an answer",
        prompt, context(), context() - 1);
  for (const TokenId id : request.prompt)
    if (id < 0 || id >= decoder_->vocab_size())
      return fail(ErrorCode::kUsage, "token id {} is not in 0 to {}", id,
                  decoder_->vocab_size() - 1);
  if (request.max_tokens < -1)
    return fail(ErrorCode::kUsage, "max_tokens = {}: must be 0 or more", request.max_tokens);
  TACK_TRY(auto sampler, Sampler::create(request.sampling, decoder_->vocab_size()));
  TACK_TRY(auto stops, StopMatcher::create(request.stops));
  std::optional<ConstraintState> form;
  if (request.form.kind != OutputForm::Kind::kFree) {
    TACK_TRY(auto made, constraint(request.form));
    form.emplace(std::move(made));
  }
  const std::int64_t room = context() - prompt;
  if (request.max_tokens < 0 || request.max_tokens > room) request.max_tokens = room;
  const GenerationId id = next_id_++;
  waiting_.push_back(
      std::make_unique<Job>(Job{.id = id,
                                .request = std::move(request),
                                .sampler = std::move(sampler),
                                .stops = std::move(stops),
                                .text = StreamDecoder(model().tokenizer(), /*continues=*/true),
                                .form = std::move(form),
                                .allowed = {},
                                .output = {}}));
  return id;
}

void Generator::cancel(GenerationId id) {
  std::erase_if(waiting_, [&](const auto& job) { return job->id == id; });
  for (Slot& slot : slots_)
    if (slot.job && slot.job->id == id) slot.job.reset();
}

void Generator::clear() {
  waiting_.clear();
  for (std::size_t s = 0; s < slots_.size(); ++s) {
    slots_[s] = {};
    decoder_->rewind(static_cast<std::int64_t>(s), 0);
  }
}

// The free sequence that the prompt goes on with, and that loses less than half of what it has;
// else the one unused for longest: prompts of one template all begin alike.
std::size_t Generator::best_slot(std::span<const TokenId> prompt) const {
  std::size_t best = slots_.size(), most = 0;
  for (std::size_t s = 0; s < slots_.size(); ++s) {
    if (slots_[s].job) continue;
    const std::size_t common = common_prefix(slots_[s].held, prompt);
    const std::size_t kept = 2 * common >= slots_[s].held.size() ? common : 0;
    const bool better = best == slots_.size() || kept > most ||
                        (kept == most && slots_[s].used < slots_[best].used);
    if (better) {
      best = s;
      most = kept;
    }
  }
  return best;
}

// Gives waiting requests, in their order, the sequences that are free. Who begins like a prompt
// that is being read waits for what they share: it is read once.
void Generator::seat() {
  for (auto next = waiting_.begin(); next != waiting_.end();) {
    const std::span<const TokenId> prompt = (*next)->request.prompt;
    const std::size_t s = best_slot(prompt);
    if (s == slots_.size()) return;
    if (is_being_read(prompt, s)) {
      ++next;
      continue;
    }
    bring_prefix(s, prompt);
    (*next)->reused = static_cast<std::int64_t>(slots_[s].held.size());
    slots_[s].job = std::move(*next);
    next = waiting_.erase(next);
  }
}

// Whether a running request has still to read tokens that `prompt` begins with, enough of them, and
// `slot` does not have them.
bool Generator::is_being_read(std::span<const TokenId> prompt, std::size_t slot) const {
  const std::size_t own = common_prefix(slots_[slot].held, prompt);
  return std::ranges::any_of(slots_, [&](const Slot& other) {
    if (!other.job) return false;
    const std::size_t common = common_prefix(other.job->request.prompt, prompt);
    return common > std::max(other.held.size(), own) + kWorthWaiting;
  });
}

// Leaves free sequence `to` with as much of the prompt's beginning as any sequence has.
void Generator::bring_prefix(std::size_t to, std::span<const TokenId> prompt) {
  // The last token is read in any case: its logits are wanted.
  const auto usable = [&](const Slot& slot) {
    return std::min(common_prefix(slot.held, prompt), prompt.size() - 1);
  };
  std::size_t from = to;
  for (std::size_t s = 0; s < slots_.size(); ++s)
    if (usable(slots_[s]) > usable(slots_[from])) from = s;
  const std::size_t most = usable(slots_[from]);
  std::vector<TokenId>& held = slots_[to].held;
  if (from != to && decoder_->copy(static_cast<std::int64_t>(from), static_cast<std::int64_t>(to),
                                   static_cast<std::int64_t>(most))) {
    held.assign(prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(most));
    return;
  }
  const std::size_t own = usable(slots_[to]);
  const bool kept = decoder_->rewind(static_cast<std::int64_t>(to), static_cast<std::int64_t>(own));
  held.resize(kept ? own : 0);
}

// The call of the decoder: a token for each request that answers, then pieces of prompts.
void Generator::compose() {
  parts_.clear();
  std::int64_t left = decoder_->batch();
  readers_.clear();
  for (std::size_t s = 0; s < slots_.size(); ++s) {
    if (!slots_[s].job) continue;
    if (slots_[s].job->output.empty()) {
      readers_.push_back(s);
      continue;
    }
    if (left == 0) continue;
    parts_.push_back({.sequence = static_cast<std::int64_t>(s),
                      .tokens = std::span(slots_[s].job->output).last(1)});
    --left;
  }
  if (!parts_.empty()) left = std::min(left, options_.prompt_piece);
  std::ranges::sort(readers_, {}, [&](std::size_t s) { return slots_[s].job->id; });
  for (const std::size_t s : readers_) {
    if (left == 0) return;
    const Slot& slot = slots_[s];
    const auto rest = std::span<const TokenId>(slot.job->request.prompt).subspan(slot.held.size());
    const std::size_t count = std::min(rest.size(), at(left));
    parts_.push_back(
        {.sequence = static_cast<std::int64_t>(s),
         .tokens = rest.first(count),
         .logits = count == rest.size() ? DecoderPart::Logits::kLast : DecoderPart::Logits::kNone});
    left -= static_cast<std::int64_t>(count);
  }
}

std::span<const GenerationUpdate> Generator::step() {
  ++steps_;
  updates_.clear();
  seat();
  compose();
  if (parts_.empty()) return updates_;
  const auto logits = decoder_->run(parts_);
  const std::size_t vocab = at(decoder_->vocab_size());
  std::size_t row = 0;
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    Slot& slot = slots_[at(parts_[p].sequence)];
    slot.used = steps_;
    if (!logits) {
      finish(slot, updates_.emplace_back(), FinishReason::kFailed, logits.error());
      continue;
    }
    slot.held.insert(slot.held.end(), parts_[p].tokens.begin(), parts_[p].tokens.end());
    if (parts_[p].logits == DecoderPart::Logits::kLast)
      take(slot, logits->subspan(row++ * vocab, vocab));
  }
  return updates_;
}

// Chooses the next token of a request whose tokens have all been read.
void Generator::take(Slot& slot, std::span<const float> logits) {
  Job& job = *slot.job;
  GenerationUpdate& update = updates_.emplace_back();
  if (job.request.max_tokens == 0) return finish(slot, update, FinishReason::kLength);
  if (auto chosen = choose(job, logits, update); !chosen)
    return finish(slot, update, FinishReason::kFailed, chosen.error());
  const TokenId id = job.output.back();
  update.id = job.id;
  if (std::ranges::find(ends_, id) != ends_.end()) return finish(slot, update, FinishReason::kEnd);
  std::string piece = job.text.push(id);
  if (job.request.show_special && piece.empty() && model().tokenizer().token_bytes(id).empty())
    piece = model().tokenizer().token(id);
  if (job.stops.feed(piece, update.text)) return finish(slot, update, FinishReason::kStop);
  if (job.form && job.form->finished()) return finish(slot, update, FinishReason::kEnd);
  if (job.output_tokens() == job.request.max_tokens)
    return finish(slot, update, FinishReason::kLength);
}

Status Generator::choose(Job& job, std::span<const float> logits, GenerationUpdate& update) {
  Sampler::Input input{.logits = logits,
                       .allowed = {},
                       .prompt = job.request.prompt,
                       .output = job.output,
                       .logprobs = job.request.logprobs};
  if (job.form) {
    job.allowed.resize(vocabulary_->mask_words());
    if (!job.form->mask(job.allowed))
      return fail("no token of the vocabulary continues the output as its form asks");
    input.allowed = job.allowed;
  }
  TACK_TRY(SampledToken token, job.sampler.sample(input));
  if (job.form && !job.form->accept(token.id))
    return fail("the constraint refused token {}, which its mask allowed", token.id);
  job.output.push_back(token.id);
  update.tokens.push_back(std::move(token));
  return {};
}

void Generator::finish(Slot& slot, GenerationUpdate& update, FinishReason reason,
                       std::optional<Error> error) {
  Job& job = *slot.job;
  std::string rest;
  job.stops.feed(job.text.finish(), rest);
  job.stops.finish(rest);
  if (!job.stops.stopped()) update.text += rest;
  update.id = job.id;
  update.end = GenerationEnd{.reason = reason,
                             .stop = job.stops.stop(),
                             .prompt_tokens = job.prompt_tokens(),
                             .output_tokens = job.output_tokens(),
                             .reused_tokens = job.reused,
                             .error = std::move(error)};
  slot.job.reset();
}

}  // namespace tack
