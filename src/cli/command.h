// A verb as the command line knows it: its name, its options, what they are
// written to.
//
//   Command verb = root.add_verb("bench", "Measure the speed of a model");
//   verb.option("--rounds", options->rounds, "Texts measured per
//   shape").range(1, 100).show_default();
//
// CLI11 stands behind it, compiled in command.cc and main.cc only: it is all
// headers, and each file that includes it takes twenty seconds more.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace tack {

// A declared option, to say more of it. A value that breaks a rule is a usage
// error that names it.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  Option& required();
  Option& range(int low, int high);
  Option& range(double low, double high);
  Option& positive();
  Option& not_negative();
  Option& one_of(const std::vector<std::string>& values);
  // Takes what parse_size() does (base/size.h); the target gets the bytes.
  Option& bytes();
  // Of a list: "a,b,c" are three values.
  Option& delimiter(char separator);
  // Of a list: one value each time it is given.
  Option& one_at_a_time();
  Option& needs(const Option& other);
  // Where the value comes from when the option is not given.
  Option& environment(const std::string& variable);
  Option& type_name(const std::string& name);
  // The help shows what the target holds now.
  Option& show_default();
  // After parsing.
  bool given() const;

 private:
  CLI::Option* option_;
};

class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}

  Command add_verb(const std::string& name, const std::string& description);
  // One of the verbs added to this one must be given.
  void require_verb();
  // Options of which exactly one must be given.
  Command add_choice(const std::string& name, const std::string& description);

  // `names`: "--out,-o", or "data,--data" for one that may stand without a
  // name. `target` must outlive parsing. T: std::string, an integer, float,
  // double, or a vector of strings or integers.
  template <class T>
  Option option(const std::string& names, T& target, const std::string& help);
  Option flag(const std::string& names, bool& target, const std::string& help);
  // Under the help: an example.
  void footer(const std::string& text);

  // After parsing: whether this verb was given.
  bool given() const;

  // What a shell completes.
  struct Words {
    std::string verb;
    std::vector<std::string> options;  // "--out"
  };
  std::vector<Words> words() const;

 private:
  CLI::App* app_;
};

}  // namespace tack
