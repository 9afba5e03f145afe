// `tack compress`: a task model made as small as its task allows, and proof that it still does it.
//
// Four things are changed, and every combination of them is a candidate: how many layers stay (a
// student of fewer is taught by the original), how wide their feed-forward parts are (cut, fitted
// again, and taught), in which type the matrices are (and whether they were trained in it), and how
// many tokens the vocabulary has. Candidates are measured on
// validation rows; the best within the limits is put before the gate, on rows that were used for
// nothing else. What was made and measured is kept beside the result until it is there, so that an
// interrupted search goes on where it was.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "eval/gate.h"
#include "tasks/compress_kind.h"
#include "tasks/task.h"

namespace tack {

// What the result may be at most; of several all hold.
struct CompressLimits {
  std::optional<std::size_t> bytes;  // of the file
  std::optional<double> latency_us;  // p50 of a single text on this machine
  std::optional<double> max_drop;    // of the measure against the original, 0..1: the smallest
                                     // candidate within it is chosen, not the best
  Json to_json() const;
};

struct Recipe {
  std::int64_t layers = 0;
  std::int64_t ffn = 0;       // size of the feed-forward parts; 0: as it is
  std::string type;           // "f16", "int8", a block type
  bool trained_type = false;  // trained with the weights as that type stores them
  std::int64_t tokens = 0;    // of the vocabulary; 0: all

  std::string text() const;  // "3 layers, ffn 768, q4_0 trained, 5012 tokens"
  std::string name() const;  // the same fit for a file name
  std::string shape_text() const, shape_name() const;  // of layers and ffn alone
  bool operator==(const Recipe&) const = default;
};

struct Candidate {
  Recipe recipe;
  std::size_t bytes = 0;
  double quality = 0, p50_us = 0, texts_per_second = 0;  // on the validation rows
  bool frontier = false;                                 // none that is as small is better
};

// Marks those that are not beaten in both size and quality.
void mark_frontier(std::vector<Candidate>& candidates);

// The candidate to put before the gate, of those within the limits: the best (of equals within
// `tie` the smallest), or the smallest within max_drop of `original`. Null: none is within them.
const Candidate* choose_candidate(const std::vector<Candidate>& candidates, double original,
                                  const CompressLimits& limits, double tie = 0.001);

// A candidate before it is made: its predicted size, and whether a student must be taught for it.
struct PlannedCandidate {
  Recipe recipe;
  std::size_t bytes = 0;
  bool within = false;  // the limit of bytes, by the prediction
};

struct CompressOptions {
  std::filesystem::path model, out;
  CompressLimits limits;
  std::vector<std::int64_t> layers;  // to try; empty: all, half, a third and one
  std::vector<std::int64_t> ffn;     // sizes to try; empty: as it is, and half
  std::vector<std::string> types = {"int8", "q5_0", "q4_0"};  // from large to small
  bool all = false;  // measures every candidate, not only those that the limits need
  bool dry_run = false;
  bool requantize = false;  // takes a model whose matrices are in blocks already
  bool keep = false;        // the directory of candidates stays
  int threads = 0;
  std::string command;
  std::function<void(const std::string&)> message;  // may be empty
};

struct CompressResult {
  std::string measure;  // what quality is
  std::vector<PlannedCandidate> plan;
  Candidate original;
  std::vector<Candidate> candidates;
  std::optional<Candidate> chosen;
  Trial before, after;  // on the gate's rows
  std::optional<GateResult> gate;
  std::size_t validation_rows = 0, gate_rows = 0;
  double seconds = 0;
  bool resumed = false;

  bool accepted() const { return gate && gate->accepted; }
};

// Task: data, training, gate (its margin; a floor holds besides). Errors: kUsage for an input in
// blocks, for limits that no candidate can meet (says the smallest); those of data and training;
// kInterrupted. A refusal by the gate is no error, and nothing is written then.
Result<CompressResult> compress_task(const Task& task, const CompressOptions& options);

}  // namespace tack
