// SentencePiece's tokenizer.model: the protocol-buffer message ModelProto of
// https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto, of which this
// reads what tokenizing needs. Every length is checked against the bytes there are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tack {

struct SentencePieceModel {
  struct Piece {
    std::string text;
    float score = 0;
    std::int64_t type = 1;  // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  };
  std::vector<Piece> pieces;
  std::int64_t model_type = 1;  // 1 unigram, 2 BPE, 3 words, 4 characters
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;
  std::int64_t unk_id = 0, bos_id = 1, eos_id = 2, pad_id = -1;
  std::string normalization;         // a name: "identity", "nmt_nfkc", ...
  std::string precompiled_charsmap;  // empty: no characters change
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;

  // `name` stands in error messages.
  static Result<SentencePieceModel> parse(std::string_view bytes, std::string_view name);
};

}  // namespace tack
