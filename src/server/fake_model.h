// A model for tests whose answers follow from the text alone, with a gate to hold the engine
// thread.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "server/served_model.h"
#include "text/wordpiece.h"

namespace tack::server {

// What the test and the model share (the service owns the model).
struct FakeState {
  std::mutex mutex;
  std::condition_variable changed;
  bool closed = false;               // batches wait while it is
  int waiting = 0;                   // batches at the gate
  std::vector<std::size_t> batches;  // sizes

  void close() {
    const std::lock_guard lock(mutex);
    closed = true;
  }
  void open() {
    const std::lock_guard lock(mutex);
    closed = false;
    changed.notify_all();
  }
  void await_batch_at_gate() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return waiting > 0; });
  }
  void pass(std::size_t texts) {
    std::unique_lock lock(mutex);
    batches.push_back(texts);
    ++waiting;
    changed.notify_all();
    changed.wait(lock, [this] { return !closed; });
    --waiting;
  }
};

// A text of n bytes has n + 2 tokens, of which at most 10 fit; its embedding is [n, first byte];
// its label is n modulo 3; the answer to a question is the question; "?..." is out of scope; a
// batch with "bad" fails, with "throw" throws. With a second head, that one says whether the text
// is "plain" or has a "mark" in front.
class FakeModel final : public ServedModel {
 public:
  FakeModel(FakeState& state, std::string id, bool labels, bool two_heads = false,
            bool extracts = false)
      : state_(state) {
    info_ = {.id = std::move(id),
             .created = 1700000000,
             .context_length = 10,
             .vocab_size = 100,
             .embedding_dim = 2,
             .labels = {},
             .heads = {}};
    info_.extracts = extracts;
    WordPieceConfig config{.vocab = {"[UNK]", "[CLS]", "[SEP]"}};
    for (char c = 'a'; c <= 'z'; ++c) {
      config.vocab.emplace_back(1, c);
      config.vocab.push_back(std::string("##") + c);
    }
    tokenizer_ = *make_wordpiece(std::move(config));
    if (labels) info_.labels = {"zero", "one", "two \"quoted\""};
    if (!two_heads) return;
    info_.heads = {{"length", 0, info_.labels, {}}, {"mark", 3, {"plain", "mark"}, {}}};
    info_.labels.insert(info_.labels.end(), {"plain", "mark"});
  }

  const ModelInfo& info() const override { return info_; }
  // Of single letters between [CLS] and [SEP].
  const Tokenizer& tokenizer() const override { return *tokenizer_; }

  Result<Embedded> embed(std::span<const std::string_view> texts) override {
    state_.pass(texts.size());
    Embedded result;
    for (const std::string_view text : texts) {
      if (text == "bad") return fail("a bad text");
      if (text == "throw") throw std::runtime_error("thrown");
      result.vectors.push_back(static_cast<float>(text.size()));
      result.vectors.push_back(text.empty() ? 0.1f : static_cast<float>(text[0]));
      result.info.push_back(count(text.size()));
    }
    return result;
  }

  Result<Embedded> embed_tokens(std::span<const Tokens> inputs) override {
    state_.pass(inputs.size());
    Embedded result;
    for (const Tokens& tokens : inputs) {
      result.vectors.push_back(static_cast<float>(tokens.ids.size()));
      result.vectors.push_back(static_cast<float>(tokens.ids.front()));
      result.info.push_back({.tokens = static_cast<std::int64_t>(tokens.ids.size())});
    }
    return result;
  }

  Result<std::vector<Prediction>> classify(std::span<const std::string_view> texts) override {
    state_.pass(texts.size());
    std::vector<Prediction> result;
    for (const std::string_view text : texts) {
      if (text == "bad") return fail("a bad text");
      const EncodedText info = count(text.size());
      Prediction& made = result.emplace_back();
      made.label = text.size() % 3;
      made.probabilities = {0.25f, 0.25f, 0.25f};
      made.probabilities[made.label] = 0.5f;
      made.out_of_scope = text.starts_with('?');
      made.tokens = info.tokens;
      made.truncated = info.truncated;
      if (info_.heads.empty()) continue;
      Prediction second = made;
      second.label = text.starts_with('?') ? 1 : 0;
      second.probabilities = {0.5f, 0.5f};
      second.probabilities[second.label] = 0.75f;
      result.push_back(std::move(second));
    }
    return result;
  }

  Result<std::vector<Tagged>> extract(std::span<const QuestionText> questions) override {
    state_.pass(questions.size());
    std::vector<Tagged> result;
    for (const auto& [question, context] : questions) {
      if (question == "bad") return fail("a bad question");
      result.push_back({{{"answer", question}, {"of", context}},
                        static_cast<std::int64_t>(question.size() + context.size()),
                        context.empty() ? 1 : 0});
    }
    return result;
  }

 private:
  static EncodedText count(std::size_t bytes) {
    const auto tokens = static_cast<std::int64_t>(bytes) + 2;
    return {.tokens = std::min<std::int64_t>(tokens, 10),
            .truncated = std::max<std::int64_t>(tokens - 10, 0)};
  }

  FakeState& state_;
  ModelInfo info_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

}  // namespace tack::server
