// Steps that builds of every kind share.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "base/json.h"
#include "tasks/build.h"

namespace tack {

void say(const BuildOptions& options, const std::string& line);

struct Data {
  Dataset train, validation, test;  // validation: empty unless the encoder is trained
};

// What a training and a lineage say about the rows, of whatever kind they are.
struct DataSummary {
  struct Part {
    std::size_t rows = 0;
    std::string sha256;
  };
  Part train, validation, test;
};
template <class AnyData>
DataSummary summary_of(const AnyData& data) {
  return {.train = {data.train.size(), data.train.sha256},
          .validation = {data.validation.size(), data.validation.sha256},
          .test = {data.test.size(), data.test.sha256}};
}

// Reads and divides what the task names, and counts it in `result`. Errors: those of reading; a
// label that is only on one side.
Result<Data> read_data(const Task& task, BuildResult& result);
// What was read, in a line.
std::string describe_data(const Task& task, const BuildResult& result);

// Temperature and threshold from logits of rows that the head was not fitted to.
Json calibrate(const Task& task, std::span<const float> logits,
               std::span<const std::int32_t> labels, std::int32_t classes, BuildResult& result);

// The same for label sets: `targets` are dense_targets() of those rows.
Json calibrate_sets(std::span<const float> logits, std::span<const float> targets,
                    BuildResult& result);

// What calibrate() or calibrate_sets() found, in words.
std::string calibration_text(const BuildResult& result);

// What a training depends on: a checkpoint of anything else is not continued.
std::string describe_training(const Task& task, const TrainSettings& settings, const Model& base,
                              const DataSummary& data, const std::string& teacher);

// The model to start from, with the layers that the task keeps: `base`, or written to `path`.
Result<std::shared_ptr<const Model>> keep_layers(const Task& task,
                                                 std::shared_ptr<const Model> base,
                                                 const std::filesystem::path& path,
                                                 const BuildOptions& options);

// The teacher's file: the one the task names, or one that `build` makes here as a task of its own
// and that is kept beside the result, where the next build finds it. For kinds whose teachers are
// whole builds.
Result<std::filesystem::path> built_teacher(
    const Task& task, const BuildOptions& options,
    const std::function<Status(const Task&, const BuildOptions&)>& build);

Result<Json> make_lineage(const Task& task, const Model& base, const DataSummary& data,
                          const BuildOptions& options, const BuildResult& result);

}  // namespace tack
