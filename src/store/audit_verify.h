// Whether an audit log is what was written, and if not, where it is damaged.
//
// All damages are found, not only the first: records prove themselves, so those behind a damage
// still say where they belong.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/audit_key.h"
#include "store/audit_record.h"

namespace tack::store {

enum class AuditDamageKind : std::uint8_t {
  kChanged,    // a record is not what was written
  kDeleted,    // records are missing before this line
  kInserted,   // a line that is no record of this log, or one a second time
  kMoved,      // a record that stands in another place than it was written to
  kReplaced,   // the records before this one are others than when it was written
  kTorn,       // the last line has no end: a process was killed, or the file was cut
  kTruncated,  // the head that was given names a later record than the last one
  kOtherHead,  // the head that was given names a record that is not here
};
std::string_view audit_damage_name(AuditDamageKind kind);  // "changed"

struct AuditDamage {
  AuditDamageKind kind = AuditDamageKind::kChanged;
  std::string file;
  std::uint64_t line = 0;            // from 1
  std::optional<std::uint64_t> seq;  // of the record, or the first of several
  std::uint64_t count = 1;           // records, or lines
  std::string message;               // without file and line
};

struct AuditReport {
  static constexpr std::size_t kMostDamages = 20;

  std::uint64_t lines = 0, records = 0;  // records: that are right and in their place
  std::uint64_t bytes = 0;
  std::vector<AuditDamage> damages;  // the first ones, in the order of the files
  std::uint64_t damage_count = 0;    // of all
  std::uint64_t first_seq = 0;       // above 0: older files of this log were not given
  std::optional<AuditHead> last;     // the last record
  // The latest of the given heads whose record is there: nothing up to it was taken away.
  std::optional<AuditHead> proven;

  bool right() const { return damage_count == 0; }
};

struct AuditText {
  std::string name;  // of the file, for messages
  std::string_view text;
};

// `texts`: the files of one log, the oldest first; several logs may follow one another. Memory: 44
// bytes a line. Any thread.
AuditReport verify_audit(std::span<const AuditText> texts, const AuditKey& key,
                         std::span<const AuditHead> heads = {});

}  // namespace tack::store
