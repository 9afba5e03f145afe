// Plain text as documents, for what is learned from text alone.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "eval/dataset.h"

namespace tack {

inline constexpr std::string_view kEndOfText = "<|endoftext|>";

// The documents of a text, without white space at their ends; empty ones are left out. They end at
// "<|endoftext|>" where the text has that anywhere, else at blank lines. Any bytes are kept as they
// are, UTF-8 or not. Views into `text`.
std::vector<std::string_view> split_documents(std::string_view text);

// Those of several files, one after another: rows without labels. Errors: as MappedFile; a file
// without any text.
Result<Dataset> read_documents(std::span<const std::string> paths);

}  // namespace tack
