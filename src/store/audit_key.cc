#include "store/audit_key.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"

namespace tack::store {
namespace {

namespace fs = std::filesystem;

constexpr char kContext[crypto_kdf_CONTEXTBYTES + 1] = "tackaudt";
enum : std::uint64_t { kForRecords = 1, kForContents = 2, kForId = 3 };

// It picks the fastest code of this processor, once.
void start_library() {
  static const int started = ::sodium_init();
  (void)started;
}

void derive(std::uint8_t* out, std::size_t bytes, std::uint64_t use, const std::uint8_t* key) {
  ::crypto_kdf_derive_from_key(out, bytes, use, kContext, key);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.remove_suffix(1);
  return text;
}

// Removed again, however the function that made it ends.
struct Temporary {
  std::string path;
  int fd = -1;
  ~Temporary() {
    if (fd < 0) return;
    ::close(fd);
    ::unlink(path.c_str());
  }
};

}  // namespace

AuditKey::AuditKey(const Bytes& bytes) {
  std::array<std::uint8_t, crypto_kdf_BYTES_MIN> name{};
  derive(records_.data(), records_.size(), kForRecords, bytes.data());
  derive(contents_.data(), contents_.size(), kForContents, bytes.data());
  derive(name.data(), name.size(), kForId, bytes.data());
  char hex[17];
  ::sodium_bin2hex(hex, sizeof hex, name.data(), 8);
  id_ = hex;
}

AuditKey::~AuditKey() {
  ::sodium_memzero(records_.data(), records_.size());
  ::sodium_memzero(contents_.data(), contents_.size());
}

Result<AuditKey> AuditKey::parse(std::string_view text, std::string_view name) {
  start_library();
  text = trimmed(text);
  Bytes bytes{};
  std::size_t read = 0;
  const int wrong = text.size() == 2 * kBytes
                        ? ::sodium_hex2bin(bytes.data(), bytes.size(), text.data(), text.size(),
                                           nullptr, &read, nullptr)
                        : -1;
  if (wrong != 0 || read != kBytes)
    return fail(ErrorCode::kUsage,
                "{}: is no key of an audit log: those have 64 hexadecimal digits", name);
  AuditKey key(bytes);
  ::sodium_memzero(bytes.data(), bytes.size());
  return key;
}

Result<AuditKey> AuditKey::read(const fs::path& file) {
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0)
    return fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kFailed,
                "the key of the audit log {}: {}", file.string(), std::strerror(errno));
  if (!S_ISREG(status.st_mode))
    return fail(ErrorCode::kRefused, "the key of the audit log {}: is no regular file",
                file.string());
  if ((status.st_mode & 077U) != 0)
    return fail(ErrorCode::kRefused,
                "the key of the audit log {}: others than its owner have rights to it (mode {:o}); "
                "run: chmod 600 {}",
                file.string(), status.st_mode & 0777U, file.string());
  TACK_TRY(std::string text, read_file(file, 4096));
  auto key = parse(text, file.string());
  ::sodium_memzero(text.data(), text.size());
  return key;
}

Result<AuditKey> AuditKey::make(const fs::path& file) {
  start_library();
  const auto cannot = [&](const char* what) {
    return fail("the key of the audit log {}: cannot {}: {}", file.string(), what,
                std::strerror(errno));
  };
  std::error_code ignored;  // what cannot be made cannot be written to either, and that says why
  if (file.has_parent_path()) fs::create_directories(file.parent_path(), ignored);
  Temporary draft{.path = fmt::format("{}.{}.tmp", file.string(), ::getpid())};
  ::unlink(draft.path.c_str());
  draft.fd = ::open(draft.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (draft.fd < 0) return cannot("make it");
  Bytes bytes{};
  char text[2 * kBytes + 1];
  ::randombytes_buf(bytes.data(), bytes.size());
  ::sodium_bin2hex(text, sizeof text, bytes.data(), bytes.size());
  text[2 * kBytes] = '\n';
  const bool written = ::write(draft.fd, text, sizeof text) == sizeof text;
  if (!written || ::fsync(draft.fd) != 0) return cannot("write it");
  // Unlike a renaming, this leaves a key that another process made meanwhile.
  if (::link(draft.path.c_str(), file.c_str()) != 0 && errno != EEXIST) return cannot("keep it");
  ::sodium_memzero(bytes.data(), bytes.size());
  ::sodium_memzero(text, sizeof text);
  return read(file);
}

Result<AuditKey> AuditKey::find(const fs::path& file) {
  const char* const variable = std::getenv(kVariable);
  if (variable != nullptr && *variable != '\0') return parse(variable, kVariable);
  return read(file);
}

AuditKey::Mac AuditKey::mac(std::string_view bytes) const {
  std::array<std::uint8_t, 32> digest;
  ::crypto_generichash(digest.data(), digest.size(),
                       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                       records_.data(), records_.size());
  Mac out;
  constexpr char kDigits[] = "0123456789abcdef";
  for (std::size_t i = 0; i < digest.size(); ++i) {
    out[2 * i] = kDigits[digest[i] >> 4];
    out[2 * i + 1] = kDigits[digest[i] & 15];
  }
  return out;
}

std::string AuditKey::digest(std::string_view content) const {
  std::array<std::uint8_t, crypto_generichash_BYTES_MIN> digest;
  ::crypto_generichash(digest.data(), digest.size(),
                       reinterpret_cast<const unsigned char*>(content.data()), content.size(),
                       contents_.data(), contents_.size());
  char hex[2 * crypto_generichash_BYTES_MIN + 1];
  ::sodium_bin2hex(hex, sizeof hex, digest.data(), digest.size());
  return hex;
}

}  // namespace tack::store
