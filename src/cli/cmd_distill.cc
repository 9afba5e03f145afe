// `tack distill`: a smaller model learns what a larger one answers to texts without labels.

#include <filesystem>

#include <fmt/ranges.h>

#include "cli/lines.h"
#include "cli/verb.h"
#include "tasks/distill.h"

namespace tack {
namespace {

struct Options {
  std::string teacher, student, data, text, format = "auto", out, type = "int8";
  std::vector<std::int64_t> layers;
  StudentShape shape;
  InnerSettings inner;
  double temperature = 2;
  TrainerOptions loop{.epochs = 5, .rate = 1e-4};
  int threads = 0;
  bool json = false;
};

Status run(Options& options) {
  DistillOptions distillation;
  TACK_TRY(distillation.teacher, resolve_model(options.teacher));
  if (!options.student.empty()) {
    TACK_TRY(distillation.student, resolve_model(options.student));
  }
  if (options.layers.size() == 1)
    options.shape.layer_count = options.layers.front();
  else
    options.shape.layers = options.layers;
  if (options.student.empty() && !options.shape.any())
    return fail(ErrorCode::kUsage,
                "say what the student is: --layers 3 or --width 192 (of the teacher's), or "
                "--student MODEL");
  distillation.shape = options.shape;
  distillation.inner = options.inner;
  distillation.out = options.out;
  distillation.type = options.type;
  distillation.temperature = options.temperature;
  distillation.training.method = TrainMethod::kFull;
  distillation.training.loop = options.loop;
  distillation.threads = options.threads;
  distillation.command =
      fmt::format("tack distill --teacher {} --data {}", options.teacher, options.data);
  distillation.message = [&](const std::string& line) {
    fmt::print(options.json ? stderr : stdout, "{}\n", line);
    std::fflush(stdout);
  };
  std::vector<std::string> texts;
  {
    TACK_TRY(const auto teacher, Model::open(distillation.teacher));
    TACK_TRY(auto rows, open_texts({options.data, options.text, options.format}, *teacher));
    for (bool more = true; more;) {
      TACK_TRY(more, read_texts(*rows, 4096, texts));
    }
  }
  TACK_TRY(const DistillResult result, distill(texts, distillation));
  if (options.json)
    return print_line(to_text({{"model", options.out},
                               {"texts", result.texts},
                               {"held_out", result.held_out},
                               {"agreement", result.agreement},
                               {"teacher_bytes", result.teacher_bytes},
                               {"student_bytes", result.student_bytes},
                               {"seconds", result.seconds}},
                              2));
  if (result.held_out > 0)
    fmt::print("on {} held-out texts: {} {:.2f} %\n", result.held_out,
               result.of_task    ? "the teacher's answer in"
               : result.of_pairs ? "correlation with the teacher's cosines"
                                 : "mean cosine to the teacher",
               100 * result.agreement);
  fmt::print("wrote {} ({:.1f} MB, the teacher {:.1f} MB) in {:.1f} s\n", options.out,
             static_cast<double>(result.student_bytes) / 1e6,
             static_cast<double>(result.teacher_bytes) / 1e6, result.seconds);
  return {};
}

}  // namespace

Verb make_distill(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      root.add_subcommand("distill", "Teach a smaller model from texts without labels");
  verb->add_option("--teacher", options->teacher, "A task model or an encoder")->required();
  verb->add_option("--student", options->student, "Where the student starts; default: the teacher");
  verb->add_option("--layers", options->layers,
                   "How many layers the student keeps, or which: 0,2,4")
      ->delimiter(',');
  verb->add_option("--width", options->shape.width,
                   "Hidden size of the student; the dimensions that vary most stay")
      ->check(CLI::Range(32, 65536));
  verb->add_option("--ffn", options->shape.ffn, "Feed-forward size of the student")
      ->check(CLI::Range(32, 131072));
  verb->add_option("--hidden", options->inner.hidden,
                   "Weight of the distance to the teacher's hidden states")
      ->check(CLI::Range(0.0, 1e6));
  verb->add_option("--hidden-layers", options->inner.layers,
                   "The teacher's layer for each of the student's; default: the one it was")
      ->delimiter(',');
  verb->add_option("--relations", options->inner.relations,
                   "Weight of the relations among queries, keys and values")
      ->check(CLI::Range(0.0, 1e6));
  verb->add_option("--relation-heads", options->inner.relation_heads, "That these are cut into")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  verb->add_option("--data", options->data, "Texts: lines, or a column of CSV, TSV, JSONL, JSON")
      ->required();
  verb->add_option("--text", options->text, "Column of the text");
  verb->add_option("--format", options->format, "auto, csv, tsv, jsonl, json or text")
      ->capture_default_str();
  verb->add_option("--out,-o", options->out, "The student to write")->required();
  verb->add_option("--type", options->type, "int8, bf16, f16 or f32")
      ->check(CLI::IsMember({"int8", "bf16", "f16", "f32"}))
      ->capture_default_str();
  verb->add_option("--temperature", options->temperature, "Of a task's answers")
      ->check(CLI::Range(0.1, 100.0))
      ->capture_default_str();
  verb->add_option("--epochs", options->loop.epochs, "")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  verb->add_option("--batch", options->loop.batch, "Texts per step")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  verb->add_option("--rate", options->loop.rate, "Learning rate")
      ->check(CLI::Range(1e-8, 1.0))
      ->capture_default_str();
  verb->add_option("--seed", options->loop.seed, "")->capture_default_str();
  add_threads_option(*verb, options->threads);
  verb->add_flag("--json", options->json, "Print the result as JSON");
  verb->footer("Example: tack distill --teacher t.gguf --layers 3 --data texts.txt -o small.gguf");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
