// Texts to calibrate on, as tokens in chunks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "models/model.h"

namespace tack {

struct CalibrationTokens {
  std::vector<std::vector<TokenId>> chunks;  // each is read anew
  std::int64_t chunk_size = 0;               // of decoders: all have it; else the most
  double strange = 0;   // share of tokens that are unknown or a lone byte of a character
  std::string warning;  // for the user; empty: none

  std::int64_t tokens() const;
};

// Of decoders: consecutive chunks of `chunk` tokens of the text, where the tokenizer begins texts
// so the first token replaced by the beginning, as llama.cpp's imatrix has it. Of encoders: a chunk
// a line, cut at `chunk` tokens. `limit` tokens are taken, those that are spread evenly over the
// text; 0: all. Errors (kUsage): a text shorter than a chunk; mostly unknown tokens.
Result<CalibrationTokens> calibration_tokens(const Model& model, std::string_view text,
                                             std::int64_t chunk, std::int64_t limit);

// Pieces of texts that are each whole, drawn by a fixed seed from all of them: at most `most`
// tokens, or the first piece alone. Texts of decoders are cut into pieces of at most `piece`
// tokens, which begin as texts do. Errors: kUsage without texts.
struct DrawnTokens {
  std::int64_t most = 4096, piece = 128;
};
Result<CalibrationTokens> draw_tokens(const Model& model, std::span<const std::string> texts,
                                      const DrawnTokens& options);

// What stands in for a text of the user's: prose, talk, news, law, medicine, code, tables, numbers,
// of our own writing. About 2,000 tokens.
std::string builtin_calibration_text();

// Takes the last share of the chunks away, at least one, to measure on; a text of one chunk is
// both.
CalibrationTokens hold_out(CalibrationTokens& tokens, std::int64_t wanted_tokens);

}  // namespace tack
