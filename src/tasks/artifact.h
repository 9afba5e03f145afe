// A task model as a file: the encoder's GGUF with a head and what is known about it.
//
//   cls.output.weight, cls.output.bias    the head, f32 [labels, dims] and [labels]
//   bert.classifier.output_labels         label names, in row order (llama.cpp's key)
//   tag.output.weight, tag.output.bias    of a tagger: the head on every token, f32 [tags, dims]
//   tag.transitions, tag.start, tag.end   the CRF's scores, f32 [tags, tags] (row: from), [tags]
//   tack.tags                             names of the tags
//   span.output.weight, span.output.bias  of an extractor: the head on every token, f32 [2, dims]
//                                         (row: start, end) and [2]
//   tack.head_input                       "embedding": the head reads the pooled, normalised vector
//   tack.task                             the task, as JSON
//   tack.calibration                      {"temperature", "threshold", "false_alarms"}, or
//                                         {"temperature", "threshold", "multilabel": true}; of an
//                                         extractor: tasks/extractor.h
//   tack.heads                            of a model that answers several questions, in place of
//                                         tack.calibration: {"heads": [{"name", "labels" (how
//                                         many), and the keys of a calibration}]}; labels and rows
//                                         of cls.output are those of the heads one after another
//   tack.metrics                          what the evaluation measured, with intervals
//   tack.lineage                          base, data (hashes, rows), licences, command, gate
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "models/model.h"
#include "tasks/heads.h"

namespace tack {

struct TaskArtifact {
  const LinearHead* head = nullptr;  // null: texts get no label
  std::vector<std::string> labels;
  const TagHead* tag_head = nullptr;  // null: no tagger
  std::vector<std::string> tags = {};
  const LinearHead* span_head = nullptr;  // null: no extractor
  Json task, calibration, metrics, lineage;
  std::string name, licence;
  Json heads = {};  // tack.heads; null: one head
};

// Copies the base's tensors and keys and adds the above. Atomic. Errors: a base that is not a GGUF,
// or has a head already.
Status write_task_model(const Model& base, const TaskArtifact& artifact,
                        const std::filesystem::path& path);

// Copies an encoder with another tack.lineage. Atomic.
Status write_encoder_lineage(const Model& encoder, const Json& lineage,
                             const std::filesystem::path& path);

// Copies an encoder that was made for a task: with its task, metrics, lineage and name. Atomic.
Status write_task_encoder(const Model& encoder, const TaskArtifact& artifact,
                          const std::filesystem::path& path);

// A tensor as its bytes.
struct StoredTensor {
  DType dtype;
  std::vector<std::byte> bytes;
};

// Copies the base without a head, with some of its tensors replaced by trained ones, by name: f32,
// or as they are `stored`. Atomic.
Status write_trained_encoder(const Model& base,
                             const std::map<std::string, std::vector<float>>& tensors,
                             const std::map<std::string, StoredTensor>& stored,
                             const std::filesystem::path& path);

}  // namespace tack
