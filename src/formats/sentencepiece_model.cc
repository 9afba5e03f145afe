#include "formats/sentencepiece_model.h"

#include <bit>
#include <cstring>

namespace tack {
namespace {

// One field of a message: its number, and a number or bytes.
struct Field {
  std::uint64_t number = 0;
  std::uint64_t value = 0;
  std::string_view bytes;
  enum class Wire : std::uint8_t { kVarint = 0, kEight = 1, kBytes = 2, kFour = 5 } wire{};
};

class Message {
 public:
  explicit Message(std::string_view bytes) : rest_(bytes) {}

  // False at the end, and where the bytes are no message: then broken() is true.
  bool next(Field& field) {
    if (rest_.empty()) return false;
    std::uint64_t tag = 0;
    if (!varint(tag) || tag >> 3U == 0) return fail_here();
    field = {.number = tag >> 3U, .wire = static_cast<Field::Wire>(tag & 7U)};
    switch (field.wire) {
      case Field::Wire::kVarint:
        return varint(field.value) || fail_here();
      case Field::Wire::kEight:
        return fixed(8, field.value) || fail_here();
      case Field::Wire::kFour:
        return fixed(4, field.value) || fail_here();
      case Field::Wire::kBytes: {
        std::uint64_t size = 0;
        if (!varint(size) || size > rest_.size()) return fail_here();
        field.bytes = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return true;
      }
    }
    return fail_here();
  }
  bool broken() const { return broken_; }
  std::size_t left() const { return rest_.size(); }

 private:
  bool fail_here() {
    broken_ = true;
    return false;
  }
  bool varint(std::uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool fixed(std::size_t bytes, std::uint64_t& value) {
    if (rest_.size() < bytes) return false;
    value = 0;
    for (std::size_t i = 0; i < bytes; ++i)
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(rest_[i])) << (8 * i);
    rest_.remove_prefix(bytes);
    return true;
  }

  std::string_view rest_;
  bool broken_ = false;
};

// Calls take(field) for every field; false when the message is broken or take() says so.
template <class Take>
bool read(std::string_view bytes, const Take& take) {
  Message message(bytes);
  for (Field field; message.next(field);)
    if (!take(field)) return false;
  return !message.broken();
}

bool is(const Field& field, std::uint64_t number, Field::Wire wire) {
  return field.number == number && field.wire == wire;
}

bool read_piece(std::string_view bytes, SentencePieceModel::Piece& piece) {
  return read(bytes, [&](const Field& field) {
    if (is(field, 1, Field::Wire::kBytes)) piece.text = field.bytes;
    if (is(field, 2, Field::Wire::kFour))
      piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
    if (is(field, 3, Field::Wire::kVarint)) piece.type = static_cast<std::int64_t>(field.value);
    return true;
  });
}

bool read_trainer(std::string_view bytes, SentencePieceModel& model) {
  return read(bytes, [&](const Field& field) {
    if (field.wire != Field::Wire::kVarint) return true;
    const auto value = static_cast<std::int64_t>(field.value);
    switch (field.number) {
      case 3:
        model.model_type = value;
        break;
      case 24:
        model.whitespace_as_suffix = value != 0;
        break;
      case 35:
        model.byte_fallback = value != 0;
        break;
      case 40:
        model.unk_id = value;
        break;
      case 41:
        model.bos_id = value;
        break;
      case 42:
        model.eos_id = value;
        break;
      case 43:
        model.pad_id = value;
        break;
      default:
        break;
    }
    return true;
  });
}

bool read_normalizer(std::string_view bytes, SentencePieceModel& model) {
  return read(bytes, [&](const Field& field) {
    if (is(field, 1, Field::Wire::kBytes)) model.normalization = field.bytes;
    if (is(field, 2, Field::Wire::kBytes)) model.precompiled_charsmap = field.bytes;
    if (is(field, 3, Field::Wire::kVarint)) model.add_dummy_prefix = field.value != 0;
    if (is(field, 4, Field::Wire::kVarint)) model.remove_extra_whitespaces = field.value != 0;
    if (is(field, 5, Field::Wire::kVarint)) model.escape_whitespaces = field.value != 0;
    return true;
  });
}

}  // namespace

Result<SentencePieceModel> SentencePieceModel::parse(std::string_view bytes,
                                                     std::string_view name) {
  SentencePieceModel model;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.wire != Field::Wire::kBytes) continue;
    bool whole = true;
    if (field.number == 1) whole = read_piece(field.bytes, model.pieces.emplace_back());
    if (field.number == 2) whole = read_trainer(field.bytes, model);
    if (field.number == 3) whole = read_normalizer(field.bytes, model);
    if (!whole)
      return fail("{}: the part that ends at byte {} is broken: not a SentencePiece model", name,
                  bytes.size() - message.left());
  }
  if (message.broken())
    return fail("{}: broken at byte {}: not a SentencePiece model", name,
                bytes.size() - message.left());
  if (model.pieces.empty()) return fail("{}: no pieces: not a SentencePiece model", name);
  return model;
}

}  // namespace tack
