// The stages of a configuration: what models must say of a request or an answer, and the verdict.
// No I/O: whoever uses it asks the models, on its own time.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "eval/span_metrics.h"
#include "guard/guard_config.h"
#include "tasks/predictor.h"

namespace tack::guard {

enum class Role : std::uint8_t { kSystem, kUser, kAssistant, kTool };

// One message's text; of kTool also retrieved text.
struct Passage {
  Role role = Role::kUser;
  std::string text;
};

// What is judged: of the input stages all messages in order, of the output the answer as the last
// passage (kAssistant), after those it answers.
struct Subject {
  std::vector<Passage> passages;
  bool complete = true;  // false: an answer that goes on
  // Of an answer that comes in pieces: its length when it passed the last time, so that rules look
  // at what is new and kLookBack before it, and models are shown the windows that hold something
  // new. 0: everything.
  std::size_t judged = 0;
  static constexpr std::size_t kLookBack = 2048;
};

// What a model must say: one pass over all texts, for all checks of the stage that use it.
struct Question {
  std::string model;
  bool tags = false;               // spans (a tagger), else labels
  std::vector<std::string> texts;  // short enough for the model
};
struct Answer {
  std::vector<Prediction> labels;        // [texts, heads]
  std::vector<std::vector<Span>> spans;  // [texts], of a tagger
};

// Where a head trips when the configuration says nothing: `tack.guard` of the model's file.
struct HeadThresholds {
  std::optional<double> score;               // of all categories together
  std::map<std::string, double> categories;  // of single ones
};

// What is known of a model before it is asked (guard_model.h reads it).
struct GuardModel {
  std::vector<TaskHead> heads;                                    // of a classifier
  std::vector<std::string> spans;                                 // names of a tagger's spans
  std::int64_t context_length = 0;                                // tokens
  std::map<std::string, HeadThresholds, std::less<>> thresholds;  // by head
};
// Errors: no such model.
using FindModel = std::function<Result<GuardModel>(const std::string& name)>;

// Of one check.
struct Finding {
  std::string check;  // its name
  CheckKind kind = CheckKind::kUnsafe;
  bool tripped = false;
  bool failed = false;    // it could not be made: its model failed or was late
  bool observed = false;  // only recorded
  double score = std::numeric_limits<double>::quiet_NaN();  // in [0, 1], of models
  double threshold = std::numeric_limits<double>::quiet_NaN();
  std::string category;  // the label, entity, word or language that tripped it
  std::string reason;    // for people, without the text's own words
  double ms = 0;         // that judging took, without the model
};

struct Verdict {
  bool blocked = false;
  std::vector<Finding> findings;  // one for each check, in the configuration's order
  // Of the check that blocks, or of one that would: what to do about it.
  const Finding* first_tripped() const;
  Json to_json() const;
};

// What is wrong with one check: Guard::create() says the same, with the check's name and line.
Status validate(Stage stage, const CheckConfig& check, const GuardConfig& config,
                const FindModel& models);

// Immutable; any thread.
class Guard {
 public:
  // Errors: a check whose model, head, label, entity, pattern or schema is none, with its line.
  static Result<std::shared_ptr<const Guard>> create(const GuardConfig& config,
                                                     const FindModel& models);
  virtual ~Guard() = default;

  virtual const GuardConfig& config() const = 0;
  bool has(Stage stage) const { return !config().checks(stage).empty(); }

  virtual std::vector<Question> questions(Stage stage, const Subject& subject) const = 0;
  // `answers`: one for each question, in order; an error is a check that fails.
  virtual Verdict judge(Stage stage, const Subject& subject,
                        std::span<const Result<Answer>> answers) const = 0;

  // Of the output stage: whether some check needs the whole answer (a schema), so that a stream has
  // to be held until its end.
  virtual bool needs_whole_answer() const = 0;
  // Of an answer that goes on: how many of its last bytes must be held, because a check may yet
  // find in them the beginning of what it looks for. Bounded.
  virtual std::size_t held_back(std::string_view answer) const = 0;
};

}  // namespace tack::guard
