#include "cli/command.h"

#include <CLI/CLI.hpp>

#include "base/size.h"

namespace tack {

Option& Option::required() {
  option_->required();
  return *this;
}

Option& Option::range(int low, int high) {
  option_->check(CLI::Range(low, high));
  return *this;
}

Option& Option::range(double low, double high) {
  option_->check(CLI::Range(low, high));
  return *this;
}

Option& Option::positive() {
  option_->check(CLI::PositiveNumber);
  return *this;
}

Option& Option::not_negative() {
  option_->check(CLI::NonNegativeNumber);
  return *this;
}

Option& Option::one_of(const std::vector<std::string>& values) {
  option_->check(CLI::IsMember(values));
  return *this;
}

Option& Option::bytes() {
  option_->transform(CLI::Validator(
      [](std::string& text) -> std::string {
        const auto size = parse_size(text);
        if (!size) return size.error().message;
        text = std::to_string(*size);
        return {};
      },
      "SIZE"));
  return *this;
}

Option& Option::delimiter(char separator) {
  option_->delimiter(separator);
  return *this;
}

Option& Option::one_at_a_time() {
  option_->allow_extra_args(false);
  return *this;
}

Option& Option::needs(const Option& other) {
  option_->needs(other.option_);
  return *this;
}

Option& Option::environment(const std::string& variable) {
  option_->envname(variable);
  return *this;
}

Option& Option::type_name(const std::string& name) {
  option_->type_name(name);
  return *this;
}

Option& Option::show_default() {
  option_->capture_default_str();
  return *this;
}

bool Option::given() const {
  return option_->count() > 0;
}

Command Command::add_verb(const std::string& name, const std::string& description) {
  return Command(app_->add_subcommand(name, description));
}

void Command::require_verb() {
  app_->require_subcommand(1);
}

Command Command::add_choice(const std::string& name, const std::string& description) {
  CLI::App* group = app_->add_option_group(name, description);
  group->require_option(1);
  return Command(group);
}

template <class T>
Option Command::option(const std::string& names, T& target, const std::string& help) {
  return Option(app_->add_option(names, target, help));
}
template Option Command::option(const std::string&, std::string&, const std::string&);
template Option Command::option(const std::string&, int&, const std::string&);
template Option Command::option(const std::string&, std::int64_t&, const std::string&);
template Option Command::option(const std::string&, std::uint16_t&, const std::string&);
template Option Command::option(const std::string&, std::uint64_t&, const std::string&);
template Option Command::option(const std::string&, float&, const std::string&);
template Option Command::option(const std::string&, double&, const std::string&);
template Option Command::option(const std::string&, std::optional<std::int64_t>&,
                                const std::string&);
template Option Command::option(const std::string&, std::optional<double>&, const std::string&);
template Option Command::option(const std::string&, std::vector<std::string>&, const std::string&);
template Option Command::option(const std::string&, std::vector<std::int64_t>&, const std::string&);

Option Command::flag(const std::string& names, bool& target, const std::string& help) {
  return Option(app_->add_flag(names, target, help));
}

void Command::footer(const std::string& text) {
  app_->footer(text);
}

bool Command::given() const {
  return app_->parsed();
}

std::vector<Command::Words> Command::words() const {
  std::vector<Words> all;
  for (const CLI::App* verb : app_->get_subcommands({})) {
    Words words{verb->get_name(), {}};
    for (const CLI::Option* option : verb->get_options())
      for (const std::string& name : option->get_lnames()) words.options.push_back("--" + name);
    all.push_back(std::move(words));
  }
  return all;
}

}  // namespace tack
