// `tack version`, and `tack completion`, which prints what a shell needs to complete verbs.

#include <fmt/ranges.h>

#include "cli/lines.h"
#include "cli/verb.h"

namespace tack {

Verb make_version(Command& root) {
  Command verb = root.add_verb("version", "Print the version");
  return {verb, [] { return print_line("tack " TACK_VERSION); }};
}

Verb make_completion(Command& root) {
  auto shell = std::make_shared<std::string>("bash");
  Command verb = root.add_verb("completion", "Print a completion script for a shell");
  verb.option("shell", *shell, "bash, zsh or fish").one_of({"bash", "zsh", "fish"});
  verb.footer("Example: source <(tack completion bash)");
  return {
      verb, [shell, root]() -> Status {
        std::vector<std::string> verbs;
        std::string options;
        for (const Command::Words& words : root.words()) {
          verbs.push_back(words.verb);
          if (*shell == "fish")
            for (const std::string& name : words.options)
              options += fmt::format("complete -c tack -n '__fish_seen_subcommand_from {}' -l {}\n",
                                     words.verb, name.substr(2));
          else
            options +=
                fmt::format("    {}) words='{}' ;;\n", words.verb, fmt::join(words.options, " "));
        }
        if (*shell == "fish")
          return print_line(fmt::format("complete -c tack -n __fish_use_subcommand -f -a '{}'\n{}",
                                        fmt::join(verbs, " "), options));
        const std::string_view preamble =
            *shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : "";
        return print_line(fmt::format(R"({}_tack() {{
  local words word="${{COMP_WORDS[COMP_CWORD]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='{}'
  else
    case "${{COMP_WORDS[1]}}" in
{}    esac
  fi
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
    *) [ "$COMP_CWORD" -eq 1 ] && COMPREPLY=($(compgen -W "$words" -- "$word")) || COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}}
complete -o filenames -F _tack tack)",
                                      preamble, fmt::join(verbs, " "), options));
      }};
}

}  // namespace tack
