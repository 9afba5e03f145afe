// `tack prune`: a model with less in it: fewer tokens, layers, feed-forward channels or heads.

#include <filesystem>

#include <fmt/ranges.h>

#include "base/mapped_file.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "compress/prune_layers.h"
#include "compress/prune_vocabulary.h"
#include "compress/prune_width.h"

namespace tack {
namespace {

struct Options {
  std::string model, out, column, format = "auto";
  std::vector<std::string> tokens_of, data;
  std::vector<std::int64_t> drop_layers;
  std::int64_t vocabulary = 0, min_count = 1, layers = 0, ffn = 0, heads = 0;
  int threads = 0;
  bool dry_run = false, json = false, requantize = false;

  bool prunes_vocabulary() const { return vocabulary > 0 || !tokens_of.empty(); }
  bool prunes_layers() const { return layers > 0 || !drop_layers.empty(); }
  bool prunes_width() const { return ffn > 0 || heads > 0; }
  std::filesystem::path target() const { return dry_run ? "" : out; }
};

double megabytes(std::uint64_t bytes) {
  return static_cast<double>(bytes) / 1e6;
}
double percent(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 100.0;
}

// The rows of data files. A plain text is one text to a decoder, whose tokens cross its lines.
Result<std::vector<std::string>> read_files(const Options& options,
                                            const std::vector<std::string>& files,
                                            const Model& model) {
  std::vector<std::string> texts;
  for (const std::string& file : files) {
    const bool plain =
        options.format == "text" || (options.format == "auto" && file.ends_with(".txt"));
    if (plain && model.generates() && file != "-") {
      TACK_TRY(const auto bytes, MappedFile::open(file));
      texts.emplace_back(bytes.text());
      continue;
    }
    TACK_TRY(auto rows, open_texts({file, options.column, options.format}, model));
    for (bool more = true; more;) {
      TACK_TRY(more, read_texts(*rows, texts.size() + 4096, texts));
    }
  }
  return texts;
}

// The end of every report.
void print_bytes(const Options& options, std::uint64_t before, std::uint64_t after) {
  fmt::print("{} {:.1f} MB, before {:.1f} MB\n",
             options.dry_run ? std::string("would be") : options.out + ":", megabytes(after),
             megabytes(before));
}
Json json_bytes(const Options& options, std::uint64_t before, std::uint64_t after) {
  return {{"model", options.target().string()}, {"bytes_before", before}, {"bytes", after}};
}

Json to_json(const VocabularyPruning& pruning, const TokenizationChange& change,
             const Options& options) {
  Json json = json_bytes(options, pruning.bytes_before, pruning.bytes_after);
  json["tokens_before"] = pruning.tokens_before;
  json["tokens"] = pruning.kept.ids.size();
  json["always"] = pruning.kept.always;
  json["used"] = pruning.kept.used;
  json["parts"] = pruning.kept.parts;
  json["filled"] = pruning.kept.filled;
  json["left_out"] = pruning.kept.left_out;
  if (change.texts > 0)
    json["texts"] = {{"texts", change.texts},
                     {"words", change.words},
                     {"same_words", change.same_words},
                     {"tokens_before", change.tokens_before},
                     {"tokens", change.tokens_after}};
  return json;
}

void print(const VocabularyPruning& pruning, const TokenizationChange& change) {
  const KeptVocabulary& kept = pruning.kept;
  fmt::print("tokens: {} of {} stay: {} always, {} more that the texts use", kept.ids.size(),
             pruning.tokens_before, kept.always, kept.used);
  if (kept.parts > 0) fmt::print(", {} that these are merged from", kept.parts);
  if (kept.filled > 0) fmt::print(", {} by the vocabulary's order", kept.filled);
  fmt::print("\n");
  if (kept.left_out > 0) fmt::print("{} tokens that the texts use had no room\n", kept.left_out);
  if (change.texts > 0)
    fmt::print(
        "texts: {:.2f} % of {} words have the tokens they had; {} tokens, {} before ({:+.2f} %)\n",
        percent(change.same_words, change.words), change.words, change.tokens_after,
        change.tokens_before, percent(change.tokens_after, change.tokens_before) - 100.0);
}

Status prune_tokens(const Options& options, const Model& model) {
  TACK_TRY(const auto texts, read_files(options, options.tokens_of, model));
  VocabularyChoice choice{.min_count = options.min_count, .size = options.vocabulary};
  choice.command = "tack prune";
  if (options.vocabulary > 0) choice.command += fmt::format(" --vocabulary {}", options.vocabulary);
  if (!options.tokens_of.empty())
    choice.command += fmt::format(" --keep-tokens-of {}", fmt::join(options.tokens_of, ","));
  if (!options.tokens_of.empty()) choice.counts = count_tokens(model.tokenizer(), texts);
  TACK_TRY(const VocabularyPruning pruning, prune_vocabulary(model, choice, options.target()));
  const TokenizationChange change =
      compare_tokenization(model.tokenizer(), *pruning.tokenizer, pruning.kept.ids, texts);
  if (options.json) return print_line(to_text(to_json(pruning, change, options), 2));
  print(pruning, change);
  print_bytes(options, pruning.bytes_before, pruning.bytes_after);
  return {};
}

// What takes long says how far it is.
std::function<void(const std::string&)> printer(const Options& options) {
  return [json = options.json](const std::string& line) {
    fmt::print(json ? stderr : stdout, "{}\n", line);
    std::fflush(stdout);
  };
}

Status prune_depth(const Options& options, const Model& model) {
  TACK_TRY(const auto texts, read_files(options, options.data, model));
  LayerChoice choice{.keep = options.layers,
                     .drop = options.drop_layers,
                     .threads = options.threads,
                     .message = printer(options)};
  choice.command = options.layers > 0 ? fmt::format("tack prune --layers {}", options.layers)
                                      : fmt::format("tack prune --drop-layers {}",
                                                    fmt::join(options.drop_layers, ","));
  TACK_TRY(const LayerPruning pruning, prune_layers(model, texts, choice, options.target()));
  if (options.json) {
    Json json = json_bytes(options, pruning.bytes_before, pruning.bytes_after);
    json["kept"] = pruning.kept;
    json["measure"] = harm_name(model);
    json["tokens"] = pruning.tokens;
    json["steps"] = Json::array();
    for (const auto& step : pruning.steps)
      json["steps"].push_back({{"layers", step.layers}, {"harm", step.harm}});
    return print_line(to_text(json, 2));
  }
  fmt::print("layers {} stay\n", fmt::join(pruning.kept, ", "));
  print_bytes(options, pruning.bytes_before, pruning.bytes_after);
  return {};
}

Status prune_widths(const Options& options, const Model& model) {
  TACK_TRY(const auto texts, read_files(options, options.data, model));
  WidthChoice choice{.ffn = options.ffn,
                     .heads = options.heads,
                     .requantize = options.requantize,
                     .threads = options.threads,
                     .message = printer(options)};
  choice.command = "tack prune";
  if (options.ffn > 0) choice.command += fmt::format(" --ffn {}", options.ffn);
  if (options.heads > 0) choice.command += fmt::format(" --heads {}", options.heads);
  TACK_TRY(const WidthPruning pruning, prune_width(model, texts, choice, options.target()));
  if (options.json) {
    Json json = json_bytes(options, pruning.bytes_before, pruning.bytes_after);
    json["measure"] = harm_name(model);
    json["harm"] = pruning.harm;
    json["tokens"] = pruning.tokens;
    json["refit_as_f16"] = pruning.refit_as_f16;
    for (const auto& layer : pruning.layers) {
      Json lost = Json::object();
      if (layer.heads >= 0) lost["heads"] = layer.heads;
      if (layer.ffn >= 0) lost["ffn"] = layer.ffn;
      json["layers"].push_back(std::move(lost));
    }
    return print_line(to_text(json, 2));
  }
  fmt::print("fitted on {} tokens; {} {:.5f}\n", pruning.tokens, harm_name(model), pruning.harm);
  if (pruning.refit_as_f16)
    fmt::print("matrices that were fitted again are f16: tack convert makes all one type\n");
  print_bytes(options, pruning.bytes_before, pruning.bytes_after);
  return {};
}

Status run(const Options& options) {
  const int kinds = (options.prunes_vocabulary() ? 1 : 0) + (options.prunes_layers() ? 1 : 0) +
                    (options.prunes_width() ? 1 : 0);
  if (kinds == 0)
    return fail(ErrorCode::kUsage,
                "say what to prune: --vocabulary, --keep-tokens-of, --layers, --drop-layers, "
                "--ffn or --heads");
  if (kinds > 1)
    return fail(ErrorCode::kUsage,
                "tokens, layers and widths are pruned one after another: give the result to the "
                "next");
  if (options.layers > 0 && !options.drop_layers.empty())
    return fail(ErrorCode::kUsage, "either --layers or --drop-layers");
  if (!options.dry_run && options.out.empty())
    return fail(ErrorCode::kUsage, "say where the model goes (-o FILE), or --dry-run");
  TACK_TRY(const auto path, resolve_model(options.model));
  TACK_TRY(const auto model, Model::open(path));
  if (options.prunes_vocabulary()) return prune_tokens(options, *model);
  if (options.prunes_layers()) return prune_depth(options, *model);
  return prune_widths(options, *model);
}

}  // namespace

Verb make_prune(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb =
      root.add_verb("prune", "Make a model smaller: fewer tokens, layers, channels or heads");
  add_model_option(verb, options->model, "Model (path or name), a GGUF");
  verb.option("--out,-o", options->out, "The model to write");
  verb.option("--vocabulary", options->vocabulary,
              "How many tokens stay; default: those the texts use, and what these need")
      .range(1, 1 << 24);
  verb.option("--keep-tokens-of", options->tokens_of,
              "Texts whose tokens stay: lines, or a column of CSV, TSV, JSONL, JSON")
      .delimiter(',');
  verb.option("--min-count", options->min_count, "Uses in the texts from which a token stays")
      .range(1, 1 << 30)
      .show_default();
  verb.option("--layers", options->layers, "How many layers stay: those that --data needs most")
      .range(1, 511);
  verb.option("--drop-layers", options->drop_layers, "Which layers go: 3,4").delimiter(',');
  verb.option("--ffn", options->ffn, "Size of the feed-forward layers, fitted again on --data")
      .range(32, 1 << 20);
  verb.option("--heads", options->heads,
              "Attention heads of every layer of an encoder, fitted again on --data")
      .range(1, 1024);
  verb.option("--data", options->data, "Texts to measure and fit on, as for --keep-tokens-of")
      .delimiter(',');
  verb.option("--text", options->column, "Column of the text");
  verb.option("--format", options->format, "auto, csv, tsv, jsonl, json or text").show_default();
  verb.flag("--requantize", options->requantize,
            "Fit matrices in blocks again, too, and store those as f16");
  verb.flag("--dry-run", options->dry_run, "Say what would come of it, and write nothing");
  verb.flag("--json", options->json, "Print the result as JSON");
  add_threads_option(verb, options->threads);
  verb.footer(
      "Example: tack prune m.gguf --keep-tokens-of train.csv --vocabulary 8000 -o small.gguf");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
