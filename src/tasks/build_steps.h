// Steps that builds of every kind share.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/json.h"
#include "tasks/build.h"
#include "tasks/inner_teacher.h"
#include "tasks/student.h"

namespace tack {

void say(const BuildOptions& options, const std::string& line);

struct Data {
  Dataset train, validation, test;  // validation: empty unless the encoder is trained
};

// Reads and divides what the task names, and counts it in `result`. Errors: those of reading; a
// label that is only on one side.
Result<Data> read_data(const Task& task, BuildResult& result);
// What was read, in a line.
std::string describe_data(const Task& task, const BuildResult& result);

// Temperature and threshold from logits of rows that the head was not fitted to.
Json calibrate(const Task& task, std::span<const float> logits,
               std::span<const std::int32_t> labels, std::int32_t classes, BuildResult& result);

// What a training depends on: a checkpoint of anything else is not continued.
std::string describe_training(const Task& task, const TrainSettings& settings, const Model& base,
                              const Data& data, const std::string& teacher);

// What the student learns from inside `teacher`, said in a line; nothing when the task wants
// nothing.
std::optional<InnerLessons> inner_lessons(const Task& task, std::shared_ptr<const Model> teacher,
                                          const Student& student, const BuildOptions& options);

Result<Json> make_lineage(const Task& task, const Model& base, const Data& data,
                          const BuildOptions& options, const BuildResult& result);

}  // namespace tack
