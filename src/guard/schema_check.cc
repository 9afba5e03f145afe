#include "guard/check.h"
#include "guard/json_validator.h"

namespace tack::guard {
namespace {

class SchemaCheck : public Check {
 public:
  explicit SchemaCheck(JsonValidator validator) : validator_(std::move(validator)) {}

  bool needs_whole_answer() const override { return true; }

  void judge(SeenSubject& subject, std::span<const Told>, Finding& finding) const override {
    const SeenPassage* answer = subject.latest();
    if (answer == nullptr || !subject.complete()) return;
    const auto value = parse_json(answer->raw(), "answer");
    if (!value) return trip(finding, "not_json", "the answer is no JSON");
    const auto why = validator_.why_not(*value);
    if (!why) {
      finding.failed = true;
      finding.reason = why.error().message;
    } else if (!why->empty()) {
      trip(finding, "schema", "the answer is not of the schema: " + *why);
    }
  }

 private:
  static void trip(Finding& finding, std::string category, std::string reason) {
    finding.tripped = true;
    finding.category = std::move(category);
    finding.reason = std::move(reason);
  }

  JsonValidator validator_;
};

}  // namespace

MadeCheck make_schema_check(const CheckConfig& config) {
  if (config.schema.empty())
    return fail(ErrorCode::kUsage, "schema is missing: a file with a JSON schema, or its text");
  TACK_TRY(Json schema, parse_json(config.schema, "schema"));
  TACK_TRY(JsonValidator validator, JsonValidator::create(std::move(schema)));
  return std::make_unique<SchemaCheck>(std::move(validator));
}

}  // namespace tack::guard
