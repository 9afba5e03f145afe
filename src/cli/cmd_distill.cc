// `tack distill`: a smaller model learns what a larger one answers to texts without labels.

#include <filesystem>

#include <fmt/ranges.h>

#include "cli/lines.h"
#include "cli/verb.h"
#include "tasks/distill.h"

namespace tack {
namespace {

struct Options {
  std::string teacher, student, data, text, format = "auto", out, type = "int8", quantize;
  std::vector<std::int64_t> layers;
  StudentShape shape;
  InnerSettings inner;
  double temperature = 2;
  TrainerOptions loop{.epochs = 5, .rate = 1e-4};
  int threads = 0;
  bool dry_run = false, json = false;
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
  distillation.type = options.quantize.empty() ? options.type : options.quantize;
  distillation.training.quantize = options.quantize;
  distillation.temperature = options.temperature;
  distillation.training.method = TrainMethod::kFull;
  distillation.training.loop = options.loop;
  distillation.dry_run = options.dry_run;
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
  if (options.dry_run && options.json)
    return print_line(to_text(
        {{"teacher_bytes", result.teacher_bytes}, {"student_bytes", result.student_bytes}}, 2));
  if (options.dry_run) {
    fmt::print("would be about {:.1f} MB, the teacher {:.1f} MB\n",
               static_cast<double>(result.student_bytes) / 1e6,
               static_cast<double>(result.teacher_bytes) / 1e6);
    return {};
  }
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

Verb make_distill(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("distill", "Teach a smaller model from texts without labels");
  verb.option("--teacher", options->teacher, "A task model or an encoder").required();
  verb.option("--student", options->student, "Where the student starts; default: the teacher");
  verb.option("--layers", options->layers, "How many layers the student keeps, or which: 0,2,4")
      .delimiter(',');
  verb.option("--width", options->shape.width,
              "Hidden size of the student; the dimensions that vary most stay")
      .range(32, 65536);
  verb.option("--ffn", options->shape.ffn, "Feed-forward size of the student").range(32, 131072);
  verb.option("--hidden", options->inner.hidden,
              "Weight of the distance to the teacher's hidden states")
      .range(0.0, 1e6);
  verb.option("--hidden-layers", options->inner.layers,
              "The teacher's layer for each of the student's; default: the one it was")
      .delimiter(',');
  verb.option("--relations", options->inner.relations,
              "Weight of the relations among queries, keys and values")
      .range(0.0, 1e6);
  verb.option("--relation-heads", options->inner.relation_heads, "That these are cut into")
      .range(1, 1024)
      .show_default();
  verb.option("--data", options->data, "Texts: lines, or a column of CSV, TSV, JSONL, JSON")
      .required();
  verb.option("--text", options->text, "Column of the text");
  verb.option("--format", options->format, "auto, csv, tsv, jsonl, json or text").show_default();
  verb.option("--out,-o", options->out, "The student to write").required();
  verb.option("--type", options->type, "int8, bf16, f16 or f32")
      .one_of({"int8", "bf16", "f16", "f32"})
      .show_default();
  verb.option("--quantize", options->quantize,
              "Train the weights in this type, which the student then has in place of --type")
      .one_of({"q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k"});
  verb.option("--temperature", options->temperature, "Of a task's answers")
      .range(0.1, 100.0)
      .show_default();
  verb.option("--epochs", options->loop.epochs, "").range(1, 10000).show_default();
  verb.option("--batch", options->loop.batch, "Texts per step").range(1, 4096).show_default();
  verb.option("--rate", options->loop.rate, "Learning rate").range(1e-8, 1.0).show_default();
  verb.option("--seed", options->loop.seed, "").show_default();
  verb.flag("--dry-run", options->dry_run, "Only predict the size");
  add_threads_option(verb, options->threads);
  verb.flag("--json", options->json, "Print the result as JSON");
  verb.footer("Example: tack distill --teacher t.gguf --layers 3 --data texts.txt -o small.gguf");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
