// [audit] of tack.toml.
#include "base/paths.h"
#include "gateway/config_reader.h"

namespace tack::gateway {

using namespace std::chrono_literals;

void read_audit(TomlSection& root, GatewayConfig& config) {
  TomlSection section = root.section("audit");
  if (!section.exists()) return;
  AuditConfig& audit = config.audit;
  audit.line = section.line();
  audit.enabled = true;
  section.read("enabled", audit.enabled);
  audit.path = (tack_home() / "audit.jsonl").string();
  audit.key_file = (tack_home() / "audit.key").string();
  read_path(section, "path", config, audit.path);
  read_path(section, "key_file", config, audit.key_file);
  section.read("required", audit.required);
  std::string verify = "ends";
  if (section.read_word("verify", {"ends", "all"}, verify)) audit.verify_all = verify == "all";
  section.read_size("max_bytes", 0, std::uint64_t{1} << 50, audit.max_bytes);
  if (audit.max_bytes > 0 && audit.max_bytes < 65536)
    section.mistake("max_bytes", "must be 64KiB or more, or 0 for one file without an end");
  section.read_duration("flush", 0ms, 10s, audit.flush);
  section.read("queue", 1, 100'000'000, audit.queue);
  section.finish();
  if (audit.enabled && audit.path == audit.key_file)
    section.mistake("key_file", "is the log itself: the key is a file of its own");
  if (audit.required && !audit.enabled)
    section.mistake("required", "is true, and enabled is false: nothing could be asked");
}

}  // namespace tack::gateway
