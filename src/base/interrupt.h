// SIGINT and SIGTERM as a flag that long work polls, so that it stops at a safe point.
#pragma once

namespace tack {

// Installs the handlers once. A second SIGINT ends the process at once with exit code 130.
void install_interrupt_handlers();
bool interrupted();
// The interruption has been dealt with; the next one counts anew.
void clear_interrupt();

}  // namespace tack
