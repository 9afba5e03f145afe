// One check of a stage, as guard.cc runs it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "guard/encodings.h"
#include "guard/guard.h"
#include "guard/normalize.h"

namespace tack::guard {

// A passage as checks see it. What is expensive is made when it is first asked for, once for all
// checks. Used on one strand.
class SeenPassage {
 public:
  SeenPassage(const Passage& passage, std::size_t number) : passage_(&passage), number_(number) {}

  Role role() const { return passage_->role; }
  std::size_t number() const { return number_; }  // in the subject
  std::string_view raw() const { return passage_->text; }
  const NormalText& normal();
  const NormalText& folded();
  const std::vector<HiddenText>& hidden();
  // What rules look at: the text as it came, as it reads, and what is hidden in it.
  std::vector<std::string_view> readings();

 private:
  const Passage* passage_;
  std::size_t number_;
  std::optional<NormalText> normal_, folded_;
  std::optional<std::vector<HiddenText>> hidden_;
};

// The passages of a stage.
class SeenSubject {
 public:
  SeenSubject(Stage stage, const Subject& subject);

  Stage stage() const { return stage_; }
  bool complete() const { return complete_; }
  std::vector<SeenPassage>& all() { return passages_; }
  const std::vector<SeenPassage>& all() const { return passages_; }

  // What may have come from outside: of an input stage what users and tools say, and an answer that
  // the client began for the model; of the output the answer, or what of it is new.
  std::vector<SeenPassage*> untrusted();
  // Of those, of one role.
  std::vector<SeenPassage*> of(Role role);
  // The last of the user's, or the whole answer; null: there is none.
  SeenPassage* latest();
  // Bytes of the answer that passed before.
  std::size_t judged() const { return judged_; }

 private:
  Stage stage_;
  bool complete_;
  std::size_t judged_ = 0;
  std::vector<SeenPassage> passages_;
  std::unique_ptr<const Passage> new_text_;  // the end of an answer that was judged before
  std::optional<SeenPassage> new_;
};

// A text that the model of a check must see, and where it is from.
struct Ask {
  std::string text;
  std::size_t passage = 0;
  std::string_view hidden;  // the encoding it was written in; "" for plain text
};

// What the model said to an Ask.
struct Told {
  const Ask* ask = nullptr;
  std::span<const Prediction> heads;  // [heads]
  const std::vector<Span>* spans = nullptr;
};

// Immutable; any thread. Functions get what is the caller's own.
class Check {
 public:
  struct Model {
    std::string name;
    bool tags = false;
    std::size_t heads = 0;  // that a classifier has
  };

  virtual ~Check() = default;
  virtual const Model* model() const { return nullptr; }  // null: it asks none
  virtual std::vector<Ask> asks(SeenSubject&) const { return {}; }
  // Sets what it found: tripped, score, threshold, category, reason; failed when it cannot tell.
  // `told`: of all asks, in order.
  virtual void judge(SeenSubject& subject, std::span<const Told> told, Finding& finding) const = 0;
  virtual bool needs_whole_answer() const { return false; }
  // Of Guard::held_back: bytes of the original.
  virtual std::size_t held_back(SeenPassage&) const { return 0; }
};

using MadeCheck = Result<std::unique_ptr<const Check>>;

// One for each kind. Errors are said without the check's name and line.
MadeCheck make_unsafe_check(const CheckConfig& config, const GuardConfig& guard,
                            const FindModel& models);
MadeCheck make_injection_check(const CheckConfig& config, const GuardConfig& guard,
                               const FindModel& models);
MadeCheck make_topic_check(const CheckConfig& config, const GuardConfig& guard,
                           const FindModel& models);
MadeCheck make_grounded_check(const CheckConfig& config, const GuardConfig& guard,
                              const FindModel& models);
MadeCheck make_words_check(const CheckConfig& config);
MadeCheck make_regex_check(const CheckConfig& config);
MadeCheck make_urls_check(const CheckConfig& config);
MadeCheck make_language_check(const CheckConfig& config);
MadeCheck make_length_check(const CheckConfig& config);
MadeCheck make_schema_check(const CheckConfig& config);
MadeCheck make_pii_check(const CheckConfig& config, const FindModel& models);
MadeCheck make_secrets_check(const CheckConfig& config);

// "message 3 (user)", "the answer".
std::string place_of(const SeenSubject& subject, std::size_t passage);
std::string place_of(const SeenSubject& subject, const SeenPassage& passage);

}  // namespace tack::guard
