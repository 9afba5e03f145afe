// `tack pii`: personal data and secrets in a file: shown, masked, put back.

#include <filesystem>
#include <map>

#include "base/atomic_file.h"
#include "cli/lines.h"
#include "cli/pii_eval.h"
#include "cli/verb.h"
#include "privacy/finder.h"
#include "privacy/restorer.h"
#include "privacy/vault.h"
#include "privacy/vault_json.h"

namespace tack {
namespace {

namespace fs = std::filesystem;
using privacy::Finder;
using privacy::Finding;

constexpr std::size_t kMostBytes = std::size_t{1} << 30;

struct Options {
  std::string file = "-", vault, out;
  std::vector<std::string> entities;
  double min_score = 0;
  bool json = false, show = false, refuse = false;
  PiiEvalOptions eval;
};

Result<std::string> read_input(const std::string& file) {
  if (file == "-") return read_standard_input("text", kMostBytes);
  return read_file(file, kMostBytes);
}

Result<std::vector<Finding>> find_in(std::string_view text, const Options& options) {
  TACK_TRY(const auto finder, Finder::create(options.entities));
  auto findings = finder->find(text);
  std::erase_if(findings, [&](const Finding& f) { return f.score < options.min_score; });
  return findings;
}

// "2 EMAIL_ADDRESS, 1 IBAN_CODE"
std::string counted(const std::map<std::string, std::size_t>& counts) {
  std::string out;
  for (const auto& [name, count] : counts)
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", count, name);
  return out;
}

// Line and column of places in their order; columns count characters.
class Places {
 public:
  explicit Places(std::string_view text) : text_(text) {}
  struct Place {
    std::size_t line = 1, column = 1;
  };
  Place of(std::size_t byte) {
    for (; at_ < byte; ++at_) {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '\n') {
        ++place_.line;
        place_.column = 1;
      } else if (at_ + 1 == text_.size() ||
                 (static_cast<unsigned char>(text_[at_ + 1]) & 0xC0) != 0x80) {
        ++place_.column;
      }
    }
    return place_;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
  Place place_;
};

// A value on one line, whatever is in it.
std::string one_line(std::string_view value) {
  return privacy::json_text(value);
}

Status scan(const Options& options) {
  TACK_TRY(const std::string text, read_input(options.file));
  TACK_TRY(const auto findings, find_in(text, options));
  Places places(text);
  std::map<std::string, std::size_t> counts;
  Json list = Json::array();
  for (const Finding& f : findings) {
    ++counts[f.entity];
    const auto [line, column] = places.of(f.begin);
    const std::string_view value = std::string_view(text).substr(f.begin, f.end - f.begin);
    if (options.json) {
      Json one = {{"entity", f.entity}, {"line", line}, {"column", column},
                  {"begin", f.begin},   {"end", f.end}, {"score", f.score}};
      if (options.show) one["value"] = value;
      list.push_back(std::move(one));
    } else {
      TACK_RETURN_IF_ERROR(
          print_line(fmt::format("{}:{} {} {:.2f}{}{}", line, column, f.entity, f.score,
                                 options.show ? " " : "", options.show ? one_line(value) : "")));
    }
  }
  if (options.json)
    TACK_RETURN_IF_ERROR(
        print_line(to_text(Json{{"findings", std::move(list)}, {"counts", counts}}, 2)));
  if (!options.refuse || findings.empty()) return {};
  return fail(ErrorCode::kRefused, "{}: found {}", options.file == "-" ? "text" : options.file,
              counted(counts));
}

Status write_output(const Options& options, std::string_view text) {
  if (options.out.empty() || options.out == "-") return print_text(text);
  return write_file(options.out, text);
}

Status read_vault(const std::string& path, privacy::Vault& vault) {
  TACK_TRY(const std::string text, read_file(path, kMostBytes));
  TACK_TRY(const Json json, parse_json(text, path));
  return privacy::fill_vault(json, path, vault);
}

// The values lie readable in the file: its owner alone may read it.
Status write_vault(const std::string& path, const privacy::Vault& vault) {
  TACK_TRY(auto file, AtomicFile::create(path, 0600));
  TACK_RETURN_IF_ERROR(file.write(to_text(privacy::vault_json(vault), 2) + "\n"));
  return file.commit();
}

Status mask(const Options& options) {
  TACK_TRY(const std::string text, read_input(options.file));
  TACK_TRY(const auto findings, find_in(text, options));
  privacy::Vault vault;
  std::error_code ignored;
  if (!options.vault.empty() && fs::exists(options.vault, ignored))
    TACK_RETURN_IF_ERROR(read_vault(options.vault, vault));
  vault.reserve(text);
  const std::string masked = vault.mask(text, findings);
  // First the values: masked text without them could not be restored.
  if (!options.vault.empty()) TACK_RETURN_IF_ERROR(write_vault(options.vault, vault));
  return write_output(options, masked);
}

Status unmask(const Options& options) {
  privacy::Vault vault;
  TACK_RETURN_IF_ERROR(read_vault(options.vault, vault));
  TACK_TRY(const std::string text, read_input(options.file));
  return write_output(options, privacy::restore(vault, text));
}

Status list_entities(const Options& options) {
  Json list = Json::array();
  for (const privacy::EntityInfo& info : privacy::entities()) {
    if (options.json)
      list.push_back({{"name", info.name},
                      {"pseudonym", info.pseudonym},
                      {"description", info.description},
                      {"secret", info.secret},
                      {"by_model", info.by_model}});
    else
      TACK_RETURN_IF_ERROR(print_line(fmt::format("{:<28}{}{}", info.name, info.description,
                                                  info.by_model ? " (needs a tagger)" : "")));
  }
  return options.json ? print_line(to_text(list, 2)) : Status();
}

void add_finding_options(Command& verb, Options& options) {
  verb.option("--entities", options.entities, "Only these, with commas; see `tack pii entities`")
      .delimiter(',');
  verb.option("--min-score", options.min_score, "Only what is at least so sure").range(0.0, 1.0);
}

}  // namespace

Verb make_pii(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("pii", "Find, mask and restore personal data and secrets");
  verb.require_verb();

  Command scan_verb = verb.add_verb("scan", "Say what a text holds and where; values stay hidden");
  scan_verb.option("file", options->file, "Text; -: standard input").show_default();
  add_finding_options(scan_verb, *options);
  scan_verb.flag("--show", options->show, "Print the values too");
  scan_verb.flag("--fail", options->refuse, "Exit code 5 when something was found");
  scan_verb.flag("--json", options->json, "JSON");

  Command mask_verb = verb.add_verb("mask", "Replace values by pseudonyms: <EMAIL_1>");
  mask_verb.option("file", options->file, "Text; -: standard input").show_default();
  add_finding_options(mask_verb, *options);
  mask_verb.option("--vault", options->vault,
                   "Keep the values in this file, readable, for `unmask`; of an existing one the "
                   "pseudonyms go on");
  mask_verb.option("--out,-o", options->out, "Write here; default: standard output");

  Command unmask_verb = verb.add_verb("unmask", "Put the values back");
  unmask_verb.option("file", options->file, "Masked text; -: standard input").show_default();
  unmask_verb.option("--vault", options->vault, "What `mask --vault` wrote").required();
  unmask_verb.option("--out,-o", options->out, "Write here; default: standard output");

  Command eval_verb = verb.add_verb("eval", "Measure on labelled texts: precision, recall, F2");
  eval_verb.option("data", options->eval.files, R"(JSON lines {"text", "spans"})").required();
  add_finding_options(eval_verb, *options);
  eval_verb.option("--mistakes", options->eval.mistakes,
                   "Write what was missed or wrong, JSON lines");
  eval_verb.flag("--json", options->json, "JSON");

  Command entities_verb = verb.add_verb("entities", "List what can be found");
  entities_verb.flag("--json", options->json, "JSON");

  return {verb, [=]() -> Status {
            if (scan_verb.given()) return scan(*options);
            if (mask_verb.given()) return mask(*options);
            if (unmask_verb.given()) return unmask(*options);
            if (entities_verb.given()) return list_entities(*options);
            options->eval.min_score = options->min_score;
            options->eval.json = options->json;
            TACK_TRY(const auto finder, Finder::create(options->entities));
            return evaluate_pii(*finder, options->eval);
          }};
}

}  // namespace tack
