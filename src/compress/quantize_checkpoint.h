// What was measured of a model, kept beside the output until that is written: a run that was
// interrupted, or killed, goes on from it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>

#include "base/result.h"
#include "compress/importance.h"
#include "models/model.h"

namespace tack {

class QuantizeCheckpoint {
 public:
  // `description` of the model, the texts and how they are read: of another one is an error that
  // says what differs. An empty path: nothing is kept.
  QuantizeCheckpoint(std::filesystem::path path, std::string description)
      : path_(std::move(path)), description_(std::move(description)) {}

  // False: there is none.
  Result<bool> load(const Model& model);
  Status save() const;
  void remove() const;

  ImportanceMatrix sums;                   // over the chunks before `next`
  std::size_t next = 0;                    // chunk
  std::map<std::string, double> measured;  // divergences, by group of tensors

 private:
  std::filesystem::path path_;
  std::string description_;
};

}  // namespace tack
