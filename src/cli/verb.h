// The verbs of `tack`: one cmd_*.cc each, listed in main.cc.
#pragma once

#include <functional>

#include "base/result.h"
#include "cli/command.h"

namespace tack {

// A verb as the command line knows it: its options, and what runs when it was given. `run` owns
// what the options were parsed into. The code of the error it returns is the exit code.
struct Verb {
  Command command;
  std::function<Status()> run;
};

// Declares one verb under `root`. Must be cheap: every start of the program declares all of them.
using VerbMaker = Verb (*)(Command& root);

Verb make_audit(Command& root);
Verb make_bench(Command& root);
Verb make_build(Command& root);
Verb make_classify(Command& root);
Verb make_tag(Command& root);
Verb make_completion(Command& root);
Verb make_compress(Command& root);
Verb make_config(Command& root);
Verb make_convert(Command& root);
Verb make_distill(Command& root);
Verb make_doctor(Command& root);
Verb make_embed(Command& root);
Verb make_eval(Command& root);
Verb make_extract(Command& root);
Verb make_guard(Command& root);
Verb make_heal(Command& root);
Verb make_keys(Command& root);
Verb make_label(Command& root);
Verb make_ledger(Command& root);
Verb make_prune(Command& root);
Verb make_quantize(Command& root);
Verb make_route(Command& root);
Verb make_run(Command& root);
Verb make_serve(Command& root);
Verb make_show(Command& root);
Verb make_tokenize(Command& root);
Verb make_version(Command& root);

}  // namespace tack
