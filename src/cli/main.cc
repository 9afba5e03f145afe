// `tack`: parses the command line, runs one verb, turns its error into one line and an exit code.

#include <array>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/interrupt.h"
#include "base/log.h"
#include "cli/verb.h"
#include "kernels/kernels.h"

namespace tack {
namespace {

constexpr std::array kVerbs = {
    make_build,  make_label,      make_distill,  make_compress, make_quantize, make_prune,
    make_heal,   make_eval,       make_classify, make_tag,      make_extract,  make_embed,
    make_run,    make_serve,      make_config,   make_keys,     make_ledger,   make_audit,
    make_route,  make_guard,      make_show,     make_bench,    make_convert,  make_tokenize,
    make_doctor, make_completion, make_version,
};

// One line, whatever was in the message.
int report(const Error& error) {
  std::string line = error.message;
  for (char& c : line)
    if (c == '\n' || c == '\r') c = ' ';
  fmt::print(stderr, "tack: {}\n", line);
  return static_cast<int>(error.code);
}

std::string innermost_verb(const CLI::App& root) {
  const CLI::App* app = &root;
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return app == &root ? "tack" : "tack " + app->get_name();
}

int run(int argc, char** argv) {
  init_logging();
  install_interrupt_handlers();
  if (const Status status = kernels::init_kernels(); !status) return report(status.error());

  CLI::App app{"Makes, proves and serves small models that do one task on your own machine.",
               "tack"};
  app.require_subcommand(1);
  app.set_version_flag("-V,--version", "tack " TACK_VERSION);
  app.footer("Start: tack build --data tickets.csv --text text --label intent --out tickets.gguf");
  Command root(&app);
  std::vector<Verb> verbs;
  for (const VerbMaker make : kVerbs) verbs.push_back(make(root));
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {  // --help, --version
    return app.exit(done);
  } catch (const CLI::ParseError& error) {
    return report(
        {ErrorCode::kUsage, fmt::format("{} (see {} --help)", error.what(), innermost_verb(app))});
  }
  for (const Verb& verb : verbs) {
    if (!verb.command.given()) continue;
    const Status status = verb.run();
    if (std::fflush(stdout) != 0 && status)
      return report({ErrorCode::kFailed, "cannot write to standard output"});
    return status ? 0 : report(status.error());
  }
  return static_cast<int>(ErrorCode::kUsage);
}

}  // namespace
}  // namespace tack

int main(int argc, char** argv) {
  try {
    return tack::run(argc, argv);
  } catch (const std::bad_alloc&) {
    return tack::report({tack::ErrorCode::kFailed, "out of memory"});
  } catch (const std::exception& error) {
    return tack::report({tack::ErrorCode::kFailed, error.what()});
  }
}
