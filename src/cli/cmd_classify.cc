// `tack classify`: a label and its probability for each row, or all labels that count, streamed.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "base/json.h"
#include "base/progress.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "tasks/predictor.h"

namespace tack {
namespace {

struct Options {
  std::string model, head, output = "text";
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

// What the model says to each text: to one question, or to each of several.
class Writer {
 public:
  Writer(const Options& options, std::span<const TaskHead> heads)
      : options_(options), heads_(heads), multilabel_(heads.front().calibration.multilabel) {}

  Status begin() const {
    if (options_.output != "csv") return {};
    if (multilabel_) return print_line("text,labels,probabilities");
    if (heads_.size() == 1) return print_line("text,label,probability,out_of_scope");
    std::string line = "text";
    for (const TaskHead& head : heads_)
      line += fmt::format(",{0},{0}_probability,{0}_out_of_scope", head.name);
    return print_line(line);
  }

  // `answers` has one for each head.
  Status write(std::int64_t index, const std::string& text, std::span<const Prediction> answers) {
    if (multilabel_) return write_set(index, text, answers[0]);
    if (options_.output == "csv") return print_line(csv(text, answers));
    if (options_.output == "text") return print_line(line(text, answers));
    Json json = {{"index", index}};
    if (heads_.size() == 1) json.update(answer(heads_[0], answers[0]));
    for (std::size_t h = 0; heads_.size() > 1 && h < heads_.size(); ++h)
      json["heads"][heads_[h].name] = answer(heads_[h], answers[h]);
    json["tokens"] = answers[0].tokens;
    json["truncated"] = answers[0].truncated;
    if (heads_.size() == 1) json["top"] = top(heads_[0], answers[0]);
    return print_line(to_text(json));
  }

 private:
  // Labels that count, most probable first: "a 0.98, b 0.71"; in CSV apart by |, as data has them.
  Status write_set(std::int64_t index, const std::string& text, const Prediction& p) {
    const std::vector<std::string>& label_names = heads_[0].labels;
    if (options_.output == "jsonl") {
      Json labels = Json::array();
      for (std::size_t k : p.labels)
        labels.push_back({{"label", label_names[k]}, {"probability", rounded(p.probabilities[k])}});
      return print_line(to_text({{"index", index},
                                 {"labels", std::move(labels)},
                                 {"tokens", p.tokens},
                                 {"truncated", p.truncated},
                                 {"top", top(heads_[0], p)}}));
    }
    const bool csv = options_.output == "csv";
    std::string names, numbers;
    for (std::size_t k : p.labels) {
      const char* const between = names.empty() ? "" : csv ? "|" : ", ";
      names += csv ? fmt::format("{}{}", between, label_names[k])
                   : fmt::format("{}{} {:.3f}", between, label_names[k], p.probabilities[k]);
      numbers += fmt::format("{}{:.4f}", between, p.probabilities[k]);
    }
    return print_line(csv ? fmt::format("{},{},{}", csv_field(text), csv_field(names), numbers)
                          : fmt::format("{}\t{}", names.empty() ? "-" : names, text));
  }

  std::string csv(const std::string& text, std::span<const Prediction> answers) const {
    std::string line = csv_field(text);
    for (std::size_t h = 0; h < heads_.size(); ++h) {
      const Prediction& p = answers[h];
      line += fmt::format(",{},{:.4f},{}", csv_field(heads_[h].labels[p.label]),
                          p.probabilities[p.label], p.out_of_scope);
    }
    return line;
  }

  // "label\tprobability\ttext", or with several heads "name=label probability\t...\ttext".
  std::string line(const std::string& text, std::span<const Prediction> answers) const {
    std::string line;
    for (std::size_t h = 0; h < heads_.size(); ++h) {
      const Prediction& p = answers[h];
      if (heads_.size() > 1) line += heads_[h].name + "=";
      line += fmt::format("{}{}{}{:.3f}\t", heads_[h].labels[p.label],
                          p.out_of_scope ? " (out of scope?)" : "", heads_.size() > 1 ? ' ' : '\t',
                          p.probabilities[p.label]);
    }
    return line + text;
  }

  Json answer(const TaskHead& head, const Prediction& p) {
    Json json = {{"label", head.labels[p.label]},
                 {"probability", rounded(p.probabilities[p.label])},
                 {"out_of_scope", p.out_of_scope}};
    if (heads_.size() > 1) json["top"] = top(head, p);
    return json;
  }

  Json top(const TaskHead& head, const Prediction& p) {
    const std::size_t labels = head.labels.size();
    const std::size_t count =
        options_.top <= 0 ? labels : std::min(labels, static_cast<std::size_t>(options_.top));
    order_.resize(labels);
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(count),
                      order_.end(), [&](std::size_t a, std::size_t b) {
                        return p.probabilities[a] != p.probabilities[b]
                                   ? p.probabilities[a] > p.probabilities[b]
                                   : a < b;
                      });
    Json list = Json::array();
    for (std::size_t i = 0; i < count; ++i)
      list.push_back({{"label", head.labels[order_[i]]},
                      {"probability", rounded(p.probabilities[order_[i]])}});
    return list;
  }

  const Options& options_;
  std::span<const TaskHead> heads_;
  bool multilabel_;  // then there is one head
  std::vector<std::size_t> order_;
};

Status run(Options& options) {
  if (options.json) options.output = "jsonl";
  TACK_TRY(const auto path, resolve_model(options.model));
  TACK_TRY(auto predictor, TaskPredictor::open_heads(path, {.threads = options.threads}));
  const bool all = options.head.empty() && predictor->heads().size() > 1;
  if (!all) TACK_RETURN_IF_ERROR(predictor->choose(options.head));
  const std::span<const TaskHead> heads =
      all ? std::span(predictor->heads()) : std::span(&predictor->head(), 1);
  TACK_TRY(auto rows, open_texts(options.input, predictor->model()));
  Writer writer(options, heads);
  TACK_RETURN_IF_ERROR(writer.begin());
  std::int64_t done = 0, cut = 0, cut_tokens = 0;
  Progress progress("classifying", 0, "rows");
  std::vector<std::string> texts;
  // The first answer comes at once; batches grow to what runs fastest.
  bool more = true;
  for (std::size_t batch = 1; more; batch = std::min(batch * 4, options.batch)) {
    texts.clear();
    TACK_TRY(more, read_texts(*rows, batch, texts));
    TACK_TRY(const auto predictions,
             all ? predictor->predict_heads(views(texts)) : predictor->predict(views(texts)));
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto answers = std::span(predictions).subspan(i * heads.size(), heads.size());
      TACK_RETURN_IF_ERROR(writer.write(done++, texts[i], answers));
      cut += answers[0].truncated > 0;
      cut_tokens += answers[0].truncated;
    }
    if (batch == 1) std::fflush(stdout);
    progress.advance(static_cast<std::int64_t>(texts.size()));
  }
  progress.finish();
  warn_truncated(done, cut, cut_tokens, predictor->model().context_length());
  return {};
}

}  // namespace

Verb make_classify(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("classify", "Label texts with a task model");
  add_model_option(verb, options->model, "Task model (path or name)").required();
  add_text_input(verb, options->input);
  verb.option("--head", options->head, "Answer this question only, of a model with several");
  verb.option("--output", options->output, "text, csv or jsonl")
      .one_of({"text", "csv", "jsonl"})
      .show_default();
  verb.flag("--json", options->json, "The same as --output jsonl");
  verb.option("--top", options->top, "Labels listed under \"top\" per row of JSON; 0: all")
      .not_negative()
      .show_default();
  verb.option("--batch", options->batch, "Rows computed together; 1 answers each row at once")
      .range(1, 100000)
      .show_default();
  add_threads_option(verb, options->threads);
  verb.footer("Example: echo 'my card never came' | tack classify tickets.gguf");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
