// The key of an audit log. What it signs cannot be made, and what it hashes cannot be guessed,
// without it.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tack::store {

// 32 random bytes, written as 64 hexadecimal digits. Immutable; any thread.
class AuditKey {
 public:
  static constexpr std::size_t kBytes = 32;
  static constexpr const char* kVariable = "TACK_AUDIT_KEY";

  // `name` stands at the front of the error, which never repeats the text.
  static Result<AuditKey> parse(std::string_view text, std::string_view name);
  // kNotFound: there is no such file; kRefused: others than its owner have rights to it.
  static Result<AuditKey> read(const std::filesystem::path& file);
  // A new key in a new file of mode 0600; what is there already is read, never replaced.
  static Result<AuditKey> make(const std::filesystem::path& file);
  // Of the environment variable, else of the file.
  static Result<AuditKey> find(const std::filesystem::path& file);

  AuditKey(const AuditKey&) = default;
  AuditKey& operator=(const AuditKey&) = default;
  ~AuditKey();

  const std::string& id() const {
    return id_;
  }  // 16 digits that name the key and say nothing of it

  // Keyed BLAKE2b-256 of a record's bytes, 64 digits.
  using Mac = std::array<char, 64>;
  Mac mac(std::string_view bytes) const;
  // Keyed BLAKE2b of a content, 32 digits: the same content has the same digest, and a dictionary
  // of contents does not find it without the key.
  std::string digest(std::string_view content) const;

 private:
  using Bytes = std::array<std::uint8_t, kBytes>;
  explicit AuditKey(const Bytes& bytes);

  Bytes records_{}, contents_{};  // derived, one for each use
  std::string id_;
};

}  // namespace tack::store
