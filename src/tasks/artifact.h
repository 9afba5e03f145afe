// A task model as a file: the encoder's GGUF with a head and what is known about it.
//
//   cls.output.weight, cls.output.bias    the head, f32 [labels, dims] and [labels]
//   bert.classifier.output_labels         label names, in row order (llama.cpp's key)
//   tag.output.weight, tag.output.bias    of a tagger: the head on every token, f32 [tags, dims]
//   tag.transitions, tag.start, tag.end   the CRF's scores, f32 [tags, tags] (row: from), [tags]
//   tack.tags                             names of the tags
//   tack.head_input                       "embedding": the head reads the pooled, normalised vector
//   tack.task                             the task, as JSON
//   tack.calibration                      {"temperature", "threshold", "false_alarms"}, or
//                                         {"temperature", "threshold", "multilabel": true}
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
  Json task, calibration, metrics, lineage;
  std::string name, licence;
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

// Copies the base without a head, with some of its tensors replaced by trained ones (f32, by name).
// Atomic.
Status write_trained_encoder(const Model& base,
                             const std::map<std::string, std::vector<float>>& tensors,
                             const std::filesystem::path& path);

}  // namespace tack
