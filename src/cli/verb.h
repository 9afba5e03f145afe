// The verbs of `tack`: one cmd_*.cc each, listed in main.cc.
#pragma once

#include <functional>

#include <CLI/CLI.hpp>

#include "base/result.h"

namespace tack {

// A verb as the command line knows it: its options, and what runs when it was given. `run` owns
// what the options were parsed into. The code of the error it returns is the exit code.
struct Verb {
  CLI::App* options = nullptr;
  std::function<Status()> run;
};

// Declares one verb under `root`. Must be cheap: every start of the program declares all of them.
using VerbMaker = Verb (*)(CLI::App& root);

Verb make_bench(CLI::App& root);
Verb make_build(CLI::App& root);
Verb make_classify(CLI::App& root);
Verb make_tag(CLI::App& root);
Verb make_completion(CLI::App& root);
Verb make_convert(CLI::App& root);
Verb make_distill(CLI::App& root);
Verb make_doctor(CLI::App& root);
Verb make_embed(CLI::App& root);
Verb make_eval(CLI::App& root);
Verb make_extract(CLI::App& root);
Verb make_label(CLI::App& root);
Verb make_serve(CLI::App& root);
Verb make_show(CLI::App& root);
Verb make_tokenize(CLI::App& root);
Verb make_version(CLI::App& root);

}  // namespace tack
