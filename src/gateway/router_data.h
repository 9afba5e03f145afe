// What a router learns from: prompts, and how good each model's answer to them was.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "eval/rows.h"

namespace tack::gateway {

struct RouterDataSource {
  std::vector<std::string> paths;  // as RowReader::open takes them; all have the same columns
  std::string text;                // column of the prompts; "": the first of the usual names
  std::vector<std::string> models;
  std::map<std::string, std::string> columns;  // of models whose column has another name
  // A column with another router's score or decision, to compare with: larger is stronger.
  std::string against;
  RowFormat format = RowFormat::kAuto;
};

struct RouterData {
  std::vector<std::string> models;
  std::vector<std::string> texts;
  std::vector<float> scores;   // [rows, models], in [0, 1]
  std::vector<float> against;  // [rows], or empty
  std::string sha256;          // of texts and scores, in order: for the lineage

  std::size_t rows() const { return texts.size(); }
  float score(std::size_t row, std::size_t model) const {
    return scores[row * models.size() + model];
  }
  RouterData subset(const std::vector<std::size_t>& which) const;
};

// Errors: as RowReader; a field that is empty or no score, with its file and line; no rows.
Result<RouterData> read_router_data(const RouterDataSource& source);

// "true", "right", "yes" and "1"; "false", "wrong", "no" and "0"; a number in [0, 1]. Without case.
Result<float> parse_score(std::string_view field);

// A finite number, and nothing behind it.
Result<float> parse_number(std::string_view field);

// SHA-256 of the text, as a number, modulo `folds`: where a prompt belongs does not depend on the
// file it is in, and copies stay together.
std::uint32_t hash_fold(std::string_view text, std::uint32_t folds);

// Rows by fold of five: 0 to 2 train, 3 calibrates, 4 tests.
struct RouterSplit {
  std::vector<std::size_t> train, calibration, test;  // row numbers, ascending
};
RouterSplit split_router_data(const RouterData& data);

}  // namespace tack::gateway
