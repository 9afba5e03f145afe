// References and merging: what json_schema.cc does to a schema before it compiles it.
#pragma once

#include <initializer_list>
#include <set>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace tack {

bool is_annotation(std::string_view keyword);
bool only_annotations_beside(const Json& schema, std::string_view keyword);
Json without(const Json& schema, std::initializer_list<std::string_view> keywords);

// `type` as a set; errors: unknown or no type.
Result<std::set<std::string>> type_list(const Json& type, const std::string& where);
bool is_of_type(const Json& value, const std::set<std::string>& types);

// What the schema's $ref points at, inside root.
Result<const Json*> resolve_reference(const Json& root, const Json& schema,
                                      const std::string& where);

// A schema with allOf as one without.
Result<Json> merge_all_of(const Json& root, const Json& schema, const std::string& where);

}  // namespace tack
