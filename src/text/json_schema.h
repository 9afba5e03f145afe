// A JSON schema to the grammar of its documents.
//
// Supported: type (one or a list), enum, const, anyOf; oneOf, read as anyOf; allOf and keywords
// beside $ref, anyOf or allOf, merged (below); $ref to "#" and "#/...", with recursion; true, {}.
//   Objects: properties, required, additionalProperties. Properties come in the order of the
//   schema,
//     those of `required` that it does not describe after them, additional ones last. Additional
//     ones are written only when asked for (true or a schema), or when an object names no property
//     at all: {"type": "object"} is any object.
//   Arrays: items, prefixItems, minItems, maxItems.
//   Strings: minLength, maxLength, pattern (pattern.h), format: date, time, date-time, email, uuid,
//     ipv4.
//   Integers: minimum, maximum, exclusive ones. Numbers: the same, where the limits are whole.
// Annotations (title, description, default, examples, x-...) change nothing. Without `type`, the
// keywords say which types are meant. Any other keyword is an error, never ignored.
//
// How JSON is written: no white space but one space that may follow a : or a ,. Integers and
// numbers have up to 18 digits before the point and after it; integers are written without a point
// or an exponent, numbers with limits without an exponent. A string bound by pattern, format, enum
// or const writes each character as itself where JSON allows that. At most 64 brackets are open.
//
// So outputs are fewer than the documents a schema allows, and each of them is one, with the
// exception of oneOf, where alternatives that overlap are the author's to avoid.
//
// Merging keeps what either says: properties and `required` are united (a property that both
// describe must fit both), lower limits take the higher, upper ones the lower, types and enums what
// is in both. Anything else must be equal. `additionalProperties` other than true must know the
// properties of the other parts.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "text/byte_grammar.h"

namespace tack {

// Errors (kUsage): "schema at #/properties/a: ...": a keyword that is not supported or not well
// formed, a part that nothing satisfies, a size that passes ByteGrammar's limits.
Result<ByteGrammar> compile_json_schema(const Json& schema);

}  // namespace tack
