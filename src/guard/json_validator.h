// Whether a finished JSON text is one of a schema, in whatever order and with whatever white space.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/json.h"
#include "base/result.h"

namespace re2 {
class RE2;
}

namespace tack::guard {

// The keywords of text/json_schema.h, and patterns as RE2 reads them; oneOf is exactly one.
// Immutable; any thread.
class JsonValidator {
 public:
  // Errors (kUsage): "schema at #/properties/a: ...": a keyword that is not known or not well
  // formed.
  static Result<JsonValidator> create(Json schema);
  JsonValidator(JsonValidator&&) noexcept;
  JsonValidator& operator=(JsonValidator&&) noexcept;
  ~JsonValidator();

  // "" when it is one; else where it is none and why: "at /items/0: must be a number". Values are
  // not repeated. Errors: it takes too many steps to tell (alternatives within alternatives).
  Result<std::string> why_not(const Json& value) const;

 private:
  class Checker;
  JsonValidator();
  Status prepare(const Json& schema, const std::string& where, int depth);
  Status prepare_reference(const std::string& target, const std::string& where, int depth);

  Json schema_;
  std::map<std::string, std::unique_ptr<const re2::RE2>> patterns_;
  std::set<std::string> references_;  // whose targets are prepared
};

}  // namespace tack::guard
