// `tack classify`: a label and its probability for each row, or all labels that count, streamed.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/json.h"
#include "base/progress.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "tasks/predictor.h"

namespace tack {
namespace {

struct Options {
  std::string model, output = "text";
  TextInput input;
  int threads = 0, top = 3;
  std::size_t batch = 256;
  bool json = false;
};

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out += '"';
}

// Six digits: what calibration can promise, and what a person can read.
double rounded(float p) {
  return std::round(static_cast<double>(p) * 1e6) / 1e6;
}

class Writer {
 public:
  Writer(const Options& options, const TaskPredictor& predictor)
      : options_(options),
        labels_(predictor.labels()),
        multilabel_(predictor.multilabel()),
        order_(labels_.size()) {}

  Status begin() const {
    if (options_.output != "csv") return {};
    return print_line(multilabel_ ? "text,labels,probabilities"
                                  : "text,label,probability,out_of_scope");
  }

  Status write(std::int64_t index, const std::string& text, const Prediction& p) {
    if (multilabel_) return write_set(index, text, p);
    const std::string& label = labels_[p.label];
    if (options_.output == "csv")
      return print_line(fmt::format("{},{},{:.4f},{}", csv_field(text), csv_field(label),
                                    p.probabilities[p.label], p.out_of_scope));
    if (options_.output == "text")
      return print_line(fmt::format("{}{}\t{:.3f}\t{}", label,
                                    p.out_of_scope ? " (out of scope?)" : "",
                                    p.probabilities[p.label], text));
    Json json = {{"index", index},
                 {"label", label},
                 {"probability", rounded(p.probabilities[p.label])},
                 {"out_of_scope", p.out_of_scope},
                 {"tokens", p.tokens},
                 {"truncated", p.truncated},
                 {"top", top(p)}};
    return print_line(to_text(json));
  }

 private:
  // Labels that count, most probable first: "a 0.98, b 0.71"; in CSV apart by |, as data has them.
  Status write_set(std::int64_t index, const std::string& text, const Prediction& p) {
    if (options_.output == "jsonl") {
      Json labels = Json::array();
      for (std::size_t k : p.labels)
        labels.push_back({{"label", labels_[k]}, {"probability", rounded(p.probabilities[k])}});
      return print_line(to_text({{"index", index},
                                 {"labels", std::move(labels)},
                                 {"tokens", p.tokens},
                                 {"truncated", p.truncated},
                                 {"top", top(p)}}));
    }
    const bool csv = options_.output == "csv";
    std::string names, numbers;
    for (std::size_t k : p.labels) {
      const char* const between = names.empty() ? "" : csv ? "|" : ", ";
      names += csv ? fmt::format("{}{}", between, labels_[k])
                   : fmt::format("{}{} {:.3f}", between, labels_[k], p.probabilities[k]);
      numbers += fmt::format("{}{:.4f}", between, p.probabilities[k]);
    }
    return print_line(csv ? fmt::format("{},{},{}", csv_field(text), csv_field(names), numbers)
                          : fmt::format("{}\t{}", names.empty() ? "-" : names, text));
  }

  Json top(const Prediction& p) {
    const std::size_t count =
        options_.top <= 0 ? labels_.size()
                          : std::min(labels_.size(), static_cast<std::size_t>(options_.top));
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(count),
                      order_.end(), [&](std::size_t a, std::size_t b) {
                        return p.probabilities[a] != p.probabilities[b]
                                   ? p.probabilities[a] > p.probabilities[b]
                                   : a < b;
                      });
    Json list = Json::array();
    for (std::size_t i = 0; i < count; ++i)
      list.push_back(
          {{"label", labels_[order_[i]]}, {"probability", rounded(p.probabilities[order_[i]])}});
    return list;
  }

  const Options& options_;
  const std::vector<std::string>& labels_;
  bool multilabel_;
  std::vector<std::size_t> order_;
};

Status run(Options& options) {
  if (options.json) options.output = "jsonl";
  TACK_TRY(const auto path, resolve_model(options.model));
  TACK_TRY(auto predictor, TaskPredictor::open(path, {.threads = options.threads}));
  TACK_TRY(auto rows, open_texts(options.input, predictor->model()));
  Writer writer(options, *predictor);
  TACK_RETURN_IF_ERROR(writer.begin());
  std::int64_t done = 0, cut = 0, cut_tokens = 0;
  Progress progress("classifying", 0, "rows");
  std::vector<std::string> texts;
  // The first answer comes at once; batches grow to what runs fastest.
  bool more = true;
  for (std::size_t batch = 1; more; batch = std::min(batch * 4, options.batch)) {
    texts.clear();
    TACK_TRY(more, read_texts(*rows, batch, texts));
    TACK_TRY(const auto predictions, predictor->predict(views(texts)));
    for (std::size_t i = 0; i < texts.size(); ++i) {
      TACK_RETURN_IF_ERROR(writer.write(done++, texts[i], predictions[i]));
      cut += predictions[i].truncated > 0;
      cut_tokens += predictions[i].truncated;
    }
    if (batch == 1) std::fflush(stdout);
    progress.advance(static_cast<std::int64_t>(texts.size()));
  }
  progress.finish();
  warn_truncated(done, cut, cut_tokens, predictor->model().context_length());
  return {};
}

}  // namespace

Verb make_classify(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = root.add_subcommand("classify", "Label texts with a task model");
  add_model_option(*verb, options->model, "Task model (path or name)")->required();
  add_text_input(*verb, options->input);
  verb->add_option("--output", options->output, "text, csv or jsonl")
      ->check(CLI::IsMember({"text", "csv", "jsonl"}))
      ->capture_default_str();
  verb->add_flag("--json", options->json, "The same as --output jsonl");
  verb->add_option("--top", options->top, "Labels listed under \"top\" per row of JSON; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  verb->add_option("--batch", options->batch, "Rows computed together; 1 answers each row at once")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  add_threads_option(*verb, options->threads);
  verb->footer("Example: echo 'my card never came' | tack classify tickets.gguf");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
