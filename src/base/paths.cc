#include "base/paths.h"

#include <cstdlib>
#include <string>
#include <system_error>

namespace tack {
namespace {

std::filesystem::path executable_directory() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::filesystem::path(".") : path.parent_path();
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

std::filesystem::path tack_home() {
  if (const auto home = environment("TACK_HOME"); !home.empty()) return home;
  if (const auto data = environment("XDG_DATA_HOME"); !data.empty())
    return std::filesystem::path(data) / "tackhammer";
  const auto home = environment("HOME");
  return std::filesystem::path(home.empty() ? "/tmp" : home) / ".local/share/tackhammer";
}

std::vector<std::filesystem::path> model_directories() {
  const auto binary = executable_directory();
  return {(binary / "../models").lexically_normal(), (binary / "../../models").lexically_normal(),
          (binary / "../share/tackhammer/models").lexically_normal(), tack_home() / "models"};
}

}  // namespace tack
