// The syntax of chat templates: tokens and the tree that template.cc runs. Errors are Failures
// whose message has the line in it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template_value.h"

namespace tack::jinja {

struct Token {
  enum class Kind : std::uint8_t {
    kText,      // outside tags
    kBlock,     // {%
    kBlockEnd,  // %}
    kPrint,     // {{
    kPrintEnd,  // }}
    kName,
    kString,
    kNumber,
    kOperator,
    kEnd
  };
  Kind kind = Kind::kEnd;
  int line = 1;
  std::string text;  // of kString: with its escapes resolved
  Value number;
};

// Whitespace control as transformers sets it: trim_blocks, lstrip_blocks, one final newline
// dropped.
std::vector<Token> lex(std::string_view source);

enum class Op : std::uint8_t {
  // statements
  kText,         // name: the text
  kPrint,        // a
  kIf,           // list: pairs of condition and block; b: else
  kFor,          // a: target, b: iterable, c: condition, list: body and else
  kSet,          // a: target, b: value
  kSetBlock,     // a: target, b: body
  kMacro,        // name, parameters: names with defaults; a: body
  kScope,        // a: body in a scope of its own
  kFilterBlock,  // a: body, list: filters (as kFilter on nothing)
  kBreak,
  kContinue,
  kBlock,  // list
  // expressions
  kConstant,   // value
  kName,       // name
  kAttribute,  // a . name
  kItem,       // a [ b ]
  kSlice,      // a: start, b: stop, c: step
  kCall,       // a: callee; list, parameters
  kFilter,     // name; a: operand or null; list, parameters
  kTest,       // name; a; list, parameters
  kNot,
  kNegate,
  kAnd,
  kOr,
  kBinary,   // name: the operator; a, b
  kConcat,   // list
  kCompare,  // a; list: operands; names: operators
  kChoose,   // a if b else c
  kList,
  kTuple,
  kDict  // list: key, value, key, ...
};

struct Node {
  Op op = Op::kText;
  int line = 1;
  int depth = 1;  // of the tree: bounded, since it is run and destroyed recursively
  std::string name;
  Value value;
  std::unique_ptr<Node> a, b, c;
  std::vector<std::unique_ptr<Node>> list;
  std::vector<std::string> names;
  std::vector<std::pair<std::string, std::unique_ptr<Node>>> parameters;
};
using NodePtr = std::unique_ptr<Node>;

NodePtr parse(std::string_view source);  // a kBlock

}  // namespace tack::jinja
