// Where things live on this machine.
#pragma once

#include <filesystem>
#include <vector>

namespace tack {

// Our data directory: TACK_HOME, else $XDG_DATA_HOME/tackhammer, else ~/.local/share/tackhammer.
// Not created here.
std::filesystem::path tack_home();

// Directories searched for a model's short name, in order: models/ of the source tree the binary
// was built in, share/tackhammer/models beside an installed binary, then TACK_HOME/models.
std::vector<std::filesystem::path> model_directories();

}  // namespace tack
