#include "tasks/label.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>
#include <unordered_map>

#include "base/atomic_file.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/random.h"
#include "tasks/label_journal.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLongestBackoff{30'000};
constexpr milliseconds kLongestWait{3'600'000};  // that a server may ask for
constexpr int kFailuresInARow = 20;
constexpr std::string_view kGoOn = "run the same command again to go on";

struct Question {
  std::size_t row = 0;  // the first of the rows with this text
  std::string key;
  JournalEntry verdict;  // none: no label and no error
};

// What an answer depends on. Labels are in it for templates that do not list them.
std::string key_of(const ChatClient& client, const LabelSet& labels, const std::string& prompt) {
  return sha256_hex(
             to_text(Json::array({client.url(), client.options().model, labels.names(), prompt})))
      .substr(0, 32);
}

std::string in_quotes(std::string_view answer) {
  constexpr std::size_t kMost = 80;
  if (answer.size() <= kMost) return fmt::format("'{}'", answer);
  std::size_t end = kMost;  // not inside a character
  while (end > 0 && (static_cast<unsigned char>(answer[end]) & 0xC0) == 0x80) --end;
  return fmt::format("'{}...'", answer.substr(0, end));
}

// Threads that take questions in order. One mutex guards everything that changes.
class LabelRun {
 public:
  LabelRun(const std::vector<std::string>& texts, const ChatClient& client,
           const LabelOptions& options, LabelJournal& journal)
      : texts_(texts), client_(client), options_(options), journal_(journal) {}

  void collect();
  void run(const std::function<void(const LabelTotals&)>& progress);
  LabelResult result() &&;

 private:
  void work();
  JournalEntry ask(const std::string& text);
  std::optional<ChatAnswer> call(const std::vector<ChatMessage>& messages, JournalEntry& entry);
  std::optional<double> admit(std::size_t bytes);
  // These three with the mutex held.
  void account(std::size_t bytes, double most, const TokenUse& tokens, JournalEntry& entry);
  void settle(Question& question, JournalEntry entry);
  void stop(Error error);  // the first one counts

  double cost(const TokenUse& tokens) const {
    return (static_cast<double>(tokens.prompt) * options_.limits.price_in +
            static_cast<double>(tokens.completion) * options_.limits.price_out) /
           1e6;
  }
  // What a call can cost at most: no tokenizer makes more tokens than bytes; what chat templates
  // add, and answers longer than asked for, are learnt from what "usage" says.
  double most_of(std::size_t bytes) const {
    return cost({.prompt = static_cast<std::int64_t>(bytes) + added_prompt_,
                 .completion = longest_answer_});
  }

  const std::vector<std::string>& texts_;
  const ChatClient& client_;
  const LabelOptions& options_;
  LabelJournal& journal_;
  std::vector<Question> questions_;
  std::vector<std::optional<std::size_t>> question_of_;  // by row; none: the text is empty

  std::mutex mutex_;
  std::condition_variable changed_;
  LabelTotals totals_;
  std::size_t next_ = 0;
  int working_ = 0, under_way_ = 0, failures_ = 0;
  double reserved_ = 0;  // of calls under way
  std::int64_t added_prompt_ = 100, longest_answer_ = client_.options().max_tokens;
  Clock::time_point not_before_;  // the server wants no call until then
  Random random_{std::random_device{}()};
  std::optional<Error> stopped_;
};

void LabelRun::collect() {
  std::unordered_map<std::string_view, std::size_t> known;
  for (std::size_t row = 0; row < texts_.size(); ++row) {
    const std::string& text = texts_[row];
    question_of_.emplace_back();
    if (text.find_first_not_of(" \t\r\n") == text.npos) continue;
    const auto [found, is_new] = known.emplace(text, questions_.size());
    question_of_.back() = found->second;
    if (!is_new) continue;
    Question question{.row = row};
    question.key = key_of(client_, options_.labels, options_.prompt.render(text, options_.labels));
    if (const JournalEntry* entry = journal_.find(question.key)) {
      totals_.calls += entry->calls;
      totals_.tokens += entry->tokens;
      if (entry->settled) {
        question.verdict = *entry;
        ++totals_.settled;
      }
    }
    questions_.push_back(std::move(question));
  }
  totals_.texts = static_cast<std::int64_t>(questions_.size());
  totals_.resumed = totals_.settled;
  totals_.cost = cost(totals_.tokens);
}

void LabelRun::run(const std::function<void(const LabelTotals&)>& progress) {
  std::vector<std::jthread> threads;  // joined after the lock is gone
  std::unique_lock lock(mutex_);
  working_ = static_cast<int>(
      std::min<std::int64_t>(options_.concurrency, totals_.texts - totals_.settled));
  for (int i = 0; i < working_; ++i) threads.emplace_back([this] { work(); });
  while (working_ > 0) {
    changed_.wait_for(lock, milliseconds(100), [&] { return working_ == 0; });
    if (interrupted() && !stopped_) {
      if (under_way_ > 0)
        log_info("waiting for {} answers under way; Ctrl-C again gives them up", under_way_);
      stop({ErrorCode::kInterrupted, fmt::format("interrupted; {}", kGoOn)});
    }
    if (progress) progress(totals_);
  }
}

void LabelRun::work() {
  std::unique_lock lock(mutex_);
  while (!stopped_ && next_ < questions_.size()) {
    Question& question = questions_[next_++];
    if (!question.verdict.label.empty() || !question.verdict.error.empty()) continue;
    lock.unlock();
    JournalEntry entry = ask(texts_[question.row]);
    lock.lock();
    settle(question, std::move(entry));
  }
  --working_;
  changed_.notify_all();
}

// An entry that is not settled: failed when it has an error, else the run was stopped.
JournalEntry LabelRun::ask(const std::string& text) {
  JournalEntry entry{.settled = false};
  std::vector<ChatMessage> messages = {{"user", options_.prompt.render(text, options_.labels)}};
  std::string error;
  for (const bool last : {false, true}) {
    const auto answer = call(messages, entry);
    if (!answer) return entry;
    if (const auto label = options_.labels.match(answer->text)) {
      entry.label = *label;
      entry.settled = true;
      return entry;
    }
    error = fmt::format("the answer {} is not one of the labels{}", in_quotes(answer->text),
                        answer->cut_off ? " (cut off: raise --max-tokens)" : "");
    if (last) break;
    messages.push_back({"assistant", answer->text});
    messages.push_back({"user", label_correction(options_.labels)});
  }
  entry.error = std::move(error);
  entry.settled = true;
  return entry;
}

// The answer, after as many tries as it takes; none: entry.error says why, or the run was stopped.
std::optional<ChatAnswer> LabelRun::call(const std::vector<ChatMessage>& messages,
                                         JournalEntry& entry) {
  std::size_t bytes = 0;
  for (const ChatMessage& message : messages) bytes += message.content.size();
  for (int attempt = 0;; ++attempt) {
    const auto most = admit(bytes);
    if (!most) return std::nullopt;
    auto answer = client_.ask(messages);
    std::unique_lock lock(mutex_);
    account(bytes, *most, answer ? answer->tokens : answer.error().tokens, entry);
    if (answer) return *std::move(answer);

    const ChatFailure& failure = answer.error();
    if (failure.kind == ChatFailure::Kind::kEndpoint) {
      stop(failure.error);
      return std::nullopt;
    }
    if (failure.wait > kLongestWait) {
      const auto hours = std::chrono::duration<double, std::ratio<3600>>(failure.wait).count();
      stop({ErrorCode::kUnreachable, fmt::format("{}; it wants no call for {:.1f} hours; then {}",
                                                 failure.error.message, hours, kGoOn)});
      return std::nullopt;
    }
    not_before_ = std::max(not_before_, Clock::now() + failure.wait);
    if (failure.kind == ChatFailure::Kind::kRequest || attempt == options_.retries) {
      entry.error = failure.error.message;
      return std::nullopt;
    }
    const auto longest =
        std::min<double>(kLongestBackoff.count(), std::ldexp(options_.backoff.count(), attempt));
    const milliseconds time(static_cast<std::int64_t>(longest * (0.5 + random_.uniform() / 2)));
    if (changed_.wait_for(lock, time, [&] { return stopped_.has_value(); })) return std::nullopt;
  }
}

// Waits until a call is allowed, and says what it can cost at most; nothing when the run stops.
std::optional<double> LabelRun::admit(std::size_t bytes) {
  const SpendingLimits& limits = options_.limits;
  std::unique_lock lock(mutex_);
  for (;;) {
    if (stopped_) return std::nullopt;
    if (Clock::now() < not_before_) {
      changed_.wait_until(lock, not_before_);
      continue;
    }
    const double most = most_of(bytes);
    const bool too_many = limits.calls && totals_.calls + under_way_ >= *limits.calls;
    const bool too_dear = limits.cost && totals_.cost + reserved_ + most > *limits.cost;
    if (!too_many && !too_dear) {
      ++under_way_;
      reserved_ += most;
      return most;
    }
    if (under_way_ > 0) {  // they may turn out cheaper than they could have been
      changed_.wait(lock);
      continue;
    }
    const std::string reached =
        too_many ? fmt::format("--max-calls {} is reached; raise it", *limits.calls)
                 : fmt::format(
                       "${:.4f} are spent and the next call could cost ${:.4f}: more than "
                       "--max-cost {}; raise it",
                       totals_.cost, most, *limits.cost);
    stop({ErrorCode::kRefused, fmt::format("{} and {}", reached, kGoOn)});
    return std::nullopt;
  }
}

void LabelRun::account(std::size_t bytes, double most, const TokenUse& tokens,
                       JournalEntry& entry) {
  --under_way_;
  reserved_ = under_way_ == 0 ? 0 : reserved_ - most;
  ++entry.calls;
  entry.tokens += tokens;
  ++totals_.calls;
  totals_.tokens += tokens;
  totals_.cost = cost(totals_.tokens);
  added_prompt_ = std::max(added_prompt_, tokens.prompt - static_cast<std::int64_t>(bytes));
  longest_answer_ = std::max(longest_answer_, tokens.completion);
  changed_.notify_all();
}

void LabelRun::settle(Question& question, JournalEntry entry) {
  if (entry.settled) {
    ++totals_.settled;
    failures_ = 0;
  } else if (!entry.error.empty() && ++failures_ == kFailuresInARow) {
    stop({ErrorCode::kUnreachable, fmt::format("{} texts in a row got no answer; the last: {}; {}",
                                               failures_, entry.error, kGoOn)});
  }
  if (entry.calls > 0)
    if (auto status = journal_.append(question.key, entry); !status) stop(status.error());
  question.verdict = std::move(entry);
}

void LabelRun::stop(Error error) {
  if (!stopped_) stopped_ = std::move(error);
  changed_.notify_all();
}

LabelResult LabelRun::result() && {
  LabelResult result{.rows = std::vector<LabelledText>(texts_.size()), .totals = totals_};
  std::string last_error;
  for (std::size_t row = 0; row < texts_.size(); ++row) {
    LabelledText& out = result.rows[row];
    if (!question_of_[row]) {
      out.error = "the text is empty";
      continue;
    }
    const Question& question = questions_[*question_of_[row]];
    out = {.label = question.verdict.label, .error = question.verdict.error};
    if (question.row == row) out.tokens = question.verdict.tokens;
    if (!out.error.empty()) last_error = out.error;
  }
  if (stopped_)
    result.ended = std::unexpected(*std::move(stopped_));
  else if (totals_.settled == 0 && totals_.texts > 0)
    result.ended = fail(ErrorCode::kUnreachable, "no text got an answer; the last: {}", last_error);
  return result;
}

std::string line_of(const std::string& text, const LabelledText& row) {
  Json json = {{"text", text}, {"label", row.label.empty() ? Json() : Json(row.label)}};
  if (!row.error.empty()) json["error"] = row.error;
  json["prompt_tokens"] = row.tokens.prompt;
  json["completion_tokens"] = row.tokens.completion;
  return to_text(json) + "\n";
}

}  // namespace

Result<LabelResult> label_texts(const std::vector<std::string>& texts, const ChatClient& client,
                                const LabelOptions& options,
                                const std::function<void(const LabelTotals&)>& progress) {
  TACK_TRY(auto journal, LabelJournal::open(options.journal));
  LabelRun run(texts, client, options, journal);
  run.collect();
  run.run(progress);
  LabelResult result = std::move(run).result();
  if (auto status = journal.sync(); !status && result.ended) result.ended = std::move(status);
  return result;
}

std::filesystem::path beside(const std::filesystem::path& out, std::string_view word) {
  std::filesystem::path path = out;
  return path.replace_extension(fmt::format(".{}.jsonl", word));
}

Status write_labelled(const std::vector<std::string>& texts, const LabelResult& result,
                      const std::filesystem::path& out) {
  std::size_t labelled = 0, rejected = 0;
  TACK_TRY(auto good, AtomicFile::create(out));
  TACK_TRY(auto bad, AtomicFile::create(rejected_path(out)));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const LabelledText& row = result.rows[i];
    if (row.label.empty() && row.error.empty()) continue;
    AtomicFile& file = row.error.empty() ? good : bad;
    ++(row.error.empty() ? labelled : rejected);
    TACK_RETURN_IF_ERROR(file.write(line_of(texts[i], row)));
  }
  if (labelled > 0) TACK_RETURN_IF_ERROR(good.commit());
  if (rejected > 0) return bad.commit();
  if (labelled == 0) return {};
  std::error_code ignored;
  std::filesystem::remove(rejected_path(out), ignored);
  return {};
}

}  // namespace tack
