// What a person reads after `build` and `eval`: text for the terminal, HTML for the rest.
#pragma once

#include <string>
#include <vector>

#include "tasks/embedding.h"
#include "tasks/evaluate.h"
#include "tasks/extractor.h"
#include "tasks/multilabel.h"
#include "tasks/tagger.h"
#include "tasks/text_evaluation.h"

namespace tack {

// Several lines, each ended: the numbers with their intervals, the labels that do worst, the pairs
// that are confused most, latency.
std::string evaluation_text(const Evaluation& evaluation, const std::vector<std::string>& labels);

// One self-contained page: numbers, confusion matrix, reliability diagram, latency histogram
// (inline SVG), per-label table. `facts` are rows of a table at the top; all text is escaped.
// `sections` is HTML that stands behind them.
struct Fact {
  std::string name, value;
};
std::string evaluation_html(const std::string& title, const std::vector<Fact>& facts,
                            const Evaluation& evaluation, const std::vector<std::string>& labels,
                            const std::string& sections = "");

// The same for a tagger.
std::string tag_evaluation_text(const TagEvaluation& evaluation);
std::string tag_evaluation_html(const std::string& title, const std::vector<Fact>& facts,
                                const TagEvaluation& evaluation, const std::string& sections = "");

// Of any number of labels a text.
std::string label_set_evaluation_text(const LabelSetEvaluation& evaluation,
                                      const std::vector<std::string>& labels);
std::string label_set_evaluation_html(const std::string& title, const std::vector<Fact>& facts,
                                      const LabelSetEvaluation& evaluation,
                                      const std::vector<std::string>& labels,
                                      const std::string& sections = "");

// Of an encoder on texts that belong together.
std::string pair_evaluation_text(const PairEvaluation& evaluation);
std::string pair_evaluation_html(const std::string& title, const std::vector<Fact>& facts,
                                 const PairEvaluation& evaluation,
                                 const std::string& sections = "");

// Of a decoder on plain text; `base`: the decoder it went on from, or null.
std::string text_evaluation_text(const TextEvaluation& evaluation,
                                 const TextEvaluation* base = nullptr);
std::string text_evaluation_html(const std::string& title, const std::vector<Fact>& facts,
                                 const TextEvaluation& evaluation,
                                 const TextEvaluation* base = nullptr,
                                 const std::string& sections = "");

// The same for an extractor.
std::string extract_evaluation_text(const ExtractEvaluation& evaluation);
std::string extract_evaluation_html(const std::string& title, const std::vector<Fact>& facts,
                                    const ExtractEvaluation& evaluation,
                                    const std::string& sections = "");

}  // namespace tack
