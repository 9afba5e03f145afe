// Chat templates: the subset of Jinja2 that models' `chat_template` strings are written in, with
// the settings of transformers' apply_chat_template (trim_blocks, lstrip_blocks, break and
// continue, the `generation` tag, tojson without HTML escapes). Output is Python's to the byte on
// what is supported.
//
// Not there: include, import, extends, call, with, raw, recursive loops, *args, powers, integers
// beyond 64 bits, and the filters, tests and methods that no chat template was found to use
// (template_filters.cc and template_methods.cc list those that exist): each is an error that names
// it. map, select and items() give lists. Lists and dicts cannot be changed, as in transformers'
// sandbox.
//
// Templates come with downloaded models and are not trusted: nesting, steps and the bytes of all
// texts made are bounded.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace tack {

namespace jinja {
struct Node;
}

class Template {
 public:
  static constexpr std::size_t kMaxSource = 1 << 20, kMaxOutput = 16 << 20;  // bytes

  // Errors have the line: "line 3: unexpected 'x'".
  static Result<Template> parse(std::string_view source);

  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  // Whether it reads a variable of this name anywhere.
  bool reads(std::string_view variable) const;

  // `variables`: an object. `now` is what strftime_now formats, in local time. What the template
  // raises itself (raise_exception) is kUsage with its text. Any thread may render.
  Result<std::string> render(const Json& variables, std::time_t now = std::time(nullptr)) const;

 private:
  explicit Template(std::unique_ptr<jinja::Node> root);
  std::unique_ptr<jinja::Node> root_;
};

}  // namespace tack
