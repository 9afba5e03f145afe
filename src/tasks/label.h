// Labels for texts from a chat model behind an API, so that a small model can learn them.
//
// Each different text is asked once (twice when the first answer is no label). Answers go to a
// journal (label_journal.h) as they arrive; a run that was stopped or killed goes on from there.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tasks/chat_client.h"
#include "tasks/label_prompt.h"

namespace tack {

// Limits count what this data cost so far, earlier runs (as the journal has them) included.
struct SpendingLimits {
  double price_in = 0, price_out = 0;  // per million tokens
  std::optional<double> cost;
  std::optional<std::int64_t> calls;
};

struct LabelOptions {
  LabelSet labels;
  PromptTemplate prompt;
  std::filesystem::path journal;
  int concurrency = 4;
  int retries = 5;                         // after the first try of a call
  std::chrono::milliseconds backoff{500};  // before the first retry; doubles, jittered
  SpendingLimits limits;
};

struct LabelTotals {
  std::int64_t texts = 0;    // different ones, not empty
  std::int64_t settled = 0;  // of these, labelled or rejected
  std::int64_t resumed = 0;  // of these, by an earlier run
  std::int64_t calls = 0;    // with those of earlier runs
  TokenUse tokens;           // with those of earlier runs
  double cost = 0;           // at the prices of SpendingLimits
};

// Neither label nor error: the run ended before it was asked.
struct LabelledText {
  std::string label, error;
  TokenUse tokens;  // with the first of equal texts
};

struct LabelResult {
  std::vector<LabelledText> rows;  // one a text, in order
  LabelTotals totals;
  // Why it ended before all was asked: kInterrupted, kRefused (a limit), kNotFound or kUnreachable
  // (the endpoint refuses all, or 20 texts in a row failed), or the journal could not be written.
  Status ended;
};

// Asks for all texts that the journal does not answer. `progress` is called about ten times a
// second from the calling thread. Errors: those of the journal before it begins; later ones are in
// `ended`, and the rows so far are kept. SIGINT: calls under way finish, then it ends.
Result<LabelResult> label_texts(const std::vector<std::string>& texts, const ChatClient& client,
                                const LabelOptions& options,
                                const std::function<void(const LabelTotals&)>& progress = {});

// What label_texts() gave as two JSONL files in the order of the texts, each written atomically:
// `out` has the labelled rows {"text", "label", "prompt_tokens", "completion_tokens"}, as
// `tack build` reads them; rejected_path(out) those with {"label": null, "error"}, and is removed
// when there are none. Without any labelled row, an `out` that is there stays as it is.
Status write_labelled(const std::vector<std::string>& texts, const LabelResult& result,
                      const std::filesystem::path& out);
// "x.jsonl" to "x.WORD.jsonl".
std::filesystem::path beside(const std::filesystem::path& out, std::string_view word);
inline std::filesystem::path rejected_path(const std::filesystem::path& out) {
  return beside(out, "rejected");
}

}  // namespace tack
